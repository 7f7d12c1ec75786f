"""log2 ratios of densities between compartments, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping

from spatial_til.metrics.intervals import poisson_ratio, t_quantile, welch_dof, whole_dof
from spatial_til.model import Estimate, Value

_HALF_COUNT = 0.5
#: Which compartments each ratio compares.
RATIOS: Mapping[str, tuple[str, str]] = {
    "log2_core_margin": ("core", "margin"),
    "log2_core_outer": ("core", "outer_margin"),
    "log2_inner_outer": ("inner_margin", "outer_margin"),
}


def log2_ratios(estimates: Mapping[str, Estimate], *, confidence: float) -> dict[str, Value]:
    """Return core to margin, core to outer and inner to outer of one population.

    Parameters
    ----------
    estimates
        By compartment: `core`, `inner_margin`, `outer_margin` and the aggregate `margin`.
    confidence
        Such as 0.95.
    """
    return {
        name: log2_ratio(estimates[above], estimates[below], confidence=confidence)
        for name, (above, below) in RATIOS.items()
    }


def log2_ratio(above: Estimate, below: Estimate, *, confidence: float) -> Value:
    """Return log2 of the ratio of two densities over disjoint tissue.

    Half a cell is added to each count. The interval is the wider of Welch's, from the standard errors of
    both densities, and the exact Poisson one. With no cell above there is an upper limit only, with none
    below a lower one, with neither no value.

    Notes
    -----
    A value with no cell on one side says how much tissue was seen, not how many cells there are: use its limit.
    """
    if above.density_per_mm2 is None or below.density_per_mm2 is None:
        return Value(None, reason="a compartment has no tissue")
    if above.n_cells == 0 and below.n_cells == 0:
        return Value(None, reason="no cells of this population on either side", flags=("zero_count",))
    value = math.log2((above.n_cells + _HALF_COUNT) / above.area_mm2 * below.area_mm2 / (below.n_cells + _HALF_COUNT))
    exact = poisson_ratio(above.n_cells, above.area_mm2, below.n_cells, below.area_mm2, confidence)
    low, high = (math.log2(limit) if 0 < limit < math.inf else None for limit in exact)
    flags = tuple(dict.fromkeys((*above.flags, *below.flags)))
    if above.sigma_ln is None or below.sigma_ln is None:
        return Value(value, low, high, reason="too few tiles: exact Poisson limits only", flags=flags)
    variances = (above.sigma_ln**2, below.sigma_ln**2)
    dof = welch_dof(variances, (above.dof, below.dof))
    t = t_quantile(dof, confidence)
    half = t * math.sqrt(sum(variances)) / math.log(2)
    low = None if low is None else min(low, value - half)
    high = None if high is None else max(high, value + half)
    reach = [abs(limit - value) for limit in (low, high) if limit is not None]
    reason = "" if len(reach) == 2 else "no cells on one side: one limit only"
    return Value(value, low, high, sum(reach) / len(reach) / t, whole_dof(dof), reason, flags)
