"""Tiles partition a compartment: areas, shared edges and counts against shapely and by hand."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from spatial_til.metrics.merging import merge_fragments
from spatial_til.metrics.squares import divide_into_squares
from spatial_til.metrics.tiles import tile_compartment

RNG = np.random.default_rng(20260101)


def multi(geometry):
    parts = [p for p in shapely.get_parts(geometry) if p.geom_type == "Polygon"]
    return MultiPolygon(parts)


def ragged_ring(n=4000, seed=0):
    """A flower-shaped outline, wider than high, with a square hole and a separate island."""
    random = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    radius = 1500 + 250 * np.sin(5 * angle) + random.normal(0, 3, n)
    outline = np.column_stack((radius * np.cos(angle) + 777, 0.6 * radius * np.sin(angle) - 333))
    return multi(Polygon(outline, [box(600, -500, 901, -299).exterior.coords]).union(box(2600, 0, 2690, 30)))


def tile(region, xy=None, populations=None, **changes):
    xy = np.zeros((0, 2)) if xy is None else np.asarray(xy, dtype=float)
    populations = {"all": np.ones(len(xy), bool)} if populations is None else populations
    settings_ = {
        "slide_id": "S1",
        "compartment": "core",
        "tile_um": 200.0,
        "min_tiles": 8,
        "correlated": ("all",),
        "seed": 0,
    }
    return tile_compartment(region, xy, populations, **(settings_ | changes))


def points_in(region, n, seed=0):
    random = np.random.default_rng(seed)
    x0, y0, x1, y1 = region.bounds
    xy = random.uniform((x0, y0), (x1, y1), (20 * n, 2))
    shapely.prepare(region)
    return xy[shapely.contains_xy(region, xy[:, 0], xy[:, 1])][:n]


def test_square_areas_and_shared_edges_equal_clipping_by_shapely():
    region = ragged_ring()
    squares = divide_into_squares(region, 200.0)
    rows, cols = squares.area_um2.shape
    assert squares.area_um2.sum() == pytest.approx(region.area, rel=1e-12)
    for row in range(rows):
        for col in range(cols):
            x, y = squares.x0_um + 200 * col, squares.y0_um + 200 * row
            assert squares.area_um2[row, col] == pytest.approx(
                region.intersection(box(x, y, x + 200, y + 200)).area, abs=1e-6
            )
            left = region.intersection(LineString([(x, y), (x, y + 200)])).length
            top = region.intersection(LineString([(x, y), (x + 200, y)])).length
            assert squares.left_um[row, col] == pytest.approx(left, abs=1e-8)
            assert squares.top_um[row, col] == pytest.approx(top, abs=1e-8)


def test_edges_on_grid_lines_count_once():
    squares = divide_into_squares(MultiPolygon([box(0, 0, 400, 200)]), 200.0)
    np.testing.assert_allclose(squares.area_um2, [[40_000, 40_000]])
    np.testing.assert_allclose(squares.left_um[0, 1], 200)


def test_tiles_by_hand():
    """1000 x 500 µm at 200 µm: centred rows of 3 x 5 squares, the outer rows 150 µm high; nothing to merge."""
    counts, _ = tile(MultiPolygon([box(0, 0, 1000, 500)]))
    np.testing.assert_allclose(np.sort(counts.area_mm2), [0.03] * 10 + [0.04] * 5)
    assert counts.tile_um == 200
    assert counts.flags == ()


def test_fragment_joins_the_neighbour_with_the_longest_shared_edge():
    """A tab of 20 x 60 µm hangs on the lower of two stacked squares and touches the upper by 10 µm."""
    area = np.array([40_000.0, 40_000.0, 1_200.0])
    pairs = np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([200.0, 10.0, 50.0])
    label = merge_fragments(area, *pairs, np.zeros((3, 2)), smallest=10_000)
    assert label.tolist() == [0, 1, 1]


def test_joined_fragments_go_on_until_a_quarter_is_reached():
    """Five slivers in a row of 0.1 each: they gather to tiles of at least 0.25, nothing is lost."""
    area = np.full(5, 0.1)
    label = merge_fragments(
        area, np.arange(4), np.arange(1, 5), np.ones(4), np.column_stack((np.arange(5.0), np.zeros(5))), smallest=0.25
    )
    sums = np.bincount(label, area)
    assert sums.min() >= 0.25 - 1e-12
    assert sums.sum() == pytest.approx(0.5)


def test_island_without_neighbours_joins_the_nearest_tile():
    region = MultiPolygon([box(0, 0, 2000, 1000), box(2300, 400, 2320, 420)])
    counts, tiles = tile(region, [[2310, 410], [1990, 410]])
    assert tiles[0] == tiles[1]
    assert counts.total_area_mm2 == pytest.approx(2.0004)
    assert counts.area_mm2.min() >= 0.01


def test_side_is_halved_until_there_are_enough_tiles():
    counts, _ = tile(MultiPolygon([box(0, 0, 400, 400)]))
    assert (counts.tile_um, len(counts.area_mm2), counts.flags) == (100.0, 16, ())
    counts, _ = tile(MultiPolygon([box(0, 0, 100, 100)]))
    assert (counts.tile_um, len(counts.area_mm2), counts.flags) == (50.0, 4, ("few_tiles",))


def test_empty_region_has_no_tiles():
    counts, tiles = tile(MultiPolygon())
    assert counts.total_area_mm2 == 0
    assert counts.n_cells("all") == 0
    assert tiles.shape == (0,)


def test_cells_on_the_outline_are_counted():
    region = MultiPolygon([box(0, 0, 1000, 500)])
    xy = np.array([[0, 0], [1000, 500], [1000, 0], [0, 500], [500, 500], [1000.0000001, 250]])
    counts, _ = tile(region, xy)
    assert counts.n_cells("all") == 6


def test_cell_lies_in_the_tile_that_counts_it():
    region = ragged_ring()
    xy = points_in(region, 3000)
    cd8 = np.arange(3000) % 7 == 0
    counts, tiles = tile(region, xy, {"all": np.ones(3000, bool), "CD8+": cd8}, correlated=())
    np.testing.assert_array_equal(np.bincount(tiles[cd8], minlength=len(counts.area_mm2)), counts.counts["CD8+"])
    away = np.hypot(xy[:, 0] - counts.x_um[tiles], xy[:, 1] - counts.y_um[tiles])
    assert np.median(away) < 120
    assert away.max() < 500  # no cell is counted across the tissue


def test_clustered_cells_enlarge_tiles_and_scattered_ones_do_not():
    region = MultiPolygon([box(0, 0, 4000, 2000)])
    scattered = points_in(region, 4000, seed=1)
    counts, _ = tile(region, scattered)
    assert counts.tile_um == 200
    gradient = scattered[RNG.random(len(scattered)) < scattered[:, 0] / 4000]
    counts, _ = tile(region, gradient)
    assert (counts.tile_um, counts.flags) == (400.0, ("tiles_enlarged",))
    counts, _ = tile(region, gradient, min_tiles=51)  # 50 tiles of 400 µm: not enough left
    assert (counts.tile_um, counts.flags) == (200.0, ())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    tile_um=st.sampled_from([100.0, 200.0, 333.0]),
    dx=st.floats(-5000, 5000),
    dy=st.floats(-5000, 5000),
)
def test_laws_of_tiles(seed, tile_um, dx, dy):
    """No area or cell is lost, no tile is a fragment, and moving the slide changes nothing."""
    random = np.random.default_rng(seed)
    parts = [Point(*random.uniform(0, 3000, 2)).buffer(random.uniform(30, 900)) for _ in range(6)]
    region = multi(shapely.union_all(parts))
    xy = points_in(region, 500, seed)
    counts, tiles = tile(region, xy, tile_um=tile_um, min_tiles=1, correlated=())
    assert counts.total_area_mm2 == pytest.approx(region.area / 1e6, rel=1e-10)
    assert counts.n_cells("all") == len(xy)
    assert counts.area_mm2.min() >= tile_um**2 / 4e6 * (1 - 1e-9) or len(counts.area_mm2) == 1
    moved = affinity.translate(region, dx, dy)
    again, tiles_again = tile(multi(moved), xy + np.array([dx, dy]), tile_um=tile_um, min_tiles=1, correlated=())
    np.testing.assert_allclose(again.area_mm2, counts.area_mm2, rtol=1e-6)
    assert (tiles == tiles_again).mean() > 0.999


def test_turned_and_mirrored_regions_are_divided_alike():
    region = ragged_ring()
    reference = np.sort(divide_into_squares(region, 200.0).area_um2.ravel())
    for turned in (affinity.rotate(region, 90, origin=(0, 0)), affinity.scale(region, -1, 1, origin=(0, 0))):
        np.testing.assert_allclose(np.sort(divide_into_squares(turned, 200.0).area_um2.ravel()), reference, atol=1e-5)
