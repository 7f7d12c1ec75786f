"""Tumour, and the nests in it, as the region where tumour cells are dense.

The region is where the density of tumour cells is at least half of its own median. Half is the level
that puts a straight edge between full and no density where it is, whatever the bandwidth; higher levels
shrink the tumour, lower ones grow it. A convex edge of radius R is drawn in by bandwidth² / 2R. The
median is taken over area, not over cells: each cell sees itself, which would raise the level, 18 % at a
bandwidth of 17 µm and 3,000 scattered cells per mm².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.geometry.coverage import Grid
from spatial_til.geometry.density import cell_density, density_grid, kernel_share, value_at
from spatial_til.geometry.locate import locate
from spatial_til.geometry.polygons import joined, polygonal, shared
from spatial_til.geometry.validity import make_valid_polygon
from spatial_til.model import XY
from spatial_til.units import UM2_PER_MM2

#: Share of the reference density that bounds the region: unbiased at a straight edge.
UNBIASED_LEVEL = 0.5
#: The reference is found in rounds, on about so many squares; it settles in two.
_ROUNDS = 4
_MEDIAN_SQUARES = 1_000_000
#: Cells the kernel must see at the reference density: with fewer, every cell would be its own tumour.
_MIN_CELLS_SEEN = 5.0


@dataclass(frozen=True, slots=True)
class FoundRegion:
    """A region found from cells or pixels, and what cleaning did to it."""

    region: MultiPolygon  # in µm, clipped to tissue
    dropped_islands_mm2: tuple[float, ...]  # areas, largest first
    filled_holes_mm2: tuple[float, ...]
    area_change: float  # |area after cleaning - before| / before; 0 where nothing was found
    reference_per_mm2: float | None = None  # median density in the region; None where it was not used


def find_tumor(
    xy_um: XY, tissue: MultiPolygon, *, bandwidth_um: float, min_area_mm2: float, max_hole_mm2: float
) -> FoundRegion:
    """Return the region where tumour cells are dense.

    Parameters
    ----------
    xy_um
        (n, 2) x, y of the tumour cells, in µm; those off the tissue are not used.
    tissue
        Evaluable tissue, in µm.
    bandwidth_um
        Standard deviation of the Gaussian kernel.
    min_area_mm2, max_hole_mm2
        Islands below the first are dropped, holes below the second filled.

    Returns
    -------
    FoundRegion
        Empty where there are no tumour cells, or too few for the bandwidth.
    """
    region, reference = dense_region(xy_um, tissue, bandwidth_um=bandwidth_um, level=UNBIASED_LEVEL)
    cells_seen = 4 * np.pi * bandwidth_um**2 * reference
    if cells_seen < _MIN_CELLS_SEEN:
        return FoundRegion(MultiPolygon(), (), (), 0.0, reference * UM2_PER_MM2)
    return clean_region(
        region, tissue, min_area_mm2=min_area_mm2, max_hole_mm2=max_hole_mm2, reference_per_um2=reference
    )


def find_nests(xy_um: XY, tumor: MultiPolygon, *, bandwidth_um: float) -> MultiPolygon:
    """Return the tumour-cell nests inside a tumour; the rest of it is stroma between them.

    Parameters
    ----------
    xy_um
        (n, 2) x, y of the tumour cells, in µm.
    tumor
        Evaluable tumour, in µm.
    bandwidth_um
        About a cell's spacing, 15 to 20 µm.
    """
    return dense_region(xy_um, tumor, bandwidth_um=bandwidth_um, level=UNBIASED_LEVEL)[0]


def dense_region(xy_um: XY, tissue: MultiPolygon, *, bandwidth_um: float, level: float) -> tuple[MultiPolygon, float]:
    """Return where density is at least a share of its reference, and the reference in cells per µm²."""
    cells = np.asarray(xy_um, dtype=np.float64).reshape(-1, 2)
    cells = cells[locate(cells, [tissue]) == 0]
    if len(cells) == 0:
        return MultiPolygon(), 0.0
    grid = density_grid(tissue, bandwidth_um=bandwidth_um)
    share = kernel_share(tissue, grid, bandwidth_um=bandwidth_um)
    density = cell_density(cells, share, grid, bandwidth_um=bandwidth_um)
    reference = _reference(density, share, float(np.median(value_at(cells, density, grid))))
    region = region_above(density, grid, level * reference)
    return polygonal(shared(region, tissue)), reference


def _reference(density: NDArray[np.float32], share: NDArray[np.float32], at_cells: float) -> float:
    """Return the median density of the region that is at least half as dense as that median."""
    step = int(np.ceil(np.sqrt(density.size / _MEDIAN_SQUARES)))
    on_tissue = density[::step, ::step][share[::step, ::step] >= 0.5]  # half of the kernel: the edge of tissue
    reference = at_cells
    for _ in range(_ROUNDS):
        dense = on_tissue[on_tissue >= UNBIASED_LEVEL * reference]
        reference = float(np.median(dense)) if len(dense) else reference
    return reference


def region_above(values: NDArray[np.float32], grid: Grid, level: float) -> MultiPolygon:
    """Return the polygons where a grid is at least a level, interpolated between centres of squares."""
    from contourpy import FillType, contour_generator

    found: Any = contour_generator(z=values, fill_type=FillType.OuterOffset).filled(level, np.inf)
    corner = (grid.x0_um, grid.y0_um)
    polygons = []
    for points, ends in zip(*found, strict=True):
        outer, *holes = np.split((points + 0.5) * grid.pitch_um + corner, ends[1:-1])
        polygons.append(Polygon(outer, holes))
    squares = MultiPolygon(polygons)
    # Without this a straight edge would have a vertex in every square; 0.1 µm moves no cell.
    return make_valid_polygon(shapely.simplify(squares, 0.1, preserve_topology=False))[0]


def clean_region(
    region: MultiPolygon,
    tissue: MultiPolygon,
    *,
    min_area_mm2: float,
    max_hole_mm2: float,
    reference_per_um2: float | None = None,
) -> FoundRegion:
    """Return a found region without small holes and, after that, without small islands.

    Parameters
    ----------
    region
        Valid polygons in µm, from a marker or a classifier; never an annotation.
    tissue
        Filled holes stay within it.
    min_area_mm2, max_hole_mm2
        Islands below the first are dropped, holes below the second filled.
    reference_per_um2
        Passed on to the result, per mm².
    """
    filled: list[float] = []
    parts = []
    for part in region.geoms:
        holes = [Polygon(ring) for ring in part.interiors]
        small = [hole.area < max_hole_mm2 * UM2_PER_MM2 for hole in holes]
        filled += [hole.area for hole, is_small in zip(holes, small, strict=True) if is_small]
        kept = [hole.exterior for hole, is_small in zip(holes, small, strict=True) if not is_small]
        parts.append(Polygon(part.exterior, kept))
    whole = polygonal(shared(joined(parts), tissue))
    large = [part for part in whole.geoms if part.area >= min_area_mm2 * UM2_PER_MM2]
    dropped = [part.area for part in whole.geoms if part.area < min_area_mm2 * UM2_PER_MM2]
    result = polygonal(large)
    return FoundRegion(
        region=result,
        dropped_islands_mm2=tuple(sorted((area / UM2_PER_MM2 for area in dropped), reverse=True)),
        filled_holes_mm2=tuple(sorted((area / UM2_PER_MM2 for area in filled), reverse=True)),
        area_change=abs(result.area - region.area) / region.area if region.area > 0 else 0.0,
        reference_per_mm2=None if reference_per_um2 is None else reference_per_um2 * UM2_PER_MM2,
    )
