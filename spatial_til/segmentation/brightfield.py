"""A brightfield slide before any tile is cut: its white, its tissue, where its stains start, its nuclear plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.errors import ProtocolError
from spatial_til.segmentation import stains, white
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.tissue import require_tissue, tissue_brightfield
from spatial_til.units import PixelSize

#: Marker stain up to this OD does not darken the nuclear plane.
_MARKER_FLOOR = 10


def glass_and_tissue(
    picture: NDArray[Any], px: PixelSize, settings: MeasureSettings, region: MultiPolygon | None
) -> tuple[white.White, MultiPolygon]:
    """Return the white of a brightfield slide, and its tissue: as drawn, or found on the overview.

    Raises
    ------
    SlideError
        If no tissue is found.
    """
    glass = glass_of(picture, settings)
    return glass, tissue_of(picture, px, glass, settings, region)


def glass_of(picture: NDArray[Any], settings: MeasureSettings) -> white.White:
    """Return the white of a brightfield slide: as given, or read off the overview."""
    return white.White(settings.white, found=True) if settings.white else white.estimate_white(picture)


def tissue_of(
    picture: NDArray[Any], px: PixelSize, glass: white.White, settings: MeasureSettings, region: MultiPolygon | None
) -> MultiPolygon:
    """Return the tissue of a slide whose white is known: as drawn, or found on the overview.

    Raises
    ------
    SlideError
        If no tissue is found.
    """
    if region is None:
        region = tissue_brightfield(
            picture,
            px,
            glass.rgb,
            min_tissue_mm2=settings.min_tissue_mm2,
            max_hole_mm2=settings.max_tissue_hole_mm2,
        )
    return require_tissue(region)


def start_vector(stain: Stain) -> tuple[float, ...]:
    """Return a stain's vector as given, by its preset, or for ``auto`` the preset of the stain's name.

    Raises
    ------
    ProtocolError
        If there is no such preset.
    """
    if not isinstance(stain.vector, str):
        return stain.vector
    name = stain.name if stain.vector == "auto" and stain.name in stains.PRESETS else stain.vector
    if name not in stains.PRESETS:
        known = ", ".join(stains.PRESETS)
        msg = f"panel.stains.{stain.name}: vector is a preset or [r, g, b], found {name!r}; presets: {known}"
        if name == "auto":
            msg = f"panel.stains.{stain.name}: vector auto starts from the preset of the stain's name: name it {known}"
        raise ProtocolError([msg])
    return stains.PRESETS[name]


def nuclear_table(amounts: stains.UnmixTable, settings: MeasureSettings) -> stains.UnmixTable:
    """Return the table of the nuclear plane and the markers.

    Half of strong membrane stain is taken off hematoxylin, so that membranes part touching nuclei, but no more than
    half of the hematoxylin itself, so that a nucleus under a membrane is not lost; the stain of a nuclear marker is
    added.
    """
    names = [s.marker for s in settings.stains]
    marked = [i for i, name in enumerate(names) if name != NUCLEI]
    nuclear = amounts.table[:, names.index(NUCLEI)].astype(np.int16)
    added, taken = np.zeros_like(nuclear), np.zeros_like(nuclear)
    for i in marked:
        strong = np.maximum(amounts.table[:, i].astype(np.int16) - _MARKER_FLOOR, 0)
        if names[i] in settings.nuclear_markers:
            added += strong
        else:
            taken += strong >> 1
    nuclear += added - np.minimum(taken, nuclear >> 1)
    table = np.zeros_like(amounts.table)
    table[:, 0] = np.clip(nuclear, 0, 255)
    table[:, 1 : 1 + len(marked)] = amounts.table[:, marked]
    return stains.UnmixTable(amounts.lookup, table, 1 + len(marked))


def with_markers(table: stains.UnmixTable, amounts: stains.UnmixTable, settings: MeasureSettings) -> stains.UnmixTable:
    """Return the table of the nuclear plane with the markers' planes of other amounts of the same colours."""
    marked = [i for i, s in enumerate(settings.stains) if s.marker != NUCLEI]
    changed = table.table.copy()
    changed[:, 1 : 1 + len(marked)] = amounts.table[:, marked]
    return stains.UnmixTable(table.lookup, changed, table.n_planes)
