"""Corners of the geometry that sampled wrong changes showed nobody to watch (`make mutants`)."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.spatial import cKDTree
from scipy.stats import ncx2
from shapely.geometry import MultiPolygon, Point, box

from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.coverage import Grid, grid_over
from spatial_til.geometry.density import density_grid, value_at
from spatial_til.geometry.mapped import _REACH, _smoothed, likely_region
from spatial_til.geometry.place import unplaced
from spatial_til.geometry.sectors import _TILT, _tilted_lattice, border_sectors, n_sectors, sample_depths
from spatial_til.geometry.tumor import clean_region, dense_region
from spatial_til.model import UNPLACED
from spatial_til.units import PixelSize


def test_a_grid_covers_a_region_and_its_rim_and_no_more() -> None:
    grid = grid_over(MultiPolygon([box(10, 20, 110, 80)]), pitch_um=10, pad_um=20)
    assert (grid.x0_um, grid.y0_um, grid.pitch_um) == (-10, 0, 10)
    assert (grid.n_cols, grid.n_rows) == (15, 11)  # 140 and 100 µm, and one square for what ends on a line


def test_a_convex_border_of_a_probability_is_drawn_in_as_the_gaussian_says() -> None:
    """Where a blurred disk is one half (about bandwidth² / 2R = 2.25 µm inside). A kernel cut short draws in less."""
    x, y = np.meshgrid(np.arange(400) * 2.0 + 1, np.arange(400) * 2.0 + 1)
    probability = (np.hypot(x - 400, y - 400) < 200).astype(np.float32)
    found = likely_region(
        probability, PixelSize(2.0, 2.0), MultiPolygon([box(0, 0, 800, 800)]), bandwidth_um=30.0,
        min_area_mm2=0.0, max_hole_mm2=0.0,
    )  # fmt: skip
    radius = np.sqrt(probability.sum() * 4 / np.pi)  # of the squares that make up the disk
    half = brentq(lambda r: ncx2.cdf((radius / 30) ** 2, 2, (r / 30) ** 2) - 0.5, 100, 200)
    assert np.sqrt(found.region.area / np.pi) == pytest.approx(half, abs=0.1)


def test_squares_much_smaller_than_the_bandwidth_are_merged_and_move_the_border_by_a_tenth_of_a_micrometre(
    monkeypatch,
) -> None:
    random = np.random.default_rng(3)
    noise = gaussian_filter(random.normal(size=(301, 403)), 20)
    probability = (1 / (1 + np.exp(-6 * noise / noise.std()))).astype(np.float32)
    tissue = MultiPolygon([Point(800, 600).buffer(550)])
    keys = {"bandwidth_um": 50.0, "min_area_mm2": 0.0, "max_hole_mm2": 0.0}
    merged = likely_region(probability, PixelSize(4.0, 4.0), tissue, **keys).region
    monkeypatch.setattr("spatial_til.geometry.mapped._PER_BANDWIDTH", 1000)
    single = likely_region(probability, PixelSize(4.0, 4.0), tissue, **keys).region
    assert 0 < merged.symmetric_difference(single).area < 1e-3 * single.area
    line = single.boundary
    points = shapely.line_interpolate_point(line, np.arange(0, line.length, 5.0))
    assert np.quantile(shapely.distance(points, merged.boundary), 0.95) < 0.2


def test_the_grid_of_a_huge_slide_has_a_hundred_million_squares_at_most() -> None:
    side, pad = 200_000.0, 4 * 20.0
    grid = density_grid(MultiPolygon([box(0, 0, side, side)]), bandwidth_um=20.0)
    assert grid.pitch_um == pytest.approx((side + 2 * pad) / 10_000)  # coarser than a fifth of the bandwidth
    assert grid.n_rows * grid.n_cols == 10_001**2
    assert density_grid(MultiPolygon([box(0, 0, 2000, 2000)]), bandwidth_um=20.0).pitch_um == 4.0


def test_values_of_a_grid_are_those_at_the_centres_of_its_squares() -> None:
    grid = Grid(100.0, 40.0, 10.0, 3, 4)
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    at = np.array([(105.0, 45.0), (135.0, 65.0), (110.0, 45.0), (105.0, 50.0)])
    assert value_at(at, values, grid).tolist() == [0.0, 11.0, 0.5, 2.0]


def test_probability_is_blurred_by_the_bandwidth_along_both_sides_of_an_oblong_square() -> None:
    spot = np.zeros((81, 81), np.float32)
    spot[40, 40] = 1
    out = _smoothed(spot, np.ones_like(spot), 20.0, PixelSize(4.0, 8.0))
    row, col = np.nonzero(out)
    assert np.ptp(col) == 2 * np.ceil(_REACH * 20 / 4)
    assert np.ptp(row) == 2 * np.ceil(_REACH * 20 / 8)
    index = np.arange(81) - 40
    wide = _smoothed(spot, np.ones_like(spot), 21.0, PixelSize(4.0, 8.0))
    assert [np.ptp(axis) for axis in np.nonzero(wide)] == [22, 42]  # 4 bandwidths are 10.5 rows and 21 columns
    spread = [np.sqrt((out.sum(axis=axis) * index**2).sum() / out.sum()) for axis in (0, 1)]
    assert spread == pytest.approx([5.0, 2.5], rel=2e-3)  # µm / side; cut off at 4 bandwidths


def test_an_island_of_just_the_least_size_is_kept_and_not_listed_as_dropped() -> None:
    islands = MultiPolygon([box(0, 0, 100, 100), box(200, 0, 264, 64)])
    found = clean_region(islands, MultiPolygon([box(-10, -10, 400, 400)]), min_area_mm2=0.01, max_hole_mm2=0.0)
    assert found.region.equals(box(0, 0, 100, 100))
    assert found.dropped_islands_mm2 == (64 * 64 / 1e6,)


def test_a_hole_of_just_the_largest_size_is_kept_and_not_listed_as_filled() -> None:
    region = MultiPolygon([box(0, 0, 400, 400) - box(50, 50, 150, 100) - box(200, 200, 264, 264)])
    found = clean_region(region, MultiPolygon([box(0, 0, 400, 400)]), min_area_mm2=0.0, max_hole_mm2=0.005)
    assert found.region.area == 400**2 - 5000
    assert found.filled_holes_mm2 == (64 * 64 / 1e6,)


def test_no_cells_have_no_dense_region_and_a_reference_of_nothing() -> None:
    region, reference = dense_region(np.zeros((0, 2)), MultiPolygon([box(0, 0, 9, 9)]), bandwidth_um=50.0, level=0.5)
    assert region.is_empty
    assert reference == 0.0


def test_rows_of_the_sampling_lattice_climb_by_one_over_the_golden_ratio() -> None:
    golden = (1 + np.sqrt(5)) / 2
    assert np.tan(_TILT) == pytest.approx(1 / golden)


@pytest.mark.parametrize("sides", [(1618.034, 1000.0), (1000.0, 1618.034), (1000.0, 1000.0)])
@pytest.mark.parametrize("pitch", [10.0, 50.0])
def test_no_point_of_the_sampling_lattice_is_left_out_of_its_box(sides: tuple[float, float], pitch: float) -> None:
    """From every point of a lattice its four neighbours: those in the box must be among the points."""
    points = _tilted_lattice((0.0, 0.0, *sides), pitch)
    along = pitch * np.array([np.cos(_TILT), np.sin(_TILT)])
    across = np.array([-along[1], along[0]])
    beside = np.vstack([points + step for step in (along, -along, across, -across)])
    inside = beside[((beside > 1e-6) & (beside < np.array(sides) - 1e-6)).all(axis=1)]
    assert cKDTree(points).query(inside)[0].max() < 1e-6


def test_a_border_has_the_nearest_whole_number_of_arcs_and_never_none() -> None:
    tissue, tumor = MultiPolygon([box(0, 0, 4000, 2000)]), MultiPolygon([box(0, 0, 2000, 2000)])
    options = {"image_box": None, "inner_um": 500, "outer_um": 500, "edge_tolerance_um": 0}
    halved = build_compartments(tissue=tissue, tumor=tumor, **options)
    assert halved.border.evaluable.length == pytest.approx(2000)
    assert [n_sectors(halved, arc_um=arc) for arc in (1e9, 1400, 1300, 500)] == [1, 1, 2, 4]
    y = np.array([0.0, 499, 501, 999, 1001, 1499, 1501, 2000])
    found = border_sectors(np.column_stack((np.full(8, 1990.0), y)), halved, arc_um=500).tolist()
    assert found in ([0, 0, 1, 1, 2, 2, 3, 3], [3, 3, 2, 2, 1, 1, 0, 0])  # whichever way the line runs
    whole = build_compartments(tissue=tissue, tumor=tissue, **options)
    assert n_sectors(whole, arc_um=500) == 0
    assert border_sectors(np.array([[1990.0, 5.0]]), whole, arc_um=500).tolist() == [-1]


def test_no_tissue_has_no_likely_tumour_and_unknown_regions_place_no_cell() -> None:
    found = likely_region(
        np.ones((4, 4), np.float32), PixelSize(2.0, 2.0), MultiPolygon(), bandwidth_um=30.0, min_area_mm2=0.0,
        max_hole_mm2=0.0,
    )  # fmt: skip
    assert (found.region.is_empty, found.dropped_islands_mm2, found.filled_holes_mm2, found.area_change) == (
        True,
        (),
        (),
        0,
    )
    placed = unplaced(3)
    assert placed.compartment.tolist() == [UNPLACED] * 3
    assert np.isnan(placed.border_distance_um).all()


def test_no_tumour_has_no_depths() -> None:
    options = {"image_box": None, "inner_um": 500, "outer_um": 500, "edge_tolerance_um": 0}
    nothing = build_compartments(tissue=MultiPolygon([box(0, 0, 99, 99)]), tumor=MultiPolygon(), **options)
    found = sample_depths(nothing, arc_um=200, n_samples=100)
    assert (len(found.depth_um), len(found.sector), found.area_mm2) == (0, 0, 0.0)
