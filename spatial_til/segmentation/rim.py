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
    seen = np.zeros((m, n))
    around = np.zeros(n + 1, dtype=np.int32)
    scores = np.zeros((n, m, 2), dtype=np.float32)
    own = np.empty(RAYS)
    columns, of, held = np.zeros((RAYS, _AT_ONCE), dtype=np.float32), np.zeros((_AT_ONCE, 3), dtype=np.int64), 0
    for k in range(n):
        for p in range(m):
            seen[p, k] = rays[k, p].sum()
    for k in range(n):
        if not wanted[k]:
            continue
        around[facing[k]] = k + 1
        for p in range(m):
            if held > _AT_ONCE - 2:
                held = _write_upper(columns, of, held, scores)
            columns[:, held], of[held] = rays[k, p], (k, p, 0)
            held += 1
            if _keep(rays[k, p], facing[k], seen[p], seen[p, k], own):
                _keep_again(rays[:, p], facing, seen[p], around, k, own.sum(), own)
                columns[:, held], of[held] = own, (k, p, 1)
                held += 1
    _write_upper(columns, of, held, scores)
    return scores


@njit(cache=True, nogil=True)
def _write_upper(columns: Any, of: Any, held: int, scores: Any) -> int:
    """Write the scores of many cells' rays (RAYS, cells), which are sorted side by side; return that none are held.

    What is a cell's own is what is seen where nothing else is written after it.
    """
    for low, high in _SWAPS:
        _sort_two(columns[low], columns[high])
    for c in range(held):
        k, p, first = of[c]
        total = np.float32(0)
        for t in range(_FIRST, _LAST):
            total += columns[t, c]
        scores[k, p, first:] = total / np.float32(8 * (_LAST - _FIRST))
    return 0


@njit(cache=True, nogil=True)
def _sort_two(low: Any, high: Any) -> None:
    for c in range(len(low)):
        a, b = low[c], high[c]
        low[c], high[c] = (a if a < b else b), (b if a < b else a)


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
