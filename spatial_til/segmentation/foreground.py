"""A plane of nuclear stain -> its foreground, and how deep each pixel lies in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.blocks import above_surface, block_sums, knot_positions, tent, window_min
from spatial_til.segmentation.settings import NucleusSettings
from spatial_til.segmentation.smooth import smooth
from spatial_til.units import PixelSize

#: Contrast is in 1/64 of the nuclear plane's unit.
SCALE = 64
#: Units of the depth landscape in one pixel, straight and diagonal.
STEP = 16
_DIAGONAL = 23


class Floor(NamedTuple):
    """The local background of the nuclear plane over the whole slide: values of square blocks."""

    knots: NDArray[np.int32]  # in 1/64 of the plane's unit
    size: PixelSize  # of a block


def nuclear_floor(overview: NDArray[Any], size: PixelSize, settings: NucleusSettings) -> Floor:
    """Return the lowest of the overview's pixels (about 4 µm) within `background_um` of each.

    Parameters
    ----------
    overview
        (rows, cols) nuclear plane of the whole slide at low resolution.
    """
    radius = max(round(settings.background_um / size.mean_um), 1)
    knots = window_min(np.maximum(overview, 0).astype(np.int32) * SCALE, radius)
    return Floor(np.minimum(knots, 2**15 - 1), size)


def block_px(settings: NucleusSettings, px_um: float) -> int:
    """Return the side of the blocks of local levels in pixels; arrays start at a multiple of it."""
    return max(round(settings.block_um / px_um), 2)


def nuclear_contrast(
    signal: NDArray[Any], floor: Floor, corner: tuple[int, int], px: PixelSize, settings: NucleusSettings
) -> NDArray[np.int16]:
    """Return the smoothed stain above its local background, in 1/64 of the plane's unit.

    Parameters
    ----------
    signal
        (rows, cols) nuclear plane of a box.
    corner
        First row and column of the box in the slide's grid.
    """
    smoothed = smooth(signal, settings.blur_um / px.mean_um, SCALE)
    rows = knot_positions(corner[0], signal.shape[0], px.y_um, floor.size.y_um, floor.knots.shape[0])
    cols = knot_positions(corner[1], signal.shape[1], px.x_um, floor.size.x_um, floor.knots.shape[1])
    return np.asarray(above_surface(smoothed, floor.knots, *rows, *cols))


def above_level(
    contrast: NDArray[np.int16], *, px_um: float, typical: float, settings: NucleusSettings
) -> NDArray[np.int16]:
    """Return contrast minus its foreground cut-off: the larger of a slide-wide floor and a local share.

    The local level is the self-weighted mean of contrast ``sum(c * c) / sum(c)``: the level of a nucleus
    wherever one lies near, however much of the window it covers.
    """
    block = block_px(settings, px_um)
    first, second = block_sums(contrast, block)
    radius = max(round(settings.local_um / px_um / block), 1)
    level = tent(second, radius) * 64 // np.maximum(tent(first, radius), 1)
    floor = settings.typical_share * typical if settings.threshold is None else settings.threshold
    local = level * round(settings.local_share * 1024) >> 10
    knots = np.maximum(local, round(floor * SCALE)).astype(np.int32)
    rows, cols = (knot_positions(0, n, 1.0, block, k) for n, k in zip(contrast.shape, knots.shape, strict=True))
    return np.asarray(above_surface(contrast, knots, *rows, *cols))


def fill_holes(above: NDArray[np.int16], max_hole_um: float, px_um: float) -> NDArray[np.uint8]:
    """Return the foreground (1) with holes filled that are at most `max_hole_um` across.

    A background pixel is in a hole where foreground lies within that distance up, down, left and right.
    """
    return np.asarray(_fill(above, max(round(max_hole_um / px_um), 1)))


@njit(cache=True, nogil=True)
def _fill(above: Any, reach: int) -> Any:
    rows, cols = above.shape
    mask = np.empty((rows, cols), dtype=np.uint8)
    for i in range(rows):
        for j in range(cols):
            mask[i, j] = above[i, j] > 0
    out = mask.copy()
    for i in range(1, rows - 1):
        j = 1
        while j < cols - 1:
            if mask[i, j] or not mask[i, j - 1]:
                j += 1
                continue
            stop = j
            while stop < cols and stop - j < reach and not mask[i, stop]:
                stop += 1
            if stop == cols or not mask[i, stop]:
                j = stop
                continue
            for c in range(j, stop):
                out[i, c] = _between(mask, i, c, reach)
            j = stop
    return out


@njit(cache=True, nogil=True)
def _between(mask: Any, i: int, j: int, reach: int) -> bool:
    """Return whether foreground above and below are less than `reach` + 1 rows apart."""
    up = 1
    while i - up >= 0 and up <= reach and not mask[i - up, j]:
        up += 1
    down = 1
    while i + down < mask.shape[0] and down <= reach and not mask[i + down, j]:
        down += 1
    if i - up < 0 or i + down >= mask.shape[0]:
        return False
    return up + down - 1 <= reach and mask[i - up, j] != 0 and mask[i + down, j] != 0


@njit(cache=True, nogil=True)
def depth_in(above: Any, mask: Any, cap: int) -> Any:
    """Return the chamfer distance into the foreground in 1/16 pixel, from the sub-pixel crossing, capped."""
    rows, cols = mask.shape
    out = np.zeros((rows, cols), dtype=np.int16)
    _first_depths(above, mask, cap, out)
    for i in range(rows):
        line = out[i]
        if i > 0:
            _from_row(line, out[i - 1])
        for j in range(1, cols):
            line[j] = min(line[j], line[j - 1] + STEP)
    for i in range(rows - 1, -1, -1):
        line = out[i]
        if i < rows - 1:
            _from_row(line, out[i + 1])
        for j in range(cols - 2, -1, -1):
            line[j] = min(line[j], line[j + 1] + STEP)
    return out


@njit(cache=True, nogil=True)
def _from_row(line: Any, other: Any) -> None:
    """Lower a row of depths by what the row beside it allows."""
    for j in range(len(line)):
        line[j] = min(line[j], np.int16(other[j] + np.int16(STEP)))
    for j in range(1, len(line)):
        line[j] = min(line[j], np.int16(other[j - 1] + np.int16(_DIAGONAL)))
    for j in range(len(line) - 1):
        line[j] = min(line[j], np.int16(other[j + 1] + np.int16(_DIAGONAL)))


@njit(cache=True, nogil=True)
def _first_depths(above: Any, mask: Any, cap: int, out: Any) -> None:
    """Write `cap` inside the foreground, and on its edge the distance to where the cut-off is crossed."""
    rows, cols = mask.shape
    around = np.empty(cols, dtype=np.uint8)
    for i in range(rows):
        up, down = mask[max(i - 1, 0)], mask[min(i + 1, rows - 1)]
        for j in range(cols):
            around[j] = np.uint8(up[j] & mask[i, j] & down[j])
        for j in range(cols):
            if not mask[i, j]:
                continue
            if around[max(j - 1, 0)] & around[j] & around[min(j + 1, cols - 1)]:
                out[i, j] = cap
                continue
            best = cap
            here = max(np.int32(above[i, j]), 0)
            for r in range(max(i - 1, 0), min(i + 2, rows)):
                for c in range(max(j - 1, 0), min(j + 2, cols)):
                    if not mask[r, c]:
                        there = -np.int32(above[r, c])
                        length = STEP if r == i or c == j else _DIAGONAL
                        best = min(best, length * here // (here + there + 1))
            out[i, j] = best
