"""A distance landscape -> basins: one label for each peak, with the sums that describe its shape."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.scratch import Scratch

#: Most neighbours of one basin that are remembered.
_NEIGHBOURS = 12


class Basins(NamedTuple):
    """Basins of one array. Row 0 of each table is background; sums are relative to the basin's peak."""

    labels: NDArray[np.int32]
    peak: NDArray[np.int32]  # (n + 1, 3): row, column, height
    sums: NDArray[np.int64]  # (n + 1, 7): pixels, row, column, row², column², row column, contrast
    extent: NDArray[np.int32]  # (n + 1, 4): rows and columns that hold it, first and one past the last of each
    pairs: NDArray[np.int32]  # (m, 2) touching basins, first < second


def find_basins(
    landscape: NDArray[np.int16],
    above: NDArray[np.int16],
    contrast: NDArray[np.int16],
    reach_px: int,
    scratch: Scratch,
) -> Basins:
    """Assign each pixel of the foreground (`above` 0) to the peak that steepest ascent leads to.

    Equal heights go to the pixel that comes first in raster order, so the result does not depend on where
    the array was cut. Runs that reach further than `reach_px` from their peak are left out, which bounds
    the support.
    """
    labels = scratch.array("labels", landscape.shape, np.int32)
    room = scratch.array("peaks", (landscape.size // 4 + 2, 3), np.int32)  # for all: only what is used costs
    peak = _peaks(landscape, above, labels, room)
    _ascend(labels)
    sums, extent = _sums(labels, peak, contrast, reach_px)
    return Basins(labels, peak, sums, extent, _touching(labels, len(peak)))


#: Codes of the neighbours, highest first among equal heights: those that come first in raster order.
_UP_LEFT, _UP, _UP_RIGHT, _LEFT, _SELF, _RIGHT, _DOWN_LEFT, _DOWN, _DOWN_RIGHT = range(8, -1, -1)


@njit(cache=True, nogil=True)
def _peaks(landscape: Any, above: Any, labels: Any, peak: Any) -> Any:
    """Label peaks, mark background 0, and write for the rest where steepest ascent leads, see `_follow`.

    Height and code of the highest neighbour share one number, so that one maximum finds both.
    """
    rows, cols = landscape.shape
    peak[0] = 0
    padded = np.zeros((3, cols + 2), dtype=np.int16)
    towards = np.empty((2, cols), dtype=np.uint8)
    jump = np.array([cols + 1, cols, cols - 1, 1, 0, -1, 1 - cols, -cols, -cols - 1], dtype=np.int64)
    mark, at = mark_room(cols)
    n = 0
    _pad(padded[1], landscape[0], above[0])
    for i in range(rows):
        up, line, down = padded[i % 3], padded[(i + 1) % 3], padded[(i + 2) % 3]
        down[:] = 0
        if i + 1 < rows:
            _pad(down, landscape[i + 1], above[i + 1])
        _look_up(up, line, down, towards[i % 2], labels[i], mark)
        for t in range(marked(mark, at)):
            n += 1
            labels[i, at[t]] = n
            peak[n, 0], peak[n, 1], peak[n, 2] = i, at[t], line[at[t] + 1] >> 4
        if i > 0:  # now that those of the next row are marked
            _follow(labels, i - 1, towards[(i - 1) % 2], jump, mark, at)
    _follow(labels, rows - 1, towards[(rows - 1) % 2], jump, mark, at)
    return peak[: n + 1].copy()


@njit(cache=True, nogil=True)
def _look_up(up: Any, line: Any, down: Any, towards: Any, labels: Any, mark: Any) -> None:
    """Write the codes of a row and -1 for its foreground, and mark its peaks; apart so that it is vectorised."""
    for j in range(len(towards)):
        here = line[j + 1]
        first = max(np.int16(up[j] | _UP_LEFT), np.int16(up[j + 1] | _UP))
        second = max(np.int16(up[j + 2] | _UP_RIGHT), np.int16(line[j] | _LEFT))
        third = max(np.int16(here | _SELF), np.int16(line[j + 2] | _RIGHT))
        fourth = max(np.int16(down[j] | _DOWN_LEFT), np.int16(down[j + 1] | _DOWN))
        code = np.uint8(max(first, second, third, fourth, down[j + 2]) & 15)
        towards[j] = code
        mark[j] = (here > 0) & (code == _SELF)
    for j in range(len(labels)):
        labels[j] = np.int32(-1) if line[j + 1] > 0 else np.int32(0)


@njit(cache=True, nogil=True)
def _pad(padded: Any, landscape: Any, above: Any) -> None:
    """Write a row of heights times 16, at least 1 in the foreground and 0 outside it, one column in."""
    for j in range(len(above)):
        height = max(np.int16(landscape[j]), np.int16(1))
        padded[j + 1] = np.int16(height << 4) if above[j] > 0 else np.int16(0)


@njit(cache=True, nogil=True)
def _follow(labels: Any, i: int, towards: Any, jump: Any, mark: Any, at: Any) -> None:
    """Write for each pixel of a row what its highest neighbour has, its label or where it leads, or that neighbour.

    A place p is written as -2 - p; a neighbour whose turn comes later has only -1 as yet.
    """
    flat, cols = labels.reshape(-1), labels.shape[1]
    _mark_open(labels[i], mark)
    for t in range(marked(mark, at)):
        j = np.uint64(at[np.uint64(t)])
        p = i * cols + np.int64(j)
        to = p + jump[np.uint64(towards[j])]
        known = flat[np.uint64(to)]
        flat[np.uint64(p)] = known if known != -1 else np.int32(-2 - to)


@njit(cache=True, nogil=True)
def _ascend(labels: Any) -> None:
    """Give every pixel the label of the peak above it: from the last row up, most lead to one that has its label."""
    rows, cols = labels.shape
    flat = labels.reshape(-1)
    mark, at = mark_room(cols)
    for i in range(rows - 1, -1, -1):
        _mark_open(labels[i], mark)
        for t in range(marked(mark, at)):
            p = np.uint64(i * cols + at[np.uint64(t)])
            known = flat[p]
            while known < 0:
                known = flat[np.uint64(-2 - known)]
            flat[p] = known


@njit(cache=True, nogil=True)
def _mark_open(labels: Any, mark: Any) -> None:
    """Mark pixels of the foreground without a label."""
    for j in range(len(labels)):
        mark[j] = labels[j] < 0


@njit(cache=True, nogil=True)
def _sums(labels: Any, peak: Any, contrast: Any, reach: int) -> Any:
    """Return sums and extents from runs of equal label: whole numbers, exact in any order. Far runs are cleared."""
    rows, cols = labels.shape
    sums = np.zeros((len(peak), 7), dtype=np.int64)
    extent = np.empty((len(peak), 4), dtype=np.int32)
    extent[:, 0], extent[:, 1], extent[:, 2], extent[:, 3] = rows, 0, cols, 0
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
            extent[k, 0], extent[k, 1] = min(extent[k, 0], i), i + 1
            extent[k, 2], extent[k, 3] = min(extent[k, 2], start), max(extent[k, 3], j)
    return sums, extent


@njit(cache=True, nogil=True)
def _touching(labels: Any, n: int) -> Any:
    """Return the pairs of labels with pixels side by side, each once."""
    rows, cols = labels.shape
    seen = np.zeros((n, _NEIGHBOURS), dtype=np.int32)
    pairs = np.empty((n * 6, 2), dtype=np.int32)
    mark, at = mark_room(cols)
    m = 0
    for i in range(rows):
        here, down = labels[i], labels[min(i + 1, rows - 1)]
        _mark_borders(here, down, mark)
        for t in range(marked(mark, at)):
            a = here[at[t]]
            for b in (here[min(at[t] + 1, cols - 1)], down[at[t]]):
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


@njit(cache=True, nogil=True)
def _mark_borders(here: Any, down: Any, mark: Any) -> None:
    """Mark labelled pixels beside or above another label."""
    last = len(here) - 1
    for j in range(last):
        a, right, below = here[j], here[j + 1], down[j]
        other = ((right != a) & (right != 0)) | ((below != a) & (below != 0))
        mark[j] = (a != 0) & other
    mark[last] = (here[last] != 0) & (down[last] != 0) & (down[last] != here[last])
