"""The numbers of an open slide after any edits, by the functions that score it.

Everything is frozen and nothing is kept between calls: a viewer computes in a thread, and drops the result
where another edit has come in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.geometry.place import place_cells
from spatial_til.io.scores import ScoredSlide
from spatial_til.model import Cells, Value
from spatial_til.pipeline.calls import pigment_counts, populations_of
from spatial_til.pipeline.correcting import Corrected, correct, find_cell
from spatial_til.pipeline.corrections import Corrections, Place, StaleEdit, overridden, review_flags
from spatial_til.pipeline.divide import Regions, divide
from spatial_til.pipeline.numbers import Classes, Divided, Scene, classify, ratio_values, tile_scene
from spatial_til.pipeline.pdl1 import TumorCellNumbers
from spatial_til.pipeline.score import ScoreTask, score_measured, slide_flags, slide_regions
from spatial_til.review.events import Figures
from spatial_til.review.opening import Session, edited, open_session
from spatial_til.review.state import ReviewState, corrections_of
from spatial_til.segmentation.positivity import PigmentCount, score_of

__all__ = [
    "Cancelled", "Numbers", "Session", "edited", "figures", "marker_scores", "nearest_cell", "numbers",
    "open_session", "score_reviewed",
]  # fmt: skip


class Cancelled(Exception):  # noqa: N818 - no error: somebody asked for it
    """Raised by `numbers` between two steps once `cancelled()` is true."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One slide after some edits.

    Parameters
    ----------
    scene
        Cells, calls, compartments, placement, tiles, and the estimate of every population in every region.
        `scene.measured.cells` are the corrected cells: removed ones are gone, added ones are among them.
    regions
        Tissue, tumour and exclusions before they were divided.
    classes
        Immunophenotype with probabilities (the reader's own, where overridden), and sites of activity.
    ratios
        log2 ratios by name, such as ``log2_core_margin_cd8``.
    flags
        Codes of the slide, less those of tumour-cell scores, which `score_reviewed` works out.
    corrected
        Cells, cut-offs and calls as corrected, and the corrections that no longer fit.
    corrections
        What the edits came to; None where there are none.
    """

    scene: Scene
    regions: Regions
    classes: Classes
    ratios: Mapping[str, Value]
    flags: tuple[str, ...]
    corrected: Corrected
    corrections: Corrections | None

    @property
    def pigment(self) -> dict[str, PigmentCount]:
        """How many cells are taken for pigment, by marker."""
        return pigment_counts(self.scene.protocol, self.scene.measured, self.corrected.cuts)

    @property
    def stale(self) -> tuple[StaleEdit, ...]:
        """Corrections that were not applied."""
        return self.corrected.stale


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
        An earlier answer of this session: what the edits since then leave as it was is taken from it.

    Raises
    ------
    Cancelled
        Where `cancelled()` became true on the way.
    AnnotationError
        Where there are no regions to divide; the message says what to draw.
    """

    def step() -> None:
        if cancelled():
            raise Cancelled

    job = session.job
    corrections = corrections_of(state, session.image_sha256)
    if last is not None and _of_cells(last.corrections) == _of_cells(corrections):
        corrected = last.corrected
    else:
        corrected = correct(job, session.measured, session.cuts, corrections)
    step()
    if last is not None and _same_regions(last, corrected, corrections):
        regions = last.regions
    else:
        regions = slide_regions(job, corrected, session.widths, corrections, session.drawn)
    step()
    divided = _divided(session, regions, corrected, last, step)
    step()
    populations = populations_of(job.protocol, corrected.calls)
    scene = tile_scene(job.slide_id, job.protocol, corrected.measured, corrected.calls, divided, populations)
    step()
    classes = classify(scene)
    step()
    flags = slide_flags(scene, regions, TumorCellNumbers(), classes)
    return Numbers(
        scene=scene,
        regions=regions,
        classes=replace(classes, phenotype=overridden(classes.phenotype, corrections)),
        ratios=ratio_values(scene),
        flags=(*flags, *review_flags(corrections, corrected.stale)),
        corrected=corrected,
        corrections=corrections,
    )


def _of_cells(corrections: Corrections | None) -> tuple[Any, ...]:
    """Return the part of corrections that cells and calls depend on."""
    if corrections is None:
        return ({}, (), ())
    return corrections.thresholds, corrections.cells, corrections.stale


def _same_regions(last: Numbers, corrected: Corrected, corrections: Corrections | None) -> bool:
    """Return whether nothing changed that regions are drawn or found from: outlines, and places of tumour cells."""
    if (last.corrections.regions if last.corrections else {}) != (corrections.regions if corrections else {}):
        return False
    before, now = last.corrected.calls.tumor_cell, corrected.calls.tumor_cell
    if not _same_places(corrected.measured.cells, last.corrected.measured.cells):
        return False
    return now is None if before is None else now is not None and np.array_equal(before, now)


def _divided(
    session: Session, regions: Regions, corrected: Corrected, last: Numbers | None, step: Callable[[], None]
) -> Divided:
    """Return compartments and placement: from the earlier answer where regions, and where cells, did not move."""
    same_regions = last is not None and last.regions == regions
    if last is not None and same_regions:
        compartments = last.scene.compartments
    else:
        compartments = divide(regions, corrected.measured, session.job.protocol, session.widths)
    step()
    cells = corrected.measured.cells
    if last is not None and same_regions and _same_places(cells, last.scene.measured.cells):
        return compartments, last.scene.placement
    return compartments, place_cells(cells.xy_um, compartments)


def _same_places(a: Cells, b: Cells) -> bool:
    return a is b or (np.array_equal(a.x_um, b.x_um) and np.array_equal(a.y_um, b.y_um))


def score_reviewed(session: Session, state: ReviewState) -> ScoredSlide:
    """Return the slide's whole score and its rows of every table: what ``rescore --reader`` writes."""
    corrections = corrections_of(state, session.image_sha256)
    task = ScoreTask(session.job, session.folder, session.folder, session.cuts, "", session.widths, corrections)
    return score_measured(task, session.measured)[0]


def figures(found: Numbers) -> Figures:
    """Return the few numbers that events carry as before and after."""
    cd8 = found.scene.of("CD8+")
    ratio = found.ratios.get("log2_core_margin_cd8")
    return {
        "cd8_core_per_mm2": cd8["core"].density_per_mm2 if cd8 else None,
        "cd8_margin_per_mm2": cd8["margin"].density_per_mm2 if cd8 else None,
        "log2_core_margin_cd8": ratio.value if ratio else None,
        "immunophenotype": found.classes.phenotype.call,
    }


def marker_scores(session: Session, marker: str) -> NDArray[np.floating[Any]] | None:
    """Return the (n,) scores of measured cells that a marker's cut-off is compared with.

    None where cells are not called by a cut-off: their calls came with a table.
    """
    cells, how = session.measured.cells, session.job.protocol.marker(marker)
    if marker in cells.calls:
        return None
    return score_of(cells, marker, compartment=how.compartment, statistic=how.statistic)


def nearest_cell(cells: Cells, x_um: float, y_um: float, *, within_um: float) -> int | None:
    """Return the index of the cell nearest a point; None where none is within reach."""
    return find_cell(cells, Place(x_um, y_um), within_um=within_um)
