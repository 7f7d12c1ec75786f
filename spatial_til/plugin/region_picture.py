"""What the tissue was divided into as one picture: areas and lines painted where one looks, however many corners.

Outlines of a whole slide have tens of thousands of corners; as shapes, triangles or lines of the viewer all of them are
drawn with every frame. Painted, they cost what any picture costs. A pixel holds the number of what is on top there,
0 for nothing, and the viewer gives each number its colour. A pixel belongs to an area where its middle does, so
that areas that touch neither overlap nor leave a gap, and holes are left out exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from spatial_til.model import BORDER_TYPES, COMPARTMENTS, EMPTY
from spatial_til.plugin.pictures import slide_factors
from spatial_til.plugin.tiles import Image, Loader, Picture
from spatial_til.region_colors import (
    BORDER_COLORS,
    COMPARTMENT_COLORS,
    EXCLUDED_COLOR,
    TISSUE_COLOR,
    TUMOR_COLOR,
    Color,
)
from spatial_til.units import PixelSize

#: Pixels of the finest resolution on a side of the slide's pixel: a line stays a line however near one looks.
FINER = 8
#: Half the width of a line in pixels of the resolution in view, one or half a pixel of the screen.
_THIN, _THICK = 1.5, 2.5
_FILL = 0.0
_FILL_ALPHA = 0.25

COMPARTMENT_PART, TISSUE, TUMOR, EXCLUDED, BORDER = "Core and margin", "Tissue", "Tumour", "Excluded", "Border"
#: What can be switched on and off, in the order of a legend.
PARTS = (COMPARTMENT_PART, TUMOR, BORDER, TISSUE, EXCLUDED)


@dataclass(frozen=True, slots=True)
class Paint:
    """How one region is painted: its name in `io.regions`, the part it belongs to, its colour, and how wide a line."""

    region: str
    part: str
    color: Color
    half_px: float = _FILL

    @property
    def alpha(self) -> float:
        """How much of the slide it covers."""
        return _FILL_ALPHA if self.half_px == _FILL else 1.0


def _paints() -> tuple[Paint, ...]:
    """Return what is painted, from the back to the front; `outside` stays clear."""
    areas = [Paint(name, COMPARTMENT_PART, COMPARTMENT_COLORS[name]) for name in COMPARTMENTS if name != "outside"]
    return (
        *areas,
        Paint("Exclude", EXCLUDED, EXCLUDED_COLOR),
        Paint("Tissue", TISSUE, TISSUE_COLOR, _THIN),
        Paint("Exclude", EXCLUDED, EXCLUDED_COLOR, _THICK),
        Paint("Tumor", TUMOR, TUMOR_COLOR, _THIN),
        *(Paint(f"Border {kind}", BORDER, BORDER_COLORS[kind], _THICK) for kind in (*BORDER_TYPES, "thin_rim")),
    )


PAINTS = _paints()


def part_colors(part: str) -> dict[str, Color]:
    """Return the colours of a part by what they stand for, in words.

    Examples
    --------
    >>> part_colors(TUMOR)
    {'tumour': (200, 0, 0)}
    >>> list(part_colors(COMPARTMENT_PART))
    ['core', 'inner margin', 'outer margin', 'tumor unresolved']
    """
    regions = {paint.region: paint.color for paint in PAINTS if paint.part == part}
    if len(regions) == 1:
        return dict.fromkeys([part.lower()], *regions.values())
    return {region.removeprefix("Border ").replace("_", " "): color for region, color in regions.items()}


def outline_paint(name: str, color: Color) -> Paint:
    """Return how the outline of one region is painted, which is a part of its own."""
    return Paint(name, name, color, _THICK)


class _Painted:
    """Regions on the grid of one resolution. Its shape and `factors` (y, x) are as those of `CellSource`."""

    def __init__(
        self,
        shape: tuple[int, int],
        factors: tuple[float, float],
        px: PixelSize,
        strokes: Callable[[], Sequence[tuple[int, float, NDArray[np.float64]]]],
    ) -> None:
        self.shape = shape
        self._strokes = strokes
        # napari draws the middle of the first pixel of every resolution where that of the finest one is
        self._per_um = np.array([1 / (px.x_um * factors[1]), 1 / (px.y_um * factors[0])])
        self._first = np.array([0.5 / factors[1], 0.5 / factors[0]])

    def read(self, row0: int, row1: int, col0: int, col1: int) -> Image:
        """Return (rows, cols) codes."""
        out = np.zeros((row1 - row0, col1 - col0), np.uint8)
        shift = self._first + np.array([col0, row0])
        for code, half_px, segments_um in self._strokes():
            if half_px == _FILL:
                _fill(segments_um, self._per_um, shift, code, out)
            else:
                _line(segments_um, self._per_um, shift, half_px, code, out)
        return out


class RegionPicture:
    """The regions of one slide, painted, with the parts that are switched on.

    Parameters
    ----------
    regions
        In µm, by the names of `io.regions`; those that are missing are empty.
    shape, px
        Rows and columns of the slide, and the size of its pixel.
    loader
        Who paints tiles meanwhile; None to paint in place.
    paints
        What is painted and how, from the back to the front; codes are places in it, from 1.
    shown
        Parts that are on from the start.
    """

    def __init__(
        self,
        regions: Mapping[str, BaseGeometry],
        shape: tuple[int, int],
        px: PixelSize,
        loader: Loader | None = None,
        paints: Sequence[Paint] = PAINTS,
        shown: Collection[str] = PARTS,
    ) -> None:
        self.px = PixelSize(px.x_um / FINER, px.y_um / FINER)
        self.paints = tuple(paints)
        self.shown = tuple(shown)
        made = {name: segments(regions.get(name, EMPTY)) for name in {paint.region for paint in paints}}
        self._segments = [made[paint.region] for paint in paints]
        full = (FINER * shape[0], FINER * shape[1])
        shapes = [(full[0] // f, full[1] // f) for f in slide_factors(full)]
        self._sources = [
            _Painted(shape, (full[0] / shape[0], full[1] / shape[1]), self.px, self._strokes) for shape in shapes
        ]
        self.picture = Picture(self._sources, self._coarsest(), loader)

    def show(self, shown: Collection[str]) -> None:
        """Paint these parts only, from now on; who shows the picture must draw it again."""
        self.shown = tuple(shown)
        self.picture.replace(self._coarsest())

    def _strokes(self) -> list[tuple[int, float, NDArray[np.float64]]]:
        shown = self.shown
        found = zip(self.paints, self._segments, strict=True)
        return [
            (code, paint.half_px, made)
            for code, (paint, made) in enumerate(found, start=1)
            if paint.part in shown and len(made)
        ]

    def _coarsest(self) -> Image:
        rows, cols = self._sources[-1].shape
        return self._sources[-1].read(0, rows, 0, cols)


def segments(region: BaseGeometry) -> NDArray[np.float64]:
    """Return (n, 4) x0, y0, x1, y1 of the stretches of all outlines, holes too, or of all lines.

    Examples
    --------
    >>> segments(shapely.box(0, 0, 2, 1)).tolist()
    [[2.0, 0.0, 2.0, 1.0], [2.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]
    """
    parts = shapely.get_parts(region)
    of_lines = parts[shapely.get_dimensions(parts) == 1]
    paths = np.concatenate((shapely.get_rings(parts), of_lines))
    xy, path = shapely.get_coordinates(paths, return_index=True)
    joined = path[1:] == path[:-1]
    return np.ascontiguousarray(np.hstack((xy[:-1], xy[1:]))[joined])


@njit(cache=True, nogil=True)
def _fill(segments_um: Any, per_um: Any, shift: Any, code: int, out: Any) -> None:
    """Give a pixel the code where a line from its middle to the left crosses an odd number of outlines."""
    height, width = out.shape
    turns = np.zeros((height, width), np.bool_)
    crossed = np.zeros(height, np.bool_)
    for i in range(len(segments_um)):
        r0, r1 = segments_um[i, 1] * per_um[1] - shift[1], segments_um[i, 3] * per_um[1] - shift[1]
        low, high = min(r0, r1), max(r0, r1)
        if high <= 0 or low > height - 1 or low == high:
            continue
        c0, c1 = segments_um[i, 0] * per_um[0] - shift[0], segments_um[i, 2] * per_um[0] - shift[0]
        if min(c0, c1) > width - 1:
            continue
        slope = (c1 - c0) / (r1 - r0)
        for r in range(max(int(np.ceil(low)), 0), min(int(np.ceil(high)), height)):
            c = np.ceil(c0 + (r - r0) * slope)
            if c < width:
                at = max(int(c), 0)
                turns[r, at] = not turns[r, at]
                crossed[r] = True
    for r in range(height):
        inside = False
        if crossed[r]:
            for c in range(width):
                inside ^= turns[r, c]
                if inside:
                    out[r, c] = code


@njit(cache=True, nogil=True)
def _line(segments_um: Any, per_um: Any, shift: Any, half: float, code: int, out: Any) -> None:
    """Give a pixel the code where its middle is nearer than `half` pixels to a stretch."""
    height, width = out.shape
    for i in range(len(segments_um)):
        r0, r1 = segments_um[i, 1] * per_um[1] - shift[1], segments_um[i, 3] * per_um[1] - shift[1]
        if max(r0, r1) < -half or min(r0, r1) > height - 1 + half:
            continue
        c0, c1 = segments_um[i, 0] * per_um[0] - shift[0], segments_um[i, 2] * per_um[0] - shift[0]
        if max(c0, c1) < -half or min(c0, c1) > width - 1 + half:
            continue
        dr, dc = r1 - r0, c1 - c0
        long2 = max(dr * dr + dc * dc, 1e-12)
        first, last = max(int(np.ceil(min(r0, r1) - half)), 0), min(int(max(r0, r1) + half), height - 1)
        for r in range(first, last + 1):
            # the piece of the stretch within `half` rows of this one bounds the columns
            t0, t1 = 0.0, 1.0
            if dr != 0:
                a, b = (r - half - r0) / dr, (r + half - r0) / dr
                t0, t1 = max(min(a, b), 0.0), min(max(a, b), 1.0)
            ca, cb = c0 + t0 * dc, c0 + t1 * dc
            left, right = max(int(np.ceil(min(ca, cb) - half)), 0), min(int(max(ca, cb) + half), width - 1)
            for c in range(left, right + 1):
                t = min(max(((r - r0) * dr + (c - c0) * dc) / long2, 0.0), 1.0)
                away2 = (r - r0 - t * dr) ** 2 + (c - c0 - t * dc) ** 2
                if away2 <= half * half:
                    out[r, c] = code
