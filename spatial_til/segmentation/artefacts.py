"""Pen, folds and debris on an overview of a brightfield slide, as polygons in µm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import BoolArray, FloatArray
from spatial_til.segmentation.residual import unexplained_od
from spatial_til.segmentation.stains import picture_density
from spatial_til.segmentation.tissue import polygons_of
from spatial_til.units import PixelSize

#: Pixels of this size are judged: what is smaller is no artefact but a cell. Project defaults, as what follows.
_WORK_UM = 8.0
#: Ink: optical density from here on, and the share of it that no stain of the panel explains.
_INK_OD, _INK_SHARE = 0.25, 0.18
#: … or this many times the share usual on the slide, where its stain vectors are off.
_INK_TIMES_USUAL = 3.0
#: Black ink and dirt: mean optical density, and that of the lightest channel over the darkest.
_BLACK_OD, _BLACK_EVEN = 0.6, 0.8
#: A fold: least optical density between its nuclei, times that of the slide, and how much longer than wide.
_FOLD_OD, _FOLD_TIMES_TISSUE, _FOLD_ASPECT = 0.22, 3.0, 4.0
#: Artefacts are at least twice this wide; gaps of twice this close.
_OPEN_UM = 12.0
_LEAST_UM2, _LEAST_FOLD_UM2 = 2000.0, 10000.0
#: What is next to an artefact is not trusted either.
_RIM_UM = 20.0
#: Rows of the overview whose colours are looked at together.
_STRIP_ROWS = 64


def find_artefacts(
    rgb: NDArray[np.uint8],
    px: PixelSize,
    *,
    white: tuple[float, float, float],
    matrix: FloatArray,
    tissue: MultiPolygon,
) -> MultiPolygon:
    """Return pen strokes and debris from 2000 µm², and folds from 10,000 µm², with 20 µm around them, within tissue.

    Parameters
    ----------
    rgb
        (rows, cols, 3) uint8 overview of the slide.
    px
        Its pixel size.
    white
        Grey levels of glass.
    matrix
        (k, 3) unit stain vectors of the panel.
    tissue
        In µm.

    Notes
    -----
    Ink has a colour that no mix of the panel's stains has; black ink and dirt are dark and grey; a fold is
    a long strip that is dark even between its nuclei, as three layers of tissue are. A pen of a stain's own
    colour, and folds of pale tissue, are not told from stained tissue.
    """
    small, px = shrunk(rgb, px)
    inside = filled(tissue, small.shape[:2], px)
    if not inside.any():
        return MultiPolygon()
    mean, spots = _spots(small, inside, white, matrix)
    radius = max(round(_OPEN_UM / px.mean_um), 1)
    found = _large(_opened(spots & inside, radius), _LEAST_UM2 / px.area_um2)
    found |= _folds(mean, inside, radius, _LEAST_FOLD_UM2 / px.area_um2)
    if not found.any():
        return MultiPolygon()
    outline = shapely.intersection(polygons_of(_grown(found, round(_RIM_UM / px.mean_um)), px), tissue)
    return regions_of(outline)


def regions_of(geometry: Any) -> MultiPolygon:
    """Return the polygons of a geometry, without lines and points."""
    return MultiPolygon([g for g in shapely.get_parts(geometry) if g.geom_type == "Polygon"])


def filled(region: MultiPolygon, shape: tuple[int, int], px: PixelSize) -> BoolArray:
    """Return (rows, cols) bool: pixels that the region touches, holes left out; fast, and up to a pixel too wide."""
    import cv2

    rings = [ring for part in region.geoms for ring in (part.exterior, *part.interiors)]
    outlines = [np.round(shapely.get_coordinates(ring) / (px.x_um, px.y_um) - 0.5).astype(np.int32) for ring in rings]
    mask = np.zeros(shape, dtype=np.uint8)
    cv2.fillPoly(mask, outlines, 1)  # even-odd: a ring in a ring is a hole
    return np.asarray(mask, dtype=np.bool_)


def shrunk(rgb: NDArray[np.uint8], px: PixelSize) -> tuple[NDArray[np.uint8], PixelSize]:
    """Return an overview at the pixel size at which artefacts are looked for; one that has it stays as it is."""
    import cv2

    rows, cols = (max(round(n * side / _WORK_UM), 1) for n, side in zip(rgb.shape, (px.y_um, px.x_um), strict=False))
    rows, cols = min(rows, rgb.shape[0]), min(cols, rgb.shape[1])
    small = np.asarray(cv2.resize(rgb, (cols, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return small, px.scaled(rgb.shape[1] / cols, rgb.shape[0] / rows)


def _spots(
    rgb: NDArray[np.uint8], inside: BoolArray, white: tuple[float, float, float], matrix: FloatArray
) -> tuple[NDArray[np.float32], BoolArray]:
    """Return the mean optical density (rows, cols), and where ink or dirt is; colours of few rows are held at once."""
    import cv2

    mean, length, share = (np.zeros(inside.shape, dtype=np.float32) for _ in range(3))
    black = np.empty(inside.shape, dtype=np.bool_)
    for top in range(0, len(rgb), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        od = picture_density(rgb[strip], white)
        red, green, blue = cv2.split(od)  # a plane each, and written out: reducing an axis of three is slow
        mean[strip] = (red + green + blue) / np.float32(3)
        length[strip] = np.sqrt(red * red + green * green + blue * blue)
        black[strip] = _black((red, green, blue), mean[strip])
        seen = inside[strip] & (length[strip] > _INK_OD / 2)
        share[strip][seen] = unexplained_od(od[seen], matrix) / length[strip][seen]
    seen = inside & (length > _INK_OD / 2)
    usual = float(np.median(share[seen])) if seen.any() else 0.0
    ink = (length > _INK_OD) & (share > max(_INK_SHARE, _INK_TIMES_USUAL * usual))
    return mean, np.asarray(ink | black, dtype=np.bool_)


def _black(colours: Sequence[NDArray[Any]], mean: NDArray[np.float32]) -> BoolArray:
    red, green, blue = colours
    darkest, lightest = (most(most(red, green), blue) for most in (np.maximum, np.minimum))
    even = lightest > _BLACK_EVEN * darkest
    return np.asarray(even & (mean > _BLACK_OD), dtype=np.bool_)


def _folds(mean: NDArray[np.float32], inside: BoolArray, radius: int, least_px: float) -> BoolArray:
    """Return long strips dark even between their nuclei; length over width from outline and area."""
    import cv2

    between = np.asarray(cv2.morphologyEx(mean, cv2.MORPH_OPEN, _disc(radius)))
    cut = max(_FOLD_OD, _FOLD_TIMES_TISSUE * float(np.median(between[inside])))
    dark = cv2.morphologyEx((between > cut).astype(np.uint8), cv2.MORPH_CLOSE, _disc(radius))
    outlines, _ = cv2.findContours(dark * inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    long = (_FOLD_ASPECT + 1) ** 2 / _FOLD_ASPECT  # (half the outline)² / area of a rectangle
    large = [o for o in outlines if cv2.contourArea(o) >= least_px]
    strips = [o for o in large if (cv2.arcLength(o, closed=True) / 2) ** 2 / cv2.contourArea(o) >= long]
    folds = np.zeros(mean.shape, dtype=np.uint8)
    cv2.drawContours(folds, strips, -1, 1, cv2.FILLED)
    return np.asarray(folds, dtype=np.bool_)


def _large(mask: BoolArray, least_px: float) -> BoolArray:
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= least_px
    large[0] = False
    return np.asarray(large[parts])


def _opened(mask: BoolArray, radius: int) -> BoolArray:
    import cv2

    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(radius)) > 0)


def _grown(mask: BoolArray, radius: int) -> BoolArray:
    import cv2

    return np.asarray(cv2.dilate(mask.astype(np.uint8), _disc(radius)) > 0)


def _disc(radius: int) -> NDArray[Any]:
    import cv2

    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
