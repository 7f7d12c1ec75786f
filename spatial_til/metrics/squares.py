"""Exact area of a region in every square of a grid, in one pass over its vertices.

A clip of the region by each square would cost squares x vertices. Green's theorem needs each edge once:
cut the edges at the grid lines, and the integral of x dy over the pieces in one row of squares gives the
area of each square and, as a by-product, the length of each grid line inside the region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.model import XY, FloatArray


@dataclass(frozen=True, slots=True)
class Squares:
    """Squares of one side over the bounding box of a region, centred on it.

    Arrays are (rows, columns). `left_um` and `top_um` are the lengths of each square's left and top side
    that lie inside the region: the length it shares with that neighbour.
    """

    x0_um: float
    y0_um: float
    side_um: float
    area_um2: FloatArray
    left_um: FloatArray
    top_um: FloatArray

    def index(self, xy_um: XY) -> NDArray[np.intp]:
        """Return the flat index of the square that holds each point; points outside go to the nearest."""
        rows, cols = self.area_um2.shape
        position = np.floor((xy_um - (self.x0_um, self.y0_um)) / self.side_um).astype(np.intp)
        row, col = np.clip(position[:, 1], 0, rows - 1), np.clip(position[:, 0], 0, cols - 1)
        return np.asarray(row * cols + col, dtype=np.intp)

    @property
    def centres_um(self) -> XY:
        """Centres of the squares, in the order of the flat index."""
        row, col = np.divmod(np.arange(self.area_um2.size), self.area_um2.shape[1])
        return np.column_stack((col + 0.5, row + 0.5)) * self.side_um + (self.x0_um, self.y0_um)


def divide_into_squares(region: Polygon | MultiPolygon, side_um: float) -> Squares:
    """Divide a valid, non-empty region into squares.

    The grid is centred on the bounding box, so that a shifted, mirrored or turned region is divided the
    same way.

    Parameters
    ----------
    region
        Polygons in µm.
    side_um
        Side of the squares in µm.
    """
    x0, y0, rows, cols = _grid(region, side_um)
    start, end = _edges(region, x0, y0, side_um)
    area, left = _integrate(start, end, rows, cols)
    _, top = _integrate(start[:, ::-1], end[:, ::-1], cols, rows)
    return Squares(x0, y0, side_um, area * side_um**2, left * side_um, -top.T * side_um)


def area_by_square(region: Polygon | MultiPolygon, side_um: float) -> FloatArray:
    """Return the `area_um2` of `divide_into_squares` alone, for squares so many that lengths would take much memory."""
    x0, y0, rows, cols = _grid(region, side_um)
    area, _ = _integrate(*_edges(region, x0, y0, side_um), rows, cols)
    area *= side_um**2
    return area


def _grid(region: Polygon | MultiPolygon, side_um: float) -> tuple[float, float, int, int]:
    """Return the left and upper edge of the grid of a region in µm, and its rows and columns."""
    x_min, y_min, x_max, y_max = region.bounds
    cols = max(1, int(np.ceil((x_max - x_min) / side_um)))
    rows = max(1, int(np.ceil((y_max - y_min) / side_um)))
    return (x_min + x_max - cols * side_um) / 2, (y_min + y_max - rows * side_um) / 2, rows, cols


def _edges(region: Polygon | MultiPolygon, x0: float, y0: float, side_um: float) -> tuple[XY, XY]:
    """Return start and end of every edge in units of squares, interiors on one known side."""
    rings = shapely.get_rings(shapely.get_parts(shapely.orient_polygons(region)))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    xy = (xy - (x0, y0)) / side_um
    same = ring[1:] == ring[:-1]
    return xy[:-1][same], xy[1:][same]


def _integrate(start: XY, end: XY, rows: int, cols: int) -> tuple[FloatArray, FloatArray]:
    """Return the area of each square and the inside length of its left side, in units of squares."""
    edge, t = _cut_at_grid_lines(start, end)
    xy = start[edge] + t[:, None] * (end - start)[edge]
    piece = np.flatnonzero(edge[1:] == edge[:-1])
    middle = (xy[piece] + xy[piece + 1]) / 2
    dy = xy[piece + 1, 1] - xy[piece, 1]
    col = np.clip(np.floor(middle[:, 0]).astype(np.intp), 0, cols - 1)
    row = np.clip(np.floor(middle[:, 1]).astype(np.intp), 0, rows - 1)
    square = row * cols + col
    cover = _sum_by_square(square, dy, rows, cols)
    area = _sum_by_square(square, dy * (middle[:, 0] - col), rows, cols)
    left = np.cumsum(cover[:, ::-1], axis=1)[:, ::-1]  # all pieces in this square or to its right
    area += left
    area -= cover
    return area, left


def _sum_by_square(square: NDArray[np.intp], values: FloatArray, rows: int, cols: int) -> FloatArray:
    """Return the (rows, cols) sums of the values of each square."""
    sums = np.bincount(square, weights=values, minlength=rows * cols)
    return np.asarray(sums, dtype=np.float64).reshape(rows, cols)


def _cut_at_grid_lines(start: XY, end: XY) -> tuple[NDArray[np.intp], FloatArray]:
    """Return edge number and position 0..1 along it of all its cuts, both ends included, in order."""
    n = len(start)
    edges: list[NDArray[Any]] = [np.arange(n), np.arange(n)]
    positions: list[FloatArray] = [np.zeros(n), np.ones(n)]
    for axis in (0, 1):
        a, b = start[:, axis], end[:, axis]
        first, last = np.ceil(np.minimum(a, b)), np.floor(np.maximum(a, b))
        count = np.where(a == b, 0, np.maximum(last - first + 1, 0)).astype(np.intp)
        edge = np.repeat(np.arange(n), count)
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        edges.append(edge)
        positions.append(np.clip((first[edge] + step - a[edge]) / (b - a)[edge], 0.0, 1.0))
    edge, t = np.concatenate(edges), np.concatenate(positions)
    order = np.lexsort((t, edge))
    return edge[order], t[order]
