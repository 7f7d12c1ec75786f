"""How far two outlines of one region lie apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiLineString, MultiPolygon

from spatial_til.geometry.nearest import nearest_on_lines
from spatial_til.geometry.polygons import boundary_lines
from spatial_til.model import XY, FloatArray

#: Distances are taken at points this far apart along both outlines.
STEP_UM = 5.0


class OutlineDistance(NamedTuple):
    """Distances between two outlines in µm, and the place where they lie farthest apart."""

    mean_um: float
    hausdorff95_um: float
    farthest_um: float
    x_um: float
    y_um: float


def outline_distance(a: MultiPolygon, b: MultiPolygon, *, step_um: float = STEP_UM) -> OutlineDistance | None:
    """Return how far the outlines of two regions lie apart; None where one is empty.

    Parameters
    ----------
    a, b
        Regions in µm; holes have outlines too.
    step_um
        Distance between the points that are looked at along the outlines.

    Notes
    -----
    From every point of each outline to the nearest of the other. The mean is over both outlines by length
    (average symmetric surface distance); the 95 % Hausdorff distance is the larger of the two outlines' 95th
    percentiles. A point between two corners is rounded, and so lies beside its own line by some 1e-13 µm: on a
    stretch that both outlines have, corner for corner, the distance is 0 and not measured.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> a = MultiPolygon([box(0, 0, 100, 100)])
    >>> outline_distance(a, a).mean_um
    0.0
    """
    if a.is_empty or b.is_empty:
        return None
    lines = boundary_lines(a), boundary_lines(b)
    points, weights, stretches = zip(*(_along(line, step_um) for line in lines), strict=True)
    distances = [nearest_on_lines(own, other).distance_um for own, other in zip(points, lines[::-1], strict=True)]
    for own, at, other in zip(distances, stretches, map(_stretches, lines[::-1]), strict=True):
        own[np.isin(_as_one(at), _as_one(other))] = 0.0
    every, place = np.concatenate(distances), np.concatenate(points)
    far = int(every.argmax())
    return OutlineDistance(
        mean_um=float(np.average(every, weights=np.concatenate(weights))),
        hausdorff95_um=max(float(np.percentile(d, 95)) for d in distances),
        farthest_um=float(every[far]),
        x_um=float(place[far, 0]),
        y_um=float(place[far, 1]),
    )


def _along(lines: MultiLineString, step_um: float) -> tuple[XY, FloatArray, FloatArray]:
    """Return points at equal steps along each line, the length that each stands for, and the stretch it lies on."""
    points, weights, stretches = [], [], []
    for line in lines.geoms:
        xy = shapely.get_coordinates(line)
        at = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))))
        n = int(np.ceil(at[-1] / step_um))
        where = (np.arange(n) + 0.5) * at[-1] / n
        points.append(np.column_stack([np.interp(where, at, xy[:, k]) for k in (0, 1)]))
        weights.append(np.full(n, at[-1] / n))
        stretches.append(_between(xy)[np.searchsorted(at[1:-1], where)])
    return np.concatenate(points), np.concatenate(weights), np.concatenate(stretches)


def _between(xy: XY) -> FloatArray:
    """Return the stretches (n - 1, 4) between n corners: x and y of both ends, the smaller end first."""
    back = (xy[1:, 0] < xy[:-1, 0]) | ((xy[1:, 0] == xy[:-1, 0]) & (xy[1:, 1] < xy[:-1, 1]))
    return np.where(back[:, None], np.hstack((xy[1:], xy[:-1])), np.hstack((xy[:-1], xy[1:])))


def _stretches(lines: MultiLineString) -> FloatArray:
    """Return the stretches between two corners of any of the lines, see `_between`."""
    return np.concatenate([_between(shapely.get_coordinates(line)) for line in lines.geoms])


def _as_one(stretches: FloatArray) -> NDArray[np.void]:
    """Return each stretch as one value, to be compared as a whole."""
    return np.ascontiguousarray(stretches).view([(name, np.float64) for name in "abcd"]).ravel()
