"""A low-resolution overview -> the tissue, as polygons in µm."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.errors import SlideError
from spatial_til.model import BoolArray, FloatArray
from spatial_til.segmentation.stains import optical_density
from spatial_til.segmentation.tissue_edge import GLASS_UM, edge_share, glass_level
from spatial_til.units import PixelSize, mm2

#: Project defaults.
MIN_TISSUE_MM2 = 0.05
MAX_HOLE_MM2 = 0.01
CLOSE_UM = 20.0
#: Tissue is looked for at about this pixel size, after a blur of half of it; its edge is drawn on the overview's own.
DRAW_UM = 8.0
#: A field smaller than a slide keeps pieces of this share of it.
_MIN_FIELD_SHARE = 0.05
#: Bounds of the Otsu cut-off: a slide without glass has no second population. Project default.
_OD_BOUNDS = (0.02, 0.03)
#: Ground paler than this cannot be told from glass pixel by pixel: its outline is not drawn again.
_LEAST_GROUND_OD = 0.02
#: Weight of colour beside darkness: uneven light darkens glass, only stain colours it.
_COLOUR_WEIGHT = 2.0
#: Bounds of the fluorescence cut-off as shares of the range from the 1st to the 99th percentile, and its least
#: height above the background in widths of its noise. It finds nuclei; the ground they lie in is found after them.
_RANGE_BOUNDS = (0.05, 0.15)
_NOISE_WIDTHS = 3.0
_LEAST_GROUND_WIDTHS = 6.0


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
        (rows, cols, 3) uint8 overview that covers the slide, at 8 µm per pixel or finer.
    px
        Pixel size of the overview.
    white
        Grey levels of glass.
    """
    light, size = _coarse(rgb, px)
    visible = _blur(_visible(light, white), size)
    found = _regions(visible > np.clip(_otsu(visible), *_OD_BOUNDS), size, min_tissue_mm2, max_hole_mm2)
    share = edge_share(_visible(rgb, white), mask_of(found, rgb.shape[:2], px), px, _LEAST_GROUND_OD)
    return _large_parts(polygons_of(share, px), _least_mm2(share.shape, px, min_tissue_mm2), max_hole_mm2)


def _visible(rgb: NDArray[np.uint8], white: tuple[float, float, float]) -> FloatArray:
    """Return (rows, cols) how much each pixel differs from glass."""
    out = np.empty(rgb.shape[:2], dtype=np.float64)
    _write_visible(rgb, optical_density(np.arange(256)[:, None], white), out)
    return out


@njit(cache=True, nogil=True)
def _write_visible(rgb: Any, density: Any, out: Any) -> None:
    """Write how far from glass pixels are; `density` of each grey level in each colour (256, 3)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            red, green, blue = density[rgb[i, j, 0], 0], density[rgb[i, j, 1], 1], density[rgb[i, j, 2], 2]
            colour = max(red, green, blue) - min(red, green, blue)
            dark, coloured = (red + green + blue) / 3, _COLOUR_WEIGHT * colour
            out[i, j] = np.sqrt(dark * dark + coloured * coloured)


def tissue_fluorescence(
    image: NDArray[Any],
    px: PixelSize,
    *,
    min_tissue_mm2: float = MIN_TISSUE_MM2,
    max_hole_mm2: float = MAX_HOLE_MM2,
) -> MultiPolygon:
    """Return tissue as where the nuclear channel (rows, cols), blurred, rises above background."""
    light, size = _coarse(image.astype(np.float32), px)
    smooth = _blur(light, size)
    floor, fifth, high = np.percentile(smooth, (1, 20, 99))
    low = smooth[smooth <= fifth]
    noise = 1.4826 * float(np.median(np.abs(low - np.median(low))))
    least, most = (floor + share * max(high - floor, 1e-6) for share in _RANGE_BOUNDS)
    cut = max(float(np.clip(_otsu(smooth), least, most)), float(floor) + _NOISE_WIDTHS * noise)
    found = _regions(smooth > cut, size, min_tissue_mm2, max_hole_mm2)
    mask = mask_of(found, image.shape[:2], px)
    glass, noise = glass_level(image, mask, px)
    share = edge_share(image - glass, mask, px, _LEAST_GROUND_WIDTHS * noise, out_um=GLASS_UM)
    return _large_parts(polygons_of(share, px), _least_mm2(share.shape, px, min_tissue_mm2), max_hole_mm2)


def _coarse(image: NDArray[Any], px: PixelSize) -> tuple[NDArray[Any], PixelSize]:
    """Return the image averaged over whole blocks to at most `DRAW_UM`, and the size of its pixels."""
    import cv2

    factor = max(int(DRAW_UM / px.mean_um), 1)
    rows, cols = (max(n // factor, 1) for n in image.shape[:2])
    scale = (image.shape[1] / cols, image.shape[0] / rows)
    return cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA), px.scaled(*scale)


def _otsu(values: NDArray[Any]) -> float:
    from skimage.filters import threshold_otsu

    flat = values.reshape(-1)
    return float(threshold_otsu(flat)) if np.ptp(flat) > 0 else float(flat[0])


def _blur(image: NDArray[Any], px: PixelSize) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    sigma = (DRAW_UM / 2 / px.y_um, DRAW_UM / 2 / px.x_um)
    return np.asarray(gaussian_filter(image.astype(np.float64), sigma, mode="nearest"))


def _regions(mask: BoolArray, px: PixelSize, min_tissue_mm2: float, max_hole_mm2: float) -> MultiPolygon:
    """Close gaps of 20 µm, drop small pieces, fill small holes."""
    import cv2

    rows, cols = (max(round(CLOSE_UM / side / 2), 1) for side in (px.y_um, px.x_um))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * cols + 1, 2 * rows + 1))
    padded = np.pad(mask.astype(np.uint8), ((rows, rows), (cols, cols)), mode="edge")
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[rows:-rows, cols:-cols]
    least = _least_mm2(mask.shape, px, min_tissue_mm2)
    without_holes = _large(closed == 0, max_hole_mm2 / mm2(px.area_um2)) ^ True
    return polygons_of(_large(without_holes, least / mm2(px.area_um2)), px)


def _least_mm2(shape: tuple[int, ...], px: PixelSize, min_tissue_mm2: float) -> float:
    """Return the smallest piece of tissue to keep: a field smaller than a slide keeps smaller ones."""
    return min(min_tissue_mm2, _MIN_FIELD_SHARE * mm2(shape[0] * shape[1] * px.area_um2))


def _large_parts(region: MultiPolygon, least_mm2: float, max_hole_mm2: float) -> MultiPolygon:
    """Return a region in µm without its small pieces, its small holes filled."""
    parts = [part for part in region.geoms if mm2(part.area) >= least_mm2]
    large_holes = [[ring for ring in p.interiors if mm2(Polygon(ring).area) > max_hole_mm2] for p in parts]
    return _multi(MultiPolygon([Polygon(p.exterior, holes) for p, holes in zip(parts, large_holes, strict=True)]))


def _large(mask: BoolArray, least_px: float) -> BoolArray:
    """Return the pieces of a mask, joined by sides, that have at least this many pixels."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    keep = stats[:, cv2.CC_STAT_AREA] >= least_px
    keep[0] = False
    return np.asarray(keep[labels])


