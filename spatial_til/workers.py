"""Run one function over many items in worker processes; an item that fails, fails alone.

An error of ours becomes a failure with its message. A worker that dies (segmentation fault, killed
for memory) takes the pool with it: the items that were running are tried once more, each alone, so
that the one at fault is known and the others complete.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from spatial_til.errors import SpatialTilError

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What came of one item: a result, or the message of its failure."""

    result: Result | None
    error: str | None = None


def available_workers() -> int:
    """Return how many processes can run at once, container limits respected."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


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
            item = todo.pop(0)
            running[pool.submit(function, item)] = item
            if started:
                started(item)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            item = running.pop(future)
            try:
                outcome = Outcome(future.result())
            except BrokenProcessPool:
                broken.append(item)
                continue
            except Exception as error:  # noqa: BLE001 - a failing slide must not stop the others
                outcome = Outcome(None, _message(error))
            yield item, outcome


def _alone(function: Callable[[Item], Result], item: Item) -> Outcome[Result]:
    with _pool(1) as pool:
        try:
            return Outcome(pool.submit(function, item).result())
        except BrokenProcessPool:
            return Outcome(None, "the worker process died twice (crash, or killed for memory): try fewer --workers")
        except Exception as error:  # noqa: BLE001 - as above
            return Outcome(None, _message(error))


def _message(error: Exception) -> str:
    if isinstance(error, SpatialTilError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory: use fewer --workers"
    return f"internal error, please report it: {type(error).__name__}: {error}"


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: compiled libraries with threads do not survive a fork.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread_each)


def _one_thread_each() -> None:
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    import cv2

    cv2.setNumThreads(1)
