"""Shares, ratios, PD-L1 scores and agreement, worked out by hand: every field, and values at the limits."""

import math

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.pdl1 import (
    Pdl1Cells,
    combined_positive,
    h_score,
    immune_area,
    pdl1_scores,
    tumor_proportion,
)
from spatial_til.metrics.ratios import FEW_TILES, Gates, ratio_percent, share_percent
from spatial_til.metrics.regions import REGIONS, in_region
from spatial_til.metrics.resampling import TileSums, bootstrap_totals, sum_by_tile
from spatial_til.model import COMPARTMENTS, EXCLUDED, Value

GATES = Gates(min_tumor_cells=10, min_tiles=4, confidence=0.9)
CODE = {name: code for code, name in enumerate(COMPARTMENTS)}
POSITIVE = np.array([2.0, 3, 7, 1, 5, 4, 6])
CELLS = np.array([10.0, 12, 15, 9, 10, 11, 14])
STRATUM = np.array([0, 0, 0, 0, 1, 1, 1])


def linearised(numerator, denominator, stratum):
    """Return the ratio of sums and its variance over tiles within strata."""
    ratio = numerator.sum() / denominator.sum()
    residual = numerator - ratio * denominator
    parts = [residual[stratum == code] for code in np.unique(stratum)]
    return ratio, sum(len(part) * part.var(ddof=1) for part in parts) / denominator.sum() ** 2


def t_of(dof, confidence=0.9):
    return stats.t.ppf(0.5 + confidence / 2, dof)


def test_a_share_has_the_exact_interval_at_its_effective_number_of_cells():
    found = share_percent(TileSums(np.column_stack((POSITIVE, CELLS)), STRATUM), GATES)
    share, variance = linearised(POSITIVE, CELLS, STRATUM)
    n = CELLS.sum()
    variance = max(variance, share * (1 - share) / n)
    effective = share * (1 - share) / variance * (t_of(n - 1) / t_of(5)) ** 2
    low = stats.beta.ppf(0.05, share * effective, effective * (1 - share) + 1)
    high = stats.beta.ppf(0.95, share * effective + 1, effective * (1 - share))
    assert found == Value(
        pytest.approx(100 * share), pytest.approx(100 * low), pytest.approx(100 * high),
        pytest.approx(100 * math.sqrt(variance)), 5,
    )  # fmt: skip


def test_a_share_that_varies_between_tiles_has_fewer_effective_cells():
    patchy = np.where(np.arange(7) % 2 == 0, CELLS, 0.0)
    found = share_percent(TileSums(np.column_stack((patchy, CELLS)), STRATUM), GATES)
    share, variance = linearised(patchy, CELLS, STRATUM)
    assert variance > 3 * share * (1 - share) / CELLS.sum()
    assert found.sigma == pytest.approx(100 * math.sqrt(variance))
    effective = share * (1 - share) / variance * (t_of(CELLS.sum() - 1) / t_of(5)) ** 2
    assert found.ci_low == pytest.approx(100 * stats.beta.ppf(0.05, share * effective, effective * (1 - share) + 1))
    assert found.ci_high == pytest.approx(100 * stats.beta.ppf(0.95, share * effective + 1, effective * (1 - share)))


@pytest.mark.parametrize("positive", [0.0, 1.0])
def test_none_or_all_of_few_cells_have_one_limit_and_its_width_as_error(positive):
    columns = np.column_stack((positive * CELLS, CELLS))
    found = share_percent(TileSums(columns, STRATUM), GATES)
    effective = CELLS.sum() * (t_of(CELLS.sum() - 1) / t_of(5)) ** 2
    width = 1 - 0.05 ** (1 / effective)
    limits = (0.0, pytest.approx(100 * width)) if positive == 0 else (pytest.approx(100 * (1 - width)), 100.0)
    assert (found.value, found.ci_low, found.ci_high) == (100 * positive, *limits)
    assert (found.sigma, found.dof) == (pytest.approx(100 * width / t_of(5)), 5)


