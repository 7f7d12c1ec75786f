"""Levels and responses of squares: the gradient and the two parts of the Hessian of a smoothed plane, in one pass.

A row is smoothed, kept while its neighbours need it, and gone: nothing as large as the plane is written but the answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.examples.lines import kernel, repeat_ends, rounded, sum_across, sum_down
from spatial_til.segmentation.smooth import WEIGHT
from spatial_til.units import PixelSize

#: Pixels in a side of a square that gets features.
SQUARE_PX = 2
#: Smoothing before responses are taken: the first at the planes' own pixels, the second at twice their size.
SCALES_UM = (2.0, 4.0)
#: Pixels of the planes in a side of one of each scale (1, or the square), and the parts of a level it is kept in.
SIZES, _SIZE_PARTS = (1, 2), (1, 4)
RESPONSES = ("edge", "spot", "strand")
#: Highest level of a plane; parts of a level in smoothed planes, in levels and responses of a square.
TOP_LEVEL = 511
_SMOOTH_PARTS, SQUARE_PARTS = 64, 8
TOP_SQUARE = 4095
#: Planes of squares that come of one channel.
PER_CHANNEL = 1 + len(SCALES_UM) * len(RESPONSES)


def respond(plane: NDArray[Any], px: PixelSize, out: NDArray[np.int16]) -> None:
    """Write the mean level of each square, then its mean responses, finest scale first, in parts of a level.

    Parameters
    ----------
    plane
        (rows, cols) uint8 or int16 levels from 0 to 511.
    px
        Size of a pixel.
    out
        (7, rows // 2, cols // 2)
    """
    rows, cols = (n // SQUARE_PX * SQUARE_PX for n in plane.shape)
    plane, sums = np.ascontiguousarray(plane[:rows, :cols]), out[0]
    square_sums(plane, sums)  # the mean level of a square in quarters
    at = 1
    for size, parts, scale in zip(SIZES, _SIZE_PARTS, SCALES_UM, strict=True):
        sigma = scale / (px.mean_um * size)
        weights = kernel(sigma, TOP_LEVEL * parts).weights
        share = np.float32(_SMOOTH_PARTS // parts / WEIGHT**2)
        of, side = (plane if size == 1 else sums), SQUARE_PX // size
        _respond(of, weights, share, side, np.float32(sigma), out[at : at + len(RESPONSES)])
        at += len(RESPONSES)
    sums *= np.int16(SQUARE_PARTS // SQUARE_PX**2)


@njit(cache=True, nogil=True)
def square_sums(plane: Any, out: Any) -> None:
    """Write the sums of squares of two pixels (or of any two by two)."""
    rows, cols = out.shape
    line = np.empty(2 * cols, dtype=np.int16)
    for i in range(rows):
        upper, lower = plane[2 * i], plane[2 * i + 1]
        for j in range(2 * cols):
            line[j] = np.int16(upper[j]) + np.int16(lower[j])
        for c in range(cols):
            out[i, c] = line[2 * c] + line[2 * c + 1]


@njit(cache=True, nogil=True)
def _respond(plane: Any, weights: Any, share: Any, side: int, sigma: Any, means: Any) -> None:
    """Write the means of gradient, |trace| and eigenvalue difference of the Hessian over squares of `side` pixels."""
    rows, cols = plane.shape
    line = np.empty(cols + len(weights) - 1, dtype=np.float32)
    ring = np.empty((4, cols + 2), dtype=np.float32)
    sums, pairs = np.empty((3, cols), dtype=np.float32), np.empty(cols // side, dtype=np.float32)
    _smoothed(plane, 0, weights, share, line, ring[0])
    ring[3, :] = ring[0]
    for r in range(rows // side):
        i = side * r
        for k in range(i + 1, i + 1 + side):
            if k < rows:
                _smoothed(plane, k, weights, share, line, ring[k % 4])
            else:
                ring[k % 4, :] = ring[(k - 1) % 4]
        sums[:] = 0
        for k in range(i, i + side):
            _add_responses(ring[(k + 3) % 4], ring[k % 4], ring[(k + 1) % 4], sums[0], sums[1], sums[2])
        for k in range(3):
            _averaged(sums[k], side, sigma, pairs, k, means[k, r])


@njit(cache=True, nogil=True)
def _smoothed(plane: Any, i: int, weights: Any, share: Any, line: Any, out: Any) -> None:
    """Write a row of a smoothed plane with one pixel more at each end."""
    n, cols = len(weights) // 2, plane.shape[1]
    sum_down(plane, i, weights, line[n : n + cols])
    repeat_ends(line, n)
    sum_across(line, weights, out[1 : 1 + cols])
    rounded(out, share)
    repeat_ends(out, 1)


@njit(cache=True, nogil=True)
def _add_responses(above: Any, here: Any, below: Any, edge: Any, spot: Any, strand: Any) -> None:
    """Add the responses of a row to those of its square; its whole numbers and their sums are exact as float32."""
    half = np.float32(0.5)
    for j in range(len(edge)):
        dx, dy = here[j + 2] - here[j], below[j + 1] - above[j + 1]
        twice = here[j + 1] + here[j + 1]
        xx, yy = here[j + 2] + here[j] - twice, below[j + 1] + above[j + 1] - twice
        xy = half * (below[j + 2] - below[j] - above[j + 2] + above[j])
        edge[j] += np.sqrt(dx * dx + dy * dy)
        spot[j] += abs(xx + yy)
        strand[j] += np.sqrt((xx - yy) * (xx - yy) + xy * xy)


@njit(cache=True, nogil=True)
def _averaged(sums: Any, side: int, sigma: Any, pairs: Any, kind: int, out: Any) -> None:
    """Write the means of one response over squares, times its scale once (a gradient) or twice."""
    half, top = np.float32(0.5), np.float32(TOP_SQUARE)
    weight = np.float32(SQUARE_PARTS / (_SMOOTH_PARTS * side * side)) * (sigma * half if kind == 0 else sigma * sigma)
    if side == 2:
        for c in range(len(out)):
            pairs[c] = sums[2 * c] + sums[2 * c + 1]
        for c in range(len(out)):
            out[c] = np.int16(np.int32(min(pairs[c] * weight + half, top)))
    else:
        for c in range(len(out)):
            out[c] = np.int16(np.int32(min(sums[c] * weight + half, top)))
