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
from spatial_til.segmentation.merge import roundness, seen_from

#: Levels between the palest and the darkest pixel of an object among which the cut is looked for.
_LEVELS = 32
#: An object rounder than this is one nucleus: it is not looked into.
_ONE_ROUNDNESS = 0.99
#: µm². Neither part is smaller.
_LEAST_UM2 = 8.0
#: µm. Parts with centres closer than this are of one nucleus: its chromatin, or its halo.
_LEAST_APART_UM = 3.0
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
        Its labels are changed in place.
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
    dark, label, gained = _part(
        basins.labels, basins.peak, root, sums, contrast, px_um, typical * SCALE, least, weights
    )
    basins.labels.reshape(-1)[dark] = label
    n, new = len(root), len(gained)
    peak = np.concatenate((basins.peak, np.zeros((new, 3), dtype=np.int32)))
    peak[n:, :2] = gained[:, 7:]
    sums = np.concatenate((sums, gained[:, :7]))
    return np.concatenate((root, np.arange(n, n + new, dtype=np.int32))), sums, peak


@njit(cache=True, nogil=True)
def _part(
    labels: Any,
    peak: Any,
    root: Any,
    sums: Any,
    contrast: Any,
    px: float,
    typical: float,
    least: float,
    weights: Any,
) -> Any:
    """Return the pixels (flat) of dark parts, their new labels, and per label its sums and darkest pixel.

    Sums of objects that lose a part are lowered in place.
    """
    cols = labels.shape[1]
    found, owner = [np.int64(0)], [np.int32(0)]  # typed by their first, which is left out below
    gained = np.zeros((len(root), 9), dtype=np.int64)
    dark, pale = np.zeros(7, dtype=np.int64), np.zeros(7, dtype=np.int64)
    new = 0
    for k in range(1, len(root)):
        if root[k] != k or sums[k, 0] < 2 * least or _roundness(sums[k]) > _ONE_ROUNDNESS:
            continue
        top, bottom, left, right = _box_of(labels, root, k, peak[k], sums[k])
        inside, here = root[labels[top:bottom, left:right].copy().reshape(-1)] == k, contrast[top:bottom, left:right]
        inside = inside.reshape(here.shape)
        level = _dark_level(inside, here)
        border, slope = _look(inside, here, level, dark, pale)
        if min(dark[0], pale[0]) < least:
            continue
        if _two(sums[k], dark, pale, border, slope / (px * typical), px, typical, weights) <= 0.0:
            continue
        label = len(root) + new
        row, col = _list_dark(inside, here, level, top * cols + left, cols, label, found, owner)
        seen_from(gained[new], dark, row, col)
        gained[new, 7], gained[new, 8] = row + top, col + left
        seen_from(pale, dark, peak[k, 0] - top, peak[k, 1] - left)
        for t in range(7):
            sums[k, t] -= pale[t]
        new += 1
    return np.array(found)[1:], np.array(owner)[1:], gained[:new].copy()


@njit(cache=True, nogil=True)
def _list_dark(
    inside: Any, contrast: Any, level: int, corner: int, cols: int, label: int, found: Any, owner: Any
) -> Any:
    """Append the dark pixels of a box (flat in the array, from its corner) and their label; return the darkest."""
    most, row, col = -1, 0, 0
    for i in range(inside.shape[0]):
        for j in range(inside.shape[1]):
            if inside[i, j] and contrast[i, j] >= level:
                found.append(np.int64(corner + i * cols + j))
                owner.append(np.int32(label))
                if contrast[i, j] > most:
                    most, row, col = contrast[i, j], i, j
    return row, col


@njit(cache=True, nogil=True)
def _two(whole: Any, dark: Any, pale: Any, border: int, slope: float, px: float, typical: float, weights: Any) -> float:
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
        + weights[3] * length * np.log(1.02 - _roundness(dark))
        + weights[4] * length * np.log(1.02 - _roundness(whole))
        + weights[5] * dark_area * pale_level
        + weights[6] * np.log(1.1 - _roundness(pale)) * pale_level
    )


