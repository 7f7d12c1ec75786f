"""A plane of nuclear stain -> its foreground, and how deep each pixel lies in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.blocks import above_surface, bilinear, block_sums, tent, window_min
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NucleusSettings
from spatial_til.segmentation.smooth import smooth
from spatial_til.units import PixelSize

#: Contrast is in 1/64 of the nuclear plane's unit.
SCALE = 64
#: Units of the depth landscape in one pixel, straight and diagonal.
STEP = 16
_DIAGONAL = 23
#: Side of the blocks of the local background in pixels; arrays start at a multiple of it.
FLOOR_PX = 16


def nuclear_floor(
    overview: NDArray[Any], size: PixelSize, px: PixelSize, shape: tuple[int, int], settings: NucleusSettings
) -> NDArray[np.int16]:
    """Return the local background of the nuclear plane over the whole slide, in 1/64 of the plane's unit.

    Parameters
    ----------
    overview
        (rows, cols) nuclear plane of the whole slide at low resolution, about 4 µm a pixel.
    size, px
        Pixel size of the overview and of the slide's grid.
    shape
        Rows and columns of the slide's grid.

    Returns
    -------
    floor
        The lowest of the overview's pixels within `background_um`, at the centres of blocks of `FLOOR_PX`.
    """
    radius = max(round(settings.background_um / size.mean_um), 1)
    levels = np.clip(overview.astype(np.int32) * SCALE, 0, 2**15 - 1).astype(np.int16)
    lowest = window_min(levels, radius)
    sides = ((shape[0], px.y_um / size.y_um), (shape[1], px.x_um / size.x_um))
    places = [(np.arange(-(-n // FLOOR_PX), dtype=np.float64) + 0.5) * FLOOR_PX * ratio - 0.5 for n, ratio in sides]
    surface: NDArray[np.float64] = bilinear(lowest, *places)
    return np.clip(np.round(surface), 0, 2**15 - 1).astype(np.int16)


def block_px(settings: NucleusSettings, px_um: float) -> int:
    """Return the side of the blocks of local levels in pixels: a power of two, at most FLOOR_PX."""
    return int(min(max(2 ** round(float(np.log2(settings.block_um / px_um))), 2), FLOOR_PX))


def nuclear_contrast(
    signal: NDArray[Any],
    floor: NDArray[np.int16],
    corner: tuple[int, int],
    px: PixelSize,
    settings: NucleusSettings,
    scratch: Scratch,
) -> NDArray[np.int16]:
    """Return the smoothed stain above its local background, in 1/64 of the plane's unit.

    Parameters
    ----------
    signal
        (rows, cols) nuclear plane of a box.
    floor
        Local background of the slide, see `nuclear_floor`.
    corner
        First row and column of the box in the slide's grid, multiples of FLOOR_PX.
    """
    out = scratch.array("contrast", signal.shape, np.int16)
    smooth(signal, settings.blur_um / px.mean_um, SCALE, out=out)
    above_surface(out, floor, corner, FLOOR_PX, scratch)
    return out


def above_level(
    contrast: NDArray[np.int16], *, px_um: float, typical: float, settings: NucleusSettings, scratch: Scratch
) -> NDArray[np.int16]:
    """Return contrast minus its foreground cut-off: the larger of a slide-wide floor and a local share.

    The local level is the self-weighted mean of contrast ``sum(c * c) / sum(c)``: the level of a nucleus
    wherever one lies near, however much of the window it covers.
    """
    block = block_px(settings, px_um)
    first, second = block_sums(contrast, block)
    radius = max(round(settings.local_um / px_um / block), 1)
    level = tent(second, radius) * 64 / np.maximum(tent(first, radius), 1)
    floor = settings.typical_share * typical if settings.threshold is None else settings.threshold
    knots = np.clip(np.round(level * settings.local_share), round(floor * SCALE), 2**15 - 1).astype(np.int16)
    out = scratch.array("above", contrast.shape, np.int16)
    out[:] = contrast
    above_surface(out, knots, (0, 0), block, scratch)
    return out


@njit(cache=True, nogil=True)
def fill_holes(above: Any, reach: int) -> None:
    """Raise to 1 what is enclosed by foreground (above 0) within `reach` pixels.

    A background pixel is in a hole where foreground lies up and down, and left and right, of it, less than
    `reach` + 1 pixels apart.
    """
    rows, cols = above.shape
    for i in range(1, rows - 1):
        line = above[i]
        j = 1
        while j < cols - 1:
            if line[j] > 0 or line[j - 1] <= 0:
                j += 1
                continue
            stop = j
            while stop < cols and stop - j < reach and line[stop] <= 0:
                stop += 1
            if stop < cols and line[stop] > 0:
                for c in range(j, stop):
                    if _between(above, i, c, reach):
                        line[c] = 1
            j = stop


@njit(cache=True, nogil=True)
def _between(above: Any, i: int, j: int, reach: int) -> bool:
    """Return whether foreground above and below are less than `reach` + 1 rows apart."""
    up = 1
    while i - up >= 0 and up <= reach and above[i - up, j] <= 0:
        up += 1
    down = 1
    while i + down < above.shape[0] and down <= reach and above[i + down, j] <= 0:
        down += 1
    return i - up >= 0 and i + down < above.shape[0] and up + down - 1 <= reach


@njit(cache=True, nogil=True)
def depth_in(above: Any, cap: int, out: Any) -> None:
    """Write the chamfer distance into the foreground in 1/16 pixel, from the sub-pixel crossing, capped."""
    rows, cols = above.shape
    _first_depths(above, cap, out)
    for i in range(rows):
        line = out[i]
        if i > 0:
            _from_row(line, out[i - 1])
        for j in range(1, cols):
            line[j] = min(line[j], np.int16(line[j - 1] + np.int16(STEP)))
    for i in range(rows - 1, -1, -1):
        line = out[i]
        if i < rows - 1:
            _from_row(line, out[i + 1])
        beside = np.int32(line[cols - 1])
        for j in range(cols - 1, 0, -1):
            beside = min(np.int32(line[np.uint64(j - 1)]), beside + np.int32(STEP))
            line[np.uint64(j - 1)] = beside


@njit(cache=True, nogil=True)
def _from_row(line: Any, other: Any) -> None:
    """Lower a row of depths by what the row beside it allows."""
    _lower(line, other, STEP)
    _lower(line[1:], other[:-1], _DIAGONAL)
    _lower(line[:-1], other[1:], _DIAGONAL)


@njit(cache=True, nogil=True)
def _lower(line: Any, other: Any, step: int) -> None:
    """Lower values to another's plus a step; apart so that it is vectorised."""
    add = np.int16(step)
    for j in range(len(line)):
        value = np.int16(other[j] + add)
        line[j] = value if value < line[j] else line[j]


