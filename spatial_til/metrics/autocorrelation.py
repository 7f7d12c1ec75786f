"""Whether neighbouring tiles are alike: Moran's I of their counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from spatial_til.model import XY, FloatArray

#: Correlation that matters, and how sure of it one must be (project defaults).
_LARGEST_I = 0.1
_LARGEST_P = 0.05
_PERMUTATIONS = 199


def neighbour_weights(centre_um: XY, reach_um: float) -> csr_array:
    """Return the (T, T) matrix that is 1 for tiles with centres within `reach_um` of each other."""
    pairs = cKDTree(centre_um).query_pairs(reach_um, output_type="ndarray")
    ends = np.concatenate((pairs, pairs[:, ::-1]))
    return csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(centre_um), len(centre_um)))


def moran_i(values: FloatArray, weights: csr_array) -> FloatArray:
    """Return Moran's I of each column of values; NaN where they do not vary or no tiles are neighbours.

    Parameters
    ----------
    values
        (T, k) one column for each set of values.
    weights
        (T, T) spatial weights.

    References
    ----------
    Moran 1950, Biometrika 37:17, doi:10.1093/biomet/37.1-2.17.
    """
    z = values - values.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        moran: FloatArray = len(z) / weights.sum() * (z * (weights @ z)).sum(axis=0) / (z**2).sum(axis=0)
    return moran


def pearson_residuals(counts: NDArray[np.integer[Any]], area: FloatArray) -> FloatArray:
    """Return (n - expected) / sqrt(expected), with the expectation of one density in all tiles."""
    expected = counts.sum() * area / area.sum()
    residual: FloatArray = (counts - expected) / np.sqrt(expected)
    return residual


def correlated_neighbours(
    counts: NDArray[np.integer[Any]],
    area: FloatArray,
    centre_um: XY,
    *,
    reach_um: float,
    random: np.random.Generator,
) -> bool:
    """Return whether Moran's I of Pearson residuals exceeds 0.1 with a permutation p below 0.05.

    Parameters
    ----------
    counts, area
        (T,) cells and area of the tiles.
    centre_um
        (T, 2) centres of the tiles.
    reach_um
        Tiles with centres this near are neighbours.
    random
        Source of the permutations.
    """
    if counts.sum() == 0 or len(counts) < 3:
        return False
    residual = pearson_residuals(counts, area)
    weights = neighbour_weights(centre_um, reach_um)
    observed = float(moran_i(residual[:, None], weights)[0])
    if not observed > _LARGEST_I:
        return False
    shuffled = random.permuted(np.tile(residual[:, None], _PERMUTATIONS), axis=0)
    as_large = int((moran_i(shuffled, weights) >= observed).sum())
    return (1 + as_large) / (1 + _PERMUTATIONS) < _LARGEST_P
