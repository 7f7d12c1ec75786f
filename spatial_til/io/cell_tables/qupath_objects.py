"""QuPath cells as GeoJSON, made into the columns of a measurement table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from spatial_til.errors import CellTableError
from spatial_til.io.json_text import parse_json

if TYPE_CHECKING:
    import pandas as pd

#: Values of a file take several times its size; a measurement table of the same cells is a tenth of it.
MAX_FILE_BYTES = 1 << 30
_CELLS = {"cell", "detection", "pathcellobject", "pathdetectionobject"}


def load_qupath_objects(path: Path) -> pd.DataFrame:
    """Return one row a cell: centroid of the nucleus and areas in px, class, measurements.

    Raises
    ------
    CellTableError
        The file is not GeoJSON, or holds no cells.
    """
    import pandas as pd

    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        msg = f"{path}: {size >> 20} MiB of GeoJSON are too much. Export the measurement table from QuPath instead."
        raise CellTableError(msg)
    try:
        data = parse_json(path.read_text("utf-8-sig"))
        features = data["features"] if isinstance(data, Mapping) and "features" in data else data
        cells = [f for f in ([features] if isinstance(features, Mapping) else features) if _is_cell(f)]
        rows = [_measurements(f) | {"Classification": _class_name(f)} for f in cells]
        outlines = shapely.from_geojson([json.dumps(f["geometry"]) for f in cells])
        nuclei = shapely.from_geojson(
            [json.dumps(f["nucleusGeometry"]) if f.get("nucleusGeometry") else None for f in cells]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        msg = f"{path}: it is not GeoJSON with cells ({error}). Export the detections from QuPath again."
        raise CellTableError(msg) from error
    if not cells:
        msg = f"{path}: it holds no cells. Export detections from QuPath, or give it as annotation."
        raise CellTableError(msg)
    centres = shapely.centroid([n if n is not None else o for n, o in zip(nuclei, outlines, strict=True)])
    frame = pd.DataFrame(rows).drop(columns=["Nucleus: Area", "Cell: Area"], errors="ignore")
    return frame.assign(
        **{
            "Centroid X px": shapely.get_x(centres),
            "Centroid Y px": shapely.get_y(centres),
            "Nucleus: Area": shapely.area(nuclei),
            "Cell: Area": shapely.area(outlines),
        }
    )


def _is_cell(feature: Mapping[str, Any]) -> bool:
    properties = feature.get("properties") or {}
    kinds = {
        str(v).casefold() for v in (properties.get("objectType"), properties.get("object_type"), feature.get("id"))
    }
    return bool(kinds & _CELLS) or "nucleusGeometry" in feature


def _class_name(feature: Mapping[str, Any]) -> str:
    found = (feature.get("properties") or {}).get("classification") or {}
    if isinstance(found, Mapping):
        names: Sequence[Any] = found.get("names") or [found.get("name") or ""]
        return ": ".join(str(name) for name in names)
    return str(found)


def _measurements(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Return measurements, which versions write as an object or as a list of names and values."""
    found = (feature.get("properties") or {}).get("measurements") or {}
    pairs = found.items() if isinstance(found, Mapping) else ((m["name"], m["value"]) for m in found)
    # areas and centroids in µm are left out: they are taken from the outlines, in pixels
    return {str(name): value for name, value in pairs if "µm" not in str(name)}
