"""What tests of the viewer write goes with them, also where they are killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.own_folder import YOUNG_S, own_folder

CODE = """
import sys, time
from pathlib import Path
from tests.own_folder import own_folder
folder = own_folder("kept_", Path(sys.argv[1]))
(folder / "napari.yaml").write_text("x")
print(folder.name, flush=True)
sys.stdin.read()
"""


def start(parent):
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    )
    return process, parent / process.stdout.readline().strip()


def age(folder):
    past = folder.stat().st_mtime - 2 * YOUNG_S
    os.utime(folder, (past, past))


def test_the_folder_of_a_killed_process_is_removed_and_that_of_a_running_one_stays(tmp_path):
    killed, left = start(tmp_path)
    running, used = start(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    killed.communicate()
    age(left)
    age(used)
    (tmp_path / "other").mkdir()
    age(tmp_path / "other")
    own = own_folder("kept_", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["other", own.name, used.name])
    assert (used / "napari.yaml").exists()
    running.communicate("")
    assert running.returncode == 0
    assert not used.exists()


def test_a_folder_just_made_is_left_alone(tmp_path):
    (tmp_path / "kept_new").mkdir()  # made by another process, which has not locked it yet
    own_folder("kept_", tmp_path)
    assert (tmp_path / "kept_new").exists()
