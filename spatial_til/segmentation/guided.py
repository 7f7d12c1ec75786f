"""Cells grown where a stain of their cytoplasm lies: as far as it reaches, and never into a neighbour.

A cell whose surroundings are stained grows through stain only; one whose surroundings are not grows through what is
unstained only. So the border of stain is the border of cells, and between two stained cells it lies half way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import (
    CELL_COST,
    CELL_END,
    COST_BIT,
    LABEL_MASK,
    TERRITORY_COST,
    grow_cells,
    step_of,
)
from spatial_til.segmentation.scratch import Scratch

#: The guide where stain begins on this slide.
STAINED = 256
#: More than this does not count.
_MOST = 16 * STAINED
#: A cell's stain reaches to where it has this share of its level around the nucleus.
_LEVEL_SHARE = 0.5
#: µm around a nucleus that say whether its cell is stained: half of them have to be.
_RING_UM = 1.0
#: µm past the end of a stained cell where its membrane may lie.
_TERRITORY_UM = 2.0
_FREE = np.uint32(1300 << COST_BIT)


def combined_guide(planes: NDArray[np.int16], levels: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Return one guide (rows, cols) from stain planes (markers, rows, cols): `STAINED` where any reaches its level.

    Parameters
    ----------
    levels
        (markers,) where stain of a marker begins on the slide, see `stain_level`.
    """
    guide = np.zeros(planes.shape[1:], dtype=np.int16)
    for plane, level in zip(planes, levels, strict=True):
        if np.isfinite(level):
            scaled = plane.astype(np.int32) * STAINED // max(round(level), 1)
            np.maximum(guide, np.minimum(scaled, _MOST).astype(np.int16), out=guide)
    return guide


def stain_level(values: NDArray[np.int16]) -> float:
    """Return the level half way between unstained and stained pixels, infinite where nothing is stained.

    The two are parted by Otsu's cut (1979, doi:10.1109/TSMC.1979.4310076). Stained pixels have at least three
    times the stain of the others: noise does not.
    """
    counts = np.bincount(np.maximum(values.ravel(), 0)).astype(np.float64)
    below, total = np.cumsum(counts), np.cumsum(counts * np.arange(len(counts)))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = total / below, (total[-1] - total) / above
        between = np.nan_to_num(below * above * (high - low) ** 2)
    at = int(np.argmax(between))
    return float(low[at] + high[at]) / 2 if between[at] > 0 and high[at] >= 3 * max(low[at], 1.0) else np.inf


def grow_guided(
    nuclei: NDArray[np.int32],
    guide: NDArray[np.int16],
    *,
    px_um: float,
    cell_expansion_um: float,
    guided_expansion_um: float,
    scratch: Scratch,
) -> NDArray[np.uint32]:
    """Return the keys (rows, cols) of cells grown from nuclei along a guide; read them as those of `grow_cells`.

    Parameters
    ----------
    nuclei
        (rows, cols) labels, 0 background, 1..n nuclei.
    guide
        (rows, cols) stain of cytoplasm, see `combined_guide`.
    px_um
        Side of a pixel.
    cell_expansion_um, guided_expansion_um
        How far cells without and with stain around the nucleus grow at most.

    Raises
    ------
    SlideError
        Where a tile holds too many nuclei.

    Notes
    -----
    Shortest ways in order of their length, so the result depends on no order of pixels and on nothing further away
    than the expansion.
    """
    n = int(nuclei.max(initial=0))
    same = {"cell_expansion_um": _RING_UM, "large_expansion_um": _RING_UM, "large_nucleus_um2": 0.0}
    ring = grow_cells(nuclei, np.zeros(n), px_um=px_um, scratch=scratch, **same)
    level = _own_levels(ring, guide, n)
    per_um = [(CELL_COST, cell_expansion_um), (CELL_COST, guided_expansion_um)]
    past = (TERRITORY_COST - CELL_COST) * px_um
    rise = [
        (step_of(cost * px_um, um), step_of(past, beyond))
        for (cost, um), beyond in zip(per_um, (0.6 * cell_expansion_um, _TERRITORY_UM), strict=True)
    ]
    straight = np.array(rise, dtype=np.int64)
    steps = np.stack((straight, np.round(1.4142 * straight).astype(np.int64)), axis=2)
    keys = scratch.array("keys", nuclei.shape, np.uint32)
    _grow(nuclei, level, guide, steps, keys)
    return keys


