"""The parts of the point patterns, one by one, against plain loops and closed forms."""

import math

import numpy as np
import pytest
import shapely
from shapely import affinity

from spatial_til.metrics.pointpatterns.gcross import DistanceCurve, distance_curve
from spatial_til.metrics.pointpatterns.kcross import _overlap_at, k_cross, l_cross, pair_weights
from spatial_til.metrics.pointpatterns.mixing import mixing_score, normalised
from spatial_til.metrics.pointpatterns.neighbours import (
    bins_within,
    build_grid,
    count_within,
    nearest_um,
    sort_into_bins,
)
from spatial_til.metrics.pointpatterns.nulls import draw_labels, label_strata, null_summary
from spatial_til.metrics.pointpatterns.window import _short_pieces, boundary_distance_um, overlap_with_itself
from tests.pattern_windows import L_SHAPE, RADII, points_in

# --- neighbours


def test_a_grid_has_about_two_points_a_bin_and_its_points_in_the_order_of_their_bins():
    xy = np.random.default_rng(0).uniform((100, -50), (500, 50), (400, 2))
    xy[:2] = (100, -50), (500, 50)
    cell = np.arange(400)[::-1] + 1000
    grid = build_grid(xy, cell)
    assert grid.side_um == pytest.approx(math.sqrt(2 * 400 * 100 / 400))
    assert (grid.x0_um, grid.y0_um, grid.cols, grid.rows) == (100, -50, 29, 8)
    assert (grid.start[0], grid.start[-1], len(grid.start)) == (0, 400, 29 * 8 + 1)
    assert sorted(grid.cell.tolist()) == sorted(cell.tolist())
    assert grid.cell.dtype == np.int64
    at = dict(zip(cell.tolist(), xy.tolist(), strict=True))
    for b in range(29 * 8):
        for k in range(grid.start[b], grid.start[b + 1]):
            x, y = grid.x_um[k], grid.y_um[k]
            assert [x, y] == at[int(grid.cell[k])]
            assert (int((y + 50) / grid.side_um), int((x - 100) / grid.side_um)) == divmod(b, 29)
    assert build_grid(xy).cell.tolist() == [399 - (c - 1000) for c in grid.cell.tolist()]


def test_points_on_a_line_or_in_one_place_have_a_grid():
    line = build_grid(np.column_stack((np.arange(11.0), np.full(11, 3.0))))
    assert line.side_um == pytest.approx(2 * 10 / 11)
    assert (line.cols, line.rows) == (6, 1)
    upright = build_grid(np.column_stack((np.full(11, 3.0), np.arange(11.0))))
    assert (upright.cols, upright.rows, upright.side_um) == (1, 6, line.side_um)
    place = build_grid(np.full((4, 2), 7.0))
    assert (place.cols, place.rows, place.side_um) == (1, 1, 1e-6)
    nothing = build_grid(np.zeros((0, 2)))
    assert (nothing.cols, nothing.rows, nothing.side_um, nothing.start.tolist()) == (1, 1, 1.0, [0, 0])
    assert (len(nothing.x_um), len(nothing.y_um), len(nothing.cell), nothing.x0_um, nothing.y0_um) == (0, 0, 0, 0, 0)


def test_points_at_the_far_sides_belong_to_the_last_bins():
    xy = np.array([[0.0, 0.0], [10.0, 0.0], [9.9, 4.9], [10.0, 5.0], [0.0, 0.0]])
    order, start = sort_into_bins(xy, 0.0, 0.0, 5.0, 2, 1)
    assert (order.tolist(), start.tolist()) == ([0, 4, 1, 2, 3], [0, 2, 5])


def test_bins_that_a_circle_may_touch():
    grid = build_grid(np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), axis=-1).reshape(-1, 2))
    side = grid.side_um
    assert side == pytest.approx(math.sqrt(2 * 81 / 100))
    assert bins_within(grid, 4.5, 6.0, 1.0) == tuple(int(v / side) for v in (3.5, 5.5, 5.0, 7.0))
    assert bins_within(grid, 0.2, 8.9, 3.0) == (0, int(3.2 / side), int(5.9 / side), grid.rows - 1)
    for x, y in ((-5.0, 4.0), (4.0, -5.0), (99.0, 4.0), (4.0, 99.0)):
        first, last, top, bottom = bins_within(grid, x, y, 1.0)
        assert first > last or top > bottom


