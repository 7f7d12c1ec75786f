"""Progress on standard error: a bar on a terminal, one line a stage in a log, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from spatial_til.io.folder import ScoredFolder
from spatial_til.io.journal import read_tiles

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.text import Text


Listener: TypeAlias = Callable[[str, int, int], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


class Progress(Protocol):
    """What a stage tells while it runs."""

    def step(self, slide_id: str, what: str) -> None:
        """Say that one more slide is done, kept or failed."""


class _Count:
    """Counts what became of the slides of a stage."""

    def __init__(self) -> None:
        self.start, self.of = time.monotonic(), Counter[str]()

    def step(self, slide_id: str, what: str) -> None:  # noqa: ARG002 - a bar shows it
        self.of[what] += 1

    def line(self, stage: str) -> str:
        """Return the stage in one line."""
        counts = ", ".join(f"{self.of[what]} {what}" for what in ("done", "kept", "failed") if self.of[what])
        return f"{stage}: {counts} in {time.monotonic() - self.start:.0f} s"


class _Heard:
    """Tells a listener of each slide."""

    def __init__(self, stage: str, total: int, listener: Listener) -> None:
        self._stage, self._total, self._listener = stage, total, listener
        self._done = 0
        listener(stage, 0, total)

    def step(self, slide_id: str, what: str) -> None:  # noqa: ARG002 - the listener counts
        self._done += 1
        self._listener(self._stage, self._done, self._total)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let `listener(stage, done, total)` hear of each slide, of runs of this thread; what it raises ends the run."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


@contextmanager
def progress(stage: str, total: int, folder: ScoredFolder, *, quiet: bool) -> Iterator[Progress]:
    """Give the progress of one stage over `total` slides."""
    count = _Count()
    listener = _listener.get()
    if listener is not None and total:
        yield _Heard(stage, total, listener)
    elif quiet or total == 0:
        yield count
    elif not sys.stderr.isatty():
        yield count
        say(count.line(stage))
    else:
        yield from _bar(stage, total, folder)


def say(line: str) -> None:
    """Say one line on standard error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def tiles_under_way(folder: ScoredFolder) -> tuple[int, int]:
    """Return tiles done and tiles in all of the slides that are being measured."""
    pairs = [read_tiles(path) for path in folder.running.glob("*.tiles")]
    known = [pair for pair in pairs if pair is not None and pair[0] < pair[1]]
    return sum(done for done, _ in known), sum(total for _, total in known)


def _bar(stage: str, total: int, folder: ScoredFolder) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text as Words

    class Tiles(ProgressColumn):
        """Tiles of the slides under way, and slides an hour."""

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            done, of = tiles_under_way(folder)
            rate = f"{3600 * task.speed:.0f} slides/h" if task.speed else ""
            return Words(f"{rate}  {f'tiles {done}/{of}' if of else ''}")

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Bar(*columns, Tiles(), TextColumn("{task.fields[now]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task(stage, total=total, now="")

        class Told:
            def step(self, slide_id: str, what: str) -> None:
                bar.update(task, advance=1, now=f"{slide_id} {what}")

        yield Told()
