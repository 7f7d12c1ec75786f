"""Nuclei that lie on others: one object by its outline, two by a darker part within it.

A lymphocyte on a large pale nucleus leaves no neck for the shape to be cut at, but a dark part that is compact
in itself, in an object that is no ellipse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.basins import Basins
from spatial_til.segmentation.foreground import SCALE
from spatial_til.segmentation.marks import marked
from spatial_til.segmentation.merge import roundness, seen_from

#: Levels between the palest and the darkest pixel of an object among which the cut is looked for.
_LEVELS = 32
#: An object rounder or smaller (µm²) than this is one nucleus: it is not looked into.
_ONE_ROUNDNESS, _ONE_UM2 = 0.985, 40.0
#: µm². Neither part is smaller.
_LEAST_UM2 = 8.0
#: µm. Parts with centres closer than this are of one nucleus: its chromatin, or its halo.
_LEAST_APART_UM = 3.0
#: What a pixel of an object is.
_PALE, _DARK = 1, 2
#: Weights of `_two`, fitted on phantoms with known nuclei: constant, then the terms in its order.
_WEIGHTS = (-9.68, 1.06, 0.44, -0.42, 0.30, 2.53, 5.59)


def part_overlaps(
    basins: Basins,
    root: NDArray[np.int32],
    sums: NDArray[np.int64],
    contrast: NDArray[np.int16],
    *,
    px_um: float,
    typical: float,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Give the darker part of an object a label of its own where it looks like a nucleus on another.

    Parameters
    ----------
    basins
        Its labels are those of nuclei already; they are changed in place.
    root, sums
        The nucleus of each basin and its sums, see `merge.join_basins`.
    contrast
        (rows, cols) stain above local background, see `foreground.nuclear_contrast`.
    typical
        Contrast of a typical nucleus, in the nuclear plane's unit.

    Returns
    -------
    root, sums, peak
        Those given, and rows for the new labels after them; the peak of a new label is its darkest pixel.
    """
    weights = np.array(_WEIGHTS)
    least = _LEAST_UM2 / px_um**2
    extent = _joined(basins.extent, root)
    dark, label, gained = _part(
        basins.labels, basins.peak, root, sums, extent, contrast, px_um, typical * SCALE, least, weights
    )
    basins.labels.reshape(-1)[dark] = label
    n, new = len(root), len(gained)
    peak = np.concatenate((basins.peak, np.zeros((new, 3), dtype=np.int32)))
    peak[n:, :2] = gained[:, 7:]
    sums = np.concatenate((sums, gained[:, :7]))
    return np.concatenate((root, np.arange(n, n + new, dtype=np.int32))), sums, peak


@njit(cache=True, nogil=True)
def _joined(extent: Any, root: Any) -> Any:
    """Return the extent of each nucleus from those of its basins."""
    whole = extent.copy()
    for k in range(1, len(root)):
        to, own = whole[root[k]], extent[k]
        to[0], to[1] = min(to[0], own[0]), max(to[1], own[1])
        to[2], to[3] = min(to[2], own[2]), max(to[3], own[3])
    return whole


@njit(cache=True, nogil=True)
def _part(
    labels: Any,
    peak: Any,
    root: Any,
    sums: Any,
    extent: Any,
    contrast: Any,
    px: float,
    typical: float,
    least: float,
    weights: Any,
) -> Any:
    """Return the pixels (flat) of dark parts, their new labels, and per label its sums and darkest pixel.

    Sums of objects that lose a part are lowered in place. Each object is copied out into rows of equal length, a
    power of two, with a free pixel around: passes over it are vectorised.
    """
    cols = labels.shape[1]
    found, owner = [np.int64(0)], [np.int32(0)]  # typed by their first, which is left out below
    gained = np.zeros((len(root), 9), dtype=np.int64)
    dark, pale, none = np.zeros(7, dtype=np.int64), np.zeros(7, dtype=np.int64), np.zeros(7, dtype=np.int64)
    kind, value, edge = np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int16), np.empty(0, dtype=np.uint8)
    at = np.empty(0, dtype=np.int64)
    new = 0
    for k in range(1, len(root)):
        if root[k] != k or sums[k, 0] * px * px < _ONE_UM2 or _roundness(sums[k], none) > _ONE_ROUNDNESS:
            continue
        top, left = extent[k, 0], extent[k, 2]
        high, wide = extent[k, 1] - top, extent[k, 3] - left
        shift = 4
        while (1 << shift) < wide + 2:
            shift += 1
        size = (high + 2) << shift
        if len(kind) < size:
            kind, value = np.empty(size, dtype=np.uint8), np.empty(size, dtype=np.int16)
            edge, at = np.zeros(size, dtype=np.uint8), np.empty(size, dtype=np.int64)
        _copy(labels, contrast, k, extent[k], shift, kind, value)
        level = _dark_level(kind[:size], value, shift, wide, sums[k, 0], sums[k, 6])
        _darken(kind[:size], value, level)
        _sum_dark(kind[:size], value, shift, dark)
        seen_from(pale, sums[k], top - peak[k, 0], left - peak[k, 1])
        for t in range(7):
            pale[t] -= dark[t]
        if min(dark[0], pale[0]) < least:
            continue
        border, slope = _slope(kind[:size], value, shift, wide, edge[:size], at)
        if _two(sums[k], dark, pale, none, border, slope / (px * typical), px, typical, weights) <= 0.0:
            continue
        label = len(root) + new
        row, col = _list_dark(kind[:size], value, shift, top * cols + left, cols, label, found, owner)
        seen_from(gained[new], dark, row, col)
        gained[new, 7], gained[new, 8] = row + top, col + left
        seen_from(pale, dark, peak[k, 0] - top, peak[k, 1] - left)
        for t in range(7):
            sums[k, t] -= pale[t]
        new += 1
    return np.array(found)[1:], np.array(owner)[1:], gained[:new].copy()


