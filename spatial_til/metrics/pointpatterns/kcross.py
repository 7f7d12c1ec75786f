"""Ripley's cross-K and L with translation correction on a window of any shape."""

from __future__ import annotations

import numpy as np
from numba import njit

from spatial_til.metrics.pointpatterns.neighbours import Grid, IntArray, bins_within
from spatial_til.metrics.pointpatterns.window import Overlap
from spatial_til.model import XY, FloatArray


def pair_weights(query_um: XY, cell: IntArray, grid: Grid, radii_um: FloatArray, overlap: Overlap) -> FloatArray:
    """Return, for each query, the sum of 1 / |W ∩ (W + v)| over points within each radius, (n, k) in 1/µm².

    Parameters
    ----------
    query_um, cell
        (n, 2) positions and (n,) identities; a point of the grid with the same identity is left out.
    grid
        The other population.
    radii_um
        (k,) ascending.
    overlap
        Of the window, for displacements up to the last radius.
    """
    weights: FloatArray = _weigh(query_um, cell, grid, radii_um, overlap.area_um2, overlap.pixel_um)
    return weights


def k_cross(weight_sum: FloatArray, n_pairs: float, area_um2: float) -> FloatArray:
    """Return cross-K in µm² from the summed weights of all pairs within each radius.

    Parameters
    ----------
    weight_sum
        (..., k) sums of `pair_weights`.
    n_pairs
        Ordered pairs there are: n_from x n_to, less the cells that are in both.
    area_um2
        Area of the window.

    Notes
    -----
    K = |W|² / pairs x sum of 1 / |W ∩ (W + v)|; π r² where one population lies at random to the other and
    both are uniform. NaN without pairs.

    References
    ----------
    Ripley (1977), doi:10.1111/j.2517-6161.1977.tb01615.x. Translation correction: Ohser and Stoyan (1981),
    Biometrical Journal 23, 523-533.
    """
    if n_pairs == 0:
        return np.full_like(weight_sum, np.nan)
    k: FloatArray = weight_sum * (area_um2**2 / n_pairs)
    return k


def l_cross(k_um2: FloatArray) -> FloatArray:
    """Return L = sqrt(K / π) in µm: r where the populations lie at random to each other.

    References
    ----------
    Besag (1977), doi:10.1111/j.2517-6161.1977.tb01616.x.
    """
    length: FloatArray = np.sqrt(k_um2 / np.pi)
    return length


@njit(cache=True, nogil=True)
def _overlap_at(area, pixel_um, dx, dy):  # type: ignore[no-untyped-def]
    """Return the overlap for one displacement, bilinear between pixels, at least one pixel's area."""
    k = len(area) // 2
    x, y = dx / pixel_um + k, dy / pixel_um + k
    col, row = min(int(x), 2 * k - 1), min(int(y), 2 * k - 1)
    fx, fy = x - col, y - row
    top = area[row, col] * (1 - fx) + area[row, col + 1] * fx
    bottom = area[row + 1, col] * (1 - fx) + area[row + 1, col + 1] * fx
    return max(top * (1 - fy) + bottom * fy, pixel_um * pixel_um)


@njit(cache=True, nogil=True)
def _weigh(query_um, cell, grid, radii_um, area, pixel_um):  # type: ignore[no-untyped-def]
    """Add each pair's weight to the smallest radius that holds it, then add up."""
    squared_radii = radii_um * radii_um
    farthest = radii_um[-1]
    weights = np.zeros((len(query_um), len(radii_um)))
    for i in range(len(query_um)):
        x, y = query_um[i, 0], query_um[i, 1]
        first, last, top, bottom = bins_within(grid, x, y, farthest)
        for row in range(top, bottom + 1):
            for k in range(grid.start[row * grid.cols + first], grid.start[row * grid.cols + last + 1]):
                dx, dy = grid.x_um[k] - x, grid.y_um[k] - y
                squared = dx * dx + dy * dy
                if squared <= squared_radii[-1] and grid.cell[k] != cell[i]:
                    j = 0
                    while squared > squared_radii[j]:
                        j += 1
                    weights[i, j] += 1.0 / _overlap_at(area, pixel_um, dx, dy)
        for j in range(1, len(radii_um)):
            weights[i, j] += weights[i, j - 1]
    return weights
