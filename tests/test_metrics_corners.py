"""Corners of the metrics that sampled wrong changes showed nobody to watch (`make mutants`)."""

import math

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics import rank_correlation, resampling
from spatial_til.metrics.activity import SITES, _classify
from spatial_til.metrics.changes import difference, interval, log2_density
from spatial_til.metrics.density import Stratum, combine_strata, density_of_count
from spatial_til.metrics.depth import _compartment_at, band_edges
from spatial_til.metrics.levels import Levels
from spatial_til.metrics.location_shifts import _draws, cluster_shift_paired
from spatial_til.metrics.longitudinal import CutOffs, Infiltrate, Shift, longitudinal_call
from spatial_til.metrics.pdl1 import Pdl1Cells, immune_area
from spatial_til.metrics.penetration import depth_fraction
from spatial_til.metrics.pointpatterns.spread import interval_of_positive
from spatial_til.metrics.pooled_values import pooled_values
from spatial_til.metrics.rank_correlation import cluster_spearman, spearman
from spatial_til.metrics.rank_tests import EXACT_UP_TO, rank_sum_quantile, sign_flip, signed_rank_quantile
from spatial_til.metrics.ratios import Gates, ratio_percent, share_percent
from spatial_til.metrics.reasons import _moved, _times, numbers
from spatial_til.metrics.resampling import TileSums, bootstrap_totals
from spatial_til.metrics.resistance import resistance
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore, Value
from tests.longitudinal_keys import simulated

GATES = Gates(min_tumor_cells=100, min_tiles=8, confidence=0.95)


def test_between_the_border_and_the_shallowest_sample_the_share_rises_from_zero():
    assert depth_fraction(np.array([0.0, 0.5, 12.5]), np.array([25.0, 75.0])).tolist() == [0.0, 0.005, 0.125]


@pytest.mark.parametrize("spread", [0, 4])
def test_the_error_of_a_share_is_that_of_its_tiles_or_of_lone_cells_whichever_is_more(spread):
    positive = 20.0 + spread * np.array([-2, -1, 0, 1, 2] * 4)
    found = share_percent(TileSums(np.column_stack((positive, np.full(20, 50.0))), np.zeros(20, dtype=np.int64)), GATES)
    of_tiles, of_cells = math.sqrt(20 * positive.var(ddof=1)) / 1000, math.sqrt(0.4 * 0.6 / 1000)
    assert (of_tiles > of_cells) == bool(spread)
    assert found.sigma == pytest.approx(100 * max(of_tiles, of_cells))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_compartment_of_few_tiles_adds_its_variance_and_one_tile_none_and_no_nan(n):
    random = np.random.default_rng(0)
    sums = np.column_stack((random.poisson(5, 10 + n), np.full(10 + n, 50), np.zeros(10 + n))).astype(float)
    tiles = TileSums(sums, np.array([0] * 10 + [1] * n))
    found = ratio_percent(tiles, GATES, one=1)
    residual = sums[:, 0] - tiles.totals[0] / tiles.totals[1] * sums[:, 1]
    variance = 10 * residual[:10].var(ddof=1) + (n * residual[10:].var(ddof=1) if n > 1 else 0.0)
    assert found.sigma == pytest.approx(100 * math.sqrt(variance) / tiles.totals[1])
    assert found.dof == 10 + n - 2


def test_error_of_a_clustered_correlation_is_the_spread_of_fishers_z_over_draws_of_patients():
    random = np.random.default_rng(3)
    x = random.normal(size=20)
    y = x + random.normal(size=20)
    value, _ = cluster_spearman(x, y, confidence=0.95, bootstrap=40, random=np.random.default_rng(8))
    chosen = np.random.default_rng(8).integers(20, size=(40, 20))
    z = np.arctanh([stats.spearmanr(x[c], y[c]).statistic for c in chosen])
    half = stats.t.ppf(0.975, 18) * np.std(z, ddof=1)
    assert math.atanh(value.ci_high) - math.atanh(value.value) == pytest.approx(half)
    assert math.atanh(value.value) - math.atanh(value.ci_low) == pytest.approx(half)


def test_a_perfect_rank_correlation_of_many_is_one_order_of_all_each_way():
    x = np.arange(12.0)
    _, test = spearman(x, 2 * x, confidence=0.95)
    assert test.p_value == test.smallest == pytest.approx(2 / math.factorial(12))
    x[1] = 0.0  # a tie: two orders look the same
    assert spearman(x, -x, confidence=0.95)[1].p_value == pytest.approx(4 / math.factorial(12))


