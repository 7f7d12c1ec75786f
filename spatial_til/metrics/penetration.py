"""Penetration depth index: how deep cells lie in the tumour, whatever its shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.counted import counted
from spatial_til.metrics.intervals import t_quantile
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import FloatArray, Value

#: Fewer stretches of border with cells than this give no interval.
_MIN_SECTORS = 8


def depth_fraction(depth_um: FloatArray, sample_depth_um: FloatArray) -> FloatArray:
    """Return the share of the tumour's area that is less deep than each cell.

    Parameters
    ----------
    depth_um
        (n,) depth of the cells: distance to the border, positive inside.
    sample_depth_um
        (m,) depth of points spread evenly over the tumour; each stands for the same area.

    Examples
    --------
    >>> depth_fraction(np.array([0.0, 25.0, 50.0, 100.0]), np.array([25.0, 75.0])).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    depth, samples = np.unique(sample_depth_um, return_counts=True)
    below = (np.cumsum(samples) - samples / 2) / len(sample_depth_um)  # half of a sample is less deep than its centre
    fraction = np.interp(depth_um, np.append(0.0, depth), np.append(0.0, below), right=1.0)
    return np.asarray(fraction, dtype=np.float64)


def penetration_index(
    fraction: FloatArray,
    sector: NDArray[np.integer[Any]],
    *,
    confidence: float,
    bootstrap: int,
    seed: int,
    key: str,
) -> Value:
    """Return the mean depth fraction of cells in the tumour (PDI), with a sector-bootstrap interval.

    0.5 where cells are spread evenly over the tumour, 0 where all lie at the border, 1 where all lie
    deepest.

    Parameters
    ----------
    fraction
        (n,) share of the tumour's area less deep than each cell, from `depth_fraction`.
    sector
        (n,) stretch of border (of 200 µm) nearest to each cell: the unit that is resampled, at full depth.
    confidence, bootstrap, seed
        The protocol's `[statistics]`.
    key
        Names the slide and population for the random numbers.

    Notes
    -----
    Standard error: that of the ratio of sums over resampled sectors, times sqrt(S / (S - 1)), which the
    bootstrap leaves out; interval: t(S - 1) of them, cut to 0..1. Fewer than 8 sectors with cells give
    no interval.
    """
    if len(fraction) == 0:
        return Value(None, reason="no cells of this population in tumour with a border")
    _, sector_of = np.unique(sector, return_inverse=True)
    sums = np.column_stack((np.bincount(sector_of, weights=fraction), np.bincount(sector_of)))
    value = float(fraction.mean())
    n_sectors = len(sums)
    if n_sectors < _MIN_SECTORS:
        reason = (
            f"cells near {counted(n_sectors, 'stretch', 'stretches')} of border, {_MIN_SECTORS} needed for an interval"
        )
        return Value(value, reason=reason, flags=("few_tiles",))
    chosen = seeded_generator(seed, key, "penetration").integers(n_sectors, size=(bootstrap, n_sectors))
    totals = sums[chosen].sum(axis=1)
    sigma = float((totals[:, 0] / totals[:, 1]).std(ddof=1)) * float(np.sqrt(n_sectors / (n_sectors - 1)))
    half = t_quantile(n_sectors - 1, confidence) * sigma
    return Value(value, max(value - half, 0.0), min(value + half, 1.0), sigma, n_sectors - 1)