def test_neighbours_at_just_the_radius_count_and_the_cell_itself_does_not():
    grid = build_grid(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 5.0], [6.0, 8.0]]))
    counts = count_within(np.zeros((1, 2)), grid, np.array([4.999, 5.0, 10.0]), np.array([0]))
    assert (counts.tolist(), counts.dtype) == ([[0, 2, 3]], np.int64)
    assert count_within(np.zeros((1, 2)), grid, np.array([4.999, 5.0])).tolist() == [[1, 3]]
    assert nearest_um(np.zeros((2, 2)), grid, np.array([0, 9])).tolist() == [5.0, 0.0]


# --- window


def test_boundary_is_cut_into_pieces_of_25_um_at_most_and_asked_up_to_the_limit():
    pieces = _short_pieces(L_SHAPE, 25.0)
    length = np.hypot(*(pieces[:, 2:] - pieces[:, :2]).T)
    assert length.max() <= 25.0
    assert length.sum() == pytest.approx(L_SHAPE.length)
    window = shapely.MultiPolygon(
        [affinity.rotate(L_SHAPE, 20).difference(shapely.box(100, 50, 200, 150)), shapely.box(2000, 0, 2100, 900)]
    )
    xy = np.random.default_rng(1).uniform(-400, 2500, (1500, 2))
    away = shapely.distance(window.boundary, shapely.points(xy))
    for limit in (30.0, 300.0, 1e4):
        assert boundary_distance_um(window, xy, limit) == pytest.approx(np.minimum(away, limit))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (17.0, 33.0), (-40.0, 20.0), (50.0, -50.0)])
def test_the_window_overlaps_with_itself_as_the_clip_says(shift):
    window = shapely.box(0, 0, 300, 200).difference(shapely.box(50, 50, 90, 130))
    found = overlap_with_itself(window, 60.0, 1.0)
    k = len(found.area_um2) // 2
    assert (found.pixel_um, found.area_um2.shape) == (1.0, (2 * 61 + 1, 2 * 61 + 1))
    dx, dy = map(int, shift)
    moved = window.intersection(affinity.translate(window, *shift)).area
    assert found.area_um2[k + dy, k + dx] == pytest.approx(moved, rel=1e-6)
    assert _overlap_at(found.area_um2, 1.0, *shift) == pytest.approx(moved, rel=1e-6)
    default = overlap_with_itself(window, 60.0)
    assert (default.pixel_um, len(default.area_um2)) == (5.0, 2 * (12 + 1) + 1)


def test_the_overlap_is_linear_between_pixels_and_never_less_than_one_of_them():
    area = np.arange(25.0).reshape(5, 5)  # 5 row + column, k = 2; pixels of 2 µm
    assert _overlap_at(area, 2.0, 0.0, 0.0) == 12.0
    assert _overlap_at(area, 2.0, 1.0, 0.5) == 12 + 0.5 + 5 * 0.25
    assert _overlap_at(area, 2.0, 4.0, 4.0) == 24.0
    assert _overlap_at(area, 2.0, 3.0, -3.0) == 12 + 1.5 - 5 * 1.5
    assert _overlap_at(area, 2.0, -4.0, -4.0) == 4.0
    assert _overlap_at(area, 2.0, -4.0, -3.0) == 4.0


def test_weights_are_one_over_the_overlap_summed_within_each_radius():
    overlap = overlap_with_itself(L_SHAPE, 50.0)
    a, b = points_in(L_SHAPE, 80, 1), points_in(L_SHAPE, 120, 2)
    b[:5] = a[:5]
    cell = np.arange(80)
    found = pair_weights(a, cell, build_grid(b), RADII, overlap)
    expected = np.zeros((80, 3))
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            apart = math.dist(p, q)
            if i != j and apart <= 50:
                expected[i] += (apart <= RADII) / _overlap_at(overlap.area_um2, overlap.pixel_um, *(q - p))
    assert found == pytest.approx(expected)
    assert k_cross(found.sum(axis=0), 80 * 120 - 5, 2.0) == pytest.approx(expected.sum(axis=0) * 4 / (80 * 120 - 5))
    assert np.isnan(k_cross(np.zeros(2), 0, 5.0)).tolist() == [True, True]
    assert l_cross(np.array([math.pi * 49])) == pytest.approx([7.0])


# --- G


def kaplan_meier(distance, boundary):
    """Return G at the times of leaving, one after the other."""
    rows = sorted((min(d, b), d > b) for d, b in zip(distance, boundary, strict=True))
    alive, at_risk, shares = 1.0, len(rows), []
    for _, censored in rows:
        alive *= 1.0 if censored else 1 - 1 / at_risk
        at_risk -= 1
        shares.append(1 - alive)
    return [time for time, _ in rows], shares


