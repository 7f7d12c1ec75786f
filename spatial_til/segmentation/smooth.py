"""Integer smoothing: exact, so that a pixel's value never depends on the tile it is read in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Smoothed planes are int16 in steps of 1/64 of the input's unit.
SCALE = 64


def gaussian_weights(sigma_px: float) -> NDArray[np.int32]:
    """Return an odd number of symmetric integer weights that sum to 64."""
    radius = max(int(np.ceil(2.5 * sigma_px)), 0)
    at = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (at / max(sigma_px, 1e-6)) ** 2)
    whole = np.round(weights / weights.sum() * SCALE).astype(np.int32)
    whole[radius] += SCALE - int(whole.sum())
    keep = max(int(np.flatnonzero(whole)[-1]) - radius, 0)
    return whole[radius - keep : radius + keep + 1]


@njit(cache=True, nogil=True)
def smooth(plane: Any, weights: Any, shift: int) -> Any:
    """Return the plane convolved with `weights` on both axes, int16.

    `shift` 12 keeps the unit of the plane, 6 gives 1/64 of it. Edges repeat the last pixel.
    """
    rows, cols = plane.shape
    radius = len(weights) // 2
    across = np.empty((rows, cols), dtype=np.int32)
    for i in range(rows):
        for j in range(cols):
            if radius <= j < cols - radius:
                continue
            total = np.int32(0)
            for t in range(-radius, radius + 1):
                total += weights[t + radius] * np.int32(plane[i, min(max(j + t, 0), cols - 1)])
            across[i, j] = total
        for j in range(radius, cols - radius):
            total = np.int32(0)
            for t in range(-radius, radius + 1):
                total += weights[t + radius] * np.int32(plane[i, j + t])
            across[i, j] = total
    out = np.empty((rows, cols), dtype=np.int16)
    line = np.empty(cols, dtype=np.int32)
    for i in range(rows):
        line[:] = 1 << (shift - 1)
        for t in range(-radius, radius + 1):
            w = np.int32(weights[t + radius])
            source = across[min(max(i + t, 0), rows - 1)]
            for j in range(cols):
                line[j] += w * source[j]
        for j in range(cols):
            out[i, j] = line[j] >> shift
    return out


@njit(cache=True, nogil=True)
def smooth_float(plane: Any, weights: Any) -> Any:
    """Return a float32 plane convolved with `weights` / 64 on both axes; the order of sums is fixed."""
    rows, cols = plane.shape
    radius = len(weights) // 2
    across = np.empty((rows, cols), dtype=np.float32)
    for i in range(rows):
        for j in range(cols):
            total = np.float32(0.0)
            for t in range(-radius, radius + 1):
                total += np.float32(weights[t + radius]) * plane[i, min(max(j + t, 0), cols - 1)]
            across[i, j] = total
    out = np.empty((rows, cols), dtype=np.float32)
    for i in range(rows):
        out[i] = 0.0
        for t in range(-radius, radius + 1):
            w = np.float32(weights[t + radius])
            source = across[min(max(i + t, 0), rows - 1)]
            for j in range(cols):
                out[i, j] += w * source[j]
        for j in range(cols):
            out[i, j] /= np.float32(4096.0)
    return out


@njit(cache=True, nogil=True)
def block_mean(plane: Any, block: int) -> Any:
    """Return the mean of each `block` by `block` square (int32, in 1/64 of the unit), edges partial."""
    rows, cols = (plane.shape[0] + block - 1) // block, (plane.shape[1] + block - 1) // block
    total = np.zeros((rows, cols), dtype=np.int64)
    for i in range(plane.shape[0]):
        for j in range(plane.shape[1]):
            total[i // block, j // block] += plane[i, j]
    out = np.empty((rows, cols), dtype=np.int32)
    for i in range(rows):
        high = min(block, plane.shape[0] - i * block)
        for j in range(cols):
            wide = min(block, plane.shape[1] - j * block)
            out[i, j] = total[i, j] * SCALE // (high * wide)
    return out


@njit(cache=True, nogil=True)
def block_max(plane: Any, block: int) -> Any:
    """Return the maximum of each `block` by `block` square."""
    rows, cols = (plane.shape[0] + block - 1) // block, (plane.shape[1] + block - 1) // block
    out = np.full((rows, cols), -(1 << 30), dtype=np.int32)
    for i in range(plane.shape[0]):
        for j in range(plane.shape[1]):
            if plane[i, j] > out[i // block, j // block]:
                out[i // block, j // block] = plane[i, j]
    return out


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
def above_surface(plane: Any, knots: Any, block: int) -> Any:
    """Return plane minus the bilinear surface through `knots` at block centres (int16, may be negative)."""
    rows, cols = plane.shape
    last_row, last_col = knots.shape[0] - 1, knots.shape[1] - 1
    out = np.empty((rows, cols), dtype=np.int16)
    line = np.empty(knots.shape[1], dtype=np.int32)
    unit = 2 * block
    for i in range(rows):
        t = 2 * i + 1 - block
        r0 = t // unit
        fraction = t - r0 * unit
        lower, upper = knots[min(max(r0, 0), last_row)], knots[min(max(r0 + 1, 0), last_row)]
        for k in range(knots.shape[1]):
            line[k] = lower[k] * (unit - fraction) + upper[k] * fraction
        for k in range(-1, last_col + 1):
            left, right = line[max(k, 0)], line[min(k + 1, last_col)]
            start = k * block + block // 2
            for j in range(max(start, 0), min(start + block, cols)):
                part = 2 * (j - start) + (1 if block % 2 == 0 else 0)
                level = (left * (unit - part) + right * part) // (unit * unit)
                out[i, j] = plane[i, j] - level
    return out


@njit(cache=True, nogil=True)
def block_level(plane: Any, block: int) -> Any:
    """Return the sum of values above 0 and of their squares (in units of 64) over each block."""
    rows, cols = (plane.shape[0] + block - 1) // block, (plane.shape[1] + block - 1) // block
    first = np.zeros((rows, cols), dtype=np.int64)
    second = np.zeros((rows, cols), dtype=np.int64)
    for i in range(plane.shape[0]):
        for j in range(plane.shape[1]):
            value = np.int64(plane[i, j])
            if value > 0:
                first[i // block, j // block] += value
                second[i // block, j // block] += value * value
    return first, second


@njit(cache=True, nogil=True)
def tent(grid: Any, radius: int) -> Any:
    """Return the grid convolved with a tent of half-width `radius` + 1 on both axes, zero beyond the edge."""
    rows, cols = grid.shape
    across = np.zeros((rows, cols), dtype=np.int64)
    for i in range(rows):
        for j in range(cols):
            for t in range(-radius, radius + 1):
                if 0 <= j + t < cols:
                    across[i, j] += grid[i, j + t] * (radius + 1 - abs(t))
    out = np.zeros((rows, cols), dtype=np.int64)
    for i in range(rows):
        for t in range(-radius, radius + 1):
            if 0 <= i + t < rows:
                out[i] += across[i + t] * (radius + 1 - abs(t))
    return out
