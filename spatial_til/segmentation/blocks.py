"""Slow surfaces over an image: values at the centres of square blocks, and bilinear between them.

Blocks lie on a fixed grid of the slide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def block_sums(plane: Any, block: int) -> Any:
    """Return the sums over blocks (int64) of values above 0, and of their squares in units of 8."""
    rows, cols = (plane.shape[0] + block - 1) // block, (plane.shape[1] + block - 1) // block
    total = np.zeros((2, rows, cols), dtype=np.int64)
    line = np.zeros((2, cols * block), dtype=np.int32)
    for r in range(rows):
        line[:] = 0
        for i in range(r * block, min((r + 1) * block, plane.shape[0])):
            for j in range(plane.shape[1]):
                positive = max(np.int32(plane[i, j]), np.int32(0))
                line[0, j] += positive
                line[1, j] += (positive >> 3) * (positive >> 3)
        for k in range(2):
            for c in range(cols):
                part = np.int64(0)
                for j in range(c * block, (c + 1) * block):
                    part += line[k, j]
                total[k, r, c] = part
    return total


@njit(cache=True, nogil=True)
def window_min(grid: Any, radius: int) -> Any:
    """Return the minimum over the (2 radius + 1) square around each element."""
    rows, cols = grid.shape
    across = np.empty_like(grid)
    for i in range(rows):
        for j in range(cols):
            across[i, j] = grid[i, max(j - radius, 0) : j + radius + 1].min()
    out = np.empty_like(grid)
    for i in range(rows):
        for j in range(cols):
            out[i, j] = across[max(i - radius, 0) : i + radius + 1, j].min()
    return out


@njit(cache=True, nogil=True)
def tent(grid: Any, radius: int) -> Any:
    """Return the grid convolved with a tent of half-width `radius` + 1 on both axes, zero beyond the edge."""
    rows, cols = grid.shape
    across = np.zeros((rows, cols), dtype=np.int64)
    for t in range(-radius, radius + 1):
        for i in range(rows):
            for j in range(max(-t, 0), min(cols - t, cols)):
                across[i, j] += grid[i, j + t] * (radius + 1 - abs(t))
    out = np.zeros((rows, cols), dtype=np.int64)
    for i in range(rows):
        for t in range(-radius, radius + 1):
            if 0 <= i + t < rows:
                out[i] += across[i + t] * (radius + 1 - abs(t))
    return out


def knot_positions(first: int, count: int, side: float, knot_side: float, n_knots: int) -> Any:
    """Return for `count` pixels from `first` on the knot before each and the share (of 256) of the next.

    Parameters
    ----------
    side, knot_side
        Side of a pixel and of a block along this axis, in one unit; both grids start at 0.
    """
    at = (np.arange(first, first + count) + 0.5) * (side / knot_side) - 0.5
    fine = np.round(np.clip(at, 0.0, n_knots - 1.0) * 256).astype(np.int64)
    index = np.minimum(fine >> 8, max(n_knots - 2, 0))
    return index.astype(np.int32), (fine - (index << 8)).astype(np.int32)


@njit(cache=True, nogil=True)
def above_surface(plane: Any, knots: Any, row_at: Any, row_part: Any, col_at: Any, col_part: Any) -> Any:
    """Return plane minus the bilinear surface through `knots` (int32, below 2**15), as int16.

    Positions are those of `knot_positions`; whole numbers, so that the surface is the same in every tile.
    """
    rows, cols = plane.shape
    last_row, last_col = knots.shape[0] - 1, knots.shape[1] - 1
    out = np.empty((rows, cols), dtype=np.int16)
    line = np.empty(knots.shape[1] + 1, dtype=np.int32)
    for i in range(rows):
        lower, upper = knots[row_at[i]], knots[min(row_at[i] + 1, last_row)]
        for k in range(knots.shape[1]):
            line[k] = lower[k] * (256 - row_part[i]) + upper[k] * row_part[i]
        line[last_col + 1] = line[last_col]
        for j in range(cols):
            left = line[col_at[j]]
            level = np.int64(left) * 256 + np.int64(line[col_at[j] + 1] - left) * col_part[j]
            out[i, j] = plane[i, j] - (level >> 16)
    return out
