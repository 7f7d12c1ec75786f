"""ASAP XML: annotations with coordinates, classed by their group."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from spatial_til.io.annotations.drawn import Drawn, outline

_AREAS = {"polygon", "rectangle", "spline"}


def asap_regions(root: Element, path: Path) -> list[Drawn]:  # noqa: ARG001
    """Return the regions; the class is the group, or the name where there is no group.

    A spline is taken as the polygon of its points.
    """
    return [_region(annotation) for annotation in root.iter("Annotation")]


def _region(annotation: Element) -> Drawn:
    group = annotation.get("PartOfGroup", "").strip()
    name = annotation.get("Name", "").strip() if group in {"", "None"} else group
    kind = annotation.get("Type", "").strip()
    points = sorted(annotation.iter("Coordinate"), key=lambda point: float(point.get("Order", "0")))
    ring = [(float(p.get("X", "nan")), float(p.get("Y", "nan"))) for p in points]
    return Drawn(name, kind or "annotation", outline([ring]) if kind.casefold() in _AREAS else None)
