"""Corners of tiles, neighbours and patterns that sampled wrong changes showed nobody to watch (`make mutants`)."""

import math

import numpy as np
import pytest
from shapely.geometry import box

from spatial_til.metrics.density import dispersion
from spatial_til.metrics.pointpatterns import spread as spreads
from spatial_til.metrics.pointpatterns.marks import Marks
from spatial_til.metrics.pointpatterns.neighbours import build_grid, count_within, nearest_um
from spatial_til.metrics.pointpatterns.parts import thinned
from spatial_til.metrics.pointpatterns.spread import Tiles, _binned_quartiles, spread
from spatial_til.metrics.pointpatterns.window import overlap_with_itself
from spatial_til.metrics.resampling import sum_by_tile, tile_positions
from spatial_til.metrics.simulate import _tile_areas
from spatial_til.metrics.squares import divide_into_squares
from spatial_til.metrics.tiles import _square_of_points
from spatial_til.model import TileCounts


def test_a_quartile_that_is_just_reached_is_one():
    share, edges = np.array([[0.25, 0.5, 0.75]]), np.array([0.0, 1.0, 2.0, 3.0])
    assert _binned_quartiles(share, edges).tolist() == [[1.0, 2.0, 3.0]]
    assert np.isnan(_binned_quartiles(share - 0.01, edges)[0]).tolist() == [False, False, True]
    # half in the first bin, from none at its lower edge
    assert _binned_quartiles(np.array([[0.5, 1.0]]), edges[:3]).tolist() == [[0.5, 1.0, 1.5]]


def test_points_in_the_last_squares_and_beyond_belong_to_them():
    squares = divide_into_squares(box(0, 0, 250, 150), 100.0)
    last = squares.area_um2.size - 1
    assert squares.index(np.array([[249.0, 149.0], [1e4, 1e4], [-1e4, -1e4], [249.0, 1.0]])).tolist() == [
        last,
        last,
        0,
        squares.area_um2.shape[1] - 1,
    ]


@pytest.mark.parametrize("n_tiles", [2, 9, 40])
def test_one_cell_is_as_evenly_spread_as_chance(n_tiles):
    """(1 - 1/T)² + (T - 1)/T², over 1/T and T - 1: exactly 1, whatever the number of tiles."""
    one = np.zeros(n_tiles, dtype=np.int64)
    one[0] = 1
    tiles = TileCounts("s", "core", 200.0, np.full(n_tiles, 0.04), {"CD8+": one}, *np.zeros((2, n_tiles)))
    assert dispersion(tiles) == {"CD8+": pytest.approx(1.0)}


def test_reference_cells_are_thinned_to_a_hundred_thousand_and_no_fewer():
    drawn = thinned(np.arange(100_001), np.random.default_rng(0))
    assert len(drawn) == 100_000
    assert (np.diff(drawn) > 0).all()
    assert len(thinned(np.arange(100_000), np.random.default_rng(0))) == 100_000


def test_the_error_of_the_area_under_g_is_its_deviation_over_draws(monkeypatch):
    none = np.zeros((2, 1), dtype=np.int64)
    marks = Marks(np.array([0, 1]), np.array([0, 1]), np.array([5.0, 8.0]), np.full(2, 99.0), none, none, none * 1.0)
    monkeypatch.setattr(spreads, "_auc_at", lambda *_: np.array([[1.0], [3.0]]))
    tiles = Tiles(np.ones(2), np.zeros(2, dtype=np.int64))
    with np.errstate(all="ignore"):
        found = spread(marks, tiles, np.array([20.0]), 2, np.random.default_rng(0))
    assert found.auc == pytest.approx([math.sqrt(2)])


def test_k_goes_with_the_square_of_the_area_of_drawn_tiles_and_counts_with_the_area():
    """One reference cell with one target in each tile: nothing varies but the areas, a little."""
    n = 60
    each, one = np.arange(n), np.ones((n, 1))
    far = np.full(n, 99.0)
    marks = Marks(each, each, np.full(n, 5.0), far, one.astype(np.int64), one.astype(np.int64), one)
    tiles = Tiles(1.0 + 0.1 * (each % 2), np.zeros(n, dtype=np.int64))
    found = spread(marks, tiles, np.array([20.0]), 400, np.random.default_rng(0))
    assert found.counts == pytest.approx([0.05 / 1.05 / math.sqrt(n)], rel=0.15)  # a coin a tile: 1 or 1.1
    assert found.k == pytest.approx(2 * found.counts, rel=0.01)
    assert found.mixing == pytest.approx([0.0], abs=1e-12)


def test_the_window_of_a_small_region_far_from_the_origin_is_drawn_as_fine():
    assert overlap_with_itself(box(1e7, 1e7, 1e7 + 200, 1e7 + 100), 50.0).pixel_um == 5.0


def test_a_point_in_a_square_without_tissue_counts_in_the_nearest_that_has_some():
    region = box(0, 0, 100, 100)
    squares = divide_into_squares(region, 50.0)
    used = np.flatnonzero(squares.area_um2.ravel() > 0)
    inside = np.array([(25.0, 25.0), (75.0, 75.0)])
    assert _square_of_points(squares, used, inside).tolist() == [0, 3]
    assert _square_of_points(squares, used[1:], inside)[0] in {0, 1}  # of the three left, one beside it


@pytest.mark.parametrize(
    ("area_mm2", "n"), [(0.36, 9), (0.32, 8), (0.28, 28), (0.08, 8), (0.07, 28), (0.02, 8), (0.01, 1)]
)
def test_simulated_tiles_are_halved_twice_at_most_until_there_are_eight(area_mm2, n):
    """200 µm, 100 µm or 50 µm: 0.04, 0.01 or 0.0025 mm²; too small an area is one tile."""
    assert _tile_areas(area_mm2, 8).tolist() == pytest.approx([area_mm2 / n] * n)


@pytest.mark.parametrize("origin", [(-5000.0, -300.0), (0.0, 0.0), (1e6, 2e5)])
def test_neighbours_do_not_depend_on_where_the_origin_is(origin):
    points, queries = np.split(np.random.default_rng(5).integers(0, 800, (600, 2)).astype(float), 2)
    grid = build_grid(points + origin)
    apart = np.hypot(*(queries[:, None] - points[None]).transpose(2, 0, 1))
    assert nearest_um(queries + origin, grid) == pytest.approx(apart.min(axis=1))
    radii = np.array([20.0, 30.5, 70.0])
    counted = (apart[:, :, None] <= radii).sum(axis=1)
    assert count_within(queries + origin, grid, radii).tolist() == counted.tolist()


def test_no_cells_are_in_no_tile():
    position, strata = tile_positions(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert (position.tolist(), strata.tolist()) == ([], [])
    none = sum_by_tile(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert (none.n_tiles, none.sums.shape) == (0, (0, 2))
