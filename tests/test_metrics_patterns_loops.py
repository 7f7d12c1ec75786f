"""All that is found of a pair of populations, against plain loops over its cells."""

import math

import numpy as np
import pytest
import shapely

from spatial_til.metrics.pointpatterns import parts as parts_module
from spatial_til.metrics.pointpatterns.gcross import distance_curve
from spatial_til.metrics.pointpatterns.kcross import pair_weights
from spatial_til.metrics.pointpatterns.marks import first_marks, second_marks
from spatial_til.metrics.pointpatterns.neighbours import (
    build_grid,
    count_within,
)
from spatial_til.metrics.pointpatterns.pairs import Region, _number_tiles
from spatial_til.metrics.pointpatterns.parts import _boundary_limit, find_parts, thinned
from spatial_til.metrics.pointpatterns.statistics import pair_statistics, statistic_keys
from spatial_til.metrics.pointpatterns.window import overlap_with_itself
from spatial_til.model import COMPARTMENTS
from tests.pattern_windows import L_SHAPE, RADII, points_in


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
    one, other = np.random.default_rng(9), np.random.default_rng(9)
    assert thinned(a, one).tolist() == sorted(other.choice(a, 40, replace=False, shuffle=False).tolist())
    assert one.random() == other.random()  # what is drawn next does not depend on an order that is not used


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
