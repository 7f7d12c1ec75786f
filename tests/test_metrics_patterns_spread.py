"""The spread of point patterns over drawn tiles, step by step."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.pointpatterns.marks import Marks
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
from spatial_til.metrics.resampling import TileSums, bootstrap_totals, column_sums

RADII = np.array([20.0, 30.0, 50.0])


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