@njit(cache=True, nogil=True)
def _first_depths(above: Any, cap: int, out: Any) -> None:
    """Write 0 outside the foreground, `cap` inside, and on its edge the distance to where 0 is crossed."""
    rows, cols = above.shape
    straight, diagonal = np.ones(cols, dtype=np.int16), np.ones(cols, dtype=np.int16)
    for i in range(rows):
        up, here, down = above[max(i - 1, 0)], above[i], above[min(i + 1, rows - 1)]
        line = out[i]
        for j in range(cols):
            line[j] = np.int16(cap) if here[j] > 0 else np.int16(0)
            straight[j] = up[j] if up[j] < down[j] else down[j]
        diagonal[0] = 1  # nothing beyond the edge
        diagonal[1:] = straight[:-1]
        _least(diagonal[:-1], straight[1:])
        _least(straight[1:], here[:-1])
        _least(straight[:-1], here[1:])
        for j in range(cols):
            if here[j] > 0 and (straight[j] <= 0 or diagonal[j] <= 0):
                line[j] = _crossing(np.int32(here[j]), np.int32(straight[j]), np.int32(diagonal[j]))


@njit(cache=True, nogil=True)
def _least(line: Any, other: Any) -> None:
    """Lower values to another's; apart so that it is vectorised."""
    for j in range(len(line)):
        line[j] = other[j] if other[j] < line[j] else line[j]


@njit(cache=True, nogil=True)
def _crossing(level: Any, straight: Any, diagonal: Any) -> Any:
    """Return how far from a foreground pixel 0 is crossed towards its lowest neighbours."""
    best = np.int32(_DIAGONAL)
    if straight <= 0:
        best = STEP * level // (level - straight + 1)
    if diagonal <= 0:
        best = min(best, _DIAGONAL * level // (level - diagonal + 1))
    return best
