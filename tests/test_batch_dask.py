"""A real scheduler and two worker processes: same folder as a local run, and no death of a worker loses a slide."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spatial_til.cluster import DaskRunner
from spatial_til.errors import SlideError, SpatialTilError
from spatial_til.workers import LocalRunner
from tests.acceptance_study import command
from tests.batch_study import contents, make_study, run
from tests.inline import in_this_process

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[1]


def tries(folder: Path, number: int) -> int:
    """Count one more try of an item."""
    with (folder / str(number)).open("a") as file:
        file.write(".")
    return (folder / str(number)).stat().st_size


def work(item: tuple[int, Path]) -> int:
    """Item 0 goes well; 1 kills its worker once, 2 always; 3 fails twice by chance; 4 always, for a reason of ours."""
    number, folder = item
    n = tries(folder, number)
    if number == 2 or (number == 1 and n == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3 and n < 3:
        msg = "the disk did not answer"
        raise ConnectionError(msg)
    if number == 4:
        msg = "no tissue"
        raise SlideError(msg)
    return 10 * number


def start(*arguments: object, folder: Path, log: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"}
    with (folder / log).open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments)], stdout=out, stderr=out, env=environment, cwd=folder
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    local = ("--host", "127.0.0.1", "--scheduler-file", file)
    scheduler = ("distributed.cli.dask_scheduler", "--port", 0, "--no-dashboard", "--no-show", *local)
    processes = [start(*scheduler, folder=folder, log="scheduler.log")]
    worker = ("distributed.cli.dask_worker", "--nthreads", 1, "--no-dashboard", "--local-directory", folder, *local)
    deadline = time.monotonic() + 60
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline, (folder / "scheduler.log").read_text()
        time.sleep(0.05)
    processes += [start(*worker, folder=folder, log=f"worker{k}.log") for k in range(2)]
    yield json.loads(file.read_text())["address"]
    for process in reversed(processes):
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.slow
def test_the_folder_is_that_of_a_local_run(cluster, tmp_path):
    sheet = make_study(tmp_path / "in", slides=2)
    done = run("score", sheet, "--out", tmp_path / "cluster", "--scheduler", cluster)
    assert done.returncode == 0, done.stderr
    with in_this_process():
        command("score", sheet, "--out", tmp_path / "local", "--workers", 1, "--quiet", status=0)
    assert contents(tmp_path / "cluster") == contents(tmp_path / "local")


@pytest.mark.slow
def test_two_retries_then_a_failure(cluster, tmp_path):
    items = [(number, tmp_path) for number in range(5)]
    started = []
    with DaskRunner(cluster, lambda stage, item: tmp_path / f"{item[0]}.{stage}.attempts") as runner:
        found = {item[0]: outcome for item, outcome in runner("measure", work, items, started.append)}
    assert started == items
    assert {number: outcome.result for number, outcome in found.items()} == {0: 0, 1: 10, 2: None, 3: 30, 4: None}
    assert "died" in found[2].error
    assert found[4].error == "no tissue"
    assert (tmp_path / "2").stat().st_size <= 3
    # At least: what a worker had done is done again where it dies before it was asked.
    assert (tmp_path / "3").stat().st_size >= 3
    assert (tmp_path / "4").stat().st_size >= 1


def test_a_scheduler_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("spatial_til.cluster.TIMEOUT_S", 1)
    with pytest.raises(SpatialTilError, match=r"--scheduler tcp://127\.0\.0\.1:9: no scheduler answers"):
        DaskRunner("tcp://127.0.0.1:9", lambda stage, _: tmp_path / stage)


def test_without_dask_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SpatialTilError, match=r"install spatial-til\[dask\]"):
        DaskRunner("tcp://127.0.0.1:9", lambda stage, _: tmp_path / stage)


def test_both_runners_are_called_alike():
    assert LocalRunner.__call__.__annotations__.keys() == DaskRunner.__call__.__annotations__.keys()
