"""Kernels can be compiled where neither the package nor a home folder can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import stale_kernels
from spatial_til.kernel_cache import VARIABLE, provide_kernel_cache, usual_places

CODE = """
import os, sys
from pathlib import Path
from spatial_til.kernel_cache import provide_kernel_cache
made = provide_kernel_cache(os.environ, [Path(name) for name in sys.argv[1:]])
print(made or "", os.environ.get("NUMBA_CACHE_DIR", "").count(str(made)))
"""


def told(*places, **environment):
    """What a process of its own makes of these places."""
    kept = {k: v for k, v in os.environ.items() if k != VARIABLE} | environment
    run = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, places)], capture_output=True, text=True, env=kept, check=True
    )
    return run.stdout.strip("\n")


def test_where_nothing_can_be_written_a_private_folder_is_made_and_removed(tmp_path):
    (tmp_path / "file").touch()  # below a file nobody can write, not even root
    folder, named = told(tmp_path / "file" / "package", tmp_path / "file" / "cache", TMPDIR=str(tmp_path)).split()
    assert Path(folder).parent == tmp_path
    assert named == "1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"], "it is gone with the process"


@pytest.mark.parametrize("place", ["", "cache/not/yet/there"])
def test_where_one_place_can_be_written_nothing_changes(tmp_path, place):
    (tmp_path / "file").touch()
    assert told(tmp_path / "file" / "x", tmp_path / place).split() == ["0"]


def test_a_folder_that_the_user_names_stays(tmp_path):
    given = {VARIABLE: "/somewhere"}
    assert provide_kernel_cache(given, [tmp_path / "no" / "place"]) is None
    assert given == {VARIABLE: "/somewhere"}


def test_the_cache_folder_is_the_one_that_numba_takes():
    assert usual_places(Path("/p"), {"XDG_CACHE_HOME": "/c"}) == (Path("/p"), Path("/c"))
    assert usual_places(Path("/p"), {})[1].name == ".cache"


def test_kernels_older_than_any_file_with_kernels_are_stale_all_of_them(tmp_path):
    """A kernel holds those it calls, and which these are is not looked into."""
    (tmp_path / "__pycache__").mkdir()
    compiled = [tmp_path / "__pycache__" / name for name in ("a.f-1.py311.nbi", "a.f-1.py311.1.nbc")]
    code, other = tmp_path / "b.py", tmp_path / "c.py"
    code.write_text("@njit\ndef g(): ...\n", encoding="utf-8")
    other.write_text("def h(): ...\n", encoding="utf-8")
    for path in compiled:
        path.write_bytes(b"")
        os.utime(path, (100, 100))
    os.utime(other, (200, 200))
    os.utime(code, (50, 50))
    assert stale_kernels(tmp_path) == []
    os.utime(code, (150, 150))
    assert sorted(stale_kernels(tmp_path)) == sorted(compiled)