def test_one_cell_alone_has_an_interval_and_its_number_is_not_reduced():
    columns = np.zeros((4, 2))
    columns[2] = 1.0
    found = share_percent(TileSums(columns, np.zeros(4, dtype=np.int64)), GATES)
    assert (found.value, found.ci_high) == (100.0, 100.0)
    assert found.ci_low == pytest.approx(5.0)  # all of one: 0.05 ** (1 / 1)
    two = share_percent(TileSums(2 * columns, np.zeros(4, dtype=np.int64)), GATES)
    assert two.ci_low == pytest.approx(100 * 0.05 ** (t_of(3) ** 2 / t_of(1) ** 2 / 2))


@pytest.mark.parametrize("n", [3, 4])
def test_too_few_tiles_give_the_share_alone_and_say_so(n):
    tiles = TileSums(np.tile([[3.0, 12.0, 3.0]], (n, 1)), np.arange(n) if n == 4 else np.zeros(n, dtype=np.int64))
    expected = Value(25.0, reason=FEW_TILES, flags=("few_tiles",))  # 4 tiles in 4 strata have no degree of freedom
    assert share_percent(TileSums(tiles.sums[:, :2], tiles.stratum), GATES) == expected
    assert ratio_percent(tiles, GATES, one=1) == expected


def test_a_ratio_of_sums_may_exceed_100_and_is_never_surer_than_single_cells():
    columns = np.column_stack((3 * POSITIVE, CELLS, 3 * POSITIVE))
    found = ratio_percent(TileSums(columns, STRATUM), GATES, one=1)
    ratio, variance = linearised(3 * POSITIVE, CELLS, STRATUM)
    error = math.sqrt(max(variance / ratio**2, 1 / (3 * POSITIVE.sum())))
    assert found == Value(
        pytest.approx(100 * ratio), pytest.approx(100 * ratio * math.exp(-t_of(5) * error)),
        pytest.approx(100 * ratio * math.exp(t_of(5) * error)), pytest.approx(100 * ratio * error), 5,
    )  # fmt: skip
    even = TileSums(np.column_stack((CELLS, CELLS, 7 * CELLS)), STRATUM)
    n = CELLS.sum()
    assert ratio_percent(even, GATES, one=1).sigma == pytest.approx(100 * math.sqrt(7 * n) / n)


@pytest.mark.parametrize("one", [1.0, 2.5])
def test_a_ratio_of_nothing_has_the_exact_upper_limit_of_no_event(one):
    columns = np.column_stack((0 * CELLS, CELLS, 0 * CELLS))
    found = ratio_percent(TileSums(columns, STRATUM), GATES, one=one)
    upper = pytest.approx(100 * one * -math.log(0.05) / CELLS.sum())
    assert found == Value(0.0, 0.0, upper, None, 5, flags=("zero_count",))


# --- sums by tile


