"""How strongly the membrane of each cell is stained: a score from the rays around its nucleus (see `rays`).

Some rays high is partial staining. Stain between two cells is seen by both: of two rims the weaker keeps little of it.
This is done twice, so that a cell among stained ones, to which little is left, does not outweigh one of them that is
stained on part of its rim.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.rays import RAYS, look_along_rays

#: The score is the mean over these ranks of the rays, from the weakest: the upper half without the top two.
_FIRST, _LAST = 12, 22


def rim_stain(
    keys: NDArray[np.uint32],
    centre: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[np.int16],
    *,
    px_um: float,
    leak: NDArray[np.floating[Any]] | None = None,
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
        (markers, rows, cols) stain amounts, smoothed.
    px_um
        Side of a pixel.
    leak
        (markers, markers) share of each other marker (column) that is taken off a marker (row) on every ray.
    """
    rays, facing = look_along_rays(keys, centre, wanted, planes, px_um=px_um, leak=leak)
    return np.asarray(_scores(rays, facing, wanted))


@njit(cache=True, nogil=True)
def _scores(rays: Any, facing: Any, wanted: Any) -> Any:
    """Return (n, markers, 2) scores of the wanted cells: as seen, and of what is their own.

    A cell keeps of a ray the square of its rim's share in the rim that it faces, where that is the stronger. Rims
    are compared as seen, then as what is left of both: of the one faced, without what this cell and others around
    it outweigh, so that no cell further away than one that is faced is asked.
    """
    n, m, _ = rays.shape
    seen = np.zeros((m, n))
    around = np.zeros(n + 1, dtype=np.int32)
    scores = np.zeros((n, m, 2), dtype=np.float32)
    own = np.empty(RAYS)
    for k in range(n):
        for p in range(m):
            seen[p, k] = rays[k, p].sum()
    for k in range(n):
        if not wanted[k]:
            continue
        around[facing[k]] = k + 1
        for p in range(m):
            scores[k, p] = _upper(rays[k, p])
            if _keep(rays[k, p], facing[k], seen[p], seen[p, k], own):
                _keep_again(rays[:, p], facing, seen[p], around, k, own.sum(), own)
                scores[k, p, 1] = _upper(own)
    return scores


@njit(cache=True, nogil=True)
def _keep(rays: Any, facing: Any, rims: Any, rim: float, own: Any) -> bool:
    """Write what a cell with this much stain on its rim keeps of each ray; return whether anything was taken."""
    taken = False
    for t in range(RAYS):
        own[t] = rays[t]
        f = facing[t]
        if f and rims[f - 1] > rim:
            own[t] *= (rim / rims[f - 1]) ** 2
            taken = True
    return taken


@njit(cache=True, nogil=True)
def _keep_again(rays: Any, facing: Any, rims: Any, around: Any, k: int, rim: float, own: Any) -> None:
    """Write what cell `k`, left with this much on its rim, keeps of each ray against what others are left with."""
    before, other = 0, 0.0
    for t in range(RAYS):
        own[t] = rays[k, t]
        f = facing[k, t]
        if f == 0 or rims[f - 1] <= rim:
            continue
        if f != before:
            before, other = f, _left(rays[f - 1], facing[f - 1], rims, around, f - 1, k, rim)
        if other > rim:
            own[t] *= (rim / other) ** 2


@njit(cache=True, nogil=True)
def _left(rays: Any, facing: Any, rims: Any, around: Any, g: int, k: int, rim: float) -> float:
    """Return what cell `g` keeps on its rim against `k` and those around `k`."""
    left = 0.0
    for t in range(RAYS):
        f = facing[t]
        other = rim if f == k + 1 else rims[f - 1] if around[f] == k + 1 and f else 0.0
        left += rays[t] * (rims[g] / other) ** 2 if other > rims[g] else rays[t]
    return left


@njit(cache=True, nogil=True)
def _upper(rays: Any) -> Any:
    """Return the score of a cell's rays; ranks are counted, which is vectorised where sorting is not."""
    total = 0.0
    for t in range(RAYS):
        rank = 0
        for u in range(t):
            rank += rays[u] <= rays[t]
        for u in range(t + 1, RAYS):
            rank += rays[u] < rays[t]
        total += rays[t] if _FIRST <= rank < _LAST else 0
    return total / (8 * (_LAST - _FIRST))