@njit(cache=True, nogil=True)
def _copy(labels: Any, contrast: Any, k: int, extent: Any, shift: int, kind: Any, value: Any) -> None:
    """Copy an object out: what its pixels are, pale until the cut is known, and the contrast of its rows."""
    top, bottom, left, right = extent
    kind[: (bottom - top + 2) << shift] = 0
    for i in range(top, bottom):
        first = ((i - top + 1) << shift) + 1
        _copy_row(labels[i, left:right], contrast[i, left:right], np.int32(k), kind[first:], value[first:])


@njit(cache=True, nogil=True)
def _copy_row(labels: Any, contrast: Any, k: Any, kind: Any, value: Any) -> None:
    for j in range(len(labels)):
        kind[j] = np.uint8(_PALE) if labels[j] == k else np.uint8(0)
        value[j] = contrast[j]


@njit(cache=True, nogil=True)
def _dark_level(kind: Any, value: Any, shift: int, wide: int, n: int, total: int) -> Any:
    """Return the contrast that parts an object's pixels best in two (Otsu's cut); their number and sum are known."""
    low, high = _range(kind, value)
    if high <= low:
        return high
    count, level = np.zeros(_LEVELS + 1, dtype=np.int64), np.zeros(_LEVELS + 1, dtype=np.int64)
    span = np.int64(high) - low + 1
    # a division by multiplying: exact, since `span` times what is divided stays below 2**40
    inverse = ((np.int64(1) << 40) + span - 1) // span
    for first in range((1 << shift) + 1, len(kind) - (1 << shift), 1 << shift):
        for j in range(first, first + wide):
            v = np.int64(value[j])
            bin_ = np.uint64(((v - low) * _LEVELS * inverse) >> 40 if kind[j] else _LEVELS)  # the last is not looked at
            count[bin_] += 1
            level[bin_] += v
    best, at, below, under = -1.0, 0, 0, 0
    for b in range(_LEVELS - 1):
        below, under = below + count[b], under + level[b]
        if below == 0 or below == n:
            continue
        step = (total - under) / (n - below) - under / below
        between = below / n * ((n - below) / n) * step * step
        if between > best:
            best, at = between, b
    return low + ((at + 1) * span + _LEVELS - 1) // _LEVELS


@njit(cache=True, nogil=True)
def _range(kind: Any, value: Any) -> Any:
    """Return the least and the highest contrast of an object, at least 0."""
    low, high = np.int16(32767), np.int16(0)
    for j in range(len(kind)):
        v = value[j]  # read whatever the pixel is, so that it is vectorised
        low = min(low, v if kind[j] else np.int16(32767))
        high = max(high, v if kind[j] else np.int16(0))
    return low, high


@njit(cache=True, nogil=True)
def _darken(kind: Any, value: Any, level: int) -> None:
    """Mark the pixels of an object that have at least some contrast as dark."""
    for j in range(len(kind)):
        kind[j] = np.uint8(_DARK) if (kind[j] != 0) & (value[j] >= level) else kind[j]


