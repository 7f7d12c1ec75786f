"""Run one function over many items in worker processes; an item that fails, fails alone.

An error of ours becomes a failure with its message. A worker that dies (segmentation fault, killed
for memory) takes the pool with it: the items that were running are tried once more, each alone, so
that the one at fault is known and the others complete. One that runs out of memory is tried once more too:
alone, it may have enough.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

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

_M_ARENA_MAX = -8  # malloc.h of glibc


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


class LocalRunner:
    """Worker processes on this machine, the same ones for all stages. Use as a context.

    One worker or one item runs in a process of its own all the same, so that a crash cannot take the caller along.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._others = set(multiprocessing.active_children())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # interrupted: nobody waits for what still runs
            for child in set(multiprocessing.active_children()) - self._others:
                child.kill()
        self._close(waiting=kind is not None)  # else they have nothing left to do, and end by themselves

    def __call__(
        self,
        stage: str,  # noqa: ARG002 - a cluster needs it
        function: Callable[[Item], Result],
        items: Sequence[Item],
        started: Callable[[Item], None],
    ) -> Iterator[tuple[Item, Outcome[Result]]]:
        """Yield each item with its outcome, in the order they finish."""
        todo = list(items)
        while todo:
            broken: list[Item] = []
            yield from self._drain(function, todo, broken, started)
            for item in broken:
                yield item, self._alone(function, item)

    def _drain(
        self,
        function: Callable[[Item], Result],
        todo: list[Item],
        broken: list[Item],
        started: Callable[[Item], None],
    ) -> Iterator[tuple[Item, Outcome[Result]]]:
        """Feed the pool no more items than it has workers, so that a dead pool names its suspects."""
        running: dict[Future[Result], Item] = {}
        self._feed(function, todo, running, started)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            came = [(running.pop(future), _outcome(future)) for future in done]
            broken += [item for item, outcome in came if outcome is None]
            if not broken:
                self._feed(function, todo, running, started)  # no worker waits until others have been told
            yield from ((item, outcome) for item, outcome in came if outcome is not None)
        if broken:
            self._close()

    def _feed(
        self,
        function: Callable[[Item], Result],
        todo: list[Item],
        running: dict[Future[Result], Item],
        started: Callable[[Item], None],
    ) -> None:
        while todo and len(running) < self.workers:
            future = self._submit(function, todo[0])
            running[future] = todo.pop(0)
            started(running[future])

    def _submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        if self._pool is None:
            self._pool = _new_pool(self.workers)
        try:
            return self._pool.submit(function, item)
        except BrokenProcessPool as error:  # what runs in it will say so too
            lost: Future[Result] = Future()
            lost.set_exception(error)
            return lost

    def _alone(self, function: Callable[[Item], Result], item: Item) -> Outcome[Result]:
        with _new_pool(1) as pool:
            future = pool.submit(function, item)
            return _outcome(future) or Outcome(None, _twice(future.exception()))

    def _close(self, *, waiting: bool = True) -> None:
        if self._pool is not None:
            self._pool.shutdown(waiting, cancel_futures=True)
            self._pool = None


_ALONE = "the second time with no other at work: score it where there is more memory, or export it again"


def _outcome(future: Future[Result]) -> Outcome[Result] | None:
    """Return what came of an item; None where its worker died or ran out of memory."""
    try:
        return Outcome(future.result())
    except BrokenProcessPool:
        return None
    except Exception as error:  # noqa: BLE001 - a failing slide must not stop the others
        return None if is_for_memory(error) else Outcome(None, describe(error))


def _twice(error: BaseException | None) -> str:
    if isinstance(error, SpatialTilError):
        return str(error)
    if error is not None and is_for_memory(error):
        return f"out of memory twice, {_ALONE}"
    return f"its worker process died twice (crash, or killed for memory), {_ALONE}"


def is_for_memory(error: BaseException) -> bool:
    """Say whether memory ran out, in Python, NumPy or OpenCV, whose error has a code for it alone."""
    return isinstance(error, MemoryError) or "Insufficient memory" in str(error)


def describe(error: BaseException) -> str:
    """Return an error as a user meets it: what is wrong, and what to do."""
    if isinstance(error, SpatialTilError):
        return str(error)
    if is_for_memory(error):
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


def _new_pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: compiled libraries with threads do not survive a fork.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    one_heap()  # before the first thread, which would have its own
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread_each()


def one_heap() -> None:
    """Let the threads of this process share one heap (glibc): each of its own would keep what tiles have freed."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl has no such setting, and one heap
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def one_thread_each() -> None:
    """Keep the threads of compiled libraries from multiplying with our processes."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # its own keeps some 40 MiB after a large table
    import cv2

    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    """End this process when its parent has: work that nobody waits for would write into the next run."""
    parent: Any = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