@njit(cache=True, nogil=True)
def _own_levels(ring: Any, guide: Any, n: int) -> Any:
    """Return the guide down to which each cell (n + 1) grows; 0 for cells that are not stained."""
    seen, stained = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    total = np.zeros(n + 1, dtype=np.int64)
    for i in range(ring.shape[0]):
        for j in range(ring.shape[1]):
            key = ring[i, j]
            if (key >> COST_BIT) == 0 or key >= CELL_END:
                continue
            k = (key >> np.uint32(1)) & LABEL_MASK
            seen[k] += 1
            if guide[i, j] >= STAINED:
                stained[k] += 1
                total[k] += guide[i, j]
    level = np.zeros(n + 1, dtype=np.int64)
    for k in range(1, n + 1):
        if 2 * stained[k] >= max(seen[k], 1):
            level[k] = np.int64(_LEVEL_SHARE * total[k] / stained[k])
    return level


@njit(cache=True, nogil=True)
def _grow(nuclei: Any, level: Any, guide: Any, steps: Any, keys: Any) -> None:
    """Write keys, pixel by pixel in order of cost; a list of pixels for each cost holds those to go on from."""
    rows, cols = nuclei.shape
    head = np.full(TERRITORY_COST + 1, -1, dtype=np.int64)
    room = rows * cols // 4 + 1024  # doubled where it is not enough
    pixel, following = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    used = 0
    for i in range(rows):
        for j in range(cols):
            k = nuclei[i, j]
            keys[i, j] = _FREE if k == 0 else np.uint32((k << 1) | (level[k] > 0))
            if k and _at_edge(nuclei, i, j):
                pixel[used], following[used], head[0] = i * cols + j, head[0], used
                used += 1
    for cost in range(TERRITORY_COST + 1):
        entry = head[cost]
        while entry >= 0:
            i, j = pixel[entry] // cols, pixel[entry] % cols
            entry = following[entry]
            key = keys[i, j]
            if np.int64(key >> COST_BIT) != cost:
                continue
            own = key & np.uint32((1 << COST_BIT) - 1)
            k, stained = own >> np.uint32(1), own & np.uint32(1)
            for y in range(max(i - 1, 0), min(i + 2, rows)):
                for x in range(max(j - 1, 0), min(j + 2, cols)):
                    if nuclei[y, x]:
                        continue
                    slant = np.int64(y != i and x != j)
                    enters = guide[y, x] >= level[k] if stained else guide[y, x] < STAINED
                    new = cost + steps[stained, 0, slant]
                    if not enters or new > CELL_COST:
                        new = max(cost, CELL_COST) + steps[stained, 1, slant]
                    if new > TERRITORY_COST:
                        continue
                    offer = np.uint32(new << COST_BIT) | own
                    if offer >= keys[y, x]:
                        continue
                    keys[y, x] = offer
                    if used == len(pixel):
                        pixel, following = np.append(pixel, pixel), np.append(following, following)
                    pixel[used], following[used], head[new] = y * cols + x, head[new], used
                    used += 1


@njit(cache=True, nogil=True, inline="always")
def _at_edge(nuclei: Any, i: int, j: int) -> bool:
    """Return whether a pixel without a nucleus lies beside this one, also aslant."""
    for y in range(max(i - 1, 0), min(i + 2, nuclei.shape[0])):
        for x in range(max(j - 1, 0), min(j + 2, nuclei.shape[1])):
            if nuclei[y, x] == 0:
                return True
    return False
