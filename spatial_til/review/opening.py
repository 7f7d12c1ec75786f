"""A slide of a scored folder opened for review: its cells, cut-offs, protocol and annotations. Reads no image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from spatial_til.errors import CellTableError, SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured, read_measured
from spatial_til.io.tables import read_table
from spatial_til.model import Annotations
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.divide import Widths, read_drawn
from spatial_til.pipeline.stored import cuts_from_record
from spatial_til.review.events import Edit
from spatial_til.run_record import job_from_record, read_record
from spatial_til.study import Job

AnyEdit = TypeVar("AnyEdit", bound=Edit)


@dataclass(frozen=True, slots=True)
class Session:
    """One slide as it was measured and cut, before any correction.

    `widths` are the margin's; `problem` says why the slide could not be scored, empty where it was: a reader
    may draw what was missing.
    """

    folder: ScoredFolder
    job: Job
    measured: Measured
    cuts: Mapping[str, MarkerCut]
    widths: Widths
    drawn: Annotations
    problem: str = ""

    @property
    def image_sha256(self) -> str:
        """Hash of the slide's file as it was measured; of the table where cells came as one."""
        return str(self.measured.source.get("sha256", ""))


def open_session(root: Path, slide_id: str) -> Session:
    """Open one slide of a scored folder.

    Raises
    ------
    SpatialTilError
        Where the folder is none of ours, has no such slide, or the slide was not measured.
    """
    folder = ScoredFolder(root.resolve())
    record = read_record(folder.run)
    job = job_from_record(folder.run, record, slide_id)
    problem = _problems(folder).get(slide_id, "")
    path = folder.measured(slide_id)
    if not path.exists():
        msg = f"{slide_id}: it was not measured: {problem or 'score it first'}"
        raise SpatialTilError(msg)
    measured = read_measured(path)
    cuts, widths = cuts_from_record(record.get("slides", {}).get(slide_id, {}))
    return Session(folder, job, measured, cuts, widths, read_drawn(job, measured), problem)


def check_slide(root: Path, slide_id: str | None) -> None:
    """Refuse a folder that is none of ours, or that lacks the slide.

    Raises
    ------
    SpatialTilError
        Naming what is wrong.
    """
    folder = ScoredFolder(root)
    record = read_record(folder.run)
    if slide_id is not None:
        job_from_record(folder.run, record, slide_id)


def edited(session: Session, kind: type[AnyEdit], *, who: str, **fields: Any) -> AnyEdit:
    """Return an edit of this slide, with time, measure key and image filled in."""
    return kind(who=who, measure_key=session.measured.key, image_sha256=session.image_sha256, **fields)


def _problems(folder: ScoredFolder) -> dict[str, str]:
    try:
        return {row["slide_id"]: row["message"] for row in read_table(folder.errors)}
    except (OSError, KeyError, CellTableError):
        return {}
