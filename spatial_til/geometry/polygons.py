"""Small operations on polygons and lines that every other file here needs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import shapely
from shapely.geometry import LineString, MultiLineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

#: Segments in a quarter of a circle: the polygon of a buffer is 0.04 % smaller than the disk.
QUAD_SEGS = 32
#: Overlays are snapped to this grid. Without one, outlines that run within rounding of each other can
#: be taken for inside out, and whole parts vanish; 1e-8 µm changes areas by less than 1e-10 of them.
GRID_UM = 1e-8
#: Vertices of one short line. One call on a long border is quadratic; short lines joined are not.
_CHUNK = 20


def polygonal(geometry: BaseGeometry | Iterable[BaseGeometry]) -> MultiPolygon:
    """Return the polygons of a geometry, or of several that do not overlap; lines and points are dropped."""
    parts = _flat_parts(geometry)
    return MultiPolygon(parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)].tolist())


def linear(geometry: BaseGeometry | Iterable[BaseGeometry]) -> MultiLineString:
    """Return the lines of a geometry, those that touch end to end joined; points are dropped."""
    parts = _flat_parts(geometry)
    lines = parts[np.isin(shapely.get_type_id(parts), (1, 2)) & ~shapely.is_empty(parts)]
    merged = shapely.line_merge(MultiLineString([line.coords for line in lines]))
    return MultiLineString(shapely.get_parts(merged).tolist())


def _flat_parts(geometry: BaseGeometry | Iterable[BaseGeometry]) -> np.ndarray:
    parts = np.atleast_1d(np.asarray(geometry if isinstance(geometry, BaseGeometry) else list(geometry), dtype=object))
    while (shapely.get_type_id(parts) > 3).any():
        parts = shapely.get_parts(parts)
    return parts


def shared(a: BaseGeometry, b: BaseGeometry) -> BaseGeometry:
    """Return what two geometries share."""
    return shapely.intersection(a, b, grid_size=GRID_UM)


def without(a: BaseGeometry, b: BaseGeometry) -> BaseGeometry:
    """Return the first geometry without the second."""
    return shapely.difference(a, b, grid_size=GRID_UM)


def joined(polygons: Iterable[BaseGeometry]) -> MultiPolygon:
    """Return the union of polygons that may overlap."""
    return polygonal(shapely.union_all(list(polygons), grid_size=GRID_UM))


def fill_holes(polygons: MultiPolygon) -> MultiPolygon:
    """Return the polygons without holes; islands inside a hole are swallowed."""
    return joined(Polygon(part.exterior) for part in polygons.geoms)


def boundary_lines(polygons: MultiPolygon) -> MultiLineString:
    """Return every ring of the polygons as a line."""
    return MultiLineString([ring.coords for ring in shapely.get_rings(shapely.get_parts(polygons))])


def buffer_lines(lines: MultiLineString, width_um: float) -> MultiPolygon:
    """Return all points within a width of the lines, with round ends.

    Parameters
    ----------
    lines
        Lines in µm.
    width_um
        Half the width of the band, in µm.
    """
    if lines.is_empty:
        return MultiPolygon()
    short = [
        LineString(coords[start : start + _CHUNK])
        for coords in (shapely.get_coordinates(line) for line in lines.geoms)
        for start in range(0, len(coords) - 1, _CHUNK - 1)
    ]
    return polygonal(shapely.union_all(shapely.buffer(short, width_um, quad_segs=QUAD_SEGS)))
