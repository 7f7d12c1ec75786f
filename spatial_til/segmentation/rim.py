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

RAYS = 24
#: The score is the mean over these ranks of the rays, from the weakest: the upper half without the top two.
_FIRST, _LAST = 12, 22
#: Rank of the level a ray falls to where its stain is the neighbour's.
_LOW = 2
#: µm: where a membrane may lie outside the nuclear rim and past the territory, and what it is compared with.
_OFF_RIM_UM, _PAST_END_UM = 0.25, 0.5
_BEYOND_UM, _BEFORE_UM = (1.0, 3.0), (1.0, 2.5)
_FACING_UM = 1.5
_LONGEST_UM = 11.0

_ANGLES = 2 * np.pi * np.arange(RAYS) / RAYS
#: Ray directions in 1/256 pixel: whole numbers, so that a ray reads the same pixels in every tile.
_DROW = np.round(256 * np.sin(_ANGLES)).astype(np.int64)
_DCOL = np.round(256 * np.cos(_ANGLES)).astype(np.int64)


def rim_stain(
    territory: NDArray[np.int32],
    nuclei: NDArray[np.int32],
    centre_16: NDArray[np.int64],
    planes: NDArray[Any],
    *,
    px_um: float,
) -> NDArray[np.float32]:
    """Return (n, markers, 2): membrane stain as seen, and without what belongs to a neighbour.

    Parameters
    ----------
    territory, nuclei
        (rows, cols) labels 1..n of the same cells.
    centre_16
        (n, 2) row and column of the nuclear centroid in 1/16 pixel.
    planes
        (markers, rows, cols) stain amounts, smoothed.
    px_um
        Side of a pixel.
    """
    reach = np.array(
        [_OFF_RIM_UM, _PAST_END_UM, _BEYOND_UM[0], _BEYOND_UM[1], _BEFORE_UM[0], _BEFORE_UM[1], _FACING_UM, _LONGEST_UM]
    )
    steps = np.maximum(np.round(reach / px_um), 1).astype(np.int64)
    steps[0] = np.int64(np.ceil(_OFF_RIM_UM / px_um))
    rays, facing = _ridges(territory, nuclei, centre_16, planes, steps)
    return np.asarray(_scores(rays, facing))


@njit(cache=True, nogil=True)
def _ridges(territory: Any, nuclei: Any, centre_16: Any, planes: Any, steps: Any) -> Any:
    """Return the ridge of each marker on each ray (n, markers, RAYS), and the cell beyond (n, RAYS)."""
    n, m = len(centre_16), planes.shape[0]
    rows, cols = nuclei.shape
    before, longest = steps[5], steps[7]
    length = before + longest + steps[3] + steps[1] + 2
    rays = np.zeros((n, m, RAYS), dtype=np.float32)
    facing = np.zeros((n, RAYS), dtype=np.int32)
    profile = np.zeros((m, RAYS, length), dtype=np.float32)
    last = np.zeros(RAYS, dtype=np.int64)
    for k in range(n):
        label = k + 1
        r0, c0 = centre_16[k, 0] * 16 + 128, centre_16[k, 1] * 16 + 128
        for t in range(RAYS):
            rim, end = _extent(territory, nuclei, label, r0, c0, t, longest)
            last[t] = min(end - rim, longest)
            facing[k, t] = _beyond(territory, label, r0, c0, t, rim + last[t], steps[6])
            for s in range(length):
                at = max(rim + s - before, 0)
                i = min(max((r0 + at * _DROW[t]) >> 8, 0), rows - 1)
                j = min(max((c0 + at * _DCOL[t]) >> 8, 0), cols - 1)
                for p in range(m):
                    profile[p, t, s] = planes[p, i, j]
        for p in range(m):
            for t in range(RAYS):
                rays[k, p, t] = _ridge(profile[p], t, before, last[t] + steps[1], steps)
    return rays, facing


@njit(cache=True, nogil=True)
def _extent(territory: Any, nuclei: Any, label: int, r0: int, c0: int, t: int, longest: int) -> Any:
    """Return the last step in the nucleus, and the last in the territory."""
    rows, cols = nuclei.shape
    rim, end = 0, 0
    for s in range(1, 4 * longest):
        i = (r0 + s * _DROW[t]) >> 8
        j = (c0 + s * _DCOL[t]) >> 8
        if i < 0 or j < 0 or i >= rows or j >= cols:
            break
        if nuclei[i, j] == label:
            rim = s
        if territory[i, j] == label:
            end = s
        elif s > end + 1:
            break
    return rim, max(end, rim)


@njit(cache=True, nogil=True)
def _beyond(territory: Any, label: int, r0: int, c0: int, t: int, end: int, steps: int) -> int:
    """Return the first other label within `steps` past the end, 0 if there is none."""
    rows, cols = territory.shape
    for s in range(end + 1, end + steps + 1):
        i = (r0 + s * _DROW[t]) >> 8
        j = (c0 + s * _DCOL[t]) >> 8
        if i < 0 or j < 0 or i >= rows or j >= cols:
            break
        if territory[i, j] and territory[i, j] != label:
            return int(territory[i, j])
    return 0


@njit(cache=True, nogil=True)
def _ridge(profile: Any, t: int, rim: int, last: int, steps: Any) -> float:
    """Return the highest ridge on one ray, smoothed with the rays beside it.

    Half how far stain stands above the lowest beyond, half the same or how far above the lowest before,
    whichever is less: a cell full of stain still counts by half.
    """
    left, right = profile[(t + RAYS - 1) % RAYS], profile[(t + 1) % RAYS]
    line = 0.25 * left + 0.5 * profile[t] + 0.25 * right
    best = np.float32(0.0)
    for s in range(rim + steps[0], rim + last + 1):
        beyond = line[s + steps[2]]
        for u in range(s + steps[2], s + steps[3] + 1):
            beyond = min(beyond, line[u])
        drop = line[s] - beyond
        if drop <= best:
            continue
        ahead = line[s - steps[4]]
        for u in range(max(s - steps[5], 0), s - steps[4] + 1):
            ahead = min(ahead, line[u])
        best = max(best, np.float32(0.5) * (drop + min(drop, line[s] - ahead)))
    return best


@njit(cache=True, nogil=True)
def _scores(rays: Any, facing: Any) -> Any:
    n, m, _ = rays.shape
    middle = np.zeros((n, m), dtype=np.float32)
    scores = np.zeros((n, m, 2), dtype=np.float32)
    own = np.empty(RAYS, dtype=np.float32)
    for k in range(n):
        for p in range(m):
            ordered = np.sort(rays[k, p])
            middle[k, p] = 0.5 * (ordered[RAYS // 2 - 1] + ordered[RAYS // 2])
            scores[k, p, 0] = ordered[_FIRST:_LAST].mean()
    for k in range(n):
        for p in range(m):
            low = np.sort(rays[k, p])[_LOW]
            for t in range(RAYS):
                own[t] = rays[k, p, t]
                f = facing[k, t]
                if f and middle[f - 1, p] > middle[k, p]:
                    own[t] = min(own[t], low)
            scores[k, p, 1] = np.sort(own)[_FIRST:_LAST].mean()
    return scores
