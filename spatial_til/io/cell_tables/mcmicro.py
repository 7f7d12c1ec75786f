"""MCMICRO quantification: one mean a marker, centroids in pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spatial_til.io.cell_tables.layout import Layout
from spatial_til.io.cell_tables.marker_names import find_marker

_MASKS = {
    "cellmask": "cell",
    "nucleimask": "nucleus",
    "nucleusmask": "nucleus",
    "cytomask": "cytoplasm",
    "cytoplasmmask": "cytoplasm",
}
_MASKED = re.compile(r"^(.+)_([A-Za-z]+Mask)$", re.IGNORECASE)


def mcmicro_layout(columns: Sequence[str], markers: Sequence[str]) -> Layout | None:
    """Return the layout of an MCMICRO table; None where it is not one.

    Centroids count pixels from the centre of the first, as scikit-image gives them.
    """
    if not {"X_centroid", "Y_centroid"} <= set(columns):
        return None
    return Layout(
        name="MCMICRO",
        x=("X_centroid",),
        y=("Y_centroid",),
        unit="px",
        pixel_centres=True,
        cell_area="Area" if "Area" in columns else "",
        image=next((name for name in ("imageid", "ImageId") if name in columns), ""),
        labels=tuple(name for name in ("phenotype", "Phenotype") if name in columns)[:1],
        positive=_positive(columns, markers),
        measurements=_measurements(columns, markers),
    )


def _measurements(columns: Sequence[str], markers: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in columns:
        masked = _MASKED.match(name)
        compartment = _MASKS.get(masked[2].lower(), "") if masked else "cell"
        marker = find_marker(masked[1] if masked else name, markers)
        if marker and compartment:
            found[f"{marker}_{compartment}_mean"] = name
    return found


def _positive(columns: Sequence[str], markers: Sequence[str]) -> dict[str, str]:
    named = {name.removesuffix("_positive"): name for name in columns if name.endswith("_positive")}
    found = {find_marker(start, markers): name for start, name in named.items()}
    return {marker: name for marker, name in found.items() if marker is not None}
