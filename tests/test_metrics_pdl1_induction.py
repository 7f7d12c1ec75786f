"""PD-L1 induction near CD8+ cells: hand-counted tables, gates, confounding by compartment, coverage."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from spatial_til.metrics.induction import (
    InductionCells,
    _count_tables,
    distance_to_um,
    induction,
    mantel_haenszel_log2,
)
from spatial_til.metrics.ratios import Gates
from spatial_til.metrics.resampling import TileSums, bootstrap_totals

GATES = Gates(min_tumor_cells=100, min_tiles=8, confidence=0.95)
CORE, INNER, OUTER = 0, 1, 2


def build(groups: list[tuple[int, float, bool, int]], n_tiles: int = 10) -> InductionCells:
    """Return tumour cells from (compartment, distance to CD8, positive, count), dealt over tiles in turn."""
    rows = [(code, distance, positive) for code, distance, positive, count in groups for _ in range(count)]
    code, distance, positive = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return InductionCells(
        compartment=code.astype(np.int8),
        tile=np.arange(n) % n_tiles,
        tumor_cell=np.ones(n, dtype=bool),
        cd8=np.zeros(n, dtype=bool),
        positive=positive.astype(bool),
        cd8_distance_um=distance.astype(float),
        spill_distance_um=np.full(n, np.inf),
    )


def run(cells: InductionCells, **gates):
    return induction(cells, replace(GATES, **gates), draws=500, random=np.random.default_rng(0))


TABLE = [(CORE, 20.0, True, 60), (CORE, 20.0, False, 60), (CORE, 200.0, True, 40), (CORE, 200.0, False, 360)]


def test_one_compartment_is_the_plain_odds_ratio():
    assert run(build(TABLE)).log2.value == pytest.approx(np.log2((60 * 360) / (60 * 40)))


def test_two_compartments_agree_with_statsmodels():
    inner = [(INNER, 5.0, True, 90), (INNER, 5.0, False, 30), (INNER, 150.0, True, 20), (INNER, 150.0, False, 30)]
    tables = [np.array([[60, 60], [40, 360]]), np.array([[90, 30], [20, 30]])]
    expected = np.log2(StratifiedTable(tables).oddsratio_pooled)
    assert run(build(TABLE + inner)).log2.value == pytest.approx(expected, rel=1e-12)


def test_a_zero_adds_a_half_to_the_four_counts_of_its_compartment_only():
    counts = np.array([[120.0, 0.0, 40.0, 360.0], [10.0, 20.0, 30.0, 40.0]])
    halved = counts.copy()
    halved[0] += 0.5
    n = halved.sum(axis=1)
    expected = np.log2((halved[:, 0] * halved[:, 3] / n).sum() / (halved[:, 1] * halved[:, 2] / n).sum())
    assert mantel_haenszel_log2(counts) == pytest.approx(expected)


def test_an_empty_compartment_changes_nothing():
    one = np.array([[60.0, 60.0, 40.0, 360.0]])
    assert mantel_haenszel_log2(np.vstack((one, np.zeros((1, 4))))) == mantel_haenszel_log2(one)


def test_limits_are_near_up_to_30_and_far_beyond_100_and_between_counts_nowhere():
    cells = build(
        [(CORE, 30.0, True, 100), (CORE, 30.001, True, 500), (CORE, 100.0, True, 500), (CORE, 100.001, False, 100)]
    )
    result = run(cells)
    assert (result.n_near, result.n_far, result.n_positive) == (100, 100, 100)


def test_only_tumor_cells_of_core_and_inner_margin_that_are_not_cd8_are_asked():
    cells = build([*TABLE, (OUTER, 20.0, True, 1000), (CORE, 0.0, True, 1000), (CORE, 0.0, True, 1000)])
    cells.cd8[-2000:-1000] = True
    cells.tumor_cell[-1000:] = False
    assert run(cells).log2 == run(build(TABLE)).log2


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (
            [(CORE, 20.0, True, 99), (CORE, 200.0, False, 500)],
            "99 tumour cells within 30 µm of a CD8+ cell, 100 needed",
        ),
        ([(CORE, 20.0, True, 500), (CORE, 200.0, False, 99)], "99 tumour cells more than 100 µm"),
        ([(CORE, 20.0, True, 9), (CORE, 20.0, False, 300), (CORE, 200.0, False, 500)], "9 positive tumour cells"),
        ([(CORE, np.inf, True, 500)], "0 tumour cells within 30 µm"),
    ],
)
def test_below_a_gate_there_is_no_value_and_the_reason_counts(groups, words):
    value = run(build(groups)).log2
    assert value.value is None
    assert words in value.reason


def test_just_enough_cells_and_tiles_are_enough():
    groups = [(CORE, 20.0, True, 9), (CORE, 20.0, False, 91), (CORE, 200.0, True, 1), (CORE, 200.0, False, 99)]
    value = run(build(groups, n_tiles=8)).log2
    assert value.value == pytest.approx(np.log2(9 * 99 / 91))
    assert value.ci_low is not None


def test_too_few_tiles_is_not_evaluable():
    value = run(build(TABLE, n_tiles=7)).log2
    assert (value.value, value.flags) == (None, ("few_tiles",))


def test_no_tumor_marker_is_unknown():
    result = run(replace(build(TABLE), tumor_cell=None))
    assert (result.log2.value, result.log2.flags) == (None, ("tumor_cells_unknown",))
    assert not result.absent_despite_contact


def test_a_marker_commoner_in_the_compartment_with_cd8_is_no_induction():
    """Positive 60 % in the inner margin and 10 % in the core, near CD8 or not; CD8 mostly in the margin."""
    groups = []
    for code, share, n_near, n_far in ((CORE, 0.1, 200, 4000), (INNER, 0.6, 4000, 500)):
        for distance, n in ((10.0, n_near), (300.0, n_far)):
            groups += [(code, distance, True, round(n * share)), (code, distance, False, round(n * (1 - share)))]
    cells = build(groups)
    near, far = cells.cd8_distance_um <= 30, cells.cd8_distance_um > 100
    odds = [cells.positive[chosen].mean() / (1 - cells.positive[chosen].mean()) for chosen in (near, far)]
    assert np.log2(odds[0] / odds[1]) > 2  # the crude odds ratio is fooled
    assert run(cells).log2.value == pytest.approx(0.0, abs=1e-9)


def test_spill_over_from_positive_neighbours_is_left_out_of_the_sensitivity_value():
    """All the near excess sits within 10 µm of a positive macrophage: without those cells nothing is left."""
    cells = build([*TABLE, (CORE, 20.0, False, 480)])  # 60 of 600 near are positive, and 40 of 400 far
    assert run(cells).log2_without_spill.value == pytest.approx(0.0)
    touched = build([(CORE, 20.0, True, 300), *TABLE, (CORE, 20.0, False, 480)])
    touched.spill_distance_um[:300] = 10.0  # the limit itself is too near
    result = run(touched)
    assert result.log2.value > 2
    assert result.log2_without_spill.value == pytest.approx(0.0)
    touched.spill_distance_um[:300] = 10.001
    assert run(touched).log2_without_spill.value == result.log2.value


def test_profile_bins_hold_their_upper_edge():
    distances = [15.0, 15.1, 30.0, 30.1, 60.0, 120.0, 120.1, np.inf]
    cells = build([(CORE, distance, True, 100 + k) for k, distance in enumerate(distances)])
    profile = run(cells).profile
    assert [part.to_um for part in profile] == [15, 30, 60, 120, np.inf]
    assert [part.n_cells for part in profile] == [100, 101 + 102, 103 + 104, 105, 106 + 107]
    assert all(part.percent.value == 100 for part in profile)
    empty = run(build([(CORE, 5.0, True, 100), (CORE, 200.0, True, 100)])).profile[2]
    assert (empty.n_cells, empty.percent.value, empty.percent.reason) == (0, None, "no tumour cell at this distance")


def test_absent_despite_contact_needs_the_upper_limit_below_one_percent():
    few = build([(CORE, 20.0, False, 150), (CORE, 200.0, True, 50)])
    many = build([(CORE, 20.0, False, 2000), (CORE, 200.0, True, 50)])
    assert run(few).near_percent.ci_high > 1  # 0 of 150: up to 2.4 % and more
    assert not run(few).absent_despite_contact
    assert run(many).absent_despite_contact
    assert not run(build([(CORE, 20.0, False, 99)])).absent_despite_contact
    at = replace(run(many), near_percent=replace(run(many).near_percent, ci_high=1.0))
    assert not at.absent_despite_contact


def test_distance_is_to_another_cell_in_the_tissue():
    xy_um = np.array([[0.0, 0.0], [6.0, 8.0], [100.0, 0.0], [103.0, 4.0]])
    cd8 = np.array([False, True, True, True])
    compartment = np.array([0, 2, 0, -1], dtype=np.int8)
    assert distance_to_um(xy_um, cd8, compartment).tolist() == pytest.approx(
        [10.0, np.hypot(94, 8), np.hypot(94, 8), 5.0]
    )
    assert np.isinf(distance_to_um(xy_um, np.zeros(4, dtype=bool), compartment)).all()


def test_error_is_the_deviation_over_draws_of_tiles_of_either_compartment():
    cells = build([*TABLE, *((INNER, distance, positive, count) for _, distance, positive, count in TABLE)])
    tiles = _count_tables(cells, cells.cd8_distance_um <= 30, cells.cd8_distance_um > 100)
    drawn = bootstrap_totals(tiles, 12, np.random.default_rng(0)).reshape(12, 2, 4)
    found = induction(cells, GATES, draws=12, random=np.random.default_rng(0)).log2
    assert found.dof == 10 + 10 - 2
    assert found.sigma == pytest.approx(mantel_haenszel_log2(drawn).std(ddof=1))
    assert found.ci_high - found.value == pytest.approx(stats.t.ppf(0.975, 18) * found.sigma)
    assert found.value - found.ci_low == pytest.approx(stats.t.ppf(0.975, 18) * found.sigma)


def test_same_generator_same_interval():
    assert run(build(TABLE)) == run(build(TABLE))


def test_bootstrap_keeps_strata_apart_and_has_the_right_spread():
    random = np.random.default_rng(3)
    sums = random.poisson(20, (60, 1)).astype(float)
    stratum = np.repeat([0, 1], [40, 20])
    drawn = bootstrap_totals(TileSums(sums, stratum), 20_000, np.random.default_rng(1))[:, 0]
    variance = sum(len(part) * part.var() for part in (sums[:40], sums[40:]))
    assert drawn.mean() == pytest.approx(sums.sum(), rel=0.01)
    assert drawn.var() == pytest.approx(variance, rel=0.05)


def test_interval_covers_zero_where_patches_lie_independent_of_cd8():
    """Positive tiles at random, CD8 neighbourhoods at random: 95 % of intervals hold 0, though cells cluster."""
    random = np.random.default_rng(7)
    n_tiles, runs, covered = 60, 150, 0
    for _ in range(runs):
        per_tile = 40
        tile = np.repeat(np.arange(n_tiles), per_tile)
        share_near = random.beta(1, 2, n_tiles)[tile]
        share_positive = random.beta(0.5, 1, n_tiles)[tile]
        n = len(tile)
        near = random.random(n) < share_near
        cells = InductionCells(
            compartment=np.where(tile < 30, CORE, INNER).astype(np.int8),
            tile=tile,
            tumor_cell=np.ones(n, dtype=bool),
            cd8=np.zeros(n, dtype=bool),
            positive=random.random(n) < share_positive,
            cd8_distance_um=np.where(near, 10.0, 500.0),
            spill_distance_um=np.full(n, np.inf),
        )
        value = induction(cells, GATES, draws=300, random=random).log2
        covered += value.ci_low <= 0 <= value.ci_high
    assert 0.90 <= covered / runs <= 0.99
