"""A plane of nuclear stain -> its foreground, and how deep each pixel lies in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.blocks import above_surface, bilinear, block_sums, tent, window_min
from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NucleusSettings, Shares
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
    above_surface(out, floor, corner, FLOOR_PX, scratch, out=out)
    return out


def above_level(
    contrast: NDArray[np.int16],
    *,
    px_um: float,
    typical: float,
    settings: NucleusSettings,
    shares: Shares,
    scratch: Scratch,
) -> NDArray[np.int16]:
    """Return contrast minus its foreground cut-off: the larger of a slide-wide floor and a local share.

    The local level is the self-weighted mean of contrast ``sum(c * c) / sum(c)``: the level of a nucleus
    wherever one lies near, however much of the window it covers.
    """
    block = block_px(settings, px_um)
    sums, around = (
        scratch.array(name, (2, *(-(-n // block) for n in contrast.shape)), np.float64) for name in ("sums", "around")
    )
    block_sums(contrast, block, sums)
    radius = max(round(settings.local_um / px_um / block), 1)
    floor = shares.typical * typical if settings.threshold is None else settings.threshold
    highest = settings.local_most * typical * SCALE
    for total, level in zip(sums, around, strict=True):
        tent(total, radius, level)
    knots = np.empty(sums.shape[1:], dtype=np.int16)
    _cut_offs(around, highest, shares.local, round(floor * SCALE), knots)
    out = scratch.array("above", contrast.shape, np.int16)
    above_surface(contrast, knots, (0, 0), block, scratch, out=out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _cut_offs(sums: Any, highest: float, share: float, floor: int, out: Any) -> None:
    """Write the share of the local level, of which no more than `highest` counts, and at least the floor.

    `sums`: (2, rows, cols) contrast and its squares in units of 8, see `block_sums`.
    """
    first, second = sums[0], sums[1]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            level = min(second[i, j] * 64 / max(first[i, j], 1.0), highest)
            out[i, j] = np.int16(min(max(np.rint(level * share), floor), 2.0**15 - 1))


@njit(cache=True, nogil=True)
def fill_holes(above: Any, reach: int) -> None:
    """Raise to 1 what is enclosed by foreground (above 0) within `reach` pixels.

    A background pixel is in a hole where foreground lies up and down, and left and right, of it, less than
    `reach` + 1 pixels apart.
    """
    rows, cols = above.shape
    mark, at = mark_room(cols)
    for i in range(1, rows - 1):
        line = above[i]
        _mark_ends(line, mark)
        for t in range(marked(mark, at)):
            j = stop = at[t]
            while stop < cols and stop - j < reach and line[stop] <= 0:
                stop += 1
            if stop < cols and line[stop] > 0:
                for c in range(j, stop):
                    if _between(above, i, c, reach):
                        line[c] = 1


@njit(cache=True, nogil=True)
def _mark_ends(line: Any, mark: Any) -> None:
    """Mark background pixels with foreground on their left, but for the last of the row."""
    for j in range(1, len(line) - 1):
        mark[j] = (line[j] <= 0) & (line[j - 1] > 0)


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
    spare = np.empty((2, cols), dtype=np.int16)
    for i in range(rows):
        _first_depths(above[max(i - 1, 0)], above[i], above[min(i + 1, rows - 1)], cap, spare, out[i])
        if i > 0:
            _from_row(out[i], out[i - 1])
        _along(out[i], cap, spare, back=False)
    for i in range(rows - 1, -1, -1):
        if i < rows - 1:
            _from_row(out[i], out[i + 1])
        _along(out[i], cap, spare, back=True)


@njit(cache=True, nogil=True)
def _from_row(line: Any, other: Any) -> None:
    """Lower a row of depths by what the row beside it allows."""
    straight, diagonal, last = np.int16(STEP), np.int16(_DIAGONAL), len(line) - 1
    line[0] = min(line[0], np.int16(other[0] + straight))
    if last:
        line[0] = min(line[0], np.int16(other[1] + diagonal))
        line[last] = min(line[last], np.int16(other[last] + straight), np.int16(other[last - 1] + diagonal))
    left, middle, right, inner = other[:-2], other[1:-1], other[2:], line[1:-1]
    for j in range(len(inner)):
        aslant = np.int16((left[j] if left[j] < right[j] else right[j]) + diagonal)
        below = np.int16(middle[j] + straight)
        best = aslant if aslant < below else below
        inner[j] = best if best < inner[j] else inner[j]


@njit(cache=True, nogil=True)
def _along(line: Any, cap: int, spare: Any, back: bool) -> None:
    """Lower a row of depths by what lies before it (or behind): 1 pixel away, then 2, 4 … until the cap."""
    cols = len(line)
    source, reach, k = line, 1, 0
    while reach * STEP < cap and reach < cols:
        target, stay = spare[k], cols - reach
        if back:
            _lower(target[:stay], source[:stay], source[reach:], reach * STEP)
            target[stay:] = source[stay:]
        else:
            _lower(target[reach:], source[reach:], source[:stay], reach * STEP)
            target[:reach] = source[:reach]
        source, reach, k = target, 2 * reach, 1 - k
    for j in range(cols):
        line[j] = source[j]


@njit(cache=True, nogil=True)
def _lower(out: Any, line: Any, other: Any, step: int) -> None:
    """Write the lesser of a row and another plus a step; `out` is neither, so that it is vectorised."""
    add = np.int16(step)
    for j in range(len(line)):
        value = np.int16(other[j] + add)
        out[j] = value if value < line[j] else line[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _first_depths(up: Any, here: Any, down: Any, cap: int, spare: Any, out: Any) -> None:
    """Write 0 outside the foreground, `cap` inside, and on its edge the distance to where 0 is crossed.

    Towards a lower neighbour 0 is crossed at a share of the way; quotients are exact, being far from the next
    whole number in float32.
    """
    one, straight_step, diagonal_step = np.float32(1), np.float32(STEP), np.float32(_DIAGONAL)
    straight, diagonal = spare[0], spare[1]
    for j in range(len(here)):
        straight[j] = up[j] if up[j] < down[j] else down[j]
    diagonal[0] = 1  # nothing beyond the edge
    diagonal[1:] = straight[:-1]
    _least(diagonal[:-1], straight[1:])
    _least(straight[1:], here[:-1])
    _least(straight[:-1], here[1:])
    for j in range(len(here)):
        level = np.float32(here[j])
        across = straight_step * level / (level - np.float32(straight[j]) + one)
        aslant = diagonal_step * level / (level - np.float32(diagonal[j]) + one)
        across = across if straight[j] <= 0 else diagonal_step
        aslant = aslant if diagonal[j] <= 0 else diagonal_step
        edge = (straight[j] <= 0) | (diagonal[j] <= 0)
        depth = np.int16(min(across, aslant)) if edge else np.int16(cap)
        out[j] = depth if here[j] > 0 else np.int16(0)


@njit(cache=True, nogil=True)
def _least(line: Any, other: Any) -> None:
    """Lower values to another's; apart so that it is vectorised."""
    for j in range(len(line)):
        line[j] = other[j] if other[j] < line[j] else line[j]
