"""ImageScope XML and HALO .annotations: layers of regions, negative ones cut holes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import shapely
from shapely.geometry import Polygon

from spatial_til.io.annotations.drawn import Drawn, ellipse, outline, rectangle

#: `Type` of a region: ImageScope counts, HALO names. What is not here is a line or a point.
_KINDS = {
    "0": "polygon", "1": "rectangle", "2": "ellipse",
    "polygon": "polygon", "rectangle": "rectangle", "ellipse": "ellipse",
}  # fmt: skip
_POINTS = {"Vertex", "V"}


def layer_regions(root: Element, path: Path) -> list[Drawn]:  # noqa: ARG001
    """Return the regions of every layer, with the negative ones of the layer as their cuts.

    A negative region cuts every region of its layer but one that lies wholly inside it: an island.
    """
    return [drawn for layer in root.iter("Annotation") for drawn in _layer(layer)]


def _layer(layer: Element) -> Iterator[Drawn]:
    name = _layer_name(layer)
    positive, negative = [], []
    for region in layer.iter("Region"):
        kind = _KINDS.get(region.get("Type", "0").strip().casefold(), "")
        polygon = _shape(region, kind)
        if polygon is None:
            yield Drawn(name, f"region of type {region.get('Type', '0')}", None)
        elif region.get("NegativeROA", "0").strip() in {"1", "True", "true"}:
            negative.append(polygon)
        else:
            positive.append((kind, polygon))
    for kind, polygon in positive:
        yield Drawn(name, kind, polygon, tuple(hole for hole in negative if not _holds(hole, polygon)))


def _holds(hole: Polygon, region: Polygon) -> bool:
    """Say whether a region is an island inside a negative one; boxes decide where an outline is invalid."""
    if hole.is_valid and region.is_valid:
        return bool(hole.covers(region))
    return bool(shapely.box(*hole.bounds).covers(shapely.box(*region.bounds)))


def _layer_name(layer: Element) -> str:
    """Return the layer's name; ImageScope may keep it as the attribute `Description`."""
    given = layer.get("Name", "").strip()
    described = [
        a.get("Value", "").strip() for a in layer.iter("Attribute") if a.get("Name", "").casefold() == "description"
    ]
    return given or next((text for text in described if text), "")


def _shape(region: Element, kind: str) -> Polygon | None:
    points = [(float(p.get("X", "nan")), float(p.get("Y", "nan"))) for p in region.iter() if p.tag in _POINTS]
    if kind == "ellipse" and len(points) >= 2:
        return ellipse(points)
    if kind == "rectangle" and len(points) == 2:
        return rectangle(points)
    return outline([points]) if kind else None
