"""How strongly the membrane of each cell is stained, seen along rays from its nucleus.

A ray leaves the nucleus in each of 24 directions and looks, in the cell's territory, for stain that stands
above what lies beyond and before it: a membrane, where diffuse brown, autofluorescence or the edge of a dark
nucleus give none. Some rays high is partial staining. Where a ray faces a cell with the stronger rim, the stain
seen there is taken to be the neighbour's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import TERRITORY_COST, label_of

RAYS = 24
#: The score is the mean over these ranks of the rays, from the weakest: the upper half without the top two.
_FIRST, _LAST = 12, 22
#: Rank of the level a ray falls to where its stain is the neighbour's.
_LOW = 2
#: µm. Where a membrane may lie outside the nuclear rim, and past the territory.
_OFF_RIM_UM, _PAST_END_UM = 0.25, 0.5
#: µm. How far beyond and before it the surroundings lie that it must stand above.
_BEYOND_UM, _BEFORE_UM = (1.0, 3.0), (1.0, 2.5)
#: µm. How far past the territory another cell is faced, and the longest way from the nuclear rim.
_FACING_UM, _LONGEST_UM = 1.5, 11.0

#: Fractions of a pixel that positions on rays are reckoned in: whole numbers, so that a ray reads the same pixels
#: in every tile.
FRACTION = 256
_ANGLES = 2 * np.pi * np.arange(RAYS) / RAYS
_WAY = np.round(FRACTION * np.stack((np.sin(_ANGLES), np.cos(_ANGLES)), axis=1)).astype(np.int64)


def rim_stain(
    keys: NDArray[np.uint32],
    centre: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[np.int16],
    *,
    px_um: float,
) -> NDArray[np.float32]:
    """Return (n, markers, 2): membrane stain as seen, and without what belongs to a neighbour.

    Parameters
    ----------
    keys
        (rows, cols) cells and territories, see `cells.grow_cells`.
    centre
        (n, 2) row and column of the nuclear centroid from the array's corner, in 1/FRACTION pixel.
    wanted
        (n,) cells to look at; the others only where a wanted one faces them.
    planes
        (rows, cols, markers) stain amounts, smoothed.
    px_um
        Side of a pixel.
    """
    reach = (_PAST_END_UM, *_BEYOND_UM, *_BEFORE_UM, _FACING_UM, _LONGEST_UM)
    steps = np.array([int(np.ceil(_OFF_RIM_UM / px_um)), *(max(round(um / px_um), 1) for um in reach)], dtype=np.int64)
    n, m = len(centre), planes.shape[2]
    rays = np.zeros((n, m, RAYS), dtype=np.int32)
    facing = np.zeros((n, RAYS), dtype=np.int32)
    _ridges(keys, centre, wanted, planes, steps, rays, facing)
    faced = np.zeros(n + 1, dtype=np.bool_)
    faced[facing[wanted]] = True
    _ridges(keys, centre, faced[1:] & ~wanted, planes, steps, rays, facing)
    return np.asarray(_scores(rays, facing, wanted))


@njit(cache=True, nogil=True)
def _ridges(keys: Any, centre: Any, chosen: Any, planes: Any, steps: Any, rays: Any, facing: Any) -> None:
    """Write the ridge of each marker on each ray (n, markers, RAYS), and the cell beyond (n, RAYS)."""
    rows, cols, m = planes.shape
    before, frame = steps[5], 4 * steps[7]
    length = before + steps[7] + steps[3] + steps[1] + 2
    profile = np.zeros((m, RAYS, length), dtype=np.int32)
    line = np.empty(length, dtype=np.int32)
    last = np.zeros(RAYS, dtype=np.int64)
    start = np.zeros(RAYS, dtype=np.int64)
    for k in range(len(centre)):
        if not chosen[k]:
            continue
        r, c = centre[k, 0], centre[k, 1]
        inside = frame <= r >> 8 < rows - frame and frame <= c >> 8 < cols - frame
        for t in range(RAYS):
            rim, end, facing[k, t] = _extent(keys, k + 1, r, c, t, steps, inside)
            start[t], last[t] = rim - before, end - rim + steps[1]
        for t in range(RAYS):
            need = before + max(last[t - 1], last[t], last[(t + 1) % RAYS]) + steps[3] + 1
            for s in range(need):
                u = max(start[t] + s, 0)
                i, j = (r + u * _WAY[t, 0]) >> 8, (c + u * _WAY[t, 1]) >> 8
                if not inside:
                    i, j = min(max(i, 0), rows - 1), min(max(j, 0), cols - 1)
                for p in range(m):
                    profile[p, t, s] = planes[np.uint64(i), np.uint64(j), p]
        for p in range(m):
            for t in range(RAYS):
                left, middle, right = profile[p, t - 1], profile[p, t], profile[p, (t + 1) % RAYS]
                for s in range(before + last[t] + steps[3] + 1):
                    line[s] = left[s] + right[s] + 2 * middle[s]
                rays[k, p, t] = _ridge(line, before, last[t], steps)


@njit(cache=True, nogil=True)
def _extent(keys: Any, label: int, r: int, c: int, t: int, steps: Any, inside: bool) -> Any:
    """Return the last step in the nucleus and in the territory, and the first other cell past its end."""
    rows, cols = keys.shape
    facing, longest = steps[6], steps[7]
    rim, end = 0, 0
    for s in range(1, 2 * longest):
        if s > max(end, 1) + facing or s - rim > longest:
            break
        i, j = (r + s * _WAY[t, 0]) >> 8, (c + s * _WAY[t, 1]) >> 8
        if not inside and (i < 0 or j < 0 or i >= rows or j >= cols):
            break
        key = keys[np.uint64(i), np.uint64(j)]
        found = label_of(key, TERRITORY_COST)
        if found == label:
            end = s
            if label_of(key, 0):
                rim = s
        elif found and s > rim:
            return rim, max(end, rim), found
    return rim, max(end, rim), 0


@njit(cache=True, nogil=True)
def _ridge(line: Any, rim: int, last: int, steps: Any) -> int:
    """Return eight times the highest ridge on one ray.

    Half how far stain stands above the lowest beyond, half the same or how far above the lowest before,
    whichever is less: a cell full of stain still counts by half.
    """
    best = 0
    lowest = line[rim - steps[5] : rim + last + steps[3] + 1].min()
    for s in range(rim + steps[0], rim + last + 1):
        if 2 * (line[s] - lowest) <= best:
            continue
        beyond = line[s + steps[2]]
        for u in range(s + steps[2] + 1, s + steps[3] + 1):
            beyond = min(beyond, line[u])
        drop = line[s] - beyond
        if 2 * drop <= best:
            continue
        before = line[s - steps[4]]
        for u in range(s - steps[5], s - steps[4]):
            before = min(before, line[u])
        best = max(best, drop + min(drop, line[s] - before))
    return best


@njit(cache=True, nogil=True)
def _scores(rays: Any, facing: Any, wanted: Any) -> Any:
    n, m, _ = rays.shape
    middle = np.zeros((n, m), dtype=np.int64)
    low = np.zeros((n, m), dtype=np.int32)
    scores = np.zeros((n, m, 2), dtype=np.float32)
    ordered = np.empty(RAYS, dtype=np.int32)
    for k in range(n):
        for p in range(m):
            _sort_into(ordered, rays[k, p])
            middle[k, p] = ordered[RAYS // 2 - 1] + ordered[RAYS // 2]
            low[k, p] = ordered[_LOW]
            scores[k, p, 0] = ordered[_FIRST:_LAST].sum() / (8 * (_LAST - _FIRST))
    own = np.empty(RAYS, dtype=np.int32)
    for k in range(n):
        if not wanted[k]:
            continue
        for p in range(m):
            for t in range(RAYS):
                own[t] = rays[k, p, t]
                f = facing[k, t]
                if f and middle[f - 1, p] > middle[k, p]:
                    own[t] = min(own[t], low[k, p])
            _sort_into(ordered, own)
            scores[k, p, 1] = ordered[_FIRST:_LAST].sum() / (8 * (_LAST - _FIRST))
    return scores


@njit(cache=True, nogil=True)
def _sort_into(ordered: Any, values: Any) -> None:
    """Sort a few values by insertion."""
    for t in range(len(values)):
        value = values[t]
        u = t
        while u > 0 and ordered[u - 1] > value:
            ordered[u] = ordered[u - 1]
            u -= 1
        ordered[u] = value
