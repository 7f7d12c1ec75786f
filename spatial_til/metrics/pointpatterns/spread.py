"""Intervals of the statistics of a pair: spatial tiles of reference cells are drawn again, with their marks.

Each reference cell keeps what it saw around it (its mark) when its tile is drawn, so that no false
neighbours arise where drawn tiles would meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.intervals import t_quantile
from spatial_til.metrics.pointpatterns.marks import Marks
from spatial_til.metrics.pointpatterns.statistics import QUARTILES
from spatial_til.metrics.resampling import TileSums, bootstrap_totals, column_sums
from spatial_til.model import FloatArray

_BINS = 50  # of distance up to the last radius, and of rank beyond, for the spread of G


@dataclass(frozen=True, slots=True)
class Tiles:
    """All spatial tiles of a region, with cells or without."""

    area_um2: FloatArray  # (T,)
    stratum: NDArray[np.int64]  # (T,) base compartment


@dataclass(frozen=True, slots=True)
class Spread:
    """Spread of the statistics of one direction over drawn tiles."""

    nearest: FloatArray  # (3,) relative standard error, as all but those of G and its mean
    counts: FloatArray  # (k,)
    g: FloatArray  # (k,) absolute
    auc: FloatArray  # (k,) absolute
    mixing: FloatArray  # (k,)
    k: FloatArray  # (k,)
    n_tiles: int
    dof: int


def spread(marks: Marks, tiles: Tiles, radii_um: FloatArray, draws: int, random: np.random.Generator) -> Spread:
    """Return the standard errors of the statistics of one direction.

    Notes
    -----
    A drawn tile brings its area and its cells of both populations: K and mixing divide by how many cells
    there are, and that varies with what the reference cells see.

    References
    ----------
    Loh (2008), doi:10.1086/588631: a valid and fast spatial bootstrap for correlation functions.
    """
    time = np.minimum(marks.distance_um, marks.boundary_um)
    edges = _bin_edges(time, radii_um)
    bins = np.maximum(np.searchsorted(edges, time) - 1, 0)
    seen = marks.distance_um <= marks.boundary_um
    n_tiles, n_bins = len(tiles.stratum), len(edges) - 1
    sums = (
        tiles.area_um2[:, None],
        _histograms(marks.target_tile, n_tiles, np.zeros(len(marks.target_tile), dtype=np.int64), 1),
        *(column_sums(seen_by, marks.tile, n_tiles) for seen_by in (marks.targets, marks.own, marks.weights)),
        _histograms(marks.tile, n_tiles, bins, n_bins),
        _histograms(marks.tile[seen], n_tiles, bins[seen], n_bins),
    )
    drawn = bootstrap_totals(TileSums(np.hstack(sums), tiles.stratum), draws, random)
    ends = np.cumsum([part.shape[1] for part in sums])[:-1]
    area, m, targets, own, weights, leaving, events = np.split(drawn, ends, axis=1)
    n = leaving.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = _binned_shares(leaving, events)
        return Spread(
            nearest=_relative(_binned_quartiles(share, edges)),
            counts=_relative(weights * area / n),
            g=_g_at(share, edges, radii_um).std(axis=0, ddof=1),
            auc=_auc_at(share, edges, radii_um).std(axis=0, ddof=1),
            mixing=_relative(targets / own * n / m),
            k=_relative(weights * area**2 / (n * m)),
            n_tiles=n_tiles,
            dof=n_tiles - len(np.unique(tiles.stratum)),
        )


def interval_of_positive(value: FloatArray, relative: FloatArray, t: float) -> tuple[FloatArray, FloatArray]:
    """Return value x exp(±t relative error); NaN at 0, where the logarithm has no spread."""
    half = np.where(value > 0, t * relative, np.nan)
    return value * np.exp(-half), value * np.exp(half)


def interval_of_share(value: FloatArray, error: FloatArray, t: float) -> tuple[FloatArray, FloatArray]:
    """Return the interval of a share on the logit scale, which stays within 0 and 1; NaN at 0 and at 1."""
    inside = (value > 0) & (value < 1)
    share = np.where(inside, value, 0.5)
    half = np.where(inside, t * error / (share * (1 - share)), np.nan)
    logit = np.log(share / (1 - share))
    return 1 / (1 + np.exp(half - logit)), 1 / (1 + np.exp(-half - logit))


def critical_value(part: Spread, min_tiles: int, confidence: float) -> float:
    """Return Student's t of a spread; NaN, and so no interval, with too few tiles."""
    if part.n_tiles < min_tiles or part.dof < 1:
        return float("nan")
    return t_quantile(part.dof, confidence)


def _relative(drawn: FloatArray) -> FloatArray:
    """Return standard deviation / mean over draws."""
    relative: FloatArray = drawn.std(axis=0, ddof=1) / drawn.mean(axis=0)
    return relative


def _histograms(
    position: NDArray[np.integer[Any]], n_tiles: int, bins: NDArray[np.integer[Any]], n_bins: int
) -> FloatArray:
    """Return the number of cells in each bin of each tile."""
    counts = np.bincount(position * n_bins + bins, minlength=n_tiles * n_bins)
    return counts.reshape(n_tiles, n_bins).astype(np.float64)


def _bin_edges(time_um: FloatArray, radii_um: FloatArray) -> FloatArray:
    """Return edges of distance: even up to the last radius, every radius among them, then by rank."""
    beyond = time_um[(time_um > radii_um[-1]) & np.isfinite(time_um)]
    by_rank = np.quantile(beyond, np.linspace(0, 1, _BINS + 1)) if len(beyond) else np.zeros(0)
    return np.unique(np.concatenate((np.linspace(0, radii_um[-1], _BINS + 1), radii_um, by_rank)))


def _binned_shares(leaving: FloatArray, events: FloatArray) -> FloatArray:
    """Return G of each draw at the upper edge of each bin: the product limit over bins."""
    at_risk = np.cumsum(leaving[:, ::-1], axis=1)[:, ::-1]
    shares: FloatArray = 1 - np.multiply.accumulate(1 - events / np.maximum(at_risk, 1), axis=1)
    return shares


def _binned_quartiles(share: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the quartiles of each draw, (draws, 3), linear within bins; NaN where G does not get there."""
    row, quartiles = np.arange(len(share)), []
    for quartile in QUARTILES:
        upper = np.argmax(share >= quartile, axis=1)
        above, below = share[row, upper], np.where(upper > 0, share[row, upper - 1], 0.0)
        inside = (quartile - below) / (above - below)
        distance = edges[upper] + inside * (edges[upper + 1] - edges[upper])
        quartiles.append(np.where(above >= quartile, distance, np.nan))
    return np.column_stack(quartiles)


def _g_at(share: FloatArray, edges: FloatArray, radii_um: FloatArray) -> FloatArray:
    """Return G of each draw at the radii, which are edges."""
    return share[:, np.searchsorted(edges, radii_um) - 1]


def _auc_at(share: FloatArray, edges: FloatArray, radii_um: FloatArray) -> FloatArray:
    """Return the mean of G up to each radius, of each draw."""
    before = np.hstack((np.zeros((len(share), 1)), share[:, :-1]))
    area = np.cumsum((share + before) / 2 * np.diff(edges), axis=1)
    mean: FloatArray = area[:, np.searchsorted(edges, radii_um) - 1] / radii_um
    return mean
