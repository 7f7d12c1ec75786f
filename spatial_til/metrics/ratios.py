"""Intervals of shares and ratios over clustered cells.

Cells of one slide are not independent draws: positive cells come in patches. The unit is therefore the
spatial tile, and a share of all cells is a ratio of two sums over tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from spatial_til.metrics.intervals import t_quantile
from spatial_til.metrics.resampling import TileSums
from spatial_til.model import Value

FEW_TILES = "too few spatial tiles for an interval"


@dataclass(frozen=True, slots=True)
class Gates:
    """The protocol's limits for scores of tumour cells."""

    min_tumor_cells: int  # fewer: no score
    min_tiles: int  # fewer tiles with cells: no interval
    confidence: float  # coverage of the interval, such as 0.95


def share_percent(tiles: TileSums, gates: Gates) -> Value:
    """Return 100 x the share of positive cells, with an interval that knows cells cluster.

    Parameters
    ----------
    tiles
        Columns: positive cells, all cells. At least one cell.
    gates
        With too few tiles the interval stays empty (`few_tiles`).

    Notes
    -----
    The exact binomial interval at the effective number of cells, n_eff = p(1 - p) / var(p), never more
    than the cells there are; var(p) by linearisation over tiles, and n_eff reduced by the squared ratio
    of Student's t at n - 1 and at tiles - strata degrees of freedom. Where no cell or every cell is
    positive, tiles cannot vary, and a standard error of 0 would make the share certain in changes and in
    sums of slides: it is the width of the exact interval over t.

    References
    ----------
    Korn and Graubard (1998), Survey Methodology 24, 193-201: confidence intervals for proportions with
    small expected number of positive counts estimated from survey data.

    Examples
    --------
    >>> tiles = TileSums(np.tile([[3.0, 10.0]], (10, 1)), np.zeros(10, dtype=np.int64))
    >>> value = share_percent(tiles, Gates(100, 8, 0.95))
    >>> round(value.value, 3), round(value.ci_low, 1), round(value.ci_high, 1)
    (30.0, 20.1, 41.5)
    """
    positive, total = tiles.totals.tolist()
    share = positive / total
    if tiles.n_tiles < gates.min_tiles or tiles.dof < 1:
        return Value(100 * share, reason=FEW_TILES, flags=("few_tiles",))
    variance = max(_linearised_variance(tiles, share), share * (1 - share) / total)
    effective = share * (1 - share) / variance if variance > 0 else total
    if total > 1:
        effective *= (t_quantile(int(total) - 1, gates.confidence) / t_quantile(tiles.dof, gates.confidence)) ** 2
    low, high = _binomial_interval(share * effective, effective, gates.confidence)
    sigma = float(np.sqrt(variance)) if variance > 0 else (high - low) / t_quantile(tiles.dof, gates.confidence)
    return Value(100 * share, 100 * low, 100 * high, 100 * sigma, tiles.dof)


def ratio_percent(tiles: TileSums, gates: Gates, *, one: float) -> Value:
    """Return 100 x a ratio of two sums, which may exceed 100, with its interval on the log scale.

    Parameters
    ----------
    tiles
        Columns: numerator, denominator, sum of the squared contributions to the numerator (for counts
        the count itself). The denominator's total is above 0.
    one
        Size of one contribution to the numerator: 1 for counts, the area of a cell for areas.
    gates
        As in `share_percent`.

    Notes
    -----
    The variance of the logarithm is linearised over tiles, never less than that of independent cells
    (sum of squares / square of the sum). A numerator of 0 has the exact Poisson upper limit of 0 events.

    Examples
    --------
    >>> tiles = TileSums(np.tile([[0.0, 10.0, 0.0]], (10, 1)), np.zeros(10, dtype=np.int64))
    >>> round(ratio_percent(tiles, Gates(100, 8, 0.95), one=1).ci_high, 3)
    3.689
    """
    numerator, denominator, squares = tiles.totals.tolist()
    ratio = numerator / denominator
    if tiles.n_tiles < gates.min_tiles or tiles.dof < 1:
        return Value(100 * ratio, reason=FEW_TILES, flags=("few_tiles",))
    if numerator == 0:
        upper = float(stats.chi2.ppf(0.5 + gates.confidence / 2, 2)) / 2 * one / denominator
        return Value(0.0, 0.0, 100 * upper, None, tiles.dof, flags=("zero_count",))
    log_variance = max(_linearised_variance(tiles, ratio) / ratio**2, squares / numerator**2)
    half = t_quantile(tiles.dof, gates.confidence) * float(np.sqrt(log_variance))
    return Value(
        100 * ratio,
        100 * ratio * float(np.exp(-half)),
        100 * ratio * float(np.exp(half)),
        100 * ratio * float(np.sqrt(log_variance)),
        tiles.dof,
    )


def _linearised_variance(tiles: TileSums, ratio: float) -> float:
    """Return the variance of (sum of column 0) / (sum of column 1) over tiles within strata."""
    residual = tiles.sums[:, 0] - ratio * tiles.sums[:, 1]
    variance = 0.0
    for code in np.unique(tiles.stratum):
        part = residual[tiles.stratum == code]
        if len(part) > 1:
            variance += len(part) * float(part.var(ddof=1))
    return variance / float(tiles.sums[:, 1].sum()) ** 2


def _binomial_interval(positive: float, total: float, confidence: float) -> tuple[float, float]:
    """Return the Clopper-Pearson limits of a share; counts need not be whole numbers."""
    tail = (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, positive, total - positive + 1)) if positive > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, positive + 1, total - positive)) if positive < total else 1.0
    return low, high
