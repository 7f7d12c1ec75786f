"""Outlines as people draw them, made into polygons that areas can be trusted of."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry import MultiPolygon
from shapely.geometry.base import BaseGeometry

from spatial_til.errors import AnnotationError
from spatial_til.geometry.polygons import polygonal


def make_valid_polygon(geometry: BaseGeometry) -> tuple[MultiPolygon, float]:
    """Return the valid polygons of a geometry and how much its area changed.

    Crossing outlines are split where they cross, so that a bow-tie keeps both its halves; spikes,
    repeated vertices, lines and points vanish. Rings may run in either direction.

    Parameters
    ----------
    geometry
        A polygon, or a collection that holds some.

    Returns
    -------
    polygons
        Valid; empty where the input is empty.
    area_change
        Absolute change of area over the area as drawn (the even-odd area of each ring); 0 for valid
        input, 1 where nothing was drawn but a sliver.

    Raises
    ------
    AnnotationError
        If a coordinate is not finite, or if there is no area in a geometry that is not empty.
    """
    if geometry.is_empty:
        return MultiPolygon(), 0.0
    coordinates = shapely.get_coordinates(geometry)
    if not np.isfinite(coordinates).all():
        bad = int((~np.isfinite(coordinates).all(axis=1)).sum())
        msg = (
            f"An outline must have finite coordinates; {bad} of {len(coordinates)} vertices are NaN or infinite. "
            "Draw the region again, or remove it."
        )
        raise AnnotationError(msg)
    drawn = polygonal(geometry)
    if drawn.is_valid and not drawn.is_empty:
        return drawn, 0.0
    repaired = polygonal(shapely.make_valid(geometry, method="linework"))
    if repaired.area <= 0:
        msg = (
            f"A region must enclose an area; a {geometry.geom_type} with {len(coordinates)} vertices encloses none. "
            "Draw a closed outline, or remove it."
        )
        raise AnnotationError(msg)
    return repaired, abs(repaired.area - drawn.area) / max(drawn.area, repaired.area)
