"""Nuclei -> cells: each nucleus grows by its own distance, cells never overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Cost at which growth stops; a cell reaches its own expansion at this cost.
_LIMIT = 4096


def grow_cells(
    nuclei: NDArray[np.int32],
    area_um2: NDArray[np.floating[Any]],
    *,
    px_um: float,
    cell_expansion_um: float,
    large_nucleus_um2: float,
    large_expansion_um: float,
) -> NDArray[np.int32]:
    """Return the label image of cells grown from nuclei.

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
    distances (3x3), within 6 % of Euclidean.
    """
    expansion = np.where(np.asarray(area_um2) > large_nucleus_um2, large_expansion_um, cell_expansion_um)
    step = np.full(len(expansion) + 1, _LIMIT + 1, dtype=np.int32)
    grows = expansion > 0
    step[1:][grows] = np.maximum(np.round(_LIMIT * px_um / expansion[grows]), 1)
    return np.asarray(_grow(nuclei, step, (step * 1.4142).astype(np.int32)))


@njit(cache=True, nogil=True)
def _grow(nuclei: Any, step: Any, diagonal: Any) -> Any:
    rows, cols = nuclei.shape
    cells = nuclei.copy()
    cost = np.full((rows, cols), _LIMIT + 1, dtype=np.int32)
    for i in range(rows):
        for j in range(cols):
            if cells[i, j]:
                cost[i, j] = 0
    for i in range(rows):
        for j in range(cols):
            if cost[i, j] == 0:
                continue
            best, label = cost[i, j], cells[i, j]
            if j > 0 and cells[i, j - 1]:
                k = cells[i, j - 1]
                if cost[i, j - 1] + step[k] < best:
                    best, label = cost[i, j - 1] + step[k], k
            if i > 0:
                for c in range(max(j - 1, 0), min(j + 2, cols)):
                    k = cells[i - 1, c]
                    if k:
                        d = cost[i - 1, c] + (step[k] if c == j else diagonal[k])
                        if d < best:
                            best, label = d, k
            cost[i, j] = best
            cells[i, j] = label
    for i in range(rows - 1, -1, -1):
        for j in range(cols - 1, -1, -1):
            if cost[i, j] == 0:
                continue
            best, label = cost[i, j], cells[i, j]
            if j < cols - 1 and cells[i, j + 1]:
                k = cells[i, j + 1]
                if cost[i, j + 1] + step[k] < best:
                    best, label = cost[i, j + 1] + step[k], k
            if i < rows - 1:
                for c in range(max(j - 1, 0), min(j + 2, cols)):
                    k = cells[i + 1, c]
                    if k:
                        d = cost[i + 1, c] + (step[k] if c == j else diagonal[k])
                        if d < best:
                            best, label = d, k
            cost[i, j] = best
            cells[i, j] = label
    return cells
