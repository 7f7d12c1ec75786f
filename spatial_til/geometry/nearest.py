"""Exact distance from millions of points to lines.

The segments are ordered along a Z curve and boxed in a binary tree. Points are visited
neighbour by neighbour, so the segment nearest to the last point bounds the search for the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from shapely.geometry import MultiLineString

from spatial_til.model import XY, FloatArray

_LEAF = 4


class Nearest(NamedTuple):
    """The nearest point of the lines to each query point."""

    distance_um: FloatArray  # (n,)
    position_um: FloatArray  # (n,) arc length of the nearest point, all lines laid end to end


def nearest_on_lines(xy_um: XY, lines: MultiLineString) -> Nearest:
    """Return distance to the lines, and where along them the nearest point lies.

    Parameters
    ----------
    xy_um
        (n, 2) x, y in µm.
    lines
        Lines in µm; not empty.
    """
    coords, line = shapely.get_coordinates(shapely.get_parts(lines), return_index=True)
    same = np.flatnonzero(line[1:] == line[:-1])
    start, end = coords[same], coords[same + 1]
    length = np.hypot(*(end - start).T)
    position = np.cumsum(length) - length
    order = neighbour_order((start + end) / 2)
    segments = np.hstack((start, end))[order]
    boxes = _boxes(segments, _LEAF)
    points = np.ascontiguousarray(xy_um, dtype=np.float64)
    distance, where = _search(points, neighbour_order(points), segments, boxes, _LEAF, position[order])
    return Nearest(distance, where)


def neighbour_order(points: XY) -> NDArray[np.intp]:
    """Return an order in which points near each other follow each other (a Z curve on 2^15 steps a side)."""
    if len(points) == 0:
        return np.empty(0, dtype=np.intp)
    low, side = points.min(axis=0), max(float(np.ptp(points, axis=0).max()), 1e-9)
    code = ((points - low) / side * 32767).astype(np.uint32)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        code = (code | (code << np.uint32(shift))) & np.uint32(mask)
    return np.argsort(code[:, 0] | (code[:, 1] << np.uint32(1)), kind="stable")


@njit(cache=True, nogil=True)
def _boxes(segments, leaf):  # type: ignore[no-untyped-def]
    """Return the boxes of a binary tree as a heap: node k has children 2k and 2k + 1, leaves come last."""
    n_leaves = 1
    while n_leaves * leaf < len(segments):
        n_leaves *= 2
    boxes = np.empty((2 * n_leaves, 4))
    boxes[:, :2] = np.inf
    boxes[:, 2:] = -np.inf
    for i in range(len(segments)):
        box = boxes[n_leaves + i // leaf]
        for k in range(2):
            box[k] = min(box[k], segments[i, k], segments[i, k + 2])
            box[k + 2] = max(box[k + 2], segments[i, k], segments[i, k + 2])
    for node in range(n_leaves - 1, 0, -1):
        for k in range(2):
            boxes[node, k] = min(boxes[2 * node, k], boxes[2 * node + 1, k])
            boxes[node, k + 2] = max(boxes[2 * node, k + 2], boxes[2 * node + 1, k + 2])
    return boxes


@njit(cache=True, nogil=True)
def _box_distance2(x, y, box):  # type: ignore[no-untyped-def]
    gap_x = max(box[0] - x, 0.0, x - box[2])
    gap_y = max(box[1] - y, 0.0, y - box[3])
    return gap_x * gap_x + gap_y * gap_y


@njit(cache=True, nogil=True)
def _segment_distance2(x, y, segment):  # type: ignore[no-untyped-def]
    dx, dy = segment[2] - segment[0], segment[3] - segment[1]
    length2 = dx * dx + dy * dy
    t = 0.0 if length2 == 0.0 else ((x - segment[0]) * dx + (y - segment[1]) * dy) / length2
    t = min(1.0, max(0.0, t))
    gap_x, gap_y = x - segment[0] - t * dx, y - segment[1] - t * dy
    return gap_x * gap_x + gap_y * gap_y, t * np.sqrt(length2)


@njit(cache=True, nogil=True)
def _search(points, order, segments, boxes, leaf, position):  # type: ignore[no-untyped-def]
    distance = np.empty(len(points))
    where = np.empty(len(points))
    n_leaves = len(boxes) // 2
    stack = np.empty(128, dtype=np.int64)
    best_segment = 0
    for i in order:
        x, y = points[i, 0], points[i, 1]
        best, along = _segment_distance2(x, y, segments[best_segment])
        stack[0] = 1
        depth = 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            if _box_distance2(x, y, boxes[node]) >= best:
                continue
            if node >= n_leaves:
                first = (node - n_leaves) * leaf
                for s in range(first, min(first + leaf, len(segments))):
                    d2, t = _segment_distance2(x, y, segments[s])
                    if d2 < best:
                        best, along, best_segment = d2, t, s
                continue
            left, right = 2 * node, 2 * node + 1
            if _box_distance2(x, y, boxes[left]) < _box_distance2(x, y, boxes[right]):
                left, right = right, left
            stack[depth] = left
            stack[depth + 1] = right
            depth += 2
        distance[i] = np.sqrt(best)
        where[i] = position[best_segment] + along
    return distance, where
