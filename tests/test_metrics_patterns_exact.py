"""The parts of the point patterns, one by one, against plain loops and closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
import shapely
from scipy import stats
from shapely import affinity

from spatial_til.metrics.pointpatterns import parts as parts_module
from spatial_til.metrics.pointpatterns.gcross import DistanceCurve, distance_curve
from spatial_til.metrics.pointpatterns.kcross import _overlap_at, k_cross, l_cross, pair_weights
from spatial_til.metrics.pointpatterns.marks import Marks, first_marks, second_marks
from spatial_til.metrics.pointpatterns.mixing import mixing_score, normalised
from spatial_til.metrics.pointpatterns.neighbours import (
    bins_within,
    build_grid,
    count_within,
    nearest_um,
    sort_into_bins,
)
from spatial_til.metrics.pointpatterns.nulls import draw_labels, label_strata, null_summary
from spatial_til.metrics.pointpatterns.pairs import Region, _number_tiles
from spatial_til.metrics.pointpatterns.parts import _boundary_limit, find_parts, thinned
from spatial_til.metrics.pointpatterns.spread import (
    Spread,
    Tiles,
    _auc_at,
    _bin_edges,
    _binned_quartiles,
    _binned_shares,
    _g_at,
    _histograms,
    critical_value,
    interval_of_share,
    spread,
)
from spatial_til.metrics.pointpatterns.statistics import pair_statistics, statistic_keys
from spatial_til.metrics.pointpatterns.window import _short_pieces, boundary_distance_um, overlap_with_itself
from spatial_til.metrics.resampling import TileSums, bootstrap_totals, column_sums
from spatial_til.model import COMPARTMENTS

RADII = np.array([20.0, 30.0, 50.0])
L_SHAPE = shapely.box(0, 0, 900, 300).union(shapely.box(0, 0, 250, 700))


def points_in(window, n, seed):
    random = np.random.default_rng(seed)
    x0, y0, x1, y1 = window.bounds
    xy = random.uniform((x0, y0), (x1, y1), (8 * n, 2))
    return xy[shapely.contains_xy(window, *xy.T)][:n]


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


# --- spread


def test_edges_are_even_up_to_the_last_radius_hold_every_radius_and_go_on_by_rank():
    time = np.concatenate((np.linspace(1, 50, 40), np.linspace(51, 90, 201), [np.inf]))
    edges = _bin_edges(time, np.array([20.0, 30.5, 50.0]))
    assert edges[edges <= 50].tolist() == pytest.approx(sorted({*np.linspace(0, 50, 51), 30.5}))
    assert edges[edges > 50] == pytest.approx(np.quantile(time[(time > 50) & (time < 1e9)], np.linspace(0, 1, 51)))
    assert _bin_edges(np.array([3.0, 50.0]), RADII).tolist() == pytest.approx(np.linspace(0, 50, 51).tolist())
    assert _bin_edges(np.array([60.0]), RADII)[-2:].tolist() == [50.0, 60.0]


def test_shares_areas_and_quartiles_of_drawn_bins_by_hand():
    leaving, events = np.array([[2.0, 4.0, 0.0, 4.0], [0.0, 0.0, 0.0, 0.0]]), np.array([[1.0, 2.0, 0.0, 4.0], [0] * 4])
    share = _binned_shares(leaving, events)
    expected = [1 - 0.9, 1 - 0.9 * 0.75, 1 - 0.9 * 0.75, 1.0]  # of 10, of 8, of 4 at risk
    assert share[0] == pytest.approx(expected)
    assert share[1].tolist() == [0, 0, 0, 0]
    edges = np.array([0.0, 10.0, 20.0, 25.0, 50.0])
    assert _g_at(share, edges, np.array([10.0, 25.0, 50.0]))[0] == pytest.approx([0.1, 0.325, 1.0])
    steps = [0.05 * 10, 0.2125 * 10, 0.325 * 5, 0.6625 * 25]
    assert _auc_at(share, edges, np.array([10.0, 50.0]))[0] == pytest.approx([steps[0] / 10, sum(steps) / 50])
    with np.errstate(divide="ignore", invalid="ignore"):  # as in `spread`
        quartiles = _binned_quartiles(share, edges)
    assert quartiles[0] == pytest.approx([10 + 10 * 0.15 / 0.225, 25 + 25 * 0.175 / 0.675, 25 + 25 * 0.425 / 0.675])
    assert np.isnan(quartiles[1]).all()


def test_cells_are_counted_by_bin_and_tile():
    found = _histograms(np.array([0, 2, 2, 0]), 3, np.array([1, 0, 0, 1]), 2)
    assert (found.tolist(), found.dtype) == ([[0, 2], [0, 0], [2, 0]], np.float64)


def test_the_spread_of_every_statistic_is_that_over_drawn_tiles():
    random = np.random.default_rng(11)
    n, m, n_tiles = 90, 70, 12
    tile, target_tile = random.integers(0, n_tiles, n), random.integers(0, n_tiles, m)
    distance, boundary = random.uniform(1, 80, n), random.uniform(1, 120, n)
    targets, own, weights = (random.integers(1, 9, (n, 3)) * scale for scale in (1, 1, 1e-6))
    marks = Marks(tile, target_tile, distance, boundary, targets, own, weights)
    tiles = Tiles(random.uniform(1, 2, n_tiles), np.arange(n_tiles) // 8)
    found = spread(marks, tiles, RADII, 60, np.random.default_rng(4))
    edges = _bin_edges(np.minimum(distance, boundary), RADII)
    seen = distance <= boundary
    columns = [
        tiles.area_um2[:, None],
        np.bincount(target_tile, minlength=n_tiles)[:, None],
        *(column_sums(c, tile, n_tiles) for c in (targets, own, weights)),
    ]
    time = np.minimum(distance, boundary)
    for chosen in (time > 0, seen):  # cells by tile and by (a, b] of distance
        within = [(time > a) & (time <= b) & chosen for a, b in pairwise(edges)]
        columns += [np.array([[(bin_ & (tile == t)).sum() for bin_ in within] for t in range(n_tiles)])]
    drawn = bootstrap_totals(TileSums(np.hstack(columns), tiles.stratum), 60, np.random.default_rng(4))
    area, of_m, t, o, w, rest = drawn[:, :1], drawn[:, 1:2], drawn[:, 2:5], drawn[:, 5:8], drawn[:, 8:11], drawn[:, 11:]
    leaving, events = np.split(rest, 2, axis=1)
    of_n = leaving.sum(axis=1, keepdims=True)
    share = _binned_shares(leaving, events)

    def relative(values):
        return values.std(axis=0, ddof=1) / values.mean(axis=0)

    assert found.counts == pytest.approx(relative(w * area / of_n))
    assert found.k == pytest.approx(relative(w * area**2 / (of_n * of_m)))
    assert found.mixing == pytest.approx(relative(t / o * of_n / of_m))
    assert found.g == pytest.approx(_g_at(share, edges, RADII).std(axis=0, ddof=1))
    assert found.auc == pytest.approx(_auc_at(share, edges, RADII).std(axis=0, ddof=1))
    assert found.nearest == pytest.approx(relative(_binned_quartiles(share, edges)))
    assert (found.n_tiles, found.dof) == (12, 10)


def test_the_interval_of_a_share_is_even_on_the_logit_scale():
    low, high = interval_of_share(np.array([0.2, 0.0, 1.0]), np.array([0.05, 0.1, 0.1]), 2.0)
    half = 2 * 0.05 / 0.16
    logit = math.log(0.25)
    assert (low[0], high[0]) == pytest.approx([1 / (1 + math.exp(-(logit + sign * half))) for sign in (-1, 1)])
    assert np.isnan([*low[1:], *high[1:]]).all()


@pytest.mark.parametrize(("n_tiles", "dof", "known"), [(8, 7, True), (7, 6, False), (8, 1, True), (8, 0, False)])
def test_too_few_tiles_have_no_critical_value(n_tiles, dof, known):
    none = np.zeros(0)
    part = Spread(none, none, none, none, none, none, n_tiles, dof)
    found = critical_value(part, 8, 0.9)
    assert found == pytest.approx(stats.t.ppf(0.95, dof)) if known else math.isnan(found)


# --- all of a pair


def pair(seed=0):
    """Return cells of an L with a first and a second population that share some, in a pool that holds more."""
    xy = points_in(L_SHAPE, 260, seed)
    k = np.arange(260)
    return xy, k % 4 == 0, (k % 3 == 0) & (k % 5 != 0), (k % 4 != 1) | (k % 3 == 0)


def test_the_fixed_side_of_a_pair_is_that_of_loops():
    xy, first, second, pool = pair()
    found = find_parts(xy, first, second, pool, L_SHAPE, RADII, np.random.default_rng(0))
    apart = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    a, c = np.flatnonzero(first), np.flatnonzero(pool)
    assert (found.n_first, found.area_um2) == (len(a), L_SHAPE.area)
    assert found.first_cell.tolist() == a.tolist()
    assert found.first_um.tolist() == xy[a].tolist()
    assert found.pool_cell.tolist() == c.tolist()
    assert found.pool_um.tolist() == xy[c].tolist()
    assert found.pool_is_first.tolist() == first[c].tolist()
    assert found.radii_um is RADII
    own = (apart[np.ix_(a, a)][:, :, None] <= RADII).sum(axis=1)
    assert found.first_own.tolist() == own.tolist()
    assert found.first_pairs.tolist() == own.sum(axis=0).tolist()
    assert found.pool_distance_um == pytest.approx(apart[np.ix_(c, a)].min(axis=1))
    assert found.pool_first.tolist() == (apart[np.ix_(c, a)][:, :, None] <= RADII).sum(axis=1).tolist()
    overlap = overlap_with_itself(L_SHAPE, 50.0)
    assert found.pool_weight == pytest.approx(pair_weights(xy[c], c, build_grid(xy[a], a), RADII, overlap))
    b = np.flatnonzero(second)
    limit = max(50.0, 3 * np.quantile(apart[np.ix_(a, b)].min(axis=1), 0.75), 3 * np.quantile(
        apart[np.ix_(b, a)].min(axis=1), 0.75))  # fmt: skip
    edge = np.minimum(shapely.distance(L_SHAPE.boundary, shapely.points(xy)), limit)
    assert found.first_boundary_um == pytest.approx(edge[a])
    assert found.pool_boundary_um == pytest.approx(edge[c])


def test_the_boundary_matters_up_to_three_upper_quartiles():
    assert _boundary_limit(50.0, np.array([1.0, 2, 3, 40]), np.array([np.inf])) == 50.0
    assert _boundary_limit(5.0, np.array([1.0, 2, 3, 4, 5]), np.array([8.0, np.inf])) == 24.0
    assert _boundary_limit(5.0, np.array([1.0, 2, 3, 4, 5]), np.array([])) == 12.0
    assert _boundary_limit(5.0, np.array([np.inf])) == 5.0


def test_statistics_of_a_pair_are_those_of_loops_both_ways():
    xy, first, second, pool = pair()
    parts = find_parts(xy, first, second, pool, L_SHAPE, RADII, np.random.default_rng(0))
    labelled = np.flatnonzero(second[parts.pool_cell])
    found = dict(zip(statistic_keys(RADII), pair_statistics(parts, labelled, labelled), strict=True))
    named = {(key.metric, key.from_first, key.radius_um): value for key, value in found.items()}
    a, b = np.flatnonzero(first), np.flatnonzero(second)
    apart = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    overlap = overlap_with_itself(L_SHAPE, 50.0)
    weight = pair_weights(xy[b], b, build_grid(xy[a], a), RADII, overlap).sum(axis=0)
    shared_cells = int((first & second).sum())
    assert shared_cells > 0
    for i, radius in enumerate(RADII.tolist()):
        pairs = (apart[np.ix_(a, b)] <= radius).sum()
        k = weight[i] * L_SHAPE.area**2 / (len(a) * len(b) - shared_cells)
        assert named["k_cross_um2", True, radius] == pytest.approx(k)
        assert named["l_cross_um", True, radius] == pytest.approx(math.sqrt(k / math.pi))
        for from_first, one, other in ((True, a, b), (False, b, a)):
            assert named["count_within", from_first, radius] == pytest.approx(L_SHAPE.area * weight[i] / len(one))
            within = (apart[np.ix_(one, one)] <= radius).sum() / 2
            assert named["mixing_score_normalised", from_first, radius] == pytest.approx(
                0.5 * pairs / within * (len(one) - 1) / len(other)
            )
    for from_first, one, other, edge in (
        (True, a, b, parts.first_boundary_um),
        (False, b, a, parts.pool_boundary_um[labelled]),
    ):
        curve = distance_curve(apart[np.ix_(one, other)].min(axis=1), edge)
        for share, metric in ((0.25, "nearest_q25_um"), (0.5, "nearest_median_um"), (0.75, "nearest_q75_um")):
            assert named[metric, from_first, None] == pytest.approx(curve.quantiles((share,))[0])
        for radius in RADII:
            assert named["g_cross", from_first, radius] == pytest.approx(curve.at(np.array([radius]))[0])
            area = curve.mean_up_to(np.array([radius]))[0]
            assert named["g_cross_auc", from_first, radius] == pytest.approx(area)


def test_marks_are_what_each_reference_cell_saw():
    xy, first, second, pool = pair()
    parts = find_parts(xy, first, second, pool, L_SHAPE, RADII, np.random.default_rng(0))
    labelled = np.flatnonzero(second[parts.pool_cell])
    tile = np.arange(260) % 7 + 3
    a, b = np.flatnonzero(first), np.flatnonzero(second)
    grid = build_grid(xy[b], b)
    apart = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    for marks, one, other in (
        (first_marks(parts, labelled, grid, tile), a, b),
        (second_marks(parts, labelled, grid, tile), b, a),
    ):
        assert marks.tile.tolist() == tile[one].tolist()
        assert marks.target_tile.tolist() == tile[other].tolist()
        assert marks.distance_um == pytest.approx(apart[np.ix_(one, other)].min(axis=1))
        assert marks.targets.tolist() == (apart[np.ix_(one, other)][:, :, None] <= RADII).sum(axis=1).tolist()
        assert marks.own.tolist() == (apart[np.ix_(one, one)][:, :, None] <= RADII).sum(axis=1).tolist()
        weights = pair_weights(xy[one], one, build_grid(xy[other], other), RADII, parts.overlap)
        assert marks.weights == pytest.approx(weights)


def test_half_of_the_reference_cells_stand_for_all_pairs_of_the_second(monkeypatch):
    xy, first, second, pool = pair()
    monkeypatch.setattr(parts_module, "MOST_REFERENCES", 40)
    parts = find_parts(xy, first, second, pool, L_SHAPE, RADII, np.random.default_rng(0))
    a = np.flatnonzero(first)
    assert (parts.n_first, len(parts.first_cell)) == (len(a), 40)
    assert set(parts.first_cell.tolist()) < set(a.tolist())
    assert parts.first_own.tolist() == count_within(
        xy[parts.first_cell], build_grid(xy[a], a), RADII, parts.first_cell).tolist()  # fmt: skip
    labelled = np.flatnonzero(second[parts.pool_cell])
    half = labelled[::2]
    full, thin = (pair_statistics(parts, labelled, of) for of in (labelled, half))
    keys = statistic_keys(RADII)
    b = parts.pool_cell[labelled]
    own = count_within(xy[b], build_grid(xy[b], b), RADII, b)
    for i, radius in enumerate(RADII.tolist()):
        at = next(n for n, key in enumerate(keys) if key == ("mixing_score_normalised", False, radius))
        of_half = own[::2, i].sum() * len(b) / len(half)
        assert thin[at] == pytest.approx(full[at] * own[:, i].sum() / of_half)
    assert thinned(np.arange(40), np.random.default_rng(0)).tolist() == list(range(40))


def test_tiles_are_numbered_through_the_compartments_of_a_region():
    code = [COMPARTMENTS.index(name) for name in ("inner_margin", "outer_margin")]
    region = Region(
        slide_id="s",
        name="margin",
        window=L_SHAPE,
        xy_um=np.zeros((4, 2)),
        compartment=np.array([code[0], code[1], code[1], code[0]]),
        tile=np.array([2, 0, 1, 0]),
        tile_area_mm2={"inner_margin": np.array([0.01, 0.02, 0.03]), "outer_margin": np.array([0.04, 0.05])},
    )
    tile, tiles = _number_tiles(region)
    assert tile.tolist() == [2, 3, 4, 0]
    assert tiles.area_um2 == pytest.approx([1e4, 2e4, 3e4, 4e4, 5e4])
    assert (tiles.stratum.tolist(), tiles.stratum.dtype) == ([code[0]] * 3 + [code[1]] * 2, np.int64)