def test_all_orders_of_up_to_eight_patients_are_tried():
    y = np.array([2.0, 1, 4, 3, 6, 5, 9, 7, 8])
    assert [spearman(np.arange(n), y[:n], confidence=0.95)[1].exact for n in (7, 8, 9)] == [True, True, False]


def test_a_simulated_slide_has_the_border_of_its_outer_margin():
    slide = simulated()
    assert slide.gates["border_um"] == pytest.approx(6000)  # 3 mm² of outer margin, 500 µm wide
    assert slide.gates["tumor_mm2"] == pytest.approx(5)
    assert slide.tiles["core"].tile_um == pytest.approx(200)


def test_a_density_without_area_or_tiles_has_no_error_and_no_degrees_of_freedom():
    nothing = Estimate(0, 0.0, None, None, None, None, 0)
    level, error, dof = log2_density(nothing)
    assert math.isnan(level)
    assert (error, dof) == (None, 0)
    few = Estimate(7, 0.5, 14.0, None, None, None, 3, ("few_tiles",))
    assert log2_density(few) == (pytest.approx(math.log2(15)), None, 0)


def slide_of_share(name, cells, percent, **changes):
    """Return a slide on which a share of so many tumour cells was found."""
    return SlideScore(
        SlideMeta(name, "P", "baseline", "A"),
        estimates={("tumor", "tumor"): Estimate(cells, 1.0, float(cells), None, None, 0.1, 9)},
        values={"tps_percent": Value(percent, **({"sigma": 0.1, "dof": 9} | changes))},
        tiles={},
        phenotype=Call("", "", {}),
        activity={},
        gates={},
        settings={},
    )


def test_shares_of_slides_without_tumour_cells_are_not_averaged():
    found = pooled_values([slide_of_share(name, 0, 10.0) for name in "ab"], confidence=0.95)["tps_percent"]
    assert (found.value, found.reason) == (None, "several slides, and nothing to weight them by")
    one = pooled_values([slide_of_share("a", 0, 10.0), slide_of_share("b", 1, 30.0)], confidence=0.95)["tps_percent"]
    assert one.value == 30.0


@pytest.mark.parametrize("unknown", [{"sigma": None}, {"dof": 0}])
def test_shares_of_two_slides_of_which_one_has_no_error_have_no_interval(unknown):
    slides = [slide_of_share("a", 100, 10.0, **unknown), slide_of_share("b", 100, 30.0)]
    found = pooled_values(slides, confidence=0.95)["tps_percent"]
    assert (found.value, found.ci_low, found.reason) == (20.0, None, "no interval on every slide")


def test_shares_of_three_slides_that_differ_have_the_error_between_slides():
    """Weights 1/4, 1/2, 1/4 of 10, 30 and 80 %: mean 37.5, 3/2 of the sum of (weight x distance)²."""
    slides = [slide_of_share(name, *of) for name, *of in (("a", 100, 10.0), ("b", 200, 30.0), ("c", 100, 80.0))]
    found = pooled_values(slides, confidence=0.95)["tps_percent"]
    sigma = math.sqrt(1.5 * ((0.25 * 27.5) ** 2 + (0.5 * 7.5) ** 2 + (0.25 * 42.5) ** 2))
    assert (found.value, found.dof) == (37.5, 2)
    assert found.sigma == pytest.approx(sigma)
    assert found.ci_high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * sigma)
    assert found.value - found.ci_low == pytest.approx(stats.t.ppf(0.975, 2) * sigma)
    two = pooled_values(slides[:2], confidence=0.95)["tps_percent"]
    assert two.sigma == pytest.approx(math.hypot(0.1 / 3, 0.2 / 3))


@pytest.mark.parametrize("positive", [0.0, 50.0])
def test_a_share_of_none_or_all_is_not_certain_in_a_change_or_a_sum_of_slides(positive):
    """No tile differs, yet another 500 cells could have held one: as much as the exact interval allows."""
    share = share_percent(TileSums(np.tile([positive, 50.0], (10, 1)), np.zeros(10, dtype=np.int64)), GATES)
    width = share.ci_high - share.ci_low
    assert 0.7 < width < 1.1  # Clopper-Pearson of 0 in 500 is 0.735 %; 10 tiles, so wider
    still = difference(share, share, 0.95)
    half = stats.t.ppf(0.975, 18) * math.sqrt(2) * width / stats.t.ppf(0.975, 9)
    assert (still.value, still.ci_low, still.ci_high) == (0.0, pytest.approx(-half), pytest.approx(half))
    slides = [slide_of_share(name, 500, share.value, sigma=share.sigma, dof=share.dof) for name in "abc"]
    for n in (2, 3):  # of three, those between which nothing differs are no surer for it
        pooled = pooled_values(slides[:n], confidence=0.95)["tps_percent"]
        assert (pooled.value, pooled.dof) == (pytest.approx(share.value), 9 * n)
        assert pooled.sigma == pytest.approx(share.sigma / math.sqrt(n))


