"""Nuclei -> cells: each nucleus grows by its own distance, cells never overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Cost at which a cell ends; its territory, where its membrane is looked for, goes on to `_REACH` of it.
_LIMIT = 4096
_REACH = 6554  # 1.6 times the expansion


def grow_cells(
    nuclei: NDArray[np.int32],
    area_um2: NDArray[np.floating[Any]],
    *,
    px_um: float,
    cell_expansion_um: float,
    large_nucleus_um2: float,
    large_expansion_um: float,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the label images of cells grown from nuclei, and of their territories.

    Parameters
    ----------
    nuclei
        (rows, cols) labels, 0 background, 1..n nuclei.
    area_um2
        (n,) nuclear areas. Nuclei up to `large_nucleus_um2` grow by `cell_expansion_um`, larger ones by
        `large_expansion_um`.

    Notes
    -----
    A pixel goes to the nucleus with the smallest distance in units of that nucleus's own expansion, so
    the border between a lymphocyte and a tumour cell lies nearer the lymphocyte. Distances are chamfer
    distances (3x3), within 6 % of Euclidean. The territory is the same growth carried on to 1.6 times the
    expansion where nobody else is: the membrane of a large cell may lie beyond its expansion.
    """
    expansion = np.where(np.asarray(area_um2) > large_nucleus_um2, large_expansion_um, cell_expansion_um)
    step = np.full(len(expansion) + 1, _REACH + 1, dtype=np.int32)
    grows = expansion > 0
    step[1:][grows] = np.maximum(np.round(_LIMIT * px_um / expansion[grows]), 1)
    territory = nuclei.copy()
    cells = np.empty_like(nuclei)
    _grow(territory, cells, step, (step * 1.4142).astype(np.int32))
    return cells, territory


@njit(cache=True, nogil=True)
def _grow(territory: Any, cells: Any, step: Any, diagonal: Any) -> None:
    rows, cols = territory.shape
    cost = np.full((rows, cols), _REACH + 1, dtype=np.int32)
    for i in range(rows):
        for j in range(cols):
            if territory[i, j]:
                cost[i, j] = 0
    for i in range(rows):
        for j in range(cols):
            if cost[i, j]:
                _offer(territory, cost, step, diagonal, i, j, -1)
    for i in range(rows - 1, -1, -1):
        for j in range(cols - 1, -1, -1):
            if cost[i, j]:
                _offer(territory, cost, step, diagonal, i, j, 1)
            cells[i, j] = territory[i, j] if cost[i, j] <= _LIMIT else 0


@njit(cache=True, nogil=True, inline="always")
def _offer(labels: Any, cost: Any, step: Any, diagonal: Any, i: int, j: int, side: int) -> None:
    """Take the cheapest label of the pixel beside and the three before (-1) or after (1) in the scan."""
    rows, cols = labels.shape
    best, label = cost[i, j], labels[i, j]
    c = j + side
    if 0 <= c < cols and labels[i, c]:
        k = labels[i, c]
        d = cost[i, c] + step[k]
        if d < best:
            best, label = d, k
    r = i + side
    if 0 <= r < rows:
        for c in range(max(j - 1, 0), min(j + 2, cols)):
            k = labels[r, c]
            if k:
                d = cost[r, c] + (step[k] if c == j else diagonal[k])
                if d < best:
                    best, label = d, k
    cost[i, j] = best
    labels[i, j] = label