def test_sums_by_tile_are_those_of_a_loop_and_drawn_totals_keep_their_strata():
    random = np.random.default_rng(2)
    columns, tile, stratum = random.normal(size=(90, 3)), random.integers(3, 9, 90), random.integers(0, 3, 90)
    found = sum_by_tile(columns, tile, stratum)
    pairs = sorted(set(zip(stratum.tolist(), tile.tolist(), strict=True)))
    expected = [columns[(stratum == s) & (tile == t)].sum(axis=0) for s, t in pairs]
    assert found.stratum.tolist() == [s for s, _ in pairs]
    assert found.sums == pytest.approx(np.array(expected))
    assert found.totals == pytest.approx(columns.sum(axis=0))
    assert (found.n_tiles, found.dof) == (len(pairs), len(pairs) - 3)
    drawn = bootstrap_totals(TileSums(np.column_stack((np.ones(9), np.arange(9) < 4)), np.arange(9) // 4), 50, random)
    assert set(drawn[:, 0]) == {9.0}
    assert set(drawn[:, 1]) == {4.0}


def test_every_region_holds_its_compartments_and_excluded_cells_are_in_none():
    codes = np.array([*range(len(COMPARTMENTS)), EXCLUDED], dtype=np.int8)
    for region in REGIONS:
        inside = in_region(codes, region)
        assert inside.dtype == np.bool_
        assert not inside[-1]
        assert in_region(codes[::-1], region).tolist() == inside[::-1].tolist()


# --- PD-L1


def pdl1_cells(**changes):
    """Five tiles of core; in each 4 tumour cells (1 PD-L1+), 3 immune cells (2 PD-L1+) and 1 PD-L1+ fibroblast."""
    each = 8
    n = 5 * each
    kind = np.arange(n) % each
    cells = {
        "compartment": np.zeros(n, dtype=np.int8),
        "tile": np.arange(n) // each,
        "pdl1": np.isin(kind, [0, 4, 5, 7]),
        "tumor_cell": kind < 4,
        "immune": np.isin(kind, [4, 5, 6]),
        "cell_area_um2": np.where(kind < 4, 200.0, 100.0),
    }
    return Pdl1Cells(**(cells | changes))


AREAS = {"core": np.full(5, 0.04), "outer_margin": np.full(2, 0.01)}


def test_tps_counts_tumour_cells_and_cps_immune_cells_besides_but_no_fibroblasts():
    tps = tumor_proportion(pdl1_cells(), "core", GATES)
    assert (tps.metric, tps.compartment, tps.numerator, tps.denominator) == ("tps_percent", "core", 5, 20)
    assert (tps.value.value, tps.value.dof, tps.raw) == (25.0, 4, None)
    cps = combined_positive(pdl1_cells(), "core", GATES)
    assert (cps.metric, cps.numerator, cps.denominator, cps.value.value, cps.raw) == ("cps", 15, 20, 75.0, 75.0)
    assert cps.value.sigma == pytest.approx(75 / math.sqrt(15))  # tiles do not vary: 15 lone cells
    assert cps.value.ci_low == pytest.approx(75 * math.exp(-t_of(4) / math.sqrt(15)))
    assert cps.value.ci_high == 100.0  # as far as the scale goes
    full = combined_positive(pdl1_cells(pdl1=np.ones(40, dtype=bool)), "core", GATES)
    assert (full.value.value, full.value.ci_high, full.raw, full.numerator) == (100.0, 100.0, 175.0, 35)
    both = combined_positive(pdl1_cells(immune=np.ones(40, dtype=bool)), "core", GATES)
    assert both.numerator == 20  # a tumour cell with an immune marker counts once


def test_ic_is_the_area_of_immune_cells_over_that_of_the_region():
    found = immune_area(pdl1_cells(), "core", AREAS, GATES)
    assert (found.metric, found.numerator, found.denominator) == ("ic_percent", pytest.approx(1e-3), pytest.approx(0.2))
    assert found.value.value == pytest.approx(0.5)
    assert found.value.sigma == pytest.approx(0.5 / math.sqrt(10))
    assert (found.value.dof, found.raw) == (4, None)
    none = immune_area(pdl1_cells(pdl1=np.zeros(40, dtype=bool)), "core", AREAS, GATES)
    mean_mm2 = (4 * 200 + 4 * 100) / 8 / 1e6
    assert none.value.ci_high == pytest.approx(100 * -math.log(0.05) * mean_mm2 / 0.2)
    twice = immune_area(pdl1_cells(), "tissue", AREAS, GATES)
    assert (twice.denominator, twice.value.dof) == (pytest.approx(0.22), 5)
    assert twice.value.value == pytest.approx(100 * 1e-3 / 0.22)


@pytest.mark.parametrize("least", [20, 21])
def test_as_many_tumour_cells_as_the_gate_asks_for_are_enough(least):
    gates = Gates(least, 4, 0.9)
    scores = [tumor_proportion(pdl1_cells(), "core", gates), combined_positive(pdl1_cells(), "core", gates)]
    scores += [immune_area(pdl1_cells(), "core", AREAS, gates)]
    expected = Value(None, reason="20 tumour cells, 21 needed", flags=("few_tumor_cells",))
    for score in scores:
        assert (score.value == expected) == (least == 21)
        assert score.numerator is not None
        assert score.denominator is not None
    nowhere = tumor_proportion(pdl1_cells(), "outside", Gates(0, 4, 0.9))
    assert nowhere.value == Value(None, reason="0 tumour cells, 0 needed", flags=("few_tumor_cells",))
    one = np.arange(40) == 0
    assert tumor_proportion(pdl1_cells(tumor_cell=one), "core", Gates(0, 1, 0.9)).value.value == 100.0


def test_a_panel_without_a_marker_has_no_score_and_says_which():
    no_tumour = Value(None, reason="the panel has no tumour marker", flags=("tumor_cells_unknown",))
    no_immune = Value(
        None, reason="the panel has no immune marker (CD8, CD3, CD45, CD68) to tell which PD-L1+ cells count"
    )
    for change, expected in (({"tumor_cell": None}, no_tumour), ({"immune": None}, no_immune)):
        cells = pdl1_cells(**change)
        assert combined_positive(cells, "core", GATES).value == expected
        assert immune_area(cells, "core", AREAS, GATES).value == expected
        assert immune_area(cells, "core", AREAS, GATES).denominator == pytest.approx(0.2)
    assert tumor_proportion(pdl1_cells(tumor_cell=None), "core", GATES).value == no_tumour
    assert tumor_proportion(pdl1_cells(immune=None), "core", GATES).value.value == 25.0
    assert combined_positive(pdl1_cells(immune=None), "core", GATES).denominator == 20
    assert combined_positive(pdl1_cells(tumor_cell=None), "core", GATES).denominator is None
    found = h_score(pdl1_cells(tumor_cell=None), np.ones(40), (1, 2, 3), "core", GATES)
    assert (found.value, found.percent, found.n_tumor) == (no_tumour, (None, None, None), None)


def test_an_area_that_is_not_known_gives_no_share_of_it():
    unknown = immune_area(pdl1_cells(), "core", {"core": np.array([0.0])}, GATES)
    assert unknown.value == Value(None, reason="the area of the region is not known", flags=("area_unknown",))
    area = np.full(40, 100.0)
    area[4] = np.nan  # of a PD-L1+ immune cell
    lost = immune_area(pdl1_cells(cell_area_um2=area), "core", AREAS, GATES)
    assert (lost.value, lost.numerator) == (Value(None, reason="the areas of cells are not known"), None)
    area[4:6] = 100.0, 50.0
    area[0] = np.nan  # of a tumour cell: it covers nothing
    kept = immune_area(pdl1_cells(cell_area_um2=area), "core", AREAS, GATES)
    assert kept.value.value == pytest.approx(100 * (9 * 100 + 50) / 0.2 / 1e6)


def test_scores_come_region_by_region():
    found = pdl1_scores(pdl1_cells(), AREAS, GATES)
    assert [(s.metric, s.compartment) for s in found[:4]] == [
        ("tps_percent", "core"), ("cps", "core"), ("ic_percent", "core"), ("tps_percent", "inner_margin"),
    ]  # fmt: skip
    assert len(found) == 3 * len(REGIONS)


def test_an_h_score_is_the_mean_grade_and_a_cut_belongs_to_the_grade_above():
    intensity = np.tile([0.0, 1.0, 2.0, 3.0, 9, 9, 9, 9], 5)
    found = h_score(pdl1_cells(), intensity, (1.0, 2.0, 3.0), "core", GATES)
    assert (found.compartment, found.percent, found.n_tumor) == ("core", (25.0, 25.0, 25.0), 20)
    assert (found.value.value, found.value.dof) == (150.0, 4)
    assert found.value.sigma == pytest.approx(150 * math.sqrt(5 * (1 + 4 + 9)) / 30)
    intensity[0] = np.nan
    assert h_score(pdl1_cells(), intensity, (1.0, 2.0, 3.0), "core", GATES).n_tumor == 19
    top = h_score(pdl1_cells(), np.full(40, 5.0), (1.0, 2.0, 3.0), "core", GATES)
    assert (top.value.value, top.value.ci_high, top.percent) == (300.0, 300.0, (0.0, 0.0, 100.0))
    few = h_score(pdl1_cells(), np.full(40, np.nan), (1.0, 2.0, 3.0), "core", GATES)
    assert (few.value.reason, few.percent, few.n_tumor) == ("0 tumour cells, 10 needed", (None, None, None), 0)
