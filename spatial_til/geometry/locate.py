"""Which polygon holds each point, for millions of points.

The winding number of a closed, oriented outline is 1 inside and 0 outside. Weighted by a label and
summed over disjoint polygons it is the label of the polygon that holds the point: one pass over the
edges that cross the point's row answers for all polygons at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import XY, FloatArray

#: Points nearer than this to an outline lie on it, and outlines belong to their polygon. Far above
#: rounding (1e-10 µm on a slide), far below anything that can be measured.
ON_OUTLINE_UM = 1e-6


def locate(xy_um: XY, groups: Sequence[MultiPolygon]) -> NDArray[np.int64]:
    """Return the index of the group of polygons that holds each point, -1 where none does.

    Parameters
    ----------
    xy_um
        (n, 2) x, y in µm.
    groups
        Disjoint regions in µm; outlines belong to them.
    """
    edges, labels = _labelled_edges(groups)
    if len(edges) == 0 or len(xy_um) == 0:
        return np.full(len(xy_um), -1, dtype=np.int64)
    low = edges[:, 1::2].min(axis=1)
    high = edges[:, 1::2].max(axis=1)
    bottom, top = low.min() - ON_OUTLINE_UM, high.max() + ON_OUTLINE_UM
    n_rows = int(np.clip(len(edges) // 4, 1, 4096))
    per_um = n_rows / (top - bottom)
    first = np.clip((low - ON_OUTLINE_UM - bottom) * per_um, 0, n_rows - 1).astype(np.int64)
    last = np.clip((high + ON_OUTLINE_UM - bottom) * per_um, 0, n_rows - 1).astype(np.int64)
    starts, members = _fill_rows(first, last, n_rows)
    points = np.ascontiguousarray(xy_um, dtype=np.float64)
    found: NDArray[np.int64] = _winding_labels(points, edges, labels, starts, members, bottom, per_um, ON_OUTLINE_UM)
    return found - 1


def _labelled_edges(groups: Sequence[MultiPolygon]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the edges of all rings as (m, 4) x0, y0, x1, y1, each with its group's index + 1."""
    parts = np.array([part for group in groups for part in group.geoms], dtype=object)
    label = np.repeat(np.arange(1, len(groups) + 1), [len(group.geoms) for group in groups])
    rings, part_of = shapely.get_rings(shapely.orient_polygons(parts), return_index=True)
    coords, ring_of = shapely.get_coordinates(rings, return_index=True)
    same = np.flatnonzero(ring_of[1:] == ring_of[:-1])
    return np.hstack((coords[same], coords[same + 1])), label[part_of[ring_of[same]]].astype(np.int64)


@njit(cache=True, nogil=True)
def _fill_rows(first, last, n_rows):  # type: ignore[no-untyped-def]
    """Return the edges that touch each row, as offsets and members."""
    starts = np.zeros(n_rows + 1, dtype=np.int64)
    for i in range(len(first)):
        for row in range(first[i], last[i] + 1):
            starts[row + 1] += 1
    starts = np.cumsum(starts)
    fill = starts[:-1].copy()
    members = np.empty(starts[-1], dtype=np.int64)
    for i in range(len(first)):
        for row in range(first[i], last[i] + 1):
            members[fill[row]] = i
            fill[row] += 1
    return starts, members


@njit(cache=True, nogil=True)
def _winding_labels(points, edges, labels, starts, members, bottom, per_um, touch):  # type: ignore[no-untyped-def]
    out = np.zeros(len(points), dtype=np.int64)
    n_rows = len(starts) - 1
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        row = (y - bottom) * per_um
        if not 0 <= row < n_rows:
            continue
        total = 0
        for k in range(starts[int(row)], starts[int(row) + 1]):
            e = members[k]
            x0, y0, x1, y1 = edges[e, 0], edges[e, 1], edges[e, 2], edges[e, 3]
            if _on_edge(x, y, x0, y0, x1, y1, touch):
                total = labels[e]
                break
            if (y0 <= y) != (y1 <= y):
                side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
                if y1 > y0 and side > 0:
                    total += labels[e]
                elif y1 < y0 and side < 0:
                    total -= labels[e]
        out[i] = total
    return out


@njit(cache=True, nogil=True)
def _on_edge(x, y, x0, y0, x1, y1, touch):  # type: ignore[no-untyped-def]
    if x < min(x0, x1) - touch or x > max(x0, x1) + touch or y < min(y0, y1) - touch or y > max(y0, y1) + touch:
        return False
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy
    t = 0.0 if length2 == 0.0 else ((x - x0) * dx + (y - y0) * dy) / length2
    t = min(1.0, max(0.0, t))
    gap_x, gap_y = x - x0 - t * dx, y - y0 - t * dy
    return gap_x * gap_x + gap_y * gap_y <= touch * touch
