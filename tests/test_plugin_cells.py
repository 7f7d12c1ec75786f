"""Cells painted as dots: where they lie at every resolution, which is on top, and that a million take no time."""

import numpy as np
import pytest

from spatial_til.plugin.cell_picture import RADIUS_UM, CellPicture, bin_cells, codes_of
from spatial_til.units import PixelSize

PX = PixelSize(0.5, 0.5)


def picture(xy_um, codes, shapes=((400, 600), (200, 300), (100, 150), (25, 37)), px=PX):
    made = CellPicture(np.asarray(xy_um, float), shapes, px, None)
    made.show(np.asarray(codes, np.uint8))
    return made.picture


def test_a_ring_lies_around_its_cell_and_leaves_it_open():
    x, y = 120.25, 50.25  # the middle of pixel (100, 240)
    rows, cols = np.nonzero(picture([[x, y]], [1]).levels[0][:, :])
    away = np.hypot((cols + 0.5) * 0.5 - x, (rows + 0.5) * 0.5 - y)
    assert (rows.mean(), cols.mean()) == (100, 240)
    assert away.max() <= RADIUS_UM
    assert away.min() >= RADIUS_UM - 1.01


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_cells_lie_where_napari_draws_the_slide_at_every_resolution(level):
    shapes = ((400, 600), (200, 300), (100, 150), (25, 37))
    x, y = 211.0, 93.0
    rows, cols = np.nonzero(picture([[x, y]], [1], shapes).levels[level][:, :])
    # napari puts pixel c of a level at data coordinate c * (full / level), which is world (that + 0.5) * px
    fy, fx = 400 / shapes[level][0], 600 / shapes[level][1]
    middle = (cols.mean() * fx + 0.5) * 0.5, (rows.mean() * fy + 0.5) * 0.5
    assert middle == pytest.approx((x, y), abs=0.5 * fx * 0.5)


def test_anisotropic_pixels_keep_x_and_y_apart():
    rows, cols = np.nonzero(picture([[100.0, 30.0]], [1], px=PixelSize(0.5, 0.25)).levels[0][:, :])
    assert (rows.mean(), cols.mean()) == pytest.approx((30 / 0.25 - 0.5, 100 / 0.5 - 0.5), abs=0.5)


def test_the_higher_code_is_on_top_whatever_the_order():
    at = [[50.0, 50.0], [50.0, 50.0]]
    for codes in ([1, 2], [2, 1]):
        assert set(np.unique(picture(at, codes).levels[0][:, :])) == {0, 2}


def test_cells_at_seams_and_edges_are_whole_in_any_boxes():
    rng = np.random.default_rng(1)
    shown = picture(rng.uniform((0, 0), (300, 200), (500, 2)), rng.integers(1, 4, 500))
    whole = shown.levels[0][:, :]
    pieces = np.vstack(
        [np.hstack([shown.levels[0][r : r + 57, c : c + 91] for c in range(0, 600, 91)]) for r in range(0, 400, 57)]
    )
    assert np.array_equal(whole, pieces)


def test_every_cell_that_is_switched_on_leaves_a_dot_far_out():
    rng = np.random.default_rng(2)
    at = rng.uniform((0, 0), (290, 190), (2000, 2))
    coarse = picture(at, np.ones(2000)).levels[3][:, :]
    px_um = 8.0
    expected = {(round((y / 0.5 - 0.5) / 16 + 1e-9), round((x / 0.5 - 0.5) / (600 / 37))) for x, y in at}
    assert px_um > RADIUS_UM
    assert len(set(zip(*np.nonzero(coarse), strict=True)) ^ expected) < 5


def test_hidden_cells_are_not_painted():
    assert not picture([[50.0, 50.0]], [0]).levels[0][:, :].any()


def test_no_cells_no_dots():
    assert not picture(np.empty((0, 2)), []).levels[0][:, :].any()


def test_populations_switched_off_reveal_those_beneath():
    members = {"CD8+": np.array([1, 0, 0], bool), "tumor": np.array([1, 1, 0], bool)}
    assert codes_of(members, ["CD8+", "tumor"], 3).tolist() == [2, 1, 0]
    assert codes_of(members, ["tumor"], 3).tolist() == [1, 1, 0]
    assert codes_of(members, [], 3).tolist() == [0, 0, 0]


def test_bins_hold_every_cell_once():
    rng = np.random.default_rng(3)
    at = rng.uniform(0, 950, (1000, 2))
    bins = bin_cells(at)
    assert sorted(bins.order.tolist()) == list(range(1000))
    assert bins.first[-1] == 1000
    assert np.array_equal(np.column_stack((bins.x_um, bins.y_um)), at[bins.order])
