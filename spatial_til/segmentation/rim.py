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

_ANGLES = 2 * np.pi * np.arange(RAYS) / RAYS
#: Ray directions in 1/256 pixel: whole numbers, so that a ray reads the same pixels in every tile.
_DROW = np.round(256 * np.sin(_ANGLES)).astype(np.int64)
_DCOL = np.round(256 * np.cos(_ANGLES)).astype(np.int64)


def rim_stain(
    keys: NDArray[np.uint32],
    centre_16: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[Any],
    *,
    px_um: float,
) -> NDArray[np.float32]:
    """Return (n, markers, 2): membrane stain as seen, and without what belongs to a neighbour.

    Parameters
    ----------
    keys
        (rows, cols) cells and territories, see `cells.grow_cells`.
    centre_16
        (n, 2) row and column of the nuclear centroid in 1/16 pixel.
    wanted
        (n,) cells to look at; the others only where a wanted one faces them.
    planes
        (markers, rows, cols) stain amounts, smoothed.
    px_um
        Side of a pixel.
    """
    reach = (_PAST_END_UM, *_BEYOND_UM, *_BEFORE_UM, _FACING_UM, _LONGEST_UM)
    steps = [int(np.ceil(_OFF_RIM_UM / px_um)), *(max(round(um / px_um), 1) for um in reach)]
    n, m = len(centre_16), len(planes)
    rays = np.zeros((n, m, RAYS), dtype=np.float32)
    facing = np.zeros((n, RAYS), dtype=np.int32)
    _ridges(keys, centre_16, wanted, planes, np.array(steps, dtype=np.int64), rays, facing)
    faced = np.zeros(n + 1, dtype=np.bool_)
    faced[facing[wanted]] = True
    others = faced[1:] & ~wanted
    _ridges(keys, centre_16, others, planes, np.array(steps, dtype=np.int64), rays, facing)
    return np.asarray(_scores(rays, facing, wanted))


@njit(cache=True, nogil=True)
def _ridges(keys: Any, centre_16: Any, chosen: Any, planes: Any, steps: Any, rays: Any, facing: Any) -> None:
    """Write the ridge of each marker on each ray (n, markers, RAYS), and the cell beyond (n, RAYS)."""
    n, m = len(centre_16), planes.shape[0]
    rows, cols = keys.shape
    before, longest = steps[5], steps[7]
    length = before + longest + steps[3] + steps[1] + 2
    profile = np.zeros((m, RAYS, length), dtype=np.float32)
    line = np.empty(length, dtype=np.float32)
    last = np.zeros(RAYS, dtype=np.int64)
    start = np.zeros(RAYS, dtype=np.int64)
    for k in range(n):
        if not chosen[k]:
            continue
        r0, c0 = centre_16[k, 0] * 16 + 128, centre_16[k, 1] * 16 + 128
        furthest = 0
        for t in range(RAYS):
            rim, end, facing[k, t] = _extent(keys, k + 1, r0, c0, t, longest, steps[6])
            start[t], last[t] = rim - before, end - rim + steps[1]
            furthest = max(furthest, last[t])
        used = min(before + furthest + steps[3] + 1, length)
        for t in range(RAYS):
            for s in range(used):
                at = max(start[t] + s, 0)
                i = min(max((r0 + at * _DROW[t]) >> 8, 0), rows - 1)
                j = min(max((c0 + at * _DCOL[t]) >> 8, 0), cols - 1)
                for p in range(m):
                    profile[p, t, s] = planes[p, i, j]
        for p in range(m):
            for t in range(RAYS):
                left, right = profile[p, (t + RAYS - 1) % RAYS], profile[p, (t + 1) % RAYS]
                for s in range(used):
                    line[s] = np.float32(0.25) * (left[s] + right[s]) + np.float32(0.5) * profile[p, t, s]
                rays[k, p, t] = _ridge(line, before, last[t], steps)


@njit(cache=True, nogil=True)
def _extent(keys: Any, label: int, r0: int, c0: int, t: int, longest: int, facing: int) -> Any:
    """Return the last step in the nucleus and in the territory, and the first other cell past its end."""
    rows, cols = keys.shape
    rim, end, other = 0, 0, 0
    for s in range(1, 4 * longest):
        i = (r0 + s * _DROW[t]) >> 8
        j = (c0 + s * _DCOL[t]) >> 8
        if i < 0 or j < 0 or i >= rows or j >= cols or s > max(end, 1) + facing or s - rim > longest:
            break
        key = keys[i, j]
        found = label_of(key, TERRITORY_COST)
        if found == label and not other:
            end = s
            if label_of(key, 0):
                rim = s
        elif found and found != label and s > rim:
            other = found
            break
    return rim, max(end, rim), other


@njit(cache=True, nogil=True)
def _ridge(line: Any, rim: int, last: int, steps: Any) -> float:
    """Return the highest ridge on one ray.

    Half how far stain stands above the lowest beyond, half the same or how far above the lowest before,
    whichever is less: a cell full of stain still counts by half.
    """
    best = np.float32(0.0)
    for s in range(rim + steps[0], rim + last + 1):
        if line[s] <= best:
            continue
        beyond = line[s + steps[2]]
        for u in range(s + steps[2] + 1, s + steps[3] + 1):
            beyond = min(beyond, line[u])
        drop = line[s] - beyond
        if drop <= best:
            continue
        ahead = line[s - steps[4]]
        for u in range(max(s - steps[5], 0), s - steps[4]):
            ahead = min(ahead, line[u])
        best = max(best, np.float32(0.5) * (drop + min(drop, line[s] - ahead)))
    return best


@njit(cache=True, nogil=True)
def _scores(rays: Any, facing: Any, wanted: Any) -> Any:
    n, m, _ = rays.shape
    middle = np.zeros((n, m), dtype=np.float32)
    low = np.zeros((n, m), dtype=np.float32)
    scores = np.zeros((n, m, 2), dtype=np.float32)
    ordered = np.empty(RAYS, dtype=np.float32)
    for k in range(n):
        for p in range(m):
            _sort_into(ordered, rays[k, p])
            middle[k, p] = 0.5 * (ordered[RAYS // 2 - 1] + ordered[RAYS // 2])
            low[k, p] = ordered[_LOW]
            scores[k, p, 0] = ordered[_FIRST:_LAST].mean()
    own = np.empty(RAYS, dtype=np.float32)
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
            scores[k, p, 1] = ordered[_FIRST:_LAST].mean()
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
