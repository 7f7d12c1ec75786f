"""inForm `cell_seg_data`: phenotypes, tissue categories and intensities of each compartment."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spatial_til.io.cell_tables.layout import Layout
from spatial_til.io.cell_tables.marker_names import find_marker

_COMPARTMENTS = {"nucleus": "nucleus", "cytoplasm": "cytoplasm", "membrane": "membrane", "entire cell": "cell"}
_MEAN = re.compile(r"^(Nucleus|Cytoplasm|Membrane|Entire Cell) (.+?) Mean(?: \(.*\))?$")
_OWN_PHENOTYPE = re.compile(r"^Phenotype[- .](.+)$")
_X, _Y = "Cell X Position", "Cell Y Position"


def inform_layout(columns: Sequence[str], markers: Sequence[str]) -> Layout | None:
    """Return the layout of an inForm table; None where it is not one.

    Positions are in the unit of the areas: ``(pixels)`` or ``(sq microns)``; inForm writes both.
    """
    if _X not in columns or _Y not in columns:
        return None
    microns = any("micron" in name for name in columns)
    pixels = any("(pixels)" in name for name in columns)
    area = "sq microns" if microns else "pixels"
    own = {find_marker(m[1], markers): name for name in columns if (m := _OWN_PHENOTYPE.match(name))}
    return Layout(
        name="inForm",
        x=(_X,),
        y=(_Y,),
        unit="um" if microns else "px" if pixels else "",
        nucleus_area=_present(f"Nucleus Area ({area})", columns),
        cell_area=_present(f"Entire Cell Area ({area})", columns),
        areas="um2" if microns else "px2",
        category=_present("Tissue Category", columns),
        image=_present("Sample Name", columns),
        labels=tuple(name for name in columns if name == "Phenotype"),
        own_labels={marker: name for marker, name in own.items() if marker is not None},
        measurements=_measurements(columns, markers),
    )


def _present(name: str, columns: Sequence[str]) -> str:
    return name if name in columns else ""


def _measurements(columns: Sequence[str], markers: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in columns:
        match = _MEAN.match(name)
        marker = find_marker(match[2], markers) if match else None
        if match and marker:
            found[f"{marker}_{_COMPARTMENTS[match[1].lower()]}_mean"] = name
    return found
