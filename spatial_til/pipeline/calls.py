"""Which cells of one slide are positive for what, and which are tumour cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from spatial_til.errors import CellTableError
from spatial_til.io.measured import Measured
from spatial_til.metrics.levels import Failure
from spatial_til.metrics.pooled_estimates import UNVERIFIED
from spatial_til.metrics.populations import all_populations, markers_in, select_populations
from spatial_til.model import BoolArray, Estimate, Threshold
from spatial_til.protocol import Protocol
from spatial_til.protocol_panel import TUMOR
from spatial_til.segmentation.positivity import PigmentCount, call_positive, count_pigment, score_of
from spatial_til.study import Job

#: Estimates of one slide by population and region.
Estimates: TypeAlias = Mapping[tuple[str, str], Estimate]


@dataclass(frozen=True, slots=True)
class MarkerCut:
    """One marker's cut-off on one slide; `verified`: positive cells in the batch show that the stain worked."""

    threshold: Threshold
    verified: bool


@dataclass(frozen=True, slots=True)
class SlideCalls:
    """Positivity of every cell by marker, raw and resolved; tumour cells, None where they are not known."""

    positive: Mapping[str, BoolArray]
    positive_raw: Mapping[str, BoolArray]
    tumor_cell: BoolArray | None
    flags: tuple[str, ...]
    failures: Mapping[str, tuple[Failure, ...]]  # marker -> why its absence cannot be told from a failed stain
    n_cells: int


def call_cells(job: Job, measured: Measured, cuts: Mapping[str, MarkerCut], factor: Mapping[str, float]) -> SlideCalls:
    """Return the calls of one slide.

    Parameters
    ----------
    cuts
        The cut-off of each marker of the panel. Calls that came with a cell table need none.
    factor
        Multiplies a marker's cut-off, for the sensitivity analysis; 1 where it is not named.
    """
    cells = measured.cells
    positive, raw = dict(cells.calls), dict(cells.calls)
    flags: list[str] = []
    failures: dict[str, tuple[Failure, ...]] = {}
    require_markers(job, measured, list(cuts))
    for marker, cut in cuts.items():
        if marker in positive:
            continue
        value = cut.threshold.threshold
        how = job.protocol.marker(marker)
        raw[marker], positive[marker] = call_positive(
            cells,
            marker,
            None if value is None else value * factor.get(marker, 1.0),
            compartment=how.compartment,
            statistic=how.statistic,
        )
        flags += cut.threshold.flags
        failures[marker] = _failures(marker, cut)
        flags += [failure.flag for failure in failures[marker]]
    tumor = positive.pop(TUMOR, None)
    raw.pop(TUMOR, None)
    if tumor is None:
        flags.append("tumor_cells_unknown")
    # By name, so that CD8+PD-L1+ goes by that name whatever the order of the panel or of a table's columns.
    positive = {marker: positive[marker] for marker in sorted(positive)}
    return SlideCalls(positive, raw, tumor, tuple(dict.fromkeys(flags)), failures, len(cells))


def pigment_counts(protocol: Protocol, measured: Measured, cuts: Mapping[str, MarkerCut]) -> dict[str, PigmentCount]:
    """Return, for every marker that pigment looks like, how many cells of one slide are taken for it."""
    found = {}
    for marker, cut in cuts.items():
        how = protocol.marker(marker)
        of_slide = {"compartment": how.compartment, "statistic": how.statistic}
        counts = count_pigment(measured.cells, marker, cut.threshold.threshold, **of_slide)
        if counts is not None and marker not in measured.cells.calls:
            found[marker] = counts
    return found


def require_markers(job: Job, measured: Measured, markers: Sequence[str] | None = None) -> None:
    """Refuse cells that say nothing of a marker of the panel: without calls and signal, 0 would be a guess.

    Raises
    ------
    CellTableError
        Naming the first such marker, what its columns are, and what to do.
    """
    cells = measured.cells
    for marker in job.protocol.panel.markers if markers is None else markers:
        how = job.protocol.marker(marker)
        try:
            if marker not in cells.calls:
                score_of(cells, marker, compartment=how.compartment, statistic=how.statistic)
        except CellTableError:
            found = ", ".join(name for name in cells.measurements if name.startswith(f"{marker}_")) or "none"
            msg = (
                f"{job.slide_id}: the cells are not called for {marker} and have no {how.statistic} of its "
                f"{how.compartment} (found: {found}): name its column of calls in [cells.positive], or set "
                f'compartment and statistic in [markers."{marker}"] to what is there'
            )
            raise CellTableError(msg) from None


def _failures(marker: str, cut: MarkerCut) -> tuple[Failure, ...]:
    if cut.verified:
        return ()
    if cut.threshold.n_cells == 0:
        return (Failure(UNVERIFIED, f"the cut-off of {marker} cannot be evaluated: no cells in its pool"),)
    reason = f"no {marker}+ cells in the batch and no positive control: absent cells and a failed stain look alike"
    return (Failure(UNVERIFIED, reason),)


def populations_of(protocol: Protocol, calls: SlideCalls) -> dict[str, BoolArray]:
    """Return the members of every population of one slide: standard ones, then the protocol's own."""
    expressions = all_populations(_called(calls), protocol.populations)
    return select_populations(expressions, calls.positive, n_cells=calls.n_cells, tumor_cell=calls.tumor_cell)


def with_stain_flags(estimates: Estimates, protocol: Protocol, calls: SlideCalls) -> Estimates:
    """Return the estimates, those flagged that a marker decides whose stain is not shown to have worked."""
    failed = {marker for marker, why in calls.failures.items() if why}
    expressions = all_populations(_called(calls), protocol.populations)
    unsure = {name for name, expression in expressions.items() if markers_in(expression) & failed}
    return {key: replace(e, flags=(*e.flags, UNVERIFIED)) if key[0] in unsure else e for key, e in estimates.items()}


def _called(calls: SlideCalls) -> list[str]:
    return [*calls.positive, *([TUMOR] if calls.tumor_cell is not None else [])]


def immune_cells(calls: SlideCalls, markers: tuple[str, ...]) -> BoolArray | None:
    """Return cells positive for any of the immune markers; None where the panel has none of them."""
    found = [calls.positive[m] for m in markers if m in calls.positive]
    return np.logical_or.reduce(found) if found else None
