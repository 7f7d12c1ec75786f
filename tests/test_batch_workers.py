"""Worker processes: a crash fails alone after one more try, errors are told in words, no orphans, no extra threads."""

import ctypes
import errno
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from spatial_til.errors import SlideError
from spatial_til.io.limits import free_memory_mib, usable_cores
from spatial_til.workers import _ALONE, LocalRunner, describe


def segfault_at_three(item: tuple[int, Path]) -> int:
    number, folder = item
    with (folder / str(number)).open("a") as file:
        file.write(".")
    if number == 3:
        ctypes.string_at(0)
    return 10 * number


def killed_once(item: tuple[int, Path]) -> int:
    number, folder = item
    if number == 1 and not (folder / "was here").exists():
        (folder / "was here").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def environment(_: int) -> dict[str, str]:
    import cv2
    import numba

    return {"omp": os.environ["OMP_NUM_THREADS"], "cv2": cv2.getNumThreads(), "numba": numba.get_num_threads()}


def heaps(path: Path) -> int:
    """Return how many heaps the process has once four threads have asked for memory at the same time."""
    barrier = threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        kept.append(bytearray(1000))
        barrier.wait()

    kept: list[bytearray] = []
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    libc = ctypes.CDLL(None)
    libc.fopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
    libc.fclose.argtypes = [ctypes.c_void_p]
    file = libc.fopen(os.fsencode(path), b"w")
    libc.malloc_info(0, file)
    libc.fclose(file)
    return path.read_text().count("<heap")


def ignored(_: object) -> None:
    pass


def fails(error: Exception) -> None:
    raise error


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc tells its heaps")
def test_threads_of_a_worker_share_one_heap(tmp_path):
    with LocalRunner(1) as runner:
        [(_, outcome)] = runner("measure", heaps, [tmp_path / "heaps.xml"], ignored)
    assert outcome.result == 1


def test_a_crash_fails_alone_after_one_more_try(tmp_path):
    items = [(number, tmp_path) for number in range(6)]
    with LocalRunner(2) as runner:
        found = {item[0]: outcome for item, outcome in runner("measure", segfault_at_three, items, ignored)}
        # The same runner goes on with the next stage.
        again = [outcome.result for _, outcome in runner("score", segfault_at_three, items[:1], ignored)]
    assert {n: o.result for n, o in found.items()} == {0: 0, 1: 10, 2: 20, 3: None, 4: 40, 5: 50}
    assert "died twice" in found[3].error
    assert (tmp_path / "3").read_text() == ".."
    assert again == [0]


def test_a_worker_killed_once_loses_nothing(tmp_path):
    with LocalRunner(2) as runner:
        outcomes = list(runner("measure", killed_once, [(n, tmp_path) for n in range(3)], ignored))
    assert sorted(outcome.result for _, outcome in outcomes) == [0, 1, 2]


def test_errors_come_back_in_words_and_threads_do_not_multiply():
    errors = [
        SlideError("S1: no tissue"),
        MemoryError(),
        OSError(errno.ENOSPC, "No space left", "a.png"),
        KeyError("x"),
    ]
    with LocalRunner(1) as runner:
        said = [outcome.error for _, outcome in runner("measure", fails, errors, ignored)]
        found = [outcome.result for _, outcome in runner("measure", environment, [0], ignored)]
    assert said == [
        "S1: no tissue",
        f"out of memory twice, {_ALONE}",
        "a.png: No space left: make room on the disk, then run the same again",
        "internal error, please report it: KeyError: 'x'",
    ]
    assert found == [{"omp": "1", "cv2": 1, "numba": 1}]


ORPHANS = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.test_batch_workers import ignored, sleeps
from spatial_til.workers import LocalRunner
if __name__ == "__main__":
    with LocalRunner(2) as runner:
        list(runner("measure", sleeps, [0, 1], ignored))
"""


def sleeps(_: int) -> None:
    sys.stdout.write("asleep\n")
    sys.stdout.flush()
    time.sleep(120)


def test_workers_end_when_the_run_is_killed(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, script, root], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["asleep\n", "asleep\n"]
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_an_error_of_the_system_names_file_and_remedy():
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory", "slide.tif")
    assert describe(gone) == "slide.tif: No such file or directory: put the file back, then run the same again"


def cgroup(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_limits_of_a_container_hold(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("0::/job/step\n")
    root = cgroup(
        tmp_path / "fs",
        {
            "job/cpu.max": "100000 100000\n",
            "job/memory.max": "1073741824\n",
            "job/memory.current": "536870912\n",
            "job/memory.stat": "anon 1\ninactive_file 268435456\n",
            "job/step/cpu.max": "max 100000\n",
            "job/step/memory.max": "max\n",
            "job/step/memory.current": "5\n",
        },
    )
    assert usable_cores(root, own) == 1
    assert free_memory_mib(root, own) == 1024 - (512 - 256)


def test_the_limits_of_an_older_container_hold(tmp_path):
    own = tmp_path / "cgroup"
    own.write_text("4:memory:/job\n3:cpu:/job\n")
    root = cgroup(
        tmp_path / "fs",
        {
            "cpu/job/cpu.cfs_quota_us": "150000\n",
            "cpu/job/cpu.cfs_period_us": "100000\n",
            "memory/job/memory.limit_in_bytes": "104857600\n",
            "memory/job/memory.usage_in_bytes": "52428800\n",
        },
    )
    assert usable_cores(root, own) == 1
    assert free_memory_mib(root, own) == 50


def test_without_a_container_the_machine_counts(tmp_path):
    assert usable_cores(tmp_path, tmp_path / "none") == len(os.sched_getaffinity(0))
    assert free_memory_mib(tmp_path, tmp_path / "none") == pytest.approx(
        psutil.virtual_memory().available / 2**20, rel=0.2
    )
