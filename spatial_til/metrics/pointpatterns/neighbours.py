"""Neighbours of cells through a uniform grid: nearest distance, and counts within radii.

A tree is built for any dimension and any question; a grid of square bins, sorted once, answers these two
in the plane many times faster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import XY, FloatArray

IntArray = NDArray[np.int64]

_POINTS_PER_BIN = 2.0


class Grid(NamedTuple):
    """Points sorted into square bins; a NamedTuple, which compiled code can take."""

    x_um: FloatArray
    y_um: FloatArray
    cell: IntArray  # identity of each point: a cell is never its own neighbour
    start: IntArray  # (bins + 1,): points start[b] to start[b + 1] lie in bin b
    x0_um: float
    y0_um: float
    side_um: float
    cols: int
    rows: int


def build_grid(xy_um: XY, cell: IntArray | None = None) -> Grid:
    """Return a grid over points.

    Parameters
    ----------
    xy_um
        (n, 2) positions in µm.
    cell
        (n,) identity of each point, by default its index. A query with the same identity skips it.
    """
    if cell is None:
        cell = np.arange(len(xy_um))
    if len(xy_um) == 0:
        empty = np.zeros(0)
        return Grid(empty, empty, np.zeros(0, dtype=np.int64), np.zeros(2, dtype=np.int64), 0.0, 0.0, 1.0, 1, 1)
    x0, y0 = xy_um.min(axis=0).tolist()
    width, height = (xy_um.max(axis=0) - (x0, y0)).tolist()
    # A line of points has no area: the longer side alone then sets the bins.
    side = max(
        np.sqrt(_POINTS_PER_BIN * width * height / len(xy_um)), _POINTS_PER_BIN * max(width, height) / len(xy_um), 1e-6
    )
    cols, rows = int(width / side) + 1, int(height / side) + 1
    order, start = sort_into_bins(xy_um, x0, y0, side, cols, rows)
    return Grid(
        np.ascontiguousarray(xy_um[order, 0]),
        np.ascontiguousarray(xy_um[order, 1]),
        cell[order].astype(np.int64),
        start,
        x0,
        y0,
        float(side),
        cols,
        rows,
    )


def nearest_um(query_um: XY, grid: Grid, cell: IntArray | None = None) -> FloatArray:
    """Return the distance from each query to the nearest point of the grid, in µm.

    Parameters
    ----------
    query_um
        (n, 2) positions.
    cell
        (n,) identities; a point with the same identity is no neighbour. None: queries are no points.

    Returns
    -------
    (n,) distances; infinite where there is no point, never 0.

    Examples
    --------
    >>> grid = build_grid(np.array([[0.0, 0.0], [3.0, 4.0]]))
    >>> nearest_um(np.array([[3.0, 0.0], [0.0, 0.0]]), grid, np.array([-1, 0])).tolist()
    [3.0, 5.0]
    """
    found: FloatArray = _nearest(query_um, _no_identity(query_um) if cell is None else cell, grid)
    return found


def count_within(query_um: XY, grid: Grid, radii_um: FloatArray, cell: IntArray | None = None) -> IntArray:
    """Return how many points of the grid lie within each radius of each query, (n, k); limits included.

    `radii_um` ascends; the rest as in `nearest_um`.

    Examples
    --------
    >>> grid = build_grid(np.array([[0.0, 0.0], [3.0, 4.0]]))
    >>> count_within(np.array([[0.0, 0.0]]), grid, np.array([1.0, 5.0])).tolist()
    [[1, 2]]
    """
    counts: IntArray = _count(query_um, _no_identity(query_um) if cell is None else cell, grid, radii_um)
    return counts


def _no_identity(query_um: XY) -> IntArray:
    """Return identities that no point has."""
    return np.full(len(query_um), -1)


@njit(cache=True, nogil=True)
def sort_into_bins(xy_um, x0, y0, side, cols, rows):  # type: ignore[no-untyped-def]
    """Return the order of points by bin (a counting sort keeps theirs within one) and where each bin starts."""
    n = len(xy_um)
    bin_of = np.empty(n, dtype=np.int64)
    start = np.zeros(cols * rows + 1, dtype=np.int64)
    for i in range(n):
        col = min(int((xy_um[i, 0] - x0) / side), cols - 1)
        row = min(int((xy_um[i, 1] - y0) / side), rows - 1)
        bin_of[i] = row * cols + col
        start[bin_of[i] + 1] += 1
    for b in range(cols * rows):
        start[b + 1] += start[b]
    order = np.empty(n, dtype=np.int64)
    free = start[:-1].copy()
    for i in range(n):
        order[free[bin_of[i]]] = i
        free[bin_of[i]] += 1
    return order, start


@njit(cache=True, nogil=True)
def _nearest_in_row(x, y, cell, grid, row, first, last, best):  # type: ignore[no-untyped-def]
    """Return the least squared distance to points of the bins first..last of one row, if below `best`."""
    base = row * grid.cols
    for k in range(grid.start[base + first], grid.start[base + last + 1]):
        dx, dy = grid.x_um[k] - x, grid.y_um[k] - y
        squared = dx * dx + dy * dy
        if squared < best and grid.cell[k] != cell:
            best = squared
    return best


@njit(cache=True, nogil=True)
def _nearest(query_um, cell, grid):  # type: ignore[no-untyped-def]
    """Search rings of bins outwards until the next ring cannot hold a nearer point."""
    found = np.empty(len(query_um))
    for i in range(len(query_um)):
        x, y = query_um[i, 0], query_um[i, 1]
        col = int(np.floor((x - grid.x0_um) / grid.side_um))
        row = int(np.floor((y - grid.y0_um) / grid.side_um))
        best = np.inf
        ring = max(0, -col, col - grid.cols + 1, -row, row - grid.rows + 1)  # the first that meets the grid
        last_ring = max(col, grid.cols - 1 - col, row, grid.rows - 1 - row)
        while ring <= last_ring:
            left, right = max(col - ring, 0), min(col + ring, grid.cols - 1)
            for r in range(max(row - ring, 0), min(row + ring, grid.rows - 1) + 1):
                if abs(r - row) == ring:
                    best = _nearest_in_row(x, y, cell[i], grid, r, left, right, best)
                else:
                    if col - ring >= 0:
                        best = _nearest_in_row(x, y, cell[i], grid, r, col - ring, col - ring, best)
                    if col + ring < grid.cols:
                        best = _nearest_in_row(x, y, cell[i], grid, r, col + ring, col + ring, best)
            # Everything within `searched` of the query has been seen.
            dx = x - grid.x0_um - col * grid.side_um
            dy = y - grid.y0_um - row * grid.side_um
            searched = ring * grid.side_um + min(dx, grid.side_um - dx, dy, grid.side_um - dy)
            if best <= searched * searched:
                break
            ring += 1
        found[i] = np.sqrt(best)
    return found


@njit(cache=True, nogil=True)
def bins_within(grid, x, y, radius_um):  # type: ignore[no-untyped-def]
    """Return the first and last column and row of the bins that a circle may touch; no rows where it touches none."""
    first = max(0, int(np.floor((x - radius_um - grid.x0_um) / grid.side_um)))
    last = min(grid.cols - 1, int(np.floor((x + radius_um - grid.x0_um) / grid.side_um)))
    top = max(0, int(np.floor((y - radius_um - grid.y0_um) / grid.side_um)))
    bottom = min(grid.rows - 1, int(np.floor((y + radius_um - grid.y0_um) / grid.side_um)))
    return (first, last, top, bottom) if first <= last else (0, 0, 0, -1)


@njit(cache=True, nogil=True)
def _count(query_um, cell, grid, radii_um):  # type: ignore[no-untyped-def]
    """Count points by the smallest radius that holds them, then add up."""
    squared_radii = radii_um * radii_um
    farthest = radii_um[-1]
    counts = np.zeros((len(query_um), len(radii_um)), dtype=np.int64)
    for i in range(len(query_um)):
        x, y = query_um[i, 0], query_um[i, 1]
        first, last, top, bottom = bins_within(grid, x, y, farthest)
        for row in range(top, bottom + 1):
            for k in range(grid.start[row * grid.cols + first], grid.start[row * grid.cols + last + 1]):
                dx, dy = grid.x_um[k] - x, grid.y_um[k] - y
                squared = dx * dx + dy * dy
                if squared <= squared_radii[-1] and grid.cell[k] != cell[i]:
                    j = 0
                    while squared > squared_radii[j]:
                        j += 1
                    counts[i, j] += 1
        for j in range(1, len(radii_um)):
            counts[i, j] += counts[i, j - 1]
    return counts
