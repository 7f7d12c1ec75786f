"""GeoJSON as QuPath writes it: a Feature, a FeatureCollection or a bare list, of any version."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import shapely
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from spatial_til.errors import AnnotationError
from spatial_til.io.annotations.drawn import Drawn, ellipse, finite, outline
from spatial_til.io.json_text import parse_json

Found = TypeVar("Found")

#: Objects that are not regions, by what versions called them in `objectType`, `object_type` or `id`.
_NOT_REGIONS = {
    "cell", "detection", "tile", "tma_core", "root", "subcellular", "metadata",
    "pathcellobject", "pathdetectionobject", "pathtileobject", "tmacoreobject", "pathrootobject",
}  # fmt: skip


def read_qupath(path: Path) -> list[Drawn]:
    """Return every region of a GeoJSON file; cells and other detections are skipped.

    Raises
    ------
    AnnotationError
        The file is not JSON, or not GeoJSON.
    """
    return _read(path, _drawn)


def read_shapes(path: Path) -> list[tuple[str, BaseGeometry]]:
    """Return the class name and the shape, in pixel corners, of everything drawn in a GeoJSON file, lines too.

    Raises
    ------
    AnnotationError
        The file is not JSON, or not GeoJSON.
    """
    return _read(path, _shapes)


def _read(path: Path, of_feature: Callable[[Mapping[str, Any]], Iterator[Found]]) -> list[Found]:
    try:
        data = parse_json(path.read_text("utf-8-sig"))
    except ValueError as error:
        msg = f"{path}: it is not valid JSON ({error}). Export the annotations from QuPath again, as GeoJSON."
        raise AnnotationError(msg) from error
    try:
        features = [feature for top in _features(data, path) for feature in _with_children(top)]
        return [found for feature in features if _is_region(feature) for found in of_feature(feature)]
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, shapely.errors.ShapelyError) as error:
        msg = f"{path}: a feature is not GeoJSON ({type(error).__name__}: {error}). Export the annotations again."
        raise AnnotationError(msg) from error


def _features(data: Any, path: Path) -> Sequence[Mapping[str, Any]]:
    if isinstance(data, list):
        return data
    kind = data.get("type") if isinstance(data, Mapping) else None
    if kind == "FeatureCollection":
        features: Sequence[Mapping[str, Any]] = data["features"]
        return features
    if kind == "Feature":
        return [data]
    if kind is not None and ("coordinates" in data or "geometries" in data):
        return [{"type": "Feature", "geometry": data}]
    msg = f"{path}: it is JSON but not GeoJSON: a Feature, a FeatureCollection or a list of Features is needed."
    raise AnnotationError(msg)


def _with_children(feature: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a feature and those nested in it, as a whole hierarchy is exported."""
    yield feature
    for value in feature.values():
        for child in value if isinstance(value, list) else ():
            if isinstance(child, Mapping) and child.get("type") == "Feature":
                yield from _with_children(child)


def _is_region(feature: Mapping[str, Any]) -> bool:
    properties = feature.get("properties") or {}
    kinds = {
        str(value).casefold()
        for value in (properties.get("objectType"), properties.get("object_type"), feature.get("id"))
    }
    return not kinds & _NOT_REGIONS and "nucleusGeometry" not in feature


def _class_name(feature: Mapping[str, Any]) -> str:
    """Return the classification: an object with `name` or `names`, or a bare name."""
    found = (feature.get("properties") or {}).get("classification")
    if isinstance(found, Mapping):
        names = found.get("names")
        return ": ".join(str(n) for n in names) if names else str(found.get("name") or "")
    return str(found or "")


def _drawn(feature: Mapping[str, Any]) -> Iterator[Drawn]:
    geometry, name = feature.get("geometry"), _class_name(feature)
    for kind, polygon in _outlines(geometry) if geometry else ():
        yield Drawn(name, kind, polygon)


def _shapes(feature: Mapping[str, Any]) -> Iterator[tuple[str, BaseGeometry]]:
    geometry, name = feature.get("geometry"), _class_name(feature)
    if not geometry:
        return
    for kind, polygon in _outlines(geometry):
        if polygon is not None:
            yield name, polygon
        elif kind.endswith("LineString"):
            coordinates = geometry["coordinates"]
            for line in coordinates if kind == "MultiLineString" else [coordinates]:
                yield name, LineString(finite([point[:2] for point in line]))


def _outlines(geometry: Mapping[str, Any]) -> Iterator[tuple[str, Polygon | None]]:
    kind = str(geometry["type"])
    if kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _outlines(part)
    elif kind == "Polygon":
        rings = geometry["coordinates"]
        # QuPath keeps an ellipse by its box; the ring beside it is for other programs
        yield kind, ellipse([p[:2] for p in rings[0]]) if geometry.get("isEllipse") else outline(rings)
    elif kind == "MultiPolygon":
        for rings in geometry["coordinates"]:
            yield kind, outline(rings)
    else:
        yield kind, None
