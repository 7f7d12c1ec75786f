"""Scored regions as GeoJSON that QuPath opens on the same image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import shapely
from shapely.geometry import MultiLineString, MultiPolygon
from shapely.geometry.base import BaseGeometry

from spatial_til.errors import AnnotationError
from spatial_til.io.atomic import write_text
from spatial_til.io.json_text import parse_object
from spatial_til.model import BORDER_TYPES, COMPARTMENTS, Compartments
from spatial_til.region_colors import (
    BORDER_COLORS,
    COMPARTMENT_COLORS,
    EXCLUDED_COLOR,
    TISSUE_COLOR,
    TUMOR_COLOR,
    Color,
)
from spatial_til.units import PixelSize, corners_to_um, um_to_corners


class _Look(NamedTuple):
    """How a region is called and coloured in QuPath."""

    name: str
    color: Color


_TISSUE, _TUMOR = _Look("Tissue", TISSUE_COLOR), _Look("Tumor", TUMOR_COLOR)
_EXCLUDE = _Look("Exclude", EXCLUDED_COLOR)
_THIN_RIM = _Look("Border thin_rim", BORDER_COLORS["thin_rim"])
_COMPARTMENTS = tuple(_Look(name, COMPARTMENT_COLORS[name]) for name in COMPARTMENTS)
_BORDERS = tuple(_Look(f"Border {kind}", BORDER_COLORS[kind]) for kind in BORDER_TYPES)


def write_regions(path: Path, compartments: Compartments, *, pixel_size: PixelSize) -> None:
    """Write tissue, tumour, compartments, exclusions and typed border lines, whole or not at all.

    Parameters
    ----------
    path
        The GeoJSON file.
    compartments
        Regions in µm; those that are empty are left out.
    pixel_size
        Of the full-resolution image: coordinates are written in its pixel corners, as QuPath reads them.
    """
    features = [
        _feature(look, shapely.transform(region, lambda xy: um_to_corners(xy, pixel_size)))
        for look, region in _looks(compartments)
        if not region.is_empty
    ]
    write_text(path, '{"type": "FeatureCollection", "features": [\n' + ",\n".join(features) + "\n]}\n")


def named_regions(compartments: Compartments) -> dict[str, BaseGeometry]:
    """Return the regions by the names that `read_regions` gives them, those that are empty as well."""
    return {look.name: region for look, region in _looks(compartments)}


def _looks(compartments: Compartments) -> Iterator[tuple[_Look, BaseGeometry]]:
    yield _TISSUE, compartments.tissue
    yield _TUMOR, compartments.tumor
    yield _EXCLUDE, compartments.excluded
    for look in _COMPARTMENTS:
        yield look, compartments.regions[look.name]
    for look, kind in zip(_BORDERS, BORDER_TYPES, strict=True):
        yield look, compartments.border.by_type[kind]
    yield _THIN_RIM, compartments.border.thin_rim


def _feature(look: _Look, region: BaseGeometry) -> str:
    parts = shapely.get_parts(region)
    # QuPath takes a collection of one for broken
    geometry = shapely.to_geojson(parts[0] if len(parts) == 1 else region)
    properties = {
        "objectType": "annotation",
        "name": look.name,
        "isLocked": True,
        "classification": {"name": look.name, "color": list(look.color)},
    }
    return f'{{"type": "Feature", "geometry": {geometry}, "properties": {json.dumps(properties)}}}'


def read_regions(path: Path, *, pixel_size: PixelSize) -> Mapping[str, MultiPolygon | MultiLineString]:
    """Return the regions of a file of ours, in µm, by name; those that were empty are missing.

    Names are ``Tissue``, ``Tumor``, ``Exclude``, the compartments, ``Border <type>`` and ``Border thin_rim``.

    Raises
    ------
    AnnotationError
        The file is not one of ours.
    """
    try:
        features = parse_object(path.read_bytes())["features"]
        named = {f["properties"]["classification"]["name"]: json.dumps(f["geometry"]) for f in features}
        regions = {name: shapely.from_geojson(text) for name, text in named.items()}
        return {
            name: _collected(shapely.transform(region, lambda xy: corners_to_um(xy, pixel_size)))
            for name, region in regions.items()
        }
    except (OSError, ValueError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        msg = f"{path}: it is not a regions file of ours ({error}). Score the slide again."
        raise AnnotationError(msg) from error


def _collected(region: BaseGeometry) -> MultiPolygon | MultiLineString:
    parts = shapely.get_parts(region).tolist()
    return MultiPolygon(parts) if region.geom_type.endswith("Polygon") else MultiLineString(parts)