@njit(cache=True, nogil=True)
def _roundness(sums: Any) -> float:
    return min(roundness(float(sums[0]), sums, np.zeros(7, dtype=np.int64), 0.0, 0.0), 1.0)


@njit(cache=True, nogil=True)
def _box_of(labels: Any, root: Any, k: int, peak: Any, sums: Any) -> Any:
    """Return the rows and columns (start, stop) that hold an object, within three standard deviations of its centre."""
    rows, cols = labels.shape
    n, sy, sx = float(sums[0]), float(sums[1]), float(sums[2])
    y, x = peak[0] + sy / n, peak[1] + sx / n
    high, wide = 3 * np.sqrt(sums[3] / n - (sy / n) ** 2) + 2, 3 * np.sqrt(sums[4] / n - (sx / n) ** 2) + 2
    r0, r1, c0, c1 = (
        max(int(y - high), 0),
        min(int(y + high) + 1, rows),
        max(int(x - wide), 0),
        min(int(x + wide) + 1, cols),
    )
    top, bottom, left, right = r1, r0, c1, c0
    for i in range(r0, r1):
        for j in range(c0, c1):
            if root[labels[i, j]] == k:
                top, bottom = min(top, i), max(bottom, i + 1)
                left, right = min(left, j), max(right, j + 1)
    return top, bottom, left, right


@njit(cache=True, nogil=True)
def _dark_level(inside: Any, contrast: Any) -> Any:
    """Return the contrast that parts an object's pixels best in two (Otsu's cut)."""
    low, high, n, total = 1 << 30, 0, 0, 0
    for i in range(inside.shape[0]):
        for j in range(inside.shape[1]):
            if inside[i, j]:
                v = int(contrast[i, j])
                low, high, n, total = min(low, v), max(high, v), n + 1, total + v
    if high <= low:
        return high
    count, level = np.zeros(_LEVELS, dtype=np.int64), np.zeros(_LEVELS, dtype=np.int64)
    for i in range(inside.shape[0]):
        for j in range(inside.shape[1]):
            if inside[i, j]:
                b = (int(contrast[i, j]) - low) * _LEVELS // (high - low + 1)
                count[b] += 1
                level[b] += contrast[i, j]
    best, at, below, under = -1.0, 0, 0, 0
    for b in range(_LEVELS - 1):
        below, under = below + count[b], under + level[b]
        if below == 0 or below == n:
            continue
        step = (total - under) / (n - below) - under / below
        between = below / n * ((n - below) / n) * step * step
        if between > best:
            best, at = between, b
    return low + ((at + 1) * (high - low + 1) + _LEVELS - 1) // _LEVELS


@njit(cache=True, nogil=True)
def _look(inside: Any, contrast: Any, level: int, dark: Any, pale: Any) -> Any:
    """Write the sums of both parts from the box's corner; return the dark pixels beside pale ones, and their slope."""
    rows, cols = inside.shape
    border, slope = 0, 0.0
    dark[:] = 0
    pale[:] = 0
    for i in range(rows):
        for j in range(cols):
            if not inside[i, j]:
                continue
            _add(dark if contrast[i, j] >= level else pale, i, j, contrast[i, j])
            if contrast[i, j] >= level and _beside_pale(inside, contrast, level, i, j):
                border += 1
                across = float(contrast[i, min(j + 1, cols - 1)]) - contrast[i, max(j - 1, 0)]
                down = float(contrast[min(i + 1, rows - 1), j]) - contrast[max(i - 1, 0), j]
                slope += np.hypot(across, down) / 2
    return border, slope / max(border, 1)


@njit(cache=True, nogil=True)
def _add(part: Any, i: int, j: int, value: int) -> None:
    part[0] += 1
    part[1] += i
    part[2] += j
    part[3] += i * i
    part[4] += j * j
    part[5] += i * j
    part[6] += value


@njit(cache=True, nogil=True)
def _beside_pale(inside: Any, contrast: Any, level: int, i: int, j: int) -> bool:
    rows, cols = inside.shape
    for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
        if 0 <= a < rows and 0 <= b < cols and inside[a, b] and contrast[a, b] < level:
            return True
    return False
