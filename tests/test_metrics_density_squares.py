"""Squares, tiles and the likeness of neighbours, by hand and by clips of shapely."""

import math

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.metrics import autocorrelation
from spatial_til.metrics.autocorrelation import correlated_neighbours, moran_i, neighbour_weights, pearson_residuals
from spatial_til.metrics.squares import _cut_at_grid_lines, divide_into_squares
from spatial_til.metrics.tiles import tile_compartment, untiled_counts


def test_morans_i_and_its_neighbours_by_hand():
    centres = np.array([[0.0, 0], [200, 0], [200, 200], [600, 0]])
    weights = neighbour_weights(centres, 200.0)
    assert weights.toarray().tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    z = np.array([1.0, 2, 4, 5]) - 3
    expected = 4 / 4 * 2 * (z[0] * z[1] + z[1] * z[2]) / (z**2).sum()
    assert moran_i(np.array([[1.0, 2, 4, 5]]).T, weights) == pytest.approx([expected])
    several = moran_i(np.array([[1.0, 2, 4, 5], [50.0, 20, 40, 10]]).T, weights)
    assert several[0] == pytest.approx(expected)
    assert np.isnan(moran_i(np.ones((4, 1)), weights)).all()
    assert np.isnan(moran_i(np.array([[1.0, 2]]).T, neighbour_weights(centres[[0, 3]], 200.0))).all()
    residual = pearson_residuals(np.array([3, 1]), np.array([1.0, 3.0]))
    assert residual == pytest.approx([2.0, -2 / math.sqrt(3)])


def test_neighbours_are_correlated_where_few_shuffles_are(monkeypatch):
    centres = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
    area = np.ones(36)

    def ask(counts, seed=0):
        return correlated_neighbours(counts, area[: len(counts)], centres[: len(counts)], reach_um=1.5,
                                     random=np.random.default_rng(seed))  # fmt: skip

    assert ask(np.repeat([9, 0], 18)) is True
    assert ask(np.arange(36) % 2) is False
    assert ask(np.zeros(36, dtype=int)) is False
    assert ask(np.array([5, 0])) is False
    # 19 of 199 shuffles or fewer at p < 0.05: as_large + 1 below 10
    for larger, found in ((8, True), (9, False)):
        monkeypatch.setattr(
            autocorrelation, "moran_i",
            lambda values, _, n=larger: np.array([0.5] * n + [0.0] * 190)
            if values.shape[1] > 1 else np.array([0.5]),
        )  # fmt: skip
        assert ask(np.arange(36)) is found
    for observed, found in ((0.1, False), (0.1001, True)):
        monkeypatch.setattr(
            autocorrelation, "moran_i", lambda values, _, i=observed: np.array([i if values.shape[1] == 1 else 0.0])
        )
        assert ask(np.arange(36)) is found


def test_squares_and_the_edges_they_share_are_those_of_the_clip():
    region = Polygon([(3, 2), (58, 9), (44, 31), (71, 63), (20, 50), (9, 66)], [[(22, 20), (35, 22), (28, 33)]])
    found = divide_into_squares(region, 10.0)
    rows, cols = found.area_um2.shape
    assert (cols, rows) == (7, 7)
    assert (found.x0_um, found.y0_um) == (37 - 35, 34 - 35)
    for row in range(rows):
        for col in range(cols):
            x, y = found.x0_um + 10 * col, found.y0_um + 10 * row
            assert found.area_um2[row, col] == pytest.approx(region.intersection(box(x, y, x + 10, y + 10)).area)
            left, top = box(x, y, x, y + 10).boundary, box(x, y, x + 10, y).boundary
            assert found.left_um[row, col] == pytest.approx(region.intersection(left).length, abs=1e-9)
            assert found.top_um[row, col] == pytest.approx(region.intersection(top).length, abs=1e-9)
    assert found.centres_um[8].tolist() == [found.x0_um + 15, found.y0_um + 15]
    assert divide_into_squares(box(0, 0, 1, 25), 10.0).area_um2 == pytest.approx(np.array([[7.5], [10.0], [7.5]]))


def test_edges_are_cut_where_they_cross_the_lines_of_the_grid():
    start, end = np.array([[0.5, 0.5], [2.0, 0.0], [3.0, 1.5]]), np.array([[2.5, 1.5], [2.0, 2.0], [3.5, 1.5]])
    edge, t = _cut_at_grid_lines(start, end)
    cuts = [sorted(set(t[edge == i].tolist())) for i in range(3)]
    assert cuts == [[0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.5, 1.0], [0.0, 1.0]]
    assert all((np.diff(t[edge == i]) >= 0).all() for i in range(3))
    assert (np.diff(edge) >= 0).all()


