"""Clefts between nuclei: thin valleys of nuclear stain with stained ridges on both sides.

In packed tissue nuclei touch over most of their outline, and the shape of the clump no longer tells them apart; the
dark line between them still does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.guided import STAINED
from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.settings import NucleusSettings


def open_clefts(
    contrast: NDArray[np.int16],
    above: NDArray[np.int16],
    *,
    px_um: float,
    share: float,
    settings: NucleusSettings,
    guide: NDArray[np.int16] | None = None,
) -> NDArray[np.int64]:
    """Set `above` to 0 in clefts of packed foreground, in place; return their pixels (flat).

    Parameters
    ----------
    contrast
        (rows, cols) nuclear stain above local background, smoothed.
    above
        (rows, cols) what is foreground (above 0).
    px_um
        Side of a pixel.
    share
        A cleft lies below the lower of its ridges by more than this share of it.
    guide
        (rows, cols) stain of cytoplasm, see `guided.combined_guide`. Where the surroundings are stained on average,
        none is opened: there cytoplasm parts nuclei.

    Notes
    -----
    Only where foreground covers most of the surroundings: elsewhere shape tells nuclei apart, and a cleft is more
    often the chromatin of one large nucleus.
    """
    side = 2 * round(settings.packed_um / px_um) + 1
    barred = np.zeros((0, 0), dtype=np.bool_)
    if guide is not None:
        import cv2

        around = cv2.boxFilter(guide, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
        barred = around >= STAINED * side * side
    packed = np.uint16(round(settings.packed_share * side * side))
    at = _clefts(contrast, above, barred, side, packed, max(round(settings.cleft_um / px_um), 1), round(256 * share))
    above.reshape(-1)[at] = 0
    return np.asarray(at, dtype=np.int64)


@njit(cache=True, nogil=True)
def _clefts(contrast: Any, above: Any, barred: Any, side: int, packed: Any, reach: int, share: int) -> Any:
    """Return the pixels (flat) in clefts; only packed pixels are looked at, which are few."""
    rows, cols = contrast.shape
    slant = max(round(reach / 1.4142), 1)
    edge, half = max(reach, slant) + 1, side // 2
    count, room = np.zeros(cols + side - 1, dtype=np.uint16), np.zeros((3, cols + side - 1), dtype=np.uint16)
    within = count[half : half + cols]
    mark, at = mark_room(cols)
    found = []
    for i in range(-half, rows):
        if i + half < rows:
            _count(within, above[i + half], np.uint16(1))
        if i > half:
            _count(within, above[i - half - 1], np.uint16(-1))
        if i < edge or i >= rows - edge:
            continue
        _mark_packed(_window_sums(count, side, room), above[i], packed, mark)
        for t in range(marked(mark, at)):
            j = at[t]
            if j < edge or j >= cols - edge or (barred.size and barred[i, j]):
                continue
            if (
                _valley(contrast, i, j, 0, reach, 1, 0, share)
                or _valley(contrast, i, j, reach, 0, 0, 1, share)
                or _valley(contrast, i, j, slant, slant, -1, 1, share)
                or _valley(contrast, i, j, slant, -slant, 1, 1, share)
            ):
                found.append(i * cols + j)
    return np.array(found, dtype=np.int64)


@njit(cache=True, nogil=True)
def _count(counts: Any, line: Any, weight: Any) -> None:
    """Add a row's foreground to the counts of columns, or take it off."""
    for j in range(len(counts)):
        counts[j] += weight if line[j] > 0 else np.uint16(0)


@njit(cache=True, nogil=True)
def _window_sums(counts: Any, side: int, room: Any) -> Any:
    """Return sums over `side` neighbours from each place on, of those that have as many; `room`: three such rows.

    Sums of 1, 2, 4 … neighbours, those put together that make up the side.
    """
    total, power, spare = room[0], room[1], room[2]
    size = len(counts) - side + 1
    total[:size] = 0
    power[:] = counts
    width, done = 1, 0
    while width <= side:
        if side & width:
            _raise(total[:size], power[done : done + size])
            done += width
        reach = len(counts) - width
        _add(spare[:reach], power[:reach], power[width : width + reach])
        power, spare = spare, power
        width *= 2
    return total[:size]


@njit(cache=True, nogil=True)
def _add(out: Any, one: Any, two: Any) -> None:
    for j in range(len(out)):
        out[j] = one[j] + two[j]


@njit(cache=True, nogil=True)
def _raise(out: Any, by: Any) -> None:
    for j in range(len(out)):
        out[j] += by[j]


@njit(cache=True, nogil=True)
def _mark_packed(cover: Any, line: Any, packed: Any, mark: Any) -> None:
    """Mark foreground where it covers the surroundings."""
    for j in range(len(cover)):
        mark[j] = (cover[j] >= packed) & (line[j] > 0)


@njit(cache=True, nogil=True, inline="always")
def _valley(c: Any, i: int, j: int, down: int, right: int, dy: int, dx: int, share: int) -> bool:
    """Return whether a pixel lies in a valley across (down, right), averaged along (dy, dx)."""
    here = _along(c, i, j, dy, dx)
    ridge = min(_along(c, i - down, j - right, dy, dx), _along(c, i + down, j + right, dy, dx))
    return here * 256 < (256 - share) * ridge


@njit(cache=True, nogil=True, inline="always")
def _along(c: Any, i: int, j: int, dy: int, dx: int) -> Any:
    return np.int64(c[i - dy, j - dx]) + 2 * np.int64(c[i, j]) + np.int64(c[i + dy, j + dx])
