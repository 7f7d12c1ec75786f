"""QuPath measurement tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spatial_til.io.cell_tables.layout import Layout
from spatial_til.io.cell_tables.marker_names import find_marker

_CENTROID = re.compile(r"^Centroid ([XY])(?: (µm|μm|um|px))?$")
_AREA = re.compile(r"^(Nucleus|Cell)(?:: |/)Area(?: (?:µm|μm|um|px)(?:\^2|²))?$")
_COMPARTMENT = r"(Nucleus|Cytoplasm|Membrane|Cell)"
#: ``Nucleus: CD8 mean`` of cell detection and ``CD8: Nucleus: Mean`` of later versions.
_MEASUREMENTS = (
    re.compile(rf"^{_COMPARTMENT}: (.+?):? (mean|median)$", re.IGNORECASE),
    re.compile(rf"^(.+?): {_COMPARTMENT}: (mean|median)$", re.IGNORECASE),
)


def qupath_layout(columns: Sequence[str], markers: Sequence[str]) -> Layout | None:
    """Return the layout of a QuPath measurement table; None where it is not one."""
    centroids = {m[1]: (name, m[2] or "") for name in columns if (m := _CENTROID.match(name))}
    if set(centroids) != {"X", "Y"}:
        return None
    (x, unit), (y, _) = centroids["X"], centroids["Y"]
    areas = {m[1]: name for name in columns if (m := _AREA.match(name))}
    classes = [name for name in ("Classification", "Class") if name in columns]
    return Layout(
        name="QuPath",
        x=(x,),
        y=(y,),
        unit="um" if unit and unit != "px" else "px",
        nucleus_area=areas.get("Nucleus", ""),
        cell_area=areas.get("Cell", ""),
        areas="um2"
        if any("m^2" in name or "m²" in name for name in areas.values()) or unit not in {"", "px"}
        else "px2",
        category=next((name for name in ("Parent classification", "Parent") if name in columns), ""),
        image="Image" if "Image" in columns else "",
        object_type=next((name for name in ("Object type", "Object Type") if name in columns), ""),
        labels=tuple(classes[:1]),
        measurements=_measurements(columns, markers),
    )


def _measurements(columns: Sequence[str], markers: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in columns:
        for pattern, (at_compartment, at_marker) in zip(_MEASUREMENTS, ((1, 2), (2, 1)), strict=True):
            match = pattern.match(name)
            marker = find_marker(match[at_marker], markers) if match else None
            if match and marker:
                found[f"{marker}_{match[at_compartment].lower()}_{match[3].lower()}"] = name
    return found
