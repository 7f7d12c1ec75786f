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
    pad = int(np.ceil(_REACH * bandwidth_um / min(square.x_um, square.y_um))) + 2
    corner = -pad * square.x_um
    grid = Grid(corner, corner, square.x_um, *(n + 2 * pad for n in probability.shape))
    weight = covered_area(_stretched(tissue, stretch), grid).astype(np.float32) / np.float32(grid.pitch_um**2)
    # the frame of the slide repeats its last squares: parts of a square at its end have no probability of their own
    values = np.pad(probability, pad, mode="edge").astype(np.float32)
    smooth = _smoothed(values, weight, bandwidth_um, square)
    region = polygonal(shared(_stretched(region_above(smooth, grid, UNBIASED_LEVEL), 1 / stretch), tissue))
    return clean_region(region, tissue, min_area_mm2=min_area_mm2, max_hole_mm2=max_hole_mm2)


def _stretched(region: MultiPolygon, factor: float) -> MultiPolygon:
    stretched: MultiPolygon = shapely.transform(region, lambda xy: xy * (1.0, factor))
    return stretched


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
