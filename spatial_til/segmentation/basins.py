"""A distance landscape -> basins: one label for each peak, with the sums that describe its shape."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.scratch import Scratch

#: Most neighbours of one basin that are remembered.
_NEIGHBOURS = 12


class Basins(NamedTuple):
    """Basins of one array. Row 0 of each table is background; sums are relative to the basin's peak."""

    labels: NDArray[np.int32]
    peak: NDArray[np.int32]  # (n + 1, 3): row, column, height
    sums: NDArray[np.int64]  # (n + 1, 7): pixels, row, column, row², column², row column, contrast
    pairs: NDArray[np.int32]  # (m, 2) touching basins, first < second


def find_basins(landscape: NDArray[np.int16], contrast: NDArray[np.int16], reach_px: int, scratch: Scratch) -> Basins:
    """Assign each pixel above 0 of a landscape to the peak that steepest ascent leads to.

    Equal heights go to the pixel that comes first in raster order, so the result does not depend on where
    the array was cut. Runs that reach further than `reach_px` from their peak are left out, which bounds
    the support.
    """
    labels = scratch.array("basins", landscape.shape, np.int32)
    peak = _ascend(landscape, labels, scratch.array("offset", landscape.shape, np.int32))
    return Basins(labels, peak, _sums(labels, peak, contrast, reach_px), _touching(labels, len(peak)))


#: Codes of the neighbours, highest first among equal heights: those that come first in raster order.
_UP_LEFT, _UP, _UP_RIGHT, _LEFT, _SELF, _RIGHT, _DOWN_LEFT, _DOWN, _DOWN_RIGHT = range(8, -1, -1)


@njit(cache=True, nogil=True)
def _ascend(landscape: Any, labels: Any, offset: Any) -> Any:
    """Write labels; return the peaks."""
    rows, cols = landscape.shape
    _directions(landscape, labels, offset)
    flat, step = labels.reshape(-1), offset.reshape(-1)
    peak = np.zeros((rows * cols // 4 + 2, 3), dtype=np.int32)
    n = 0
    for at in range(rows * cols):
        if flat[at] >= 0:
            continue
        top = np.uint64(at)
        while flat[top] < 0 and step[top]:
            top = np.uint64(np.int64(top) + step[top])
        label = flat[top]
        if label < 0:
            n += 1
            label = n
            flat[top] = label
            peak[n, 0], peak[n, 1] = top // np.uint64(cols), top % np.uint64(cols)
        here = np.uint64(at)
        while flat[here] < 0:
            flat[here] = label
            here = np.uint64(np.int64(here) + step[here])
    return _in_order(labels, peak[: n + 1], landscape)


@njit(cache=True, nogil=True)
def _in_order(labels: Any, peak: Any, landscape: Any) -> Any:
    """Number labels by the raster order of their peaks; return the peaks with their heights."""
    order = np.argsort(peak[1:, 0].astype(np.int64) * labels.shape[1] + peak[1:, 1])
    new = np.zeros(len(peak), dtype=np.int32)
    ordered = np.zeros_like(peak)
    for k in range(len(order)):
        old = order[k] + 1
        new[old] = k + 1
        ordered[k + 1, 0], ordered[k + 1, 1] = peak[old, 0], peak[old, 1]
        ordered[k + 1, 2] = landscape[peak[old, 0], peak[old, 1]]
    flat = labels.reshape(-1)
    for at in range(len(flat)):
        flat[at] = new[flat[at]]
    return ordered


@njit(cache=True, nogil=True)
def _directions(landscape: Any, labels: Any, offset: Any) -> None:
    """Write the offset (in a flat array) of the highest of each pixel's neighbours and itself.

    Pixels above 0 are marked -1 in `labels`. Height and code share one number, so that one maximum finds both.
    """
    rows, cols = landscape.shape
    jump = np.array([cols + 1, cols, cols - 1, 1, 0, -1, 1 - cols, -cols, -cols - 1], dtype=np.int32)
    padded = np.zeros((3, cols + 2), dtype=np.int16)
    best = np.empty(cols, dtype=np.int16)
    for j in range(cols):
        padded[2, j + 1] = landscape[0, j] << 4
    for i in range(rows):
        padded[0], padded[1] = padded[1].copy(), padded[2].copy()
        if i + 1 < rows:
            for j in range(cols):
                padded[2, j + 1] = landscape[i + 1, j] << 4
        else:
            padded[2] = 0
        above, line, below = padded[0], padded[1], padded[2]
        for j in range(cols):
            first = max(np.int16(above[j] | _UP_LEFT), np.int16(above[j + 1] | _UP))
            second = max(np.int16(above[j + 2] | _UP_RIGHT), np.int16(line[j] | _LEFT))
            third = max(np.int16(line[j + 1] | _SELF), np.int16(line[j + 2] | _RIGHT))
            fourth = max(np.int16(below[j] | _DOWN_LEFT), np.int16(below[j + 1] | _DOWN))
            best[j] = max(first, second, third, fourth, below[j + 2])
        for j in range(cols):
            labels[i, j] = np.int32(-1) if line[j + 1] > 0 else np.int32(0)
        for j in range(cols):
            if line[j + 1] > 0:
                offset[i, j] = jump[best[j] & 15]


@njit(cache=True, nogil=True)
def _sums(labels: Any, peak: Any, contrast: Any, reach: int) -> Any:
    """Add up runs of equal label: whole numbers, exact in any order. Runs out of reach are cleared."""
    rows, cols = labels.shape
    sums = np.zeros((len(peak), 7), dtype=np.int64)
    for i in range(rows):
        j = 0
        while j < cols:
            k = labels[i, j]
            if k == 0:
                j += 1
                continue
            start = j
            level = np.int64(0)
            while j < cols and labels[i, j] == k:
                level += contrast[i, j]
                j += 1
            y, a, b = i - peak[k, 0], start - peak[k, 1], j - 1 - peak[k, 1]
            if abs(y) > reach or a < -reach or b > reach:
                labels[i, start:j] = 0
                continue
            n = b - a + 1
            first = (a + b) * n // 2
            second = (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) // 6
            sums[k, 0] += n
            sums[k, 1] += y * n
            sums[k, 2] += first
            sums[k, 3] += y * y * n
            sums[k, 4] += second
            sums[k, 5] += y * first
            sums[k, 6] += level
    return sums


@njit(cache=True, nogil=True)
def _touching(labels: Any, n: int) -> Any:
    """Return the pairs of labels with pixels side by side, each once."""
    rows, cols = labels.shape
    seen = np.zeros((n, _NEIGHBOURS), dtype=np.int32)
    pairs = np.empty((n * 6, 2), dtype=np.int32)
    m = 0
    for i in range(rows):
        for j in range(cols):
            a = labels[i, j]
            if a == 0:
                continue
            for t in range(2):
                if t == 0:
                    b = labels[i, j + 1] if j + 1 < cols else a
                else:
                    b = labels[i + 1, j] if i + 1 < rows else a
                if b == 0 or b == a:
                    continue
                low, high = min(a, b), max(a, b)
                for k in range(_NEIGHBOURS):
                    if seen[low, k] == high:
                        break
                    if seen[low, k] == 0:
                        seen[low, k] = high
                        if m < len(pairs):
                            pairs[m, 0], pairs[m, 1] = low, high
                            m += 1
                        break
    return pairs[:m].copy()