def tiles_of(region, xy, **changes):
    options = {"slide_id": "s", "compartment": "core", "tile_um": 200.0, "min_tiles": 4, "correlated": (), "seed": 0}
    return tile_compartment(MultiPolygon([region]) if not region.is_empty else MultiPolygon(), xy,
                            {"CD8+": np.ones(len(xy), dtype=bool)}, **(options | changes))  # fmt: skip


def test_tiles_are_squares_whose_small_fragments_have_joined_a_neighbour():
    xy = np.array([[100.0, 100], [300, 100], [500, 150], [610, 10], [100, 300]])
    found, tile = tiles_of(box(0, 0, 620, 400), xy)  # centred on 0..620: the columns begin at -90, the last ends at 710
    widths = [110, 200, 200, 110]
    assert found.area_mm2.tolist() == pytest.approx([w * 200 / 1e6 for w in widths] * 2)
    assert (found.slide_id, found.compartment, found.tile_um, found.flags) == ("s", "core", 200.0, ())
    assert found.counts["CD8+"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert found.counts["CD8+"].dtype == np.int64
    assert tile.tolist() == [0, 1, 2, 3, 4]
    assert (found.x_um[0], found.y_um[0]) == (10.0, 100.0)  # centre of the square
    whole = box(0, 0, 390, 400)
    two, _ = tiles_of(whole.union(box(390, 160, 600, 240)), xy[:2])  # fragments of 8000 µm², joined to each other
    assert two.area_mm2.tolist() == pytest.approx([0.04, 0.0384, 0.04, 0.0384, 0.016])
    assert (two.x_um[4], two.y_um[4]) == pytest.approx((500.0, 200.0))
    one, tile = tiles_of(whole.union(box(390, 170, 600, 200)), np.array([[599.0, 180], [10, 10]]))
    assert one.area_mm2.tolist() == pytest.approx([0.04, 0.0443, 0.04, 0.038])
    assert one.x_um[1] == pytest.approx((38.3 * 300 + 6 * 500) / 44.3)
    assert tile.tolist() == [1, 0]
    enough, _ = tiles_of(whole.union(box(390, 150, 600, 200)), xy[:2])  # just a quarter of a square
    assert len(enough.area_mm2) == 5


@pytest.mark.parametrize(
    ("least", "side", "flags"), [(4, 200, ()), (5, 100, ()), (17, 50, ()), (65, 50, ("few_tiles",))]
)
def test_the_side_is_halved_twice_at_most(least, side, flags):
    found, _ = tiles_of(box(0, 0, 400, 400), np.zeros((0, 2)), min_tiles=least)
    assert (found.tile_um, found.flags, len(found.area_mm2)) == (side, flags, (400 // side) ** 2)


def test_tiles_that_are_alike_are_enlarged_where_enough_are_left():
    xy = np.random.default_rng(0).uniform((0, 0), (1600, 800), (4000, 2))
    alike = xy[(xy[:, 0] // 800) == 0]
    options = {"correlated": ("CD8+", "none"), "tile_um": 100.0}
    for least, flags, side in ((32, ("tiles_enlarged",), 200.0), (33, (), 100.0)):
        found, _ = tiles_of(box(0, 0, 1600, 800), alike, min_tiles=least, **options)
        assert (found.flags, found.tile_um) == (flags, side)
    assert tiles_of(box(0, 0, 1600, 800), xy, **options)[0].flags == ()
    nothing, tile = tiles_of(Polygon(), np.zeros((2, 2)), min_tiles=1)
    assert (len(nothing.area_mm2), nothing.counts["CD8+"].tolist(), nothing.flags) == (0, [2], ("few_tiles",))
    assert (tile.tolist(), tile.dtype) == ([0, 0], np.intp)
    assert (nothing.x_um.tolist(), nothing.y_um.tolist()) == ([], [])


def test_a_region_known_by_its_area_alone_is_one_tile():
    found = untiled_counts({"CD8+": np.array([1, 0, 1], bool)}, slide_id="s", compartment="core", area_mm2=0.5)
    assert (found.area_mm2.tolist(), found.counts["CD8+"].tolist(), found.flags) == ([0.5], [2], ("few_tiles",))
    assert found.counts["CD8+"].dtype == np.int64
    assert np.isnan([found.tile_um, found.x_um[0], found.y_um[0]]).all()
