"""A region taken apart into corners that a reader can drag, and put together again.

An outline of thousands of points is thinned to corners few enough to be seen and grasped. Nothing is lost by it:
between two neighbouring corners that were left alone, the outline keeps every point it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.errors import AnnotationError
from spatial_til.geometry.polygons import joined, polygonal, without
from spatial_til.model import XY
from spatial_til.review.drawing import MIN_AREA_UM2, Commit, checked_outline, kept_within

#: More than this nobody drags one by one, and the viewer would be slow.
MAX_RINGS = 200
MAX_CORNERS = 400
#: How far a stretch may bend between two corners: finer, they would lie too close to be grasped.
_FINEST_UM = 2.0
#: A corner nearer than this to where it was has not been moved: viewers keep 32-bit numbers.
_SAME_UM = 0.01


@dataclass(frozen=True, slots=True)
class Ring:
    """One outline of a region: of a part, or of a hole in it.

    `points` (n, 2) are x, y in µm, the first not repeated at the end; `corners` (k,) index those to be dragged.
    """

    part: int
    hole: bool
    points: XY
    corners: NDArray[np.int64]

    @property
    def handles(self) -> XY:
        """The corners, (k, 2) x, y in µm."""
        return self.points[self.corners]


def rings_of(region: MultiPolygon) -> list[Ring]:
    """Return the outlines of a region with corners to drag: as many as `MAX_CORNERS` allows, all in all.

    Raises
    ------
    AnnotationError
        Where the region is empty or has more than `MAX_RINGS` outlines.
    """
    found = [
        (part, hole, shapely.get_coordinates(ring)[:-1])
        for part, polygon in enumerate(region.geoms)
        for hole, ring in [(False, polygon.exterior), *((True, inner) for inner in polygon.interiors)]
    ]
    if not 0 < len(found) <= MAX_RINGS:
        msg = (
            f"single corners can be moved of 1 to {MAX_RINGS} outlines, this region has {len(found)}: "
            "draw it, or use Extend and Cut away"
        )
        raise AnnotationError(msg)
    tolerance_um = _FINEST_UM
    corners = [_corners(points, tolerance_um) for _, _, points in found]
    while sum(map(len, corners)) > MAX_CORNERS and any(len(c) > 3 for c in corners):
        tolerance_um *= 2
        corners = [_corners(points, tolerance_um) for _, _, points in found]
    return [Ring(part, hole, points, at) for (part, hole, points), at in zip(found, corners, strict=True)]


def _corners(points: XY, tolerance_um: float) -> NDArray[np.int64]:
    """Return which points a thinned outline keeps, in order."""
    kept = shapely.get_coordinates(shapely.simplify(Polygon(points), tolerance_um))
    place = {tuple(point): i for i, point in enumerate(points.tolist())}
    return np.array(sorted({place[tuple(point)] for point in kept.tolist()}), dtype=np.int64)


def commit_corners(
    dragged: Sequence[tuple[Ring, ArrayLike]], *, within: MultiPolygon | None = None, may_be_empty: bool = False
) -> Commit:
    """Return the region after corners were dragged, put in or taken out.

    Parameters
    ----------
    dragged
        Each outline that is left, with its corners as they are now: (m, 2) x, y in µm, closed or not.
    within, may_be_empty
        As in `commit_polygon`.
    """
    shells: dict[int, MultiPolygon] = {}
    holes: dict[int, list[MultiPolygon]] = {}
    notes = []
    for ring, corners in dragged:
        outline, note = _outline(ring, np.asarray(corners, dtype=np.float64).reshape(-1, 2))
        if outline is None:
            return Commit(None, note)
        notes += [note] if note else []
        if ring.hole:
            holes.setdefault(ring.part, []).append(outline)
        else:
            shells[ring.part] = outline
    parts = [without(shell, joined(holes[at])) if at in holes else shell for at, shell in shells.items()]
    region, note = kept_within(joined(parts) if len(parts) > 1 else polygonal(parts), within)
    if region is None:
        return Commit(None, note)
    if region.area < MIN_AREA_UM2 and not may_be_empty:
        return Commit(None, "nothing of the region would be left: draw it anew")
    return Commit(region, "; ".join(filter(None, [*notes, note])))


def _outline(ring: Ring, corners: XY) -> tuple[MultiPolygon | None, str]:
    was = _which(ring, corners)
    if np.array_equal(was, np.arange(len(ring.corners))):  # left alone, however small or odd it is
        return MultiPolygon([Polygon(ring.points)]), ""
    return checked_outline(_with_points_between(ring, corners, was))


def _which(ring: Ring, corners: XY) -> NDArray[np.int64]:
    """Return for each corner the number of the one that stood there before, -1 for none."""
    if len(corners) > 1 and np.array_equal(corners[0], corners[-1]):
        corners = corners[:-1]
    away = np.hypot(*(corners[:, None] - ring.handles[None]).transpose(2, 0, 1))
    nearest = away.argmin(axis=1)
    return np.where(away[np.arange(len(corners)), nearest] < _SAME_UM, nearest, -1)


def _with_points_between(ring: Ring, corners: XY, was: NDArray[np.int64]) -> XY:
    """Return the outline with all the points between neighbouring corners that were left alone."""
    pieces = []
    for corner, here, after in zip(corners, was, np.roll(was, -1), strict=False):
        if here < 0:
            pieces.append(corner[None])
            continue
        start, count = int(ring.corners[here]), 1
        if after == (here + 1) % len(ring.corners):
            count = int(ring.corners[after] - start) % len(ring.points)
        pieces.append(ring.points[np.arange(start, start + count) % len(ring.points)])
    return np.concatenate(pieces)
