"""Site of immune activity: where CD8+ or PD-L1+ cells are, relative to the tumour border."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.levels import (
    INDETERMINATE,
    NOT_EVALUABLE,
    Failure,
    Levels,
    call_class,
    draw_levels,
    missing_levels,
    not_evaluable,
    point_levels,
)
from spatial_til.model import Call, Estimate

SITES = ("core", "margin", "both", "none")
#: Twice as dense on one side, or more, is one-sided (project default).
_ONE_SIDED_LOG2 = 1.0


def activity_site(
    estimates: Mapping[str, Estimate],
    *,
    floor_per_mm2: float,
    min_class_probability: float,
    draws: int,
    seed: int,
    key: str,
    failures: Sequence[Failure] = (),
) -> Call:
    """Call the site of activity of one marker.

    Parameters
    ----------
    estimates
        Densities of the marker's positive cells in `core`, `inner_margin` and `outer_margin`.
    floor_per_mm2
        The protocol's `scores.activity_*_per_mm2`.
    min_class_probability
        The protocol's.
    draws, seed, key
        As in `phenotype`.
    failures
        Gates not passed and a threshold that is not evaluable.

    Notes
    -----
    `none` if core and margin are below the floor; `margin` if the margin reaches it and log2 core /
    margin <= -1; `core` if the core does and the ratio is >= 1; else `both`. Project defaults throughout.
    """
    problems = (*failures, *(() if failures else missing_levels(estimates)))
    if problems:
        return not_evaluable(problems)
    point = point_levels(estimates)
    drawn = draw_levels(estimates, draws=draws, seed=seed, key=key)
    return call_class(
        SITES,
        _classify(point, floor_per_mm2),
        _classify(drawn, floor_per_mm2),
        min_class_probability=min_class_probability,
        reason=str(point),
    )


def _classify(levels: Levels, floor: float) -> NDArray[np.integer[Any]]:
    """Return indices into SITES."""
    none = (levels.core < floor) & (levels.margin < floor)
    margin = (levels.margin >= floor) & (levels.log2_ratio <= -_ONE_SIDED_LOG2)
    core = (levels.core >= floor) & (levels.log2_ratio >= _ONE_SIDED_LOG2)
    return np.select([none, margin, core], [3, 1, 0], 2)


def combine_sites(cd8: Call, pdl1: Call | None) -> Call:
    """Return the site of activity by CD8 and PD-L1 together: the union of the two sites.

    Parameters
    ----------
    cd8
        Site by CD8.
    pdl1
        Site by PD-L1; None where the panel has none. Where it cannot be evaluated and CD8 can, the site is
        CD8's alone, as without PD-L1.

    Notes
    -----
    `none` adds nothing; core and margin make `both`. One marker indeterminate: `both` if the other is
    `both`, else `indeterminate`. The markers' joint distribution is not known, so no probabilities are given.
    """
    if NOT_EVALUABLE in {cd8.point, cd8.call}:
        return Call(NOT_EVALUABLE, NOT_EVALUABLE, {}, cd8.reason, cd8.flags)
    if pdl1 is None or pdl1.call == NOT_EVALUABLE:
        reason = "no PD-L1: CD8 alone" if pdl1 is None else f"CD8 alone; PD-L1: {pdl1.reason}"
        return Call(cd8.point, cd8.call, cd8.probabilities, reason, ("activity_cd8_only",))
    reason = f"CD8 {cd8.call}, PD-L1 {pdl1.call}"
    return Call(_union(cd8.point, pdl1.point), _union(cd8.call, pdl1.call), {}, reason)


def _union(one: str, other: str) -> str:
    """Return the site of two markers together."""
    sites = {one, other}
    if "both" in sites or sites == {"core", "margin"}:
        return "both"
    if INDETERMINATE in sites:
        return INDETERMINATE
    found = sites - {"none"}
    return found.pop() if found else "none"
