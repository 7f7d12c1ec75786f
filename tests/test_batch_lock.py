"""One run a folder: the second is refused and told who runs, a lock left by a dead run is no obstacle."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from spatial_til.errors import SpatialTilError
from spatial_til.io import lock as locks
from spatial_til.io.lock import STALE_AFTER_S, holder, locked

HOLD = """
import sys, time
from pathlib import Path
from spatial_til.io.lock import locked
with locked(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / ".running" / "lock"


@pytest.fixture
def other_run(path):
    """A process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_lock_is_gone_after_its_block(path):
    with locked(path):
        assert re.fullmatch(rf"process {os.getpid()} on .+, started \d{{4}}-.+", holder(path))
    assert holder(path) is None
    assert not path.exists()
    with locked(path):
        pass


def test_a_second_run_is_refused_and_names_the_first(path, other_run):
    said = rf"a run is under way here \(process {other_run.pid} on .*started 20"
    with pytest.raises(SpatialTilError, match=said), locked(path):
        pytest.fail("two runs hold one folder")
    assert f"process {other_run.pid} " in holder(path)


def test_a_killed_run_leaves_no_closed_door(path, other_run):
    other_run.send_signal(signal.SIGKILL)
    other_run.wait()
    assert path.exists()
    assert holder(path) is None
    with locked(path):
        assert f"process {os.getpid()} " in holder(path)


def test_without_locks_of_the_file_system_the_content_decides(path, other_run, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(SpatialTilError, match=f"process {other_run.pid}"), locked(path):
        pytest.fail("two runs hold one folder")
    other_run.kill()
    other_run.wait()
    with locked(path):
        pass


def test_a_process_number_used_again_is_not_the_holder(path):
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(locks._me() | {"created": 1.0}))
    assert holder(path) is None
    with locked(path):
        pass


@pytest.mark.parametrize(("age_s", "free"), [(STALE_AFTER_S / 2, False), (STALE_AFTER_S * 2, True)])
def test_a_run_on_another_computer_is_alive_while_it_touches_its_lock(path, age_s, free):
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pid": 1, "host": "node17", "created": 1.7e9}))
    os.utime(path, (time.time() - age_s,) * 2)
    if free:
        with locked(path):
            pass
    else:
        with pytest.raises(SpatialTilError, match="process 1 on node17"), locked(path):
            pytest.fail("two runs hold one folder")


def test_the_holder_touches_its_lock(path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.05)
    with locked(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_lock_that_says_nothing_is_stale(path, text):
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with locked(path):
        pass
