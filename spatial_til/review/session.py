"""One slide of a scored folder, open for review: its numbers after any edits, by the functions that score it.

Opens stored cells, regions, cut-offs and protocol; reads no image. Everything is frozen, nothing is kept
between calls: a viewer may compute in a thread and drop the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured
from spatial_til.io.scores import ScoredSlide
from spatial_til.model import FloatArray, Value
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.corrections import Corrections, StaleEdit
from spatial_til.pipeline.divide import Regions, Widths
from spatial_til.pipeline.numbers import Classes, Scene
from spatial_til.review.events import Edit, Figures
from spatial_til.review.state import ReviewState
from spatial_til.study import Job

AnyEdit = TypeVar("AnyEdit", bound=Edit)


class Cancelled(Exception):  # noqa: N818 - no error: somebody asked for it
    """Raised by `numbers` between two steps once `cancelled()` is true."""


@dataclass(frozen=True, slots=True)
class Session:
    """One slide as it was measured and scored, before any correction.

    `widths` are the margin's; `problem` says why the slide could not be scored, empty where it was: a reader
    may draw what was missing.
    """

    folder: ScoredFolder
    job: Job
    measured: Measured
    cuts: Mapping[str, MarkerCut]
    widths: Widths
    problem: str = ""

    @property
    def image_sha256(self) -> str:
        """Of the slide's file, as it was measured; empty where cells came as a table."""
        return str(self.measured.source.get("sha256", "")) if self.job.cells is None else ""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One slide after some edits.

    Parameters
    ----------
    scene
        Cells, calls, compartments, placement, tiles, and the estimate of every population in every region.
        `scene.measured.cells` are the corrected cells: removed ones are gone, added ones are among them.
    regions
        Tissue, tumour, exclusions as they were divided.
    classes
        Immunophenotype with probabilities (the reader's own, where overridden), and sites of activity.
    ratios
        log2 ratios by name, such as ``log2_core_margin_cd8``.
    flags, stale
        Codes of the slide; corrections that no longer fit.
    """

    scene: Scene
    regions: Regions
    classes: Classes
    ratios: Mapping[str, Value]
    flags: tuple[str, ...]
    stale: tuple[StaleEdit, ...]


def open_session(root: Path, slide_id: str) -> Session:
    """Open one slide of a scored folder.

    Raises
    ------
    SpatialTilError
        Where the folder is none of ours, or has no such slide, or the slide was never measured.
    """
    raise NotImplementedError


def numbers(
    session: Session,
    state: ReviewState,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    last: Numbers | None = None,
) -> Numbers:
    """Return the numbers of the slide after the edits that hold.

    Parameters
    ----------
    cancelled
        Asked between steps.
    last
        An earlier answer for this session: what the edits since leave as it was is taken from it.

    Raises
    ------
    Cancelled
        Where `cancelled()` became true on the way.
    AnnotationError
        Where the regions cannot be divided; the message says why.
    """
    raise NotImplementedError


def score_reviewed(session: Session, state: ReviewState) -> ScoredSlide:
    """Return the slide's whole score and rows of every table: what `rescore --reader` writes."""
    raise NotImplementedError


def figures(found: Numbers) -> Figures:
    """Return the few numbers that events carry as before and after."""
    raise NotImplementedError


def edited(session: Session, kind: type[AnyEdit], *, who: str, **fields: Any) -> AnyEdit:
    """Return an edit of this slide, with time, measure key and image filled in."""
    return kind(who=who, measure_key=session.measured.key, image_sha256=session.image_sha256, **fields)


def corrections_of(session: Session, state: ReviewState, reader: str) -> Corrections:
    """Return what a state comes to for scoring."""
    raise NotImplementedError


def marker_scores(session: Session, marker: str) -> FloatArray | None:
    """Return the (n,) scores of measured cells that the cut-off is compared with; None where calls came along."""
    raise NotImplementedError


def nearest_cell(found: Numbers, x_um: float, y_um: float, *, within_um: float) -> int | None:
    """Return the index of the cell of `found.scene.measured.cells` nearest a point; None where none is near."""
    raise NotImplementedError
