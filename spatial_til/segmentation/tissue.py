"""A low-resolution overview -> the tissue, as polygons in µm."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import BoolArray
from spatial_til.segmentation.stains import optical_density
from spatial_til.units import PixelSize, mm2

#: Project defaults.
MIN_TISSUE_MM2 = 0.05
MAX_HOLE_MM2 = 0.01
CLOSE_UM = 20.0
#: A field smaller than a slide keeps pieces of this share of it.
_MIN_FIELD_SHARE = 0.05
#: Bounds of the Otsu cut-off: a slide without glass has no second population. Project default.
_OD_BOUNDS = (0.02, 0.03)
#: Weight of colour beside darkness: uneven light darkens glass, only stain colours it.
_COLOUR_WEIGHT = 2.0
#: Bounds of the fluorescence cut-off, in noise widths above the background mode.
_NOISE_BOUNDS = (3.0, 12.0)


def tissue_brightfield(
    rgb: NDArray[np.uint8],
    px: PixelSize,
    white: tuple[float, float, float],
    *,
    min_tissue_mm2: float = MIN_TISSUE_MM2,
    max_hole_mm2: float = MAX_HOLE_MM2,
) -> MultiPolygon:
    """Return tissue as what is darker or more coloured than glass.

    Parameters
    ----------
    rgb
        (rows, cols, 3) uint8 overview that covers the slide, at about 8 µm per pixel or finer.
    px
        Pixel size of the overview.
    white
        Grey levels of glass.
    """
    density = optical_density(rgb, white)
    visible = np.hypot(density.mean(axis=2), _COLOUR_WEIGHT * np.ptp(density, axis=2))
    smooth = _blur(visible.astype(np.float32), px, 8.0)
    cut = float(np.clip(_otsu(smooth), *_OD_BOUNDS))
    return _regions(smooth > cut, px, min_tissue_mm2, max_hole_mm2)


def tissue_fluorescence(
    image: NDArray[Any],
    px: PixelSize,
    *,
    min_tissue_mm2: float = MIN_TISSUE_MM2,
    max_hole_mm2: float = MAX_HOLE_MM2,
) -> MultiPolygon:
    """Return tissue as where the nuclear channel (rows, cols), blurred over 8 µm, rises above background."""
    smooth = _blur(np.asarray(image, dtype=np.float32), px, 8.0)
    floor = np.percentile(smooth, 1)
    low = smooth[smooth <= np.percentile(smooth, 20)]
    noise = max(float(np.median(np.abs(low - np.median(low)))) * 1.4826, 1e-6)
    scale = max(float(np.percentile(smooth, 99)) - float(floor), 1e-6)
    cut = float(np.clip(_otsu(smooth / scale) * scale, floor + 0.05 * scale, floor + 0.15 * scale))
    return _regions(smooth > max(cut, float(floor) + _NOISE_BOUNDS[0] * noise), px, min_tissue_mm2, max_hole_mm2)


def _otsu(values: NDArray[Any]) -> float:
    from skimage.filters import threshold_otsu

    flat = values.reshape(-1)
    return float(threshold_otsu(flat)) if np.ptp(flat) > 0 else float(flat[0])


def _blur(image: NDArray[np.float32], px: PixelSize, sigma_um: float) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(
        gaussian_filter(image, (sigma_um / 2 / px.y_um, sigma_um / 2 / px.x_um), mode="nearest"), dtype=np.float32
    )


def _regions(mask: BoolArray, px: PixelSize, min_tissue_mm2: float, max_hole_mm2: float) -> MultiPolygon:
    """Close gaps of 20 µm, drop small pieces, fill small holes."""
    import cv2

    rows, cols = (max(round(CLOSE_UM / side / 2), 1) for side in (px.y_um, px.x_um))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * cols + 1, 2 * rows + 1))
    padded = np.pad(mask.astype(np.uint8), ((rows, rows), (cols, cols)), mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[rows:-rows, cols:-cols]
    field_mm2 = mm2(mask.size * px.area_um2)
    least = min(min_tissue_mm2, _MIN_FIELD_SHARE * field_mm2)
    return clean_region(polygons_of(closed > 0, px), least, max_hole_mm2)


def polygons_of(mask: BoolArray, px: PixelSize) -> MultiPolygon:
    """Return the region of a mask in µm; its outline follows the edges of pixels, corners cut at midpoints.

    Masks that reach the frame keep the frame as their edge.
    """
    from skimage.measure import find_contours

    padded = np.pad(mask, 1, mode="edge")
    padded = np.pad(padded, 1).astype(np.float32)
    lines = [shapely.linearrings(ring[:, ::-1] - 1.5) for ring in find_contours(padded, 0.5) if len(ring) >= 4]
    area = shapely.build_area(shapely.geometrycollections(lines))
    rows, cols = mask.shape
    inside = shapely.intersection(area, shapely.box(0, 0, cols, rows))
    return _multi(shapely.transform(inside, lambda xy: xy * (px.x_um, px.y_um)))


def clean_region(region: MultiPolygon, min_area_mm2: float, max_hole_mm2: float) -> MultiPolygon:
    """Return the region without pieces below `min_area_mm2` and with holes up to `max_hole_mm2` filled."""
    kept = []
    for part in region.geoms:
        holes = [ring for ring in part.interiors if shapely.Polygon(ring).area > max_hole_mm2 * 1e6]
        whole = shapely.Polygon(part.exterior, holes)
        if whole.area >= min_area_mm2 * 1e6:
            kept.append(whole)
    return MultiPolygon(kept)


def _multi(geometry: Any) -> MultiPolygon:
    parts = shapely.get_parts(shapely.make_valid(geometry))
    return MultiPolygon([p for p in parts if p.geom_type == "Polygon" and p.area > 0])


def mask_of(region: MultiPolygon, shape: tuple[int, int], px: PixelSize) -> BoolArray:
    """Return (rows, cols) bool: pixels whose centre lies in the region."""
    from skimage.draw import polygon2mask

    mask = np.zeros(shape, dtype=np.bool_)
    for part in region.geoms:
        rings = [part.exterior, *part.interiors]
        for k, ring in enumerate(rings):
            xy = np.asarray(ring.coords) / (px.x_um, px.y_um) - 0.5
            inside = polygon2mask(shape, xy[:, ::-1])
            mask = mask | inside if k == 0 else mask & ~inside
    return mask