@pytest.mark.parametrize("sigma", [0.0, None])
def test_slides_that_are_alike_and_without_any_error_give_a_mean_that_is_not_certain(sigma):
    slides = [slide_of_share(name, 100, 25.0, sigma=sigma) for name in "abcd"]
    found = pooled_values(slides, confidence=0.95)["tps_percent"]
    assert (found.value, found.ci_low, found.ci_high, found.sigma) == (25.0, None, None, None)
    assert found.reason == "no interval on every slide"


@pytest.mark.parametrize(("ratio", "dof"), [(1.2, 0), (float("nan"), 7), (float("nan"), 0)])
def test_a_count_of_unknown_spread_is_said_to_come_from_few_tiles(ratio, dof):
    assert "few_tiles" in density_of_count(50, 1.0, ratio, dof, 0.95).flags
    assert "few_tiles" not in density_of_count(50, 1.0, 1.2, 7, 0.95).flags


def test_many_signs_are_flipped_as_wilcoxons_test_with_continuity():
    x = np.random.default_rng(1).normal(0.1, 1, EXACT_UP_TO + 20)
    found = sign_flip(x)
    assert found.p_value == pytest.approx(stats.wilcoxon(x, correction=True, method="asymptotic").pvalue)
    assert not found.exact
    assert sign_flip(x[:EXACT_UP_TO]).exact


def test_of_large_groups_of_unlike_size_the_lowest_rank_sum_is_none():
    """The normal tail lies below 0, where no rank sum is: no value of the pairs may be left out."""
    assert rank_sum_quantile(1, 100, 1e-4) == 0


def test_a_difference_with_an_error_on_one_side_has_no_interval():
    known = Value(1.0, 0.5, 1.5, 0.25, 9)
    found = difference(known, Value(3.0), 0.95)
    assert (found.value, found.ci_low, found.ci_high) == (2.0, None, None)
    assert found.reason


def test_a_paired_shift_of_n_patients_has_n_less_one_degrees_of_freedom():
    found = cluster_shift_paired(
        np.array([0.3, 1.1, -0.2, 2.0, 0.7]), confidence=0.95, bootstrap=200, random=np.random.default_rng(0)
    )
    assert found.dof == 4
    assert found.ci_high - found.value == pytest.approx(stats.t.ppf(0.975, 4) * found.sigma)


def test_nothing_found_has_no_interval_on_the_log_scale():
    low, high = interval_of_positive(np.array([0.0, 2.0]), np.array([0.5, 0.5]), 2.0)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == pytest.approx((2 / math.e, 2 * math.e))


def test_a_rise_from_no_cells_is_told_by_its_lower_end():
    before, after = (Infiltrate(core, 400.0, 0.0, Call("x", "x", {})) for core in (0.0, 100.0))
    unknown = Value(None)
    told = numbers(before, after, Shift(Value(5.0, 2.0, 8.0), unknown, unknown))
    assert "rose, at least × 4)" in told


@pytest.mark.parametrize("of", [share_percent, lambda tiles, gates: ratio_percent(tiles, gates, one=1)])
def test_as_many_tiles_as_the_gate_asks_for_are_enough_even_two(of):
    columns = [[3.0, 10.0, 3.0], [4.0, 10.0, 4.0], [5.0, 10.0, 5.0]]
    n = 2 if of is share_percent else 3
    for count in (2, 3):
        tiles = TileSums(np.array(columns)[:count, :n], np.zeros(count, dtype=np.int64))
        assert tiles.dof == count - 1
        assert of(tiles, Gates(100, count, 0.95)).ci_high is not None
        assert of(tiles, Gates(100, count + 1, 0.95)).flags == ("few_tiles",)


def test_the_interval_of_a_ratio_is_t_times_its_error_on_the_log_scale():
    tiles = TileSums(np.array([[2.0, 10, 2], [6, 10, 6], [4, 10, 4], [0, 10, 0]]), np.zeros(4, dtype=np.int64))
    found = ratio_percent(tiles, Gates(100, 4, 0.95), one=1)
    half = stats.t.ppf(0.975, 3) * found.sigma / found.value
    assert (found.ci_low, found.ci_high) == pytest.approx((30 * math.exp(-half), 30 * math.exp(half)))


