"""Worker processes under watch: one that hangs or dies on an input is a fault of that input, and is replaced."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from benchmarks.fuzz.worker import LIMIT_S, WAIT_S, Fault, Tally, work

Task: TypeAlias = tuple[str, list[str], int, int]  # target, names of its files, first input, one after the last
START_S = 120.0  # a new process loads compiled kernels before its first input


@dataclass(slots=True)
class Worker:
    """A process, the pipe to it, what it is at, and its task."""

    process: Any
    pipe: Any
    now: Any
    folder: Path
    task: Task
    given: float


def run(
    tasks: Iterable[Task], workers: int, made: Path, scratch: Path, seed: int, told: Callable[[Task, Tally], None]
) -> None:
    """Carry out tasks and tell what each came to; parts of a task that was cut short are carried out as well."""
    todo = list(tasks)[::-1]
    alive: list[Worker] = []
    try:
        _drain(todo, alive, workers, made, scratch, seed, told)
    finally:
        for worker in alive:
            worker.process.kill()
            worker.process.join()


def _drain(
    todo: list[Task],
    alive: list[Worker],
    workers: int,
    made: Path,
    scratch: Path,
    seed: int,
    told: Callable[[Task, Tally], None],
) -> None:
    number = 0
    while todo or alive:
        while todo and len(alive) < workers:
            number += 1
            alive.append(_start(todo.pop(), made, scratch / f"w{number}", seed))
        ready = wait([worker.pipe for worker in alive], timeout=1.0)
        for worker in list(alive):
            if worker.pipe in ready:
                try:
                    told(worker.task, worker.pipe.recv())
                except EOFError:
                    alive.remove(worker)
                    todo += _rest(worker, "crash", f"the process died ({_code(worker)})", told)
                    continue
                if todo:
                    worker.task, worker.given = todo.pop(), time.monotonic()
                    worker.pipe.send(worker.task)
                else:
                    alive.remove(worker)
                    _stop(worker)
            elif _overdue(worker):
                alive.remove(worker)
                worker.process.kill()
                todo += _rest(worker, "time", f"more than {LIMIT_S:g} s", told)


def _start(task: Task, made: Path, folder: Path, seed: int) -> Worker:
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    now = context.Array("d", [-1.0, 0.0, 0.0], lock=False)
    process = context.Process(target=work, args=(other, now, made, folder, seed), daemon=True)
    process.start()
    other.close()
    pipe.send(task)
    return Worker(process, pipe, now, folder, task, time.monotonic())


def _overdue(worker: Worker) -> bool:
    _, worked, begun = worker.now
    if begun:
        times = psutil.Process(worker.process.pid).cpu_times()
        return times.user + times.system - worked > LIMIT_S or time.monotonic() - begun > WAIT_S
    return time.monotonic() - worker.given > START_S and worker.now[0] < 0


def _rest(worker: Worker, kind: str, what: str, told: Callable[[Task, Tally], None]) -> list[Task]:
    """Tell the input at fault, and return the task without it."""
    name, names, start, stop = worker.task
    at = int(worker.now[0])
    _stop(worker)
    if not start <= at < stop:
        msg = f"{name}: the process ended before its first input ({what}): are its valid files valid?"
        raise SystemExit(msg)
    told(worker.task, Tally(faults=[Fault(name, at, kind, what)]))
    parts = [(name, names, start, at), (name, names, at + 1, stop)]
    return [part for part in parts if part[2] < part[3]]


def _stop(worker: Worker) -> None:
    if worker.process.is_alive():
        try:
            worker.pipe.send(None)
        except OSError:
            worker.process.kill()
    worker.process.join(20)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    shutil.rmtree(worker.folder, ignore_errors=True)


def _code(worker: Worker) -> int | None:
    worker.process.join(5)
    code: int | None = worker.process.exitcode
    return code
