"""Density of cells on a fine grid, corrected for what the kernel sees of glass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.geometry.coverage import Grid, covered_area, grid_over
from spatial_til.model import XY, FloatArray

#: Squares of the grid in one bandwidth: contours are then right to a hundredth of the bandwidth.
_SQUARES_PER_BANDWIDTH = 5
_MAX_SQUARES = 100_000_000
#: Beyond this many bandwidths the kernel is cut off.
_REACH = 4.0
#: Where less than this share of the kernel lies on tissue, density is not estimated.
_MIN_KERNEL_SHARE = 1e-3


def density_grid(tissue: MultiPolygon, *, bandwidth_um: float) -> Grid:
    """Return a grid over the tissue that is fine enough for a bandwidth."""
    x0, y0, x1, y1 = tissue.bounds
    pad = _REACH * bandwidth_um
    coarsest = np.sqrt((x1 - x0 + 2 * pad) * (y1 - y0 + 2 * pad) / _MAX_SQUARES)
    return grid_over(tissue, pitch_um=max(bandwidth_um / _SQUARES_PER_BANDWIDTH, float(coarsest)), pad_um=pad)


def kernel_share(tissue: MultiPolygon, grid: Grid, *, bandwidth_um: float) -> NDArray[np.float32]:
    """Return which share of a Gaussian kernel at each centre of a grid lies on tissue."""
    return _blur(covered_area(tissue, grid) / grid.pitch_um**2, grid, bandwidth_um**2)


def cell_density(xy_um: XY, share: NDArray[np.float32], grid: Grid, *, bandwidth_um: float) -> NDArray[np.float32]:
    """Return the Gaussian kernel density of cells at the centres of a grid, in cells per µm².

    The sum of kernels is divided by the share of the kernel that lies on tissue, so density does not
    fall towards glass.

    Parameters
    ----------
    xy_um
        (n, 2) x, y in µm, on the grid.
    share
        From `kernel_share`.
    grid
        From `density_grid`.
    bandwidth_um
        Standard deviation of the kernel.
    """
    spread = grid.pitch_um**2 / 6.0  # variance that sharing a cell between four squares has added
    cells = _blur(_share_between_squares(xy_um, grid), grid, bandwidth_um**2 - spread)
    seen = share > _MIN_KERNEL_SHARE
    return np.where(seen, cells / np.where(seen, share, 1.0) / grid.pitch_um**2, 0.0).astype(np.float32)


def value_at(xy_um: XY, values: NDArray[np.float32], grid: Grid) -> FloatArray:
    """Return values of a grid at points, by linear interpolation between the centres of squares."""
    from scipy.ndimage import map_coordinates

    col, row = ((xy_um - (grid.x0_um, grid.y0_um)) / grid.pitch_um - 0.5).T
    return np.asarray(map_coordinates(values, (row, col), order=1, mode="nearest"), dtype=np.float64)


def _share_between_squares(xy_um: XY, grid: Grid) -> FloatArray:
    """Return how many cells each square has, each cell shared between the four nearest centres."""
    at = (xy_um - (grid.x0_um, grid.y0_um)) / grid.pitch_um - 0.5
    first = np.floor(at).astype(np.int64)
    part = at - first
    total = np.zeros(grid.n_rows * grid.n_cols)
    for right in (0, 1):
        for down in (0, 1):
            weight = np.abs(1 - right - part[:, 0]) * np.abs(1 - down - part[:, 1])
            index = (first[:, 1] + down) * grid.n_cols + first[:, 0] + right
            total += np.bincount(index, weights=weight, minlength=len(total))
    return total.reshape(grid.n_rows, grid.n_cols)


def _blur(values: FloatArray, grid: Grid, variance_um2: float) -> NDArray[np.float32]:
    import cv2

    sigma = np.sqrt(variance_um2) / grid.pitch_um
    side = 2 * int(np.ceil(_REACH * sigma)) + 1
    blurred = cv2.GaussianBlur(values.astype(np.float32), (side, side), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, dtype=np.float32)