@njit(cache=True, nogil=True)
def _sum_dark(kind: Any, value: Any, shift: int, sums: Any) -> None:
    """Write the sums of the dark pixels, from the corner of their box: column by column first."""
    wide = 1 << shift
    column = np.zeros((4, wide), dtype=np.int32)
    for i in range(1, (len(kind) >> shift) - 1):
        start = i << shift
        _add_row(kind[start : start + wide], value[start : start + wide], np.int32(i - 1), column)
    sums[:] = 0
    for c in range(1, wide):
        j = c - 1
        n, row = np.int64(column[0, c]), np.int64(column[1, c])
        sums[0] += n
        sums[1] += row
        sums[2] += j * n
        sums[3] += column[2, c]
        sums[4] += j * j * n
        sums[5] += j * row
        sums[6] += column[3, c]


@njit(cache=True, nogil=True)
def _add_row(kind: Any, value: Any, i: Any, column: Any) -> None:
    """Add the dark pixels of one row to each column's number, rows, squared rows and contrast; vectorised."""
    n, row, squared, level, square = column[0], column[1], column[2], column[3], np.int32(i * i)
    for j in range(len(kind)):
        dark, v = np.int32(kind[j] == _DARK), np.int32(value[j])
        n[j] += dark
        row[j] += np.int32(dark * i)
        squared[j] += np.int32(dark * square)
        level[j] += np.int32(dark * v)


@njit(cache=True, nogil=True)
def _slope(kind: Any, value: Any, shift: int, wide: int, edge: Any, at: Any) -> Any:
    """Return the number of dark pixels beside pale ones, and their mean slope."""
    row = 1 << shift
    last = len(kind) - row
    _mark_edges(kind[row:last], kind[: last - row], kind[2 * row :], kind[row - 1 :], kind[row + 1 :], edge[row:last])
    border, slope = marked(edge[row:last], at), 0.0
    high = (len(kind) >> shift) - 2
    for t in range(border):
        i, j = at[t] >> shift, (at[t] & (row - 1)) - 1
        here, up, down = ((i + 1) << shift) + 1, (max(i - 1, 0) + 1) << shift, (min(i + 1, high - 1) + 1) << shift
        across = float(value[here + min(j + 1, wide - 1)]) - value[here + max(j - 1, 0)]
        along = float(value[down + 1 + j]) - value[up + 1 + j]
        slope += np.sqrt(across * across + along * along) / 2
    return border, slope / max(border, 1)


@njit(cache=True, nogil=True)
def _mark_edges(here: Any, up: Any, down: Any, left: Any, right: Any, edge: Any) -> None:
    """Mark dark pixels with a pale one on a side."""
    for j in range(len(edge)):
        pale = (up[j] == _PALE) | (down[j] == _PALE) | (left[j] == _PALE) | (right[j] == _PALE)
        edge[j] = np.uint8(pale & (here[j] == _DARK))


@njit(cache=True, nogil=True)
def _list_dark(kind: Any, value: Any, shift: int, corner: int, cols: int, label: int, found: Any, owner: Any) -> Any:
    """Append the dark pixels of a box (flat in the array, from its corner) and their label; return the darkest."""
    most, row, col = -1, 0, 0
    for p in range(len(kind)):
        if kind[p] == _DARK:
            i, j = (p >> shift) - 1, (p & ((1 << shift) - 1)) - 1
            found.append(np.int64(corner + i * cols + j))
            owner.append(np.int32(label))
            if value[p] > most:
                most, row, col = value[p], i, j
    return row, col


@njit(cache=True, nogil=True)
def _two(
    whole: Any,
    dark: Any,
    pale: Any,
    none: Any,
    border: int,
    slope: float,
    px: float,
    typical: float,
    weights: Any,
) -> float:
    """Return the log odds that an object is two nuclei, one on the other.

    Two have a steep step (`slope` in typical contrasts per µm) around a dark part that is not small, with its centre
    far from the pale part's; the pale part is as dark as a nucleus is, the dark part an ellipse, the whole none.
    """
    apart_um = px * np.hypot(dark[1] / dark[0] - pale[1] / pale[0], dark[2] / dark[0] - pale[2] / pale[0])
    if apart_um < _LEAST_APART_UM:
        return -np.inf
    length = border / np.sqrt(float(dark[0]))
    dark_area = np.log(dark[0] * px * px)
    pale_level = np.log(max(pale[6] / pale[0], 1.0) / typical)
    return (
        weights[0]
        + weights[1] * dark_area * slope
        + weights[2] * length * apart_um
        + weights[3] * length * np.log(1.02 - _roundness(dark, none))
        + weights[4] * length * np.log(1.02 - _roundness(whole, none))
        + weights[5] * dark_area * pale_level
        + weights[6] * np.log(1.1 - _roundness(pale, none)) * pale_level
    )


@njit(cache=True, nogil=True)
def _roundness(sums: Any, none: Any) -> float:
    return min(roundness(float(sums[0]), sums, none, 0.0, 0.0), 1.0)
