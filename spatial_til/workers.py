"""Run one function over many items in worker processes; an item that fails, fails alone.

An error of ours becomes a failure with its message. A worker that dies (segmentation fault, killed
for memory) takes the pool with it: the items that were running are tried once more, each alone, so
that the one at fault is known and the others complete.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from spatial_til.errors import SpatialTilError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Libraries that start threads of their own: ours are the processes, so each of these gets one.
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TIFFFILE_NUM_THREADS",
    "BLOSC_NTHREADS",
    "ZARR_THREADING__MAX_WORKERS",
)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What came of one item: a result, or the message of its failure."""

    result: Result | None
    error: str | None = None


class Runner(Protocol):
    """Whoever carries out a stage: processes of this machine, or a cluster."""

    def __call__(
        self,
        stage: str,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        started: Callable[[Item], None],
    ) -> Iterator[tuple[Item, Outcome[Result]]]:
        """Yield each item with its outcome, in the order they finish."""


def available_workers() -> int:
    """Return how many processes can run at once, container limits respected."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class LocalRunner:
    """Worker processes on this machine."""

    workers: int

    def __call__(
        self,
        stage: str,  # noqa: ARG002 - a cluster needs it
        function: Callable[[Item], Result],
        items: Sequence[Item],
        started: Callable[[Item], None],
    ) -> Iterator[tuple[Item, Outcome[Result]]]:
        """Yield each item with its outcome, in the order they finish."""
        return run_all(function, items, workers=self.workers, started=started)


def run_all(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    started: Callable[[Item], None] | None = None,
) -> Iterator[tuple[Item, Outcome[Result]]]:
    """Yield each item with its outcome, in the order they finish.

    `function` and the items must be picklable. One worker or one item runs in a process of its own
    all the same, so that a crash cannot take the caller along.
    """
    todo = list(items)
    while todo:
        broken: list[Item] = []
        with _pool(min(workers, len(todo))) as pool:
            yield from _drain(pool, function, todo, broken, workers, started)
        for item in broken:
            yield item, _alone(function, item)


def _drain(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    todo: list[Item],
    broken: list[Item],
    workers: int,
    started: Callable[[Item], None] | None,
) -> Iterator[tuple[Item, Outcome[Result]]]:
    """Feed the pool no more items than it has workers, so that a dead pool names its suspects."""
    running: dict[Future[Result], Item] = {}
    while running or (todo and not broken):
        while todo and not broken and len(running) < workers:
            try:
                future = pool.submit(function, todo[0])
            except BrokenProcessPool:  # died in between, with nothing to blame but what still runs
                break
            item = todo.pop(0)
            running[future] = item
            if started:
                started(item)
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            item = running.pop(future)
            try:
                outcome = Outcome(future.result())
            except BrokenProcessPool:
                broken.append(item)
                continue
            except Exception as error:  # noqa: BLE001 - a failing slide must not stop the others
                outcome = Outcome(None, describe(error))
            yield item, outcome


def _alone(function: Callable[[Item], Result], item: Item) -> Outcome[Result]:
    with _pool(1) as pool:
        try:
            return Outcome(pool.submit(function, item).result())
        except BrokenProcessPool:
            return Outcome(None, "the worker process died twice (crash, or killed for memory): try fewer --workers")
        except Exception as error:  # noqa: BLE001 - as above
            return Outcome(None, describe(error))


def describe(error: BaseException) -> str:
    """Return an error as a user meets it: what is wrong, and what to do."""
    if isinstance(error, SpatialTilError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory: use fewer --workers"
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}: {_REMEDY.get(error.errno, 'make it readable')}, then run the same again"
    return f"internal error, please report it: {type(error).__name__}: {error}"


_REMEDY = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in the quota",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.ENOENT: "put the file back",
    errno.EACCES: "allow reading and writing",
    errno.EROFS: "make the disk writable",
}


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool whose processes end with us: on an interrupt at once, and when we are killed."""
    # Spawned, not forked: compiled libraries with threads do not survive a fork.
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread_each()


def one_thread_each() -> None:
    """Keep the threads of compiled libraries from multiplying with our processes."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    import cv2

    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    """End this process when its parent has: work that nobody waits for would write into the next run."""
    parent: Any = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
