"""Progress on standard error: a bar on a terminal, one line a step in a log, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What a stage tells while it runs."""

    def step(self, text: str) -> None:
        """Say that one more item is done."""


class _Silent:
    def step(self, text: str) -> None:
        pass


class _Lines:
    def __init__(self, stage: str, total: int) -> None:
        self.stage, self.total, self.done = stage, total, 0

    def step(self, text: str) -> None:
        self.done += 1
        print(f"{self.stage} {self.done}/{self.total} {text}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def progress(stage: str, total: int, *, quiet: bool) -> Iterator[Progress]:
    """Give the progress of one stage over `total` items."""
    if quiet or total == 0:
        yield _Silent()
    elif not sys.stderr.isatty():
        yield _Lines(stage, total)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Bar(
            *columns, TimeRemainingColumn(), TextColumn("{task.fields[now]}"), console=Console(stderr=True)
        ) as bar:
            task = bar.add_task(stage, total=total, now="")

            class _Bar:
                def step(self, text: str) -> None:
                    bar.update(task, advance=1, now=text)

            yield _Bar()