def polygons_of(mask: BoolArray | FloatArray, px: PixelSize) -> MultiPolygon:
    """Return the region of a mask in µm; its outline follows the edges of pixels, corners cut at midpoints.

    Of shares (rows, cols) from 0 to 1 it is where they exceed one half. What reaches the frame keeps the frame as
    its edge.
    """
    from skimage.measure import find_contours

    padded = np.zeros([n + 4 for n in mask.shape])
    padded[1:-1, 1:-1] = np.pad(mask, 1, mode="edge")
    lines = [shapely.linearrings(ring[:, ::-1] - 1.5) for ring in find_contours(padded, 0.5) if len(ring) >= 4]
    area = shapely.build_area(shapely.geometrycollections(lines))
    rows, cols = mask.shape
    inside = shapely.intersection(area, shapely.box(0, 0, cols, rows))
    return _multi(shapely.transform(inside, lambda xy: xy * (px.x_um, px.y_um)))


def _multi(geometry: Any) -> MultiPolygon:
    parts = shapely.get_parts(shapely.make_valid(geometry))
    return MultiPolygon([p for p in parts if p.geom_type == "Polygon" and p.area > 0])


def mask_of(region: MultiPolygon, shape: tuple[int, int], px: PixelSize) -> BoolArray:
    """Return (rows, cols) bool: pixels whose centre lies in the region.

    Each edge toggles its rows from where it crosses them on; an odd number of toggles is inside.
    """
    rings = [ring for part in region.geoms for ring in (part.exterior, *part.interiors)]
    paths = [shapely.get_coordinates(ring) / (px.x_um, px.y_um) - 0.5 for ring in rings]
    if not paths:
        return np.zeros(shape, dtype=np.bool_)
    x0, y0 = np.concatenate([path[:-1] for path in paths]).T
    x1, y1 = np.concatenate([path[1:] for path in paths]).T
    first = np.clip(np.ceil(np.minimum(y0, y1)), 0, shape[0]).astype(np.int64)
    count = np.clip(np.ceil(np.maximum(y0, y1)), 0, shape[0]).astype(np.int64) - first
    edge = np.repeat(np.arange(len(x0)), count)
    row = first[edge] + np.arange(len(edge)) - (np.cumsum(count) - count)[edge]
    x = x0[edge] + (row - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
    col = np.clip(np.ceil(x), 0, shape[1]).astype(np.int64)
    toggled, times = np.unique(row * (shape[1] + 1) + col, return_counts=True)
    odd = np.zeros((shape[0], shape[1] + 1), dtype=np.bool_)
    odd.reshape(-1)[toggled] = times % 2 == 1
    return np.asarray(np.logical_xor.accumulate(odd[:, :-1], axis=1))


def tissue_boxes(region: MultiPolygon, boxes: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which boxes (n, 4: x0, y0, x1, y1 in µm) touch the tissue, and which lie inside it."""
    shapes = shapely.box(*boxes.T)
    shapely.prepare(region)
    return np.asarray(shapely.intersects(region, shapes)), np.asarray(shapely.contains(region, shapes))


def require_tissue(region: MultiPolygon) -> MultiPolygon:
    """Return the region.

    Raises
    ------
    SlideError
        If it is empty.
    """
    if region.is_empty:
        msg = "A slide needs tissue, none was found; draw a Tissue annotation or check white and channels"
        raise SlideError(msg)
    return region
