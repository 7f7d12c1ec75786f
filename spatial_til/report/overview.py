"""The overview of one slide: its photograph, and over it, as vectors, typed border, bands and CD8+ cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from spatial_til.counted import counted
from spatial_til.model import XY
from spatial_til.report.pictures import jpeg_uri, photo_uri

_UNITS = 1200  # the drawing is this wide: whole numbers are fine enough
_MOST_CELLS = 2000
_NICE = (1, 2, 5)


Box: TypeAlias = tuple[float, float, float, float]


class Look(NamedTuple):
    """How one kind of line or region is drawn: its name in words, its class in the style sheet."""

    label: str
    style: str


BORDERS = {
    "Border stroma": Look("border that faces stroma (evaluable)", "b-stroma"),
    "Border tissue_edge": Look("at the tissue edge (not margin)", "b-tissue-edge"),
    "Border image_edge": Look("at the image edge (not margin)", "b-image-edge"),
    "Border exclusion": Look("at an exclusion", "b-exclusion"),
    "Border no_margin": Look("in a No margin region", "b-no-margin"),
    "Border thin_rim": Look("thin rim: under 100 µm of tissue outward", "b-thin-rim"),
}
REGIONS = {
    "core": Look("core", "r-core"),
    "inner_margin": Look("inner margin", "r-inner"),
    "outer_margin": Look("outer margin", "r-outer"),
    "tumor_unresolved": Look("tumour without evaluable border", "r-unresolved"),
    "Exclude": Look("excluded", "r-excluded"),
}


class Drawn(NamedTuple):
    """One path of the drawing, and what its legend says."""

    look: Look
    path: str
    amount: str


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the template needs to show one slide; lengths are in units of the drawing."""

    photo: str
    width: int
    height: int
    regions: tuple[Drawn, ...] = ()
    borders: tuple[Drawn, ...] = ()
    cells: str = ""
    cells_note: str = ""
    scale_units: float = 0.0
    scale_label: str = ""


def draw_overview(photo: Path | None, frame_um: Box, regions: Mapping[str, BaseGeometry], cd8_xy_um: XY) -> Overview:
    """Return the drawing of one slide.

    Parameters
    ----------
    photo
        The picture of the frame, a JPEG of the size it is shown in or any larger PNG; None leaves the ground white.
    frame_um
        x0, y0, x1, y1 of what is shown.
    regions
        As `io.regions.read_regions` returns them.
    cd8_xy_um
        (n, 2) positions; of more than 2000 cells every n-th is drawn, and the note says so.
    """
    x0, y0, x1, y1 = frame_um
    units_per_um = _UNITS / (x1 - x0)
    length = _scale_um(x1 - x0)
    uri = "" if photo is None else _uri(photo)
    moved = {name: shapely.transform(shape, lambda xy: xy - (x0, y0)) for name, shape in regions.items()}
    shown = cd8_xy_um[:: max(1, -(-len(cd8_xy_um) // _MOST_CELLS))]
    note = counted(len(cd8_xy_um), "CD8+ cell")
    return Overview(
        photo=uri,
        width=_UNITS,
        height=round(_UNITS * (y1 - y0) / (x1 - x0)),
        regions=tuple(_drawn(REGIONS, moved, units_per_um, area=True)),
        borders=tuple(_drawn(BORDERS, moved, units_per_um, area=False)),
        cells="".join(f"M{x},{y}h0" for x, y in np.rint((shown - (x0, y0)) * units_per_um).astype(int).tolist()),
        cells_note=note if len(shown) == len(cd8_xy_um) else f"{len(shown):,} of {note} drawn",
        scale_units=length * units_per_um,
        scale_label=f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm",
    )


def plain_overview(thumbnail: Path) -> Overview:
    """Return a picture in which regions are drawn already."""
    uri, (wide, high) = photo_uri(thumbnail)
    return Overview(uri, wide, high)


def _uri(photo: Path) -> str:
    return jpeg_uri(photo.read_bytes()) if photo.suffix == ".jpg" else photo_uri(photo)[0]


def _drawn(looks: Mapping[str, Look], regions: Mapping[str, BaseGeometry], scale: float, *, area: bool) -> list[Drawn]:
    found = []
    for name, look in looks.items():
        if name in regions:
            shape = regions[name]
            amount = f"{shape.area / 1e6:.2f} mm²" if area else f"{shape.length / 1000:.2f} mm"
            found.append(Drawn(look, _path(shape, scale, closed=area), amount))
    return found


def _path(shape: BaseGeometry, scale: float, *, closed: bool) -> str:
    """Return rings or lines as an SVG path in whole units, without points that the eye cannot tell apart."""
    simple = shapely.simplify(shape, 0.8 / scale, preserve_topology=False)
    lines = shapely.get_rings(shapely.get_parts(simple)) if closed else shapely.get_parts(simple)
    parts = []
    for line in lines:
        points = np.rint(shapely.get_coordinates(line) * scale).astype(int).tolist()
        parts.append("M" + "L".join(f"{x},{y}" for x, y in points) + ("Z" if closed else ""))
    return "".join(parts)


def _scale_um(width_um: float) -> float:
    """Return a round length, about a fifth of the width."""
    power = 10.0 ** np.floor(np.log10(width_um / 5))
    return float(max(n * power for n in _NICE if n * power <= width_um / 5))