def test_covered_area_is_never_surer_than_cells_placed_on_their_own():
    """Each tile is covered alike, so tiles do not vary: what is left is the chance of the cells themselves."""
    n_tiles, each, area_um2 = 10, 4, 200.0
    n = n_tiles * each
    immune = np.arange(n + 100) < n  # and 100 tumour cells, as the gate asks for
    cells = Pdl1Cells(
        compartment=np.zeros(n + 100, dtype=np.int8),
        tile=np.arange(n + 100) % n_tiles,
        pdl1=immune,
        tumor_cell=~immune,
        immune=immune,
        cell_area_um2=np.full(n + 100, area_um2),
    )
    found = immune_area(cells, "core", {"core": np.full(n_tiles, 0.04)}, GATES).value
    assert found.value == pytest.approx(100 * each * area_um2 / 40_000)
    assert found.sigma / found.value == pytest.approx(1 / math.sqrt(n))


def test_bands_hold_the_border_even_where_all_distances_lie_on_one_side():
    assert band_edges(-120.0, -60.0, 50.0).tolist() == [-150.0, -100.0, -50.0, 0.0]
    assert band_edges(60.0, 120.0, 50.0).tolist() == [0.0, 50.0, 100.0, 150.0]


@pytest.mark.parametrize(("reference", "call"), [((200.0, 350.0), True), ((100.0, 350.0), False)])
def test_a_poor_core_that_is_not_poorer_than_its_margin_was_not_excluded(reference, call):
    """With a core below the cut-off, only the ratio tells what was excluded before."""
    cut = CutOffs(295.0, -1.0, 100.0)
    before = Infiltrate(*reference, math.log2(reference[0] / reference[1]), Call("x", "x", {}))
    after = Infiltrate(20.0, 400.0, math.log2(20 / 400), Call("excluded", "excluded", {}))
    fall, same = Value(-2.0, -2.5, -1.5), Value(0.1, -0.2, 0.4)
    found = longitudinal_call(before, after, Shift(fall, same, fall), cut)
    assert (found == "reversion_to_excluded") is call


def test_a_response_of_no_months_is_none_whatever_its_label():
    metas = [SlideMeta("s", "P", "progression", "A", response_months=0.0)]
    assert resistance(metas).kind == "innate"


