"""Intervals of the statistics of a pair: spatial tiles of reference cells are drawn again, with their marks.

Each reference cell keeps what it saw around it (its mark) when its tile is drawn, so that no false
neighbours arise where drawn tiles would meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.pointpatterns.marks import Marks
from spatial_til.metrics.pointpatterns.statistics import QUARTILES
from spatial_til.metrics.resampling import TileSums, bootstrap_totals, student_t, tile_positions
from spatial_til.model import FloatArray

_TIME_BINS = 100  # of the distance up to the last radius, for the spread of G
_RANK_BINS = 200  # of the nearest distances by rank, for the spread of their quartiles


@dataclass(frozen=True, slots=True)
class Spread:
    """Spread of the statistics of one direction over drawn tiles."""

    nearest: FloatArray  # (3,) relative standard error, as all but those of G and its AUC
    counts: FloatArray  # (k,)
    g: FloatArray  # (k,) absolute
    auc: FloatArray  # (k,) absolute
    mixing: FloatArray  # (k,)
    k: FloatArray  # (k,) or (0,)
    n_tiles: int
    dof: int


def spread(marks: Marks, radii_um: FloatArray, draws: int, random: np.random.Generator) -> Spread:
    """Return the standard errors of the statistics of one direction.

    References
    ----------
    Loh (2008), doi:10.1086/588631: a valid and fast spatial bootstrap for correlation functions.
    """
    ranks, edges = _rank_bins(marks.distance_um)
    time = np.minimum(marks.distance_um, marks.boundary_um)
    bins = np.ceil(np.minimum(time / radii_um[-1], 2.0) * _TIME_BINS).astype(np.int64) - 1
    bins = np.clip(bins, 0, _TIME_BINS)  # the last bin: beyond the last radius
    seen = marks.distance_um <= marks.boundary_um
    position, strata = tile_positions(marks.tile, marks.stratum)
    columns = (np.ones((len(time), 1)), marks.targets, marks.own, marks.weights)
    sums = [
        *(_column_sums(position, len(strata), column) for column in columns),
        _histograms(position, len(strata), ranks, _RANK_BINS),
        _histograms(position, len(strata), bins, _TIME_BINS + 1),
        _histograms(position[seen], len(strata), bins[seen], _TIME_BINS + 1),
    ]
    tiles = TileSums(np.hstack(sums), strata)
    drawn = bootstrap_totals(tiles, draws, random)
    ends = np.cumsum([part.shape[1] for part in sums])[:-1]
    n, targets, own, weights, rank_counts, leaving, events = np.split(drawn, ends, axis=1)
    g, auc = _binned_g(leaving[:, :-1], events[:, :-1], n, radii_um)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Spread(
            nearest=_relative(_binned_quartiles(rank_counts, edges)),
            counts=_relative(targets / n),
            g=g.std(axis=0, ddof=1),
            auc=auc.std(axis=0, ddof=1),
            mixing=_relative(targets / own),
            k=_relative(weights / n),
            n_tiles=tiles.n_tiles,
            dof=tiles.dof,
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
    return student_t(part.dof, confidence)


def _relative(drawn: FloatArray) -> FloatArray:
    """Return standard deviation / mean over draws."""
    relative: FloatArray = drawn.std(axis=0, ddof=1) / drawn.mean(axis=0)
    return relative


def _column_sums(position: NDArray[np.intp], n_tiles: int, columns: NDArray[Any]) -> FloatArray:
    """Return the sums of columns by tile."""
    sums = np.zeros((n_tiles, columns.shape[1]))
    for j, column in enumerate(columns.T):
        sums[:, j] = np.bincount(position, weights=column, minlength=n_tiles)
    return sums


def _histograms(position: NDArray[np.intp], n_tiles: int, bins: NDArray[np.integer[Any]], n_bins: int) -> FloatArray:
    """Return the number of cells in each bin of each tile."""
    counts = np.bincount(position * n_bins + bins, minlength=n_tiles * n_bins)
    return counts.reshape(n_tiles, n_bins).astype(np.float64)


def _rank_bins(distance_um: FloatArray) -> tuple[NDArray[np.integer[Any]], FloatArray]:
    """Return the bin of each distance, and the bins' edges: as many cells in each."""
    order = np.argsort(distance_um, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) * _RANK_BINS // len(order)
    at = np.arange(_RANK_BINS + 1) * (len(order) - 1) // _RANK_BINS
    return ranks, distance_um[order][at]


def _binned_quartiles(counts: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the quartiles of each draw, (draws, 3), linear within bins."""
    share = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    quartiles = []
    for quartile in QUARTILES:
        upper = np.argmax(share >= quartile, axis=1)
        row = np.arange(len(share))
        above, below = share[row, upper], np.where(upper > 0, share[row, upper - 1], 0.0)
        fraction = (quartile - below) / (above - below)
        quartiles.append(edges[upper] + fraction * (edges[upper + 1] - edges[upper]))
    return np.column_stack(quartiles)


def _binned_g(
    leaving: FloatArray, events: FloatArray, n: FloatArray, radii_um: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return G and its AUC of each draw at each radius from counts in bins of distance."""
    at_risk = n - np.cumsum(leaving, axis=1) + leaving
    survival: FloatArray = np.cumprod(1 - events / np.maximum(at_risk, 1), axis=1)
    before = np.hstack((np.ones((len(n), 1)), survival[:, :-1]))
    area: FloatArray = np.cumsum((survival + before) / 2, axis=1) * radii_um[-1] / _TIME_BINS
    last = np.maximum(np.rint(radii_um / radii_um[-1] * _TIME_BINS).astype(int) - 1, 0)
    g: FloatArray = 1 - survival[:, last]
    auc: FloatArray = 1 - area[:, last] / radii_um
    return g, auc
