"""The exact area of polygons in every square of a grid, at once.

Each edge adds, to the squares it crosses and to all on their right, the signed area between itself
and the right side of the grid (the accumulation buffer of font rasterisers). A running sum over each
row then is the covered area, exact to rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numba import njit
from shapely.geometry import MultiPolygon

from spatial_til.model import FloatArray


class Grid(NamedTuple):
    """Squares of side `pitch_um`: square (row, col) begins at x0 + col * pitch, y0 + row * pitch."""

    x0_um: float
    y0_um: float
    pitch_um: float
    n_rows: int
    n_cols: int


def grid_over(region: MultiPolygon, *, pitch_um: float, pad_um: float = 0.0) -> Grid:
    """Return the grid that covers a region and a rim around it."""
    x0, y0, x1, y1 = region.bounds
    n_cols, n_rows = (int(np.ceil((side + 2 * pad_um) / pitch_um)) + 1 for side in (x1 - x0, y1 - y0))
    return Grid(x0 - pad_um, y0 - pad_um, pitch_um, n_rows, n_cols)


def covered_area(region: MultiPolygon, grid: Grid) -> FloatArray:
    """Return the area of a region inside each square of a grid, (rows, cols) in µm².

    Parameters
    ----------
    region
        Valid polygons in µm. What lies outside the grid counts for nothing.
    grid
        Squares, in µm.
    """
    rings = shapely.get_rings(shapely.orient_polygons(shapely.get_parts(region)))
    coords, ring_of = shapely.get_coordinates(rings, return_index=True)
    same = np.flatnonzero(ring_of[1:] == ring_of[:-1])
    scaled = (coords - (grid.x0_um, grid.y0_um)) / grid.pitch_um
    edges = np.hstack((scaled[same], scaled[same + 1]))
    out = np.zeros((grid.n_rows, grid.n_cols))
    _accumulate(edges, out)
    return np.cumsum(out, axis=1) * grid.pitch_um**2


@njit(cache=True, nogil=True)
def _accumulate(edges, out):  # type: ignore[no-untyped-def]
    n_rows = len(out)
    for i in range(len(edges)):
        x0, y0, x1, y1 = edges[i, 0], edges[i, 1], edges[i, 2], edges[i, 3]
        if y0 == y1:
            continue
        sign = -1.0
        if y0 > y1:
            x0, y0, x1, y1, sign = x1, y1, x0, y0, 1.0
        slope = (x1 - x0) / (y1 - y0)
        for row in range(max(0, int(np.floor(y0))), min(n_rows, int(np.ceil(y1)))):
            top, bottom = max(y0, float(row)), min(y1, row + 1.0)
            _add_row(out[row], x0 + slope * (top - y0), x0 + slope * (bottom - y0), sign * (bottom - top))


@njit(cache=True, nogil=True)
def _add_row(line, xa, xb, height):  # type: ignore[no-untyped-def]
    """Add the area right of a piece of edge that crosses `height` of one row."""
    left, right = min(xa, xb), max(xa, xb)
    width = right - left
    if right <= 0.0:
        line[0] += height
        return
    if left < 0.0:
        line[0] -= height * left / width
    for col in range(max(0, int(np.floor(left))), min(len(line) - 1, int(np.floor(right))) + 1):
        a, b = max(left, float(col)), min(right, col + 1.0)
        share = height if width == 0.0 else height * (b - a) / width
        inside = col + 1.0 - (a + b) / 2
        line[col] += share * inside
        if col + 1 < len(line):
            line[col + 1] += share * (1.0 - inside)
