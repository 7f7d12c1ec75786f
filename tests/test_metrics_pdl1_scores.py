"""PD-L1 scores against hand counts: the published definitions, their gates and their unknowns."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.pdl1 import (
    OVERALL,
    Pdl1Cells,
    combined_positive,
    h_score,
    immune_area,
    pdl1_scores,
    tumor_proportion,
)
from spatial_til.metrics.ratios import Gates, share_percent
from spatial_til.metrics.resampling import TileSums
from spatial_til.model import COMPARTMENTS, EXCLUDED

GATES = Gates(min_tumor_cells=100, min_tiles=8, confidence=0.95)
CORE, INNER, OUTER, OUTSIDE, UNRESOLVED = range(5)


def build(groups: list[tuple[int, str, bool, int]], area_um2: float = 100.0) -> Pdl1Cells:
    """Return cells from (compartment, kind, PD-L1+, count); kinds: tumor, immune, other. Tiles go round robin."""
    rows = [(code, kind, positive) for code, kind, positive, count in groups for _ in range(count)]
    code, kind, positive = (np.array(column) for column in zip(*rows, strict=True))
    return Pdl1Cells(
        compartment=code.astype(np.int8),
        tile=np.arange(len(rows)) % 10,
        pdl1=positive.astype(bool),
        tumor_cell=kind == "tumor",
        immune=kind == "immune",
        cell_area_um2=np.full(len(rows), area_um2),
    )


def test_published_example_is_tps_30_and_cps_capped_at_100_with_raw_120():
    cells = build(
        [
            (CORE, "tumor", True, 30),
            (CORE, "tumor", False, 70),
            (CORE, "immune", True, 90),
            (CORE, "immune", False, 110),
        ]
    )
    tps = tumor_proportion(cells, "tissue", GATES)
    cps = combined_positive(cells, OVERALL["cps"], GATES)
    assert (tps.value.value, tps.numerator, tps.denominator) == (30.0, 30, 100)
    assert (cps.value.value, cps.raw, cps.numerator, cps.denominator) == (100.0, 120.0, 120, 100)
    assert cps.value.ci_high == 100.0


def test_without_positive_immune_cells_tps_equals_cps():
    cells = build([(INNER, "tumor", True, 10), (INNER, "tumor", False, 90), (INNER, "immune", False, 50)])
    assert tumor_proportion(cells, "tissue", GATES).value.value == 10.0
    assert combined_positive(cells, OVERALL["cps"], GATES).value.value == 10.0


@pytest.mark.parametrize("n_tumor", [0, 99])
def test_too_few_tumor_cells_give_no_score_not_zero(n_tumor):
    cells = build([(CORE, "tumor", True, n_tumor), (CORE, "immune", True, 5)])
    for score in pdl1_scores(cells, {"core": np.full(10, 0.04)}, GATES):
        assert score.value.value is None
        assert score.value.flags == ("few_tumor_cells",)
        assert "100 needed" in score.value.reason


def test_hundred_tumor_cells_are_enough():
    cells = build([(CORE, "tumor", True, 1), (CORE, "tumor", False, 99)])
    assert tumor_proportion(cells, "core", GATES).value.value == 1.0


def test_a_region_without_tumor_cells_is_not_evaluable_even_without_a_gate():
    cells = build([(CORE, "immune", True, 5)])
    assert tumor_proportion(cells, "core", replace(GATES, min_tumor_cells=0)).value.value is None


def test_no_tumor_marker_leaves_every_score_unknown():
    cells = replace(build([(CORE, "tumor", True, 200)]), tumor_cell=None)
    scores = [*pdl1_scores(cells, {}, GATES), h_score(cells, np.ones(200), (0.2, 0.4, 0.6), "core", GATES)]
    assert {score.value.flags for score in scores} == {("tumor_cells_unknown",)}
    assert {score.value.value for score in scores} == {None}


def test_without_an_immune_marker_cps_and_ic_are_empty_and_tps_is_not():
    cells = replace(build([(CORE, "tumor", True, 50), (CORE, "tumor", False, 150)]), immune=None)
    assert tumor_proportion(cells, "tissue", GATES).value.value == 25.0
    for score in (combined_positive(cells, "core", GATES), immune_area(cells, "core", {"core": np.ones(10)}, GATES)):
        assert score.value.value is None
        assert "CD8, CD3, CD45, CD68" in score.value.reason


def test_positive_cells_that_are_neither_tumor_nor_immune_do_not_count():
    cells = build([(CORE, "tumor", False, 100), (CORE, "other", True, 40), (CORE, "immune", True, 7)])
    assert combined_positive(cells, "core", GATES).numerator == 7


def test_cps_covers_tumor_and_outer_margin_and_nothing_farther():
    groups = [(code, "immune", True, 10) for code in range(5)] + [(EXCLUDED, "immune", True, 10)]
    cells = build([*groups, (CORE, "tumor", False, 200), (OUTSIDE, "tumor", True, 50)])
    score = combined_positive(cells, OVERALL["cps"], GATES)
    assert (score.numerator, score.denominator) == (40, 200)  # core, inner, outer, unresolved; not outside


def test_excluded_cells_enter_nothing():
    cells = build([(CORE, "tumor", True, 100), (EXCLUDED, "tumor", False, 900)])
    assert tumor_proportion(cells, "tissue", GATES).denominator == 100


def test_regions_add_up():
    groups = [(code, "tumor", positive, 100 + 10 * code + positive) for code in range(5) for positive in (True, False)]
    cells = build(groups)
    count = {
        region: tumor_proportion(cells, region, GATES).denominator
        for region in (*COMPARTMENTS, "margin", "tumor", "tissue")
    }
    assert count["margin"] == count["inner_margin"] + count["outer_margin"]
    assert count["tumor"] == count["core"] + count["inner_margin"] + count["tumor_unresolved"]
    assert count["tissue"] == sum(count[name] for name in COMPARTMENTS)


def test_ic_divides_area_by_area():
    cells = build(
        [
            (CORE, "tumor", False, 100),
            (CORE, "immune", True, 50),
            (INNER, "immune", True, 50),
            (OUTER, "immune", True, 99),
        ]
    )
    area = {"core": np.full(10, 0.02), "inner_margin": np.full(10, 0.03), "outer_margin": np.full(10, 0.5)}
    score = immune_area(cells, OVERALL["ic_percent"], area, GATES)
    assert score.numerator == pytest.approx(100 * 100e-6)  # 100 cells of 100 µm²
    assert score.denominator == pytest.approx(0.5)
    assert score.value.value == pytest.approx(2.0)


def test_ic_without_area_is_unknown():
    cells = build([(CORE, "tumor", False, 100)])
    value = immune_area(cells, "tumor", {}, GATES).value
    assert (value.value, value.reason, value.flags) == (None, "the area of the region is not known", ("area_unknown",))


def test_h_score_oracle_is_120():
    signal = np.repeat([0.1, 0.2, 0.4, 0.7], [20, 50, 20, 10])  # a cell on a cut has the higher grade
    cells = build([(CORE, "tumor", True, 100)])
    score = h_score(cells, signal, (0.2, 0.4, 0.6), "tissue", GATES)
    assert score.value.value == pytest.approx(120.0)
    assert score.percent == (50.0, 20.0, 10.0)
    assert score.n_tumor == 100


def test_an_h_score_of_nothing_has_the_upper_limit_of_one_faint_cell_not_seen():
    score = h_score(build([(CORE, "tumor", False, 500)]), np.full(500, 0.1), (0.2, 0.4, 0.6), "core", GATES)
    assert (score.value.value, score.value.ci_low, score.percent) == (0.0, 0.0, (0.0, 0.0, 0.0))
    assert score.value.ci_high == pytest.approx(100 * 3.688879 / 500)  # Garwood of 0, each 1+


def test_an_h_score_of_few_cells_is_missing_with_their_number():
    score = h_score(build([(CORE, "tumor", True, 99)]), np.ones(99), (0.2, 0.4, 0.6), "core", GATES)
    assert (score.value.value, score.value.reason) == (None, "99 tumour cells, 100 needed")
    assert (score.percent, score.n_tumor, score.value.flags) == ((None, None, None), 99, ("few_tumor_cells",))


def test_h_score_stays_on_its_scale_and_leaves_out_unmeasured_cells():
    cells = build([(CORE, "tumor", True, 300)])
    signal = np.concatenate((np.full(200, 9.0), np.full(100, np.nan)))
    score = h_score(cells, signal, (0.2, 0.4, 0.6), "core", GATES)
    assert (score.value.value, score.value.ci_high, score.n_tumor) == (300.0, 300.0, 200)


def test_few_tiles_give_the_score_without_an_interval():
    cells = replace(build([(CORE, "tumor", True, 50), (CORE, "tumor", False, 50)]), tile=np.arange(100) % 7)
    value = tumor_proportion(cells, "core", GATES).value
    assert (value.value, value.ci_low, value.flags) == (50.0, None, ("few_tiles",))


def test_no_positive_cell_gives_zero_with_an_upper_limit():
    cells = build([(CORE, "tumor", False, 500)])
    value = tumor_proportion(cells, "core", GATES).value
    limit = 100 * stats.beta.ppf(0.975, 1, 500)  # Clopper-Pearson with 500 cells: 0.735 %
    assert (value.value, value.ci_low) == (0.0, 0.0)
    assert limit <= value.ci_high <= 1.5 * limit  # ten tiles only: wider, by (t_499 / t_9)²


@pytest.mark.parametrize("patchiness", [0.0, 3.0])
def test_tps_interval_covers_what_it_says_where_the_binomial_one_does_not(patchiness):
    random = np.random.default_rng(1)
    truth, runs, n_tiles, per_tile = 0.2, 400, 40, 50
    covered = binomial = 0
    for _ in range(runs):
        share = random.beta(truth * 4, (1 - truth) * 4, n_tiles) if patchiness else np.full(n_tiles, truth)
        tiles = TileSums(
            np.column_stack((random.binomial(per_tile, share), np.full(n_tiles, per_tile))).astype(float),
            np.zeros(n_tiles, dtype=np.int64),
        )
        value = share_percent(tiles, GATES)
        covered += value.ci_low <= 100 * truth <= value.ci_high
        count, total = int(tiles.totals[0]), int(tiles.totals[1])
        low, high = stats.beta.ppf([0.025, 0.975], [count, count + 1], [total - count + 1, total - count])
        binomial += low <= truth <= high
    assert 0.92 <= covered / runs <= 0.99
    if patchiness:
        assert binomial / runs < 0.6
