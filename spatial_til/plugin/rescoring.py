"""A reader's tables written from the viewer, by the function behind ``rescore --reader``. No window."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatial_til.batch import rescore
from spatial_til.io.folder import ScoredFolder
from spatial_til.progress import heard_by
from spatial_til.review.session import Cancelled


@dataclass(frozen=True, slots=True)
class Written:
    """Where a reader's tables are, and which slides are not in them and why."""

    reader: str
    folder: Path
    failures: tuple[str, ...]

    @property
    def words(self) -> str:
        """The same in words."""
        told = [f"Tables with the corrections of {self.reader}:", str(self.folder / "tables")]
        return "\n".join([*told, *(f"Not among them: {line}" for line in self.failures)])


def write_tables(
    root: Path,
    readers: Sequence[str],
    told: Callable[[str, int, int], None],
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Written]:
    """Write the tables of readers as the command line does; for a thread.

    Parameters
    ----------
    told
        Is called with words, slides done and slides in all, after each slide.

    Raises
    ------
    SpatialTilError
        Where a journal cannot be read, or a run is under way in the folder.
    Cancelled
        Where `cancelled()` became true on the way: tables are written whole or stay as they were.
    """
    # one processor is left to the window
    workers = max((os.cpu_count() or 2) - 1, 1)
    found = []
    for reader in readers:

        def heard(stage: str, done: int, total: int, reader: str = reader) -> None:
            if cancelled():
                raise Cancelled
            told(f"Tables of {reader}, {stage}", done, total)

        with heard_by(heard):
            summary = rescore(root, None, reader=reader, workers=workers, quiet=True)
        failures = tuple(str(failure) for failure in summary.failures)
        found.append(Written(reader, ScoredFolder(root).reviewed(reader).root, failures))
    return found
