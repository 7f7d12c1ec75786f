"""One slide with its cells, cut-offs and calls as a reader corrected them, and what no longer fits.

Corrections of cells are keyed by place. After measuring again a cell counts as the same where its centre
moved by no more than `SAME_CELL_UM`; a correction whose cell is gone is listed, never applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spatial_til.io.measured import Measured
from spatial_til.model import BoolArray, Cells, Threshold
from spatial_til.pipeline.calls import MarkerCut, SlideCalls, call_cells
from spatial_til.pipeline.corrections import BY_READER, CellCorrection, Corrections, Place, StaleEdit
from spatial_til.protocol import Protocol
from spatial_til.protocol_panel import TUMOR
from spatial_til.segmentation.positivity import score_of
from spatial_til.study import Job

#: A cell whose centre moved by less than this is the same: well under half a lymphocyte (project default).
SAME_CELL_UM = 2.0
#: In the same measurement a cell has not moved at all; this is for positions that were rounded on their way.
_ROUNDED_UM = 0.01


@dataclass(frozen=True, slots=True)
class Corrected:
    """One slide with its corrections applied, as far as they fit."""

    measured: Measured
    cuts: Mapping[str, MarkerCut]
    calls: SlideCalls
    stale: tuple[StaleEdit, ...] = ()


def correct(job: Job, measured: Measured, cuts: Mapping[str, MarkerCut], corrections: Corrections | None) -> Corrected:
    """Return the cells, cut-offs and calls of one slide as a reader corrected them; as they are without.

    Parameters
    ----------
    measured, cuts
        The slide as measured, and the cut-offs of its batch.
    """
    if corrections is None:
        return Corrected(measured, cuts, call_cells(job, measured, cuts, {}))
    cells, stale_cells = correct_cells(measured.cells, measured.key, corrections)
    measured = replace(measured, cells=cells)
    cuts, stale_cuts = _correct_cuts(job.protocol, measured, cuts, corrections)
    calls, stale_flips = corrected_calls(job, measured, cuts, corrections)
    return Corrected(measured, cuts, calls, (*corrections.stale, *stale_cuts, *stale_cells, *stale_flips))


def corrected_calls(
    job: Job,
    measured: Measured,
    cuts: Mapping[str, MarkerCut],
    corrections: Corrections | None,
    factor: Mapping[str, float] | None = None,
) -> tuple[SlideCalls, list[StaleEdit]]:
    """Return the calls of corrected cells by corrected cut-offs, single cells as the reader called them.

    Parameters
    ----------
    factor
        As in `call_cells`; a reader's call of a cell holds under every cut-off.
    """
    calls = call_cells(job, measured, cuts, factor or {})
    if corrections is None:
        return calls, []
    positive = {marker: members.copy() for marker, members in calls.positive.items()}
    if calls.tumor_cell is not None:
        positive[TUMOR] = calls.tumor_cell.copy()
    stale = []
    for edit in corrections.cells:
        if edit.what == "remove":
            continue
        at = find_cell(measured.cells, edit.place, within_um=_reach(edit, measured.key))
        wanted = edit.calls if edit.what == "add" else {edit.marker: edit.positive}
        for marker, value in wanted.items():
            if marker not in positive:
                what = "flip" if edit.what == "flip" else "call"  # the added cell itself stays
                stale.append(StaleEdit(what, f"{marker} is not called on this slide", edit.place, marker, edit.when))
            elif at is None and edit.what == "flip":
                stale.append(_stale(edit, "no cell is measured here any more"))
            elif at is not None:
                positive[marker][at] = value
    tumor = positive.pop(TUMOR, None)
    return replace(calls, positive=positive, tumor_cell=tumor), stale


def correct_cells(cells: Cells, key: str, corrections: Corrections) -> tuple[Cells, list[StaleEdit]]:
    """Return the cells without those removed and with those added, and the corrections that no longer fit."""
    stale: list[StaleEdit] = []
    keep = np.ones(len(cells), dtype=np.bool_)
    for edit in corrections.cells:
        if edit.what == "remove":
            at = find_cell(cells, edit.place, within_um=_reach(edit, key))
            if at is None:
                stale.append(_stale(edit, "no cell is measured here any more"))
            else:
                keep[at] = False
    if not keep.all():
        cells = _chosen(cells, np.flatnonzero(keep))
    added = []
    for edit in corrections.cells:
        if edit.what == "add":
            if find_cell(cells, edit.place, within_um=_reach(edit, key)) is None:
                added.append(edit)
            else:
                stale.append(_stale(edit, "a cell is measured here now"))
    return (_with_added(cells, added) if added else cells), stale


def find_cell(cells: Cells, place: Place, *, within_um: float) -> int | None:
    """Return the index of the cell nearest a place; None where none is within reach.

    Parameters
    ----------
    cells
        Ordered by y: only those of the right rows are looked at.
    """
    low = int(np.searchsorted(cells.y_um, place.y_um - within_um, side="left"))
    high = int(np.searchsorted(cells.y_um, place.y_um + within_um, side="right"))
    if low == high:
        return None
    distance = np.hypot(cells.x_um[low:high] - place.x_um, cells.y_um[low:high] - place.y_um)
    nearest = int(distance.argmin())
    return low + nearest if distance[nearest] <= within_um else None


def _reach(edit: CellCorrection, key: str) -> float:
    return _ROUNDED_UM if edit.measure_key == key else SAME_CELL_UM


def _stale(edit: CellCorrection, reason: str) -> StaleEdit:
    return StaleEdit(edit.what, reason, edit.place, edit.marker, edit.when)


def _chosen(cells: Cells, order: NDArray[np.intp]) -> Cells:
    """Return some cells, in an order."""
    return Cells(
        cells.x_um[order],
        cells.y_um[order],
        cells.nucleus_area_um2[order],
        cells.cell_area_um2[order],
        measurements={name: values[order] for name, values in cells.measurements.items()},
        calls={marker: members[order] for marker, members in cells.calls.items()},
        category=None if cells.category is None else cells.category[order],
    )


def _with_added(cells: Cells, added: Sequence[CellCorrection]) -> Cells:
    """Return the cells and those a reader added, in order: areas of a typical cell, nothing measured."""
    n = len(added)

    def typical(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.append(values, np.full(n, np.median(values) if len(values) else np.nan))

    def called(marker: str, members: BoolArray) -> BoolArray:
        return np.append(members, [edit.calls.get(marker, False) for edit in added])

    together = Cells(
        np.append(cells.x_um, [edit.place.x_um for edit in added]),
        np.append(cells.y_um, [edit.place.y_um for edit in added]),
        typical(cells.nucleus_area_um2),
        typical(cells.cell_area_um2),
        measurements={
            name: np.append(values, np.full(n, np.nan, dtype=values.dtype))
            for name, values in cells.measurements.items()
        },
        calls={marker: called(marker, members) for marker, members in cells.calls.items()},
        category=None if cells.category is None else np.append(cells.category, np.full(n, "")),
    )
    return _chosen(together, np.lexsort((together.x_um, together.y_um)))


def _correct_cuts(
    protocol: Protocol, measured: Measured, cuts: Mapping[str, MarkerCut], corrections: Corrections
) -> tuple[dict[str, MarkerCut], list[StaleEdit]]:
    """Return the cut-offs, those that the reader moved in place of the batch's."""
    corrected, stale = dict(cuts), []
    for marker, value in corrections.thresholds.items():
        if marker not in cuts or marker in measured.cells.calls:
            stale.append(StaleEdit("threshold", f"no cut-off decides {marker} on this slide", marker=marker))
            continue
        how = protocol.marker(marker)
        scores = score_of(measured.cells, marker, compartment=how.compartment, statistic=how.statistic)
        compared = np.isfinite(scores)  # an added cell has no signal: its call is the reader's
        n = int((scores >= value).sum())
        verified = cuts[marker].verified or n > 0
        of = cuts[marker].threshold
        cut = Threshold(of.batch, marker, value, BY_READER, None, int(compared.sum()), n, evaluable=verified)
        corrected[marker] = MarkerCut(cut, verified)
    return corrected, stale
