"""Annotated regions, made valid and clipped to tissue: nothing else is done to them."""

from __future__ import annotations

from shapely.geometry import MultiPolygon, box

from spatial_til.geometry.polygons import polygonal, shared
from spatial_til.geometry.validity import make_valid_polygon

#: x0, y0, x1, y1 of the image, in µm.
Box = tuple[float, float, float, float]


def clip_region(region: MultiPolygon | None, tissue: MultiPolygon) -> MultiPolygon:
    """Return a region made valid and clipped to tissue; empty where it was not drawn."""
    if region is None or region.is_empty or tissue.is_empty:
        return MultiPolygon()
    valid, _ = make_valid_polygon(region)
    return polygonal(shared(valid, tissue))


def clip_tissue(tissue: MultiPolygon, image_box: Box | None) -> MultiPolygon:
    """Return tissue made valid and clipped to the image, where its size is known."""
    valid, _ = make_valid_polygon(tissue)
    return valid if image_box is None else polygonal(shared(valid, box(*image_box)))