def test_the_normal_quantile_of_many_signed_ranks_is_near_the_exact_one():
    """Just beyond and just within what is counted in full: nothing may jump where one takes over from the other."""
    exact, normal = (signed_rank_quantile(n, 0.025) for n in (EXACT_UP_TO, EXACT_UP_TO + 1))
    n = EXACT_UP_TO + 1
    assert normal == math.floor(n * (n + 1) / 4 - stats.norm.ppf(0.975) * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    assert exact < normal < exact + n


def test_responses_that_contradict_each_other_are_no_response():
    metas = [SlideMeta("a", "P", "baseline", "A", response=of) for of in ("PR", "PD")]
    assert resistance(metas) == ("unknown", "the sheet gives more than one response for this patient")
    months = [SlideMeta("a", "P", "progression", "A", response_months=of) for of in (3.0, 9.0)]
    assert resistance(months).kind == "unknown"


def test_immune_area_of_cells_without_an_area_is_not_known_and_not_zero():
    n = 240
    immune = np.arange(n) < 40
    cells = Pdl1Cells(
        compartment=np.zeros(n, dtype=np.int8),
        tile=np.arange(n) % 10,
        pdl1=immune,
        tumor_cell=~immune,
        immune=immune,
        cell_area_um2=np.where(immune, np.nan, 200.0),
    )
    found = immune_area(cells, "core", {"core": np.full(10, 0.04)}, GATES)
    assert (found.value.value, found.value.reason) == (None, "the areas of cells are not known")


@pytest.mark.parametrize(
    ("at_um", "compartment"),
    [
        (-500.1, "core"),
        (-500.0, "inner_margin"),
        (-0.5, "inner_margin"),
        (0.0, "inner_margin"),
        (0.5, "outer_margin"),
        (400.0, "outer_margin"),
        (400.1, "outside"),
    ],
)
def test_a_distance_lies_in_the_compartment_of_a_cell_at_it(at_um, compartment):
    assert _compartment_at(at_um, 500.0, 400.0) == compartment


@pytest.mark.parametrize("dof", range(1, 41))
@pytest.mark.parametrize("sigma", [0.05, 0.07, 0.1, 0.3])
def test_rounding_takes_no_degree_of_freedom(dof, sigma):
    """Terms of one error have the sum of their degrees of freedom, one term has its own."""
    assert interval(0.0, [(sigma, dof)], 0.95).dof == dof
    assert interval(0.0, [(sigma, dof), (sigma, dof)], 0.95).dof == 2 * dof


@pytest.mark.parametrize("at_once", [1, 6, 256])
def test_totals_of_drawn_tiles_are_those_of_each_compartment_however_many_are_held(monkeypatch, at_once):
    monkeypatch.setattr(resampling, "_DRAWS_AT_ONCE", at_once)
    sums = np.arange(14.0).reshape(7, 2)
    found = bootstrap_totals(TileSums(sums, np.array([0] * 4 + [2] * 3)), 20, np.random.default_rng(4))
    random = np.random.default_rng(4)
    first, second = random.integers(4, size=(20, 4)), random.integers(3, size=(20, 3))
    assert found.tolist() == (sums[:4][first].sum(axis=1) + sums[4:][second].sum(axis=1)).tolist()


def test_many_patients_are_drawn_less_often_and_never_under_200_times(monkeypatch):
    assert [_draws(1000, n) for n in (10, 20_000, 50_000, 10**9)] == [1000, 1000, 400, 200]
    assert _draws(150, 10**9) == 150
    x = np.random.default_rng(0).normal(size=(2, 20))

    def found(bootstrap):
        return cluster_spearman(*x, confidence=0.95, bootstrap=bootstrap, random=np.random.default_rng(1))

    expected = {most: found(draws) for most, draws in ((20 * 300, 300), (1, 200))}
    for most, wanted in expected.items():
        monkeypatch.setattr(rank_correlation, "_RANKS_AT_MOST", most)
        assert found(1000) == wanted


@pytest.mark.parametrize(
    ("core", "margin", "log2_ratio", "expected"),
    [
        (99.9, 99.9, 0.0, "none"),
        (100.0, 99.9, 0.0, "both"),
        (99.9, 100.0, 0.0, "both"),
        (50.0, 100.0, -1.0, "margin"),
        (50.0, 100.0, -0.99, "both"),
        (100.0, 50.0, 1.0, "core"),
        (100.0, 50.0, 0.99, "both"),
    ],
)
def test_the_floor_and_the_ratio_of_a_site_are_reached_by_equality(core, margin, log2_ratio, expected):
    levels = Levels(*(np.array([value]) for value in (core, margin, 0.0, log2_ratio)))
    assert SITES[_classify(levels, 100.0)[0]] == expected


def test_a_change_without_an_interval_is_told_as_a_factor_alone():
    assert _moved(100.0, 200.0, Value(1.0)) == "100 → 200 CD8+ per mm² (no interval)"
    assert _moved(10.4, 9.94, Value(0.0)) == "10 → 9.9 CD8+ per mm² (no interval)"  # whole cells from ten on
    assert _times(Value(1.0)) == "× 2"
    assert _times(Value(1.0, 0.5, 1.5)) == "× 2, interval 1.4 to 2.8"


def test_an_interval_that_leaves_out_no_change_does_not_read_as_if_it_ended_there():
    assert _times(Value(0.5, 0.02, 1.0)) == "× 1.4, interval 1.014 to 2"
    assert _times(Value(-0.5, -1.0, -0.005)) == "× 0.71, interval 0.5 to 0.997"
    assert _times(Value(0.0, -1.0, 1.0)) == "× 1, interval 0.5 to 2"


@pytest.mark.parametrize(("quasi", "added"), [(300.0, 150.0), (50.0, 50.0)])
def test_a_compartment_of_one_tile_has_the_ratio_of_the_others_and_never_less_than_poissons(quasi, added):
    """100 cells with a variance of 300 beside 50 cells in one tile: those have 3 x 50, and no degree of freedom."""
    many = Stratum(("CD8+",), 1.0, 8, np.array([100.0]), np.array([quasi]), np.array([quasi]), enlarged=False)
    unknown = np.array([np.nan])
    single = Stratum(("CD8+",), 0.2, 1, np.array([50.0]), unknown, unknown, enlarged=False)
    found = combine_strata([many, single], confidence=0.95, min_tiles=8)["CD8+"]
    assert (found.n_cells, found.density_per_mm2, found.dof) == (150, 125.0, 7)
    reach = stats.t.ppf(0.975, 7) * math.sqrt(quasi + added) / 150
    low, high = (stats.chi2.ppf(p, df) / 2 for p, df in ((0.025, 300), (0.975, 302)))  # Garwood's
    assert found.ci_high == pytest.approx(max(high, 150 * math.exp(reach)) / 1.2)
    assert found.ci_low == pytest.approx(min(low, 150 * math.exp(-reach)) / 1.2)
