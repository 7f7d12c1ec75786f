"""Joining the fragments of clipped squares to their neighbours, so that no area is dropped."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from spatial_til.model import XY, FloatArray


def merge_fragments(
    area: FloatArray,
    first: NDArray[np.integer[Any]],
    second: NDArray[np.integer[Any]],
    shared: FloatArray,
    centre: XY,
    *,
    smallest: float,
) -> NDArray[np.intp]:
    """Return for each part the tile it belongs to once all fragments are joined.

    The smallest fragment is joined first, to the neighbour with the longest shared edge; what is still
    smaller than `smallest` goes on. A fragment without neighbours joins the nearest tile.

    Parameters
    ----------
    area
        (n,) areas of the parts.
    first, second, shared
        Pairs of parts that touch, and the length of the edge they share.
    centre
        (n, 2) centres of the parts.
    smallest
        Area below which a part is a fragment.

    Returns
    -------
    NDArray[np.intp]
        (n,) tile numbers 0..T-1, in the order of the parts that gave the tile its place.

    Examples
    --------
    >>> area = np.array([1.0, 0.2, 1.0])
    >>> centre = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    >>> pairs = np.array([0, 1]), np.array([1, 2]), np.array([0.3, 0.8])
    >>> merge_fragments(area, *pairs, centre, smallest=0.25).tolist()
    [0, 1, 1]
    """
    neighbours: list[dict[int, float]] = [{} for _ in area]
    for i, j, length in zip(first.tolist(), second.tolist(), shared.tolist(), strict=True):
        neighbours[i][j] = neighbours[j][i] = length
    size, parent = area.tolist(), np.arange(len(area))
    heap = [(a, i) for i, a in enumerate(size) if a < smallest]
    heapq.heapify(heap)
    while heap:
        a, i = heapq.heappop(heap)
        if parent[i] != i or a != size[i] or not neighbours[i]:
            continue  # joined already, grown since, or alone
        j = max(neighbours[i], key=lambda k: (neighbours[i][k], size[k], -k))
        _join(i, j, neighbours)
        parent[i] = j
        size[j] += a
        if size[j] < smallest:
            heapq.heappush(heap, (size[j], j))
    return _number(_join_islands(_roots(parent), np.array(size), centre, smallest))


def _join(i: int, j: int, neighbours: list[dict[int, float]]) -> None:
    """Give the shared edges of part i to part j."""
    for k, length in neighbours[i].items():
        del neighbours[k][i]
        if k != j:
            neighbours[j][k] = neighbours[k][j] = neighbours[j].get(k, 0.0) + length
    neighbours[i] = {}


def _roots(parent: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the part at the end of each chain of joins."""
    while not np.array_equal(parent, parent[parent]):
        parent = parent[parent]
    return parent


def _join_islands(root: NDArray[np.intp], size: FloatArray, centre: XY, smallest: float) -> NDArray[np.intp]:
    """Join fragments that touch nothing to the nearest tile, where there is one of full size."""
    roots = np.unique(root)
    full = roots[size[roots] >= smallest]
    islands = roots[size[roots] < smallest]
    if len(full) and len(islands):
        target = np.arange(len(root))
        target[islands] = full[cKDTree(centre[full]).query(centre[islands])[1]]
        root = target[root]
    return root


def _number(root: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the roots as 0..T-1."""
    return np.unique(root, return_inverse=True)[1].astype(np.intp)