def test_g_is_the_product_limit_and_its_area_that_of_its_steps():
    random = np.random.default_rng(3)
    distance, boundary = random.integers(1, 40, 60).astype(float), random.integers(1, 60, 60).astype(float)
    distance[:4] = np.inf
    curve = distance_curve(distance, boundary)
    times, shares = kaplan_meier(distance, boundary)
    assert curve.distance_um.tolist() == times
    assert curve.share == pytest.approx(shares)
    fine = np.arange(0.0005, 50, 0.001)
    at_fine = curve.at(fine)
    for radius in (0.5, 20.0, 33.3, 49.0):
        expected = max((s for t, s in zip(times, shares, strict=True) if t <= radius), default=0.0)
        assert curve.at(np.array([radius])) == pytest.approx([expected])
    area = [at_fine[fine < radius].mean() for radius in (10.0, 20.0, 45.5)]
    assert curve.mean_up_to(np.array([10.0, 20.0, 45.5])) == pytest.approx(area, abs=1e-3)
    for q in (0.25, 0.5):
        assert curve.quantiles((q,))[0] == next(t for t, s in zip(times, shares, strict=True) if s >= q - 1e-12)
    assert np.isnan(DistanceCurve(np.array([1.0, 2.0]), np.array([0.2, 0.4])).quantiles((0.2, 0.5))).tolist() == [0, 1]


def test_a_tie_of_target_and_boundary_is_seen():
    assert distance_curve(np.array([5.0, 9.0]), np.array([5.0, 9.0])).share.tolist() == [0.5, 1.0]
    assert distance_curve(np.array([5.0, 5.1]), np.array([5.0, 5.0])).share.tolist() == [0.5, 0.5]


# --- mixing and nulls


def test_mixing_is_one_at_random_and_missing_without_pairs():
    score = mixing_score(np.array([[6.0, 0.0, 4.0]]), np.array([[3.0, 2.0, 0.0]]))
    assert score[0, :2].tolist() == [2.0, 0.0]
    assert np.isnan(score[0, 2])
    assert normalised(np.array([2.0]), 11, 4) == pytest.approx([0.5 * 2 * 10 / 4])
    assert np.isnan(normalised(np.array([2.0, 3.0]), 11, 0)).all()
    n, m, p = 40, 25, 0.3  # a share p of all pairs lies within the radius
    assert normalised(mixing_score(np.array([p * n * m]), np.array([p * n * (n - 1) / 2])), n, m) == pytest.approx([1])


def test_labels_stay_in_their_stratum():
    stratum, labelled = np.array([3, 0, 0, 3, 3, 0, 1]), np.array([1, 1, 0, 0, 1, 0, 0], dtype=bool)
    strata = label_strata(stratum, labelled)
    assert [m.tolist() for m in strata.members] == [[1, 2, 5], [0, 3, 4]]
    assert strata.counts == (1, 2)
    random = np.random.default_rng(0)
    drawn = [draw_labels(strata, random) for _ in range(300)]
    for of in drawn:
        assert len(set(of.tolist())) == 3
        assert of[0] in {1, 2, 5}
        assert set(of[1:].tolist()) < {0, 3, 4}
    again, one = np.random.default_rng(1), np.random.default_rng(1)
    parts = [one.choice(m, n, replace=False, shuffle=False) for m, n in zip(strata.members, strata.counts, strict=True)]
    assert draw_labels(strata, again).tolist() == np.concatenate(parts).tolist()
    assert np.bincount(np.concatenate(drawn))[[1, 2, 5]] == pytest.approx([100] * 3, abs=30)
    assert (
        draw_labels(strata, np.random.default_rng(1)).tolist() == draw_labels(strata, np.random.default_rng(1)).tolist()
    )


def test_p_is_the_share_at_least_as_far_from_the_middle_of_all():
    null = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [6.0, 5.0, np.nan], [np.nan, 5.0, np.nan]])
    mean, p = null_summary(np.array([7.0, 5.0, 1.0]), null)
    # centre (1 + 2 + 6 + 7) / 4 = 4: 7 and 1 lie 3 away, 2 and 6 lie 2; so 7 itself and 1
    assert mean[:2].tolist() == [3.0, 5.0]
    assert p[:2].tolist() == [0.5, 1.0]
    assert np.isnan([mean[2], p[2]]).all()
    mean, p = null_summary(np.array([np.nan]), np.array([[1.0], [3.0]]))
    assert mean.tolist() == [2.0]
    assert np.isnan(p[0])
    _, p = null_summary(np.array([10.0]), np.full((3, 1), 10.0 * (1 + 1e-12)))
    assert p.tolist() == [1.0]  # but for the last digits the same
