"""Slow surfaces over an image: values at the centres of square blocks, and bilinear between them.

Blocks lie on a fixed grid of the slide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.scratch import Scratch


@njit(cache=True, nogil=True)
def block_sums(plane: Any, block: int, total: Any) -> None:
    """Write the sums over blocks (2, rows, cols) of values above 0, and of their squares in units of 8.

    Whole numbers below 2**53, exact in any order; the side of a block is a power of two from 2 on.
    """
    _, rows, cols = total.shape
    line, pairs = np.zeros((2, cols * block), dtype=np.int32), np.empty(cols * block // 2)
    for r in range(rows):
        line[:] = 0
        for i in range(r * block, min((r + 1) * block, plane.shape[0])):
            for j in range(plane.shape[1]):
                positive = max(np.int32(plane[i, j]), np.int32(0))
                line[0, j] += positive
                line[1, j] += (positive >> 3) * (positive >> 3)
        for k in range(2):
            _add_pairs(line[k], pairs)
            size = len(pairs) // 2
            while size >= cols:
                _add_pairs(pairs, pairs[:size])
                size //= 2
            total[k, r] = pairs[:cols]


@njit(cache=True, nogil=True)
def _add_pairs(values: Any, out: Any) -> None:
    """Write sums of two neighbours each, over the values themselves where they are the same array."""
    for c in range(len(out)):
        out[c] = np.float64(values[2 * c]) + np.float64(values[2 * c + 1])


def window_min(grid: NDArray[np.int16], radius: int) -> NDArray[np.int16]:
    """Return the minimum over the (2 radius + 1) square around each element; beyond the edge there is none."""
    import cv2

    side = 2 * radius + 1
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    return np.asarray(cv2.erode(grid, square))


def tent(grid: FloatArray, radius: int, out: FloatArray) -> None:
    """Write the grid convolved with a tent of half-width `radius` + 1 on both axes, zero beyond the edge.

    Whole numbers below 2**53 stay exact in any order of summation.
    """
    import cv2

    weights = (radius + 1 - np.abs(np.arange(-radius, radius + 1))).astype(np.float64)
    cv2.sepFilter2D(grid, cv2.CV_64F, weights, weights, dst=out, borderType=cv2.BORDER_CONSTANT)


def bilinear(grid: NDArray[Any], rows: FloatArray, cols: FloatArray) -> FloatArray:
    """Return the grid interpolated at rows x cols, positions in elements, the edge repeated."""
    r, c = np.clip(rows, 0, grid.shape[0] - 1), np.clip(cols, 0, grid.shape[1] - 1)
    r0, c0 = np.floor(r).astype(np.intp), np.floor(c).astype(np.intp)
    r1, c1 = np.minimum(r0 + 1, grid.shape[0] - 1), np.minimum(c0 + 1, grid.shape[1] - 1)
    down, across = (r - r0)[:, None], (c - c0)[None, :]
    above = grid[np.ix_(r0, c0)] * (1 - across) + grid[np.ix_(r0, c1)] * across
    below = grid[np.ix_(r1, c0)] * (1 - across) + grid[np.ix_(r1, c1)] * across
    return np.asarray(above * (1 - down) + below * down)


def above_surface(
    plane: NDArray[np.int16],
    knots: NDArray[np.int16],
    corner: tuple[int, int],
    block: int,
    scratch: Scratch,
    *,
    out: NDArray[np.int16],
) -> None:
    """Write a plane less the bilinear surface through `knots` at the centres of blocks.

    Parameters
    ----------
    plane
        (rows, cols) a box of the slide that starts at `corner`, a multiple of `block`.
    knots
        Values at the centres of blocks of the whole slide, or of the box for corner (0, 0).
    block
        Side of a block in pixels, a power of two: then every product is a whole number of
        1 / (2 block)**2, which the vectorised interpolation holds exactly, whatever the box.
    out
        Where to write; the plane itself or another.
    """
    import cv2

    rows, cols = plane.shape
    at = [np.arange(c // block - 1, -(-(c + n) // block) + 1) for c, n in zip(corner, plane.shape, strict=True)]
    near = knots[np.ix_(*(np.clip(a, 0, n - 1) for a, n in zip(at, knots.shape, strict=True)))]
    size = (near.shape[1] * block, near.shape[0] * block)
    fine = scratch.array("surface", size[::-1], np.int16)
    cv2.resize(near, size, dst=fine, interpolation=cv2.INTER_LINEAR)
    cv2.subtract(plane, fine[block : block + rows, block : block + cols], dst=out)
