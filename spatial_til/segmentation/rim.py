"""How strongly the membrane of each cell is stained: a score from the rays around its nucleus (see `rays`).

Some rays high is partial staining. Stain between two cells is seen by both: of two rims the weaker keeps little of it.
This is done twice, so that a cell among stained ones, to which little is left, does not outweigh one of them that is
stained on part of its rim. What a ray has above the usual level of the stronger rim is the weaker cell's own, and rays
that a stronger rim accounts for say little: in part they are left out, not taken for unstained.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.rays import RAYS, look_along_rays

#: The score is the mean over the stronger half of the rays without the strongest twelfth: of 24 the ranks 12 to 21.
_HALF, _TOP = 1 / 2, 1 / 12
#: Part of a ray that a stronger neighbour accounts for which is left out; the rest counts as unstained.
_UNSEEN = 0.45
#: Scores that are found side by side.
_AT_ONCE = 128


def _swaps(n: int) -> NDArray[np.int64]:
    """Return the pairs of places, in order, by which comparing and swapping sorts `n` values.

    Odd-even merging (Batcher 1968, doi:10.1145/1468075.1468121): the same steps whatever the values, so that many
    columns are sorted at once.
    """
    pairs, size = np.empty((0, 2), dtype=np.int64), 1
    while size < n:
        step = size
        while step >= 1:
            first = np.arange(n - step)
            first = first[(first - step % size) // step % 2 == 0]
            first = first[(first >= step % size) & (first // (2 * size) == (first + step) // (2 * size))]
            pairs = np.concatenate((pairs, np.column_stack((first, first + step))))
            step //= 2
        size *= 2
    return pairs


_SWAPS = _swaps(RAYS)


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
    seen, level = np.zeros((m, n)), np.zeros((m, n))
    around = np.zeros(n + 1, dtype=np.int32)
    scores = np.zeros((n, m, 2), dtype=np.float32)
    share = np.empty(RAYS)
    columns, of, held = np.zeros((RAYS, _AT_ONCE), dtype=np.float32), np.zeros((_AT_ONCE, 3), dtype=np.int64), 0
    counted = np.zeros(_AT_ONCE)
    for k in range(n):
        for p in range(m):
            seen[p, k], level[p, k] = _rim_and_level(rays[k, p])
    for k in range(n):
        if not wanted[k]:
            continue
        around[facing[k]] = k + 1
        for p in range(m):
            if held > _AT_ONCE - 2:
                held = _write_upper(columns, counted, of, held, scores)
            columns[:, held], counted[held], of[held] = rays[k, p], RAYS, (k, p, 0)
            held += 1
            if _keep(facing[k], seen[p], seen[p, k], share):
                _keep_again(rays[:, p], facing, seen[p], around, k, (share * rays[k, p]).sum(), share)
                _keep_excess(rays[k, p], facing[k], level[p], share)
                counted[held] = _write_own(rays[k, p], share, columns[:, held])
                of[held] = (k, p, 1)
                held += 1
    _write_upper(columns, counted, of, held, scores)
    return scores


@njit(cache=True, nogil=True)
def _rim_and_level(rays: Any) -> Any:
    """Return the stain on all rays, and its level where there is some: the mean weighted by the stain itself."""
    total, squares = 0.0, 0.0
    for t in range(RAYS):
        ray = float(rays[t])
        total += ray
        squares += ray * ray
    return total, squares / total if total > 0 else 0.0


@njit(cache=True, nogil=True)
def _write_upper(columns: Any, counted: Any, of: Any, held: int, scores: Any) -> int:
    """Write the scores of many cells' rays (RAYS, cells), which are sorted side by side; return that none are held.

    `counted`: how many rays of each count, its strongest. What is a cell's own is what is seen where nothing else is
    written after it.
    """
    for low, high in _SWAPS:
        _sort_two(columns[low], columns[high])
    for c in range(held):
        k, p, first = of[c]
        low, high = RAYS - _HALF * counted[c], RAYS - _TOP * counted[c]
        total = 0.0
        for t in range(int(low), RAYS):
            total += columns[t, c] * max(min(high, t + 1.0) - max(low, float(t)), 0.0)
        scores[k, p, first:] = total / (8 * (high - low))
    return 0


@njit(cache=True, nogil=True)
def _sort_two(low: Any, high: Any) -> None:
    for c in range(len(low)):
        a, b = low[c], high[c]
        low[c], high[c] = (a if a < b else b), (b if a < b else a)


@njit(cache=True, nogil=True)
def _keep(facing: Any, rims: Any, rim: float, share: Any) -> bool:
    """Write which share a cell with this much stain on its rim keeps of each ray; return whether any is taken."""
    taken = False
    for t in range(RAYS):
        share[t] = 1.0
        f = facing[t]
        if f and rims[f - 1] > rim:
            share[t] = (rim / rims[f - 1]) ** 2
            taken = True
    return taken


@njit(cache=True, nogil=True)
def _keep_again(rays: Any, facing: Any, rims: Any, around: Any, k: int, rim: float, share: Any) -> None:
    """Write what cell `k`, left with this much on its rim, keeps of each ray against what others are left with."""
    before, other = 0, 0.0
    for t in range(RAYS):
        share[t] = 1.0
        f = facing[k, t]
        if f == 0 or rims[f - 1] <= rim:
            continue
        if f != before:
            before, other = f, _left(rays[f - 1], facing[f - 1], rims, around, f - 1, k, rim)
        if other > rim:
            share[t] = (rim / other) ** 2


@njit(cache=True, nogil=True)
def _keep_excess(rays: Any, facing: Any, levels: Any, share: Any) -> None:
    """Raise shares to what a ray has above the level of the rim that it faces: that rim does not account for it."""
    for t in range(RAYS):
        if share[t] < 1:
            level = levels[facing[t] - 1]
            if rays[t] > level:
                share[t] = max(share[t], 1 - level / rays[t])


@njit(cache=True, nogil=True)
def _write_own(rays: Any, share: Any, own: Any) -> float:
    """Write what a cell keeps of each ray; return how many rays count.

    A ray's stain is half that of the rays on both sides (see `rays`), and so is the share that is kept of it.
    """
    kept = 0.0
    for t in range(RAYS):
        own[t] = rays[t] * (share[t - 1] + 2 * share[t] + share[(t + 1) % RAYS]) / 4
        kept += share[t]
    return RAYS - _UNSEEN * (RAYS - kept)


@njit(cache=True, nogil=True)
def _left(rays: Any, facing: Any, rims: Any, around: Any, g: int, k: int, rim: float) -> float:
    """Return what cell `g` keeps on its rim against `k` and those around `k`."""
    left = 0.0
    for t in range(RAYS):
        f = facing[t]
        other = rim if f == k + 1 else rims[f - 1] if around[f] == k + 1 and f else 0.0
        left += rays[t] * (rims[g] / other) ** 2 if other > rims[g] else rays[t]
    return left
