"""A map of probability to the region where it is more likely than not."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.geometry.coverage import Grid, covered_area
from spatial_til.geometry.polygons import polygonal, shared
from spatial_til.geometry.tumor import UNBIASED_LEVEL, FoundRegion, clean_region, region_above
from spatial_til.units import PixelSize

#: Beyond this many bandwidths the kernel is cut off.
_REACH = 4.0
#: Squares are merged while a bandwidth has so many of the merged at least: what is smoothed so far has nothing finer.
#: At a bandwidth of 50 µm 95 % of the border moves by less than 0.2 µm.
_PER_BANDWIDTH = 6


def likely_region(
    probability: NDArray[np.floating[Any]],
    square: PixelSize,
    tissue: MultiPolygon,
    *,
    bandwidth_um: float,
    min_area_mm2: float,
    max_hole_mm2: float,
) -> FoundRegion:
    """Return the tissue where a probability, smoothed within tissue, is at least one half.

    Parameters
    ----------
    probability
        (rows, cols) for squares from the top-left corner of the slide.
    square
        Size of a square.
    tissue
        In µm; what lies off it has no weight, so that a cut edge neither draws the border in nor out.
    bandwidth_um
        Standard deviation of the Gaussian. A straight border stays where it is, a convex one of radius R is
        drawn in by bandwidth² / 2R.
    min_area_mm2, max_hole_mm2
        Islands below the first are dropped, holes below the second filled.
    """
    if tissue.is_empty:
        return FoundRegion(MultiPolygon(), (), (), 0.0)
    stretch = square.x_um / square.y_um  # rows as high as columns are wide: the grid has square squares
    merged = max(int(bandwidth_um / max(square.x_um, square.y_um) / _PER_BANDWIDTH), 1)
    pad = int(np.ceil(_REACH * bandwidth_um / min(square.x_um, square.y_um))) + 2
    pads = [(pad, pad + -(n + 2 * pad) % merged) for n in probability.shape]
    corner = -pad * square.x_um
    grid = Grid(corner, corner, square.x_um, *(n + sum(more) for n, more in zip(probability.shape, pads, strict=True)))
    weight = covered_area(_stretched(tissue, stretch), grid).astype(np.float32) / np.float32(grid.pitch_um**2)
    # the frame of the slide repeats its last squares: parts of a square at its end have no probability of their own
    values = np.pad(probability, pads, mode="edge").astype(np.float32)
    values, weight = _merged(values, weight, merged)
    narrower = bandwidth_um**2 - (merged**2 - 1) / 12 * square.x_um * square.y_um  # merging has smoothed so far
    smooth = _smoothed(values, weight, float(np.sqrt(narrower)), square.scaled(merged, merged))
    grid = Grid(corner, corner, merged * square.x_um, *smooth.shape)
    region = polygonal(shared(_stretched(region_above(smooth, grid, UNBIASED_LEVEL), 1 / stretch), tissue))
    return clean_region(region, tissue, min_area_mm2=min_area_mm2, max_hole_mm2=max_hole_mm2)


def _stretched(region: MultiPolygon, factor: float) -> MultiPolygon:
    stretched: MultiPolygon = shapely.transform(region, lambda xy: xy * (1.0, factor))
    return stretched


def _merged(
    values: NDArray[np.float32], weight: NDArray[np.float32], times: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weighted means and the mean weights of so many squares a side."""
    import cv2

    if times == 1:
        return values, weight
    size = (values.shape[1] // times, values.shape[0] // times)
    share = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float32)
    total = np.asarray(cv2.resize(values * weight, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(total / np.maximum(share, 1e-6), np.float32), share


def _smoothed(
    values: NDArray[np.float32], weight: NDArray[np.float32], bandwidth_um: float, square: PixelSize
) -> NDArray[np.float32]:
    import cv2

    def blur(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        sigmas = (bandwidth_um / square.x_um, bandwidth_um / square.y_um)
        sides = [2 * int(np.ceil(_REACH * sigma)) + 1 for sigma in sigmas]
        out = cv2.GaussianBlur(plane, sides, sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_CONSTANT)
        return np.asarray(out, dtype=np.float32)

    seen = blur(weight)
    return np.where(seen > 1e-3, blur(values * weight) / np.maximum(seen, 1e-3), 0.0).astype(np.float32)
