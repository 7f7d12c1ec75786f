"""Outlines as people draw them, made into polygons whose areas can be trusted."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from spatial_til.counted import counted
from spatial_til.errors import AnnotationError
from spatial_til.geometry.polygons import joined, polygonal, without

#: Ten metres: beyond it a coordinate is a mistake.
_FARTHEST_UM = 1e7


def make_valid_polygon(geometry: BaseGeometry) -> tuple[MultiPolygon, float]:
    """Return the valid polygons of a geometry and how much their area changed.

    A self-crossing outline keeps all that it winds around, a bow-tie both its halves; what a hole winds
    around is taken out; polygons that overlap are joined; spikes, repeated vertices, lines and points
    vanish. Rings may run in either direction.

    Parameters
    ----------
    geometry
        A polygon, or a collection that holds some, in µm.

    Returns
    -------
    polygons
        Valid; empty where the input is empty.
    area_change
        Sum over polygons of the change of area, over the larger of the areas before and after. Before
        is what the outline's vertices give by the trapezoid rule, holes subtracted: 0 for valid input,
        1 for a symmetric bow-tie. Joining polygons that overlap is no change.

    Raises
    ------
    AnnotationError
        If a coordinate is not finite or beyond 10 m, or if nothing that was drawn has an area.

    Examples
    --------
    >>> from shapely.geometry import Polygon
    >>> polygons, change = make_valid_polygon(Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]))
    >>> polygons.area, change
    (2.0, 1.0)
    """
    if geometry.is_empty:
        return MultiPolygon(), 0.0
    _check_coordinates(shapely.get_coordinates(geometry))
    drawn = polygonal(shapely.force_2d(geometry))
    if drawn.is_valid and not drawn.is_empty:
        return drawn, 0.0
    parts = shapely.get_parts(drawn)
    repaired = [part if part.is_valid else _repair(part) for part in parts]
    whole = joined(repaired)
    if whole.area <= 0:
        msg = (
            f"A region must enclose an area; a {geometry.geom_type} with "
            f"{counted(int(shapely.get_num_coordinates(geometry)), 'vertex', 'vertices')} encloses none. "
            "Draw a closed outline, or remove it."
        )
        raise AnnotationError(msg)
    before, after = shapely.area(parts), shapely.area(repaired)
    return whole, float(np.abs(after - before).sum() / np.maximum(np.abs(before), after).sum())


def _repair(drawn: Polygon) -> MultiPolygon:
    """Return what the outline winds around, less what its holes wind around."""
    rings = [Polygon(ring) for ring in (drawn.exterior, *drawn.interiors)]
    shell, *holes = shapely.make_valid(rings, method="structure", keep_collapsed=False)
    return polygonal(without(shell, joined(holes)))


def _check_coordinates(coordinates: NDArray[np.float64]) -> None:
    usable: NDArray[np.bool_] = np.all(np.abs(coordinates) <= _FARTHEST_UM, axis=1)
    if not usable.all():
        first = coordinates[np.argmin(usable)]
        far = f"{int((~usable).sum())} of {counted(len(usable), 'vertex', 'vertices')}"
        msg = (
            f"An outline must have finite coordinates within 10 m; {far} "
            f"have not, the first at ({first[0]}, {first[1]}) µm. Draw the region again, or remove it."
        )
        raise AnnotationError(msg)
