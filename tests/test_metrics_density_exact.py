"""Densities, their sums, ratios and tiles, worked out by hand: every field, and values at the limits."""

import math

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.changes import difference, interval, log2_contrast, log2_density, minimum_detectable_change
from spatial_til.metrics.density import Stratum, combine_strata, dispersion, estimate, summarise_stratum
from spatial_til.metrics.intervals import garwood, poisson_ratio, t_quantile, welch_dof, whole_dof
from spatial_til.metrics.log_ratios import log2_ratio
from spatial_til.metrics.pooled_estimates import _slides_as_tiles, _wider
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.metrics.simulate import negative_binomial
from spatial_til.model import Estimate, TileCounts, Value

AREA = np.array([0.04, 0.03, 0.04, 0.02, 0.04])
N = np.array([9, 2, 14, 0, 5])


def tile_counts(n=N, area=AREA, **changes):
    fields = {
        "slide_id": "s", "compartment": "core", "tile_um": 200.0, "area_mm2": area, "counts": {"CD8+": n},
        "x_um": np.zeros(len(area)), "y_um": np.zeros(len(area)),
    }  # fmt: skip
    return TileCounts(**(fields | changes))


def pearson(n, area):
    expected = n.sum() * area / area.sum()
    return ((n - expected) ** 2 / expected).sum() / (len(n) - 1)


def estimate_of(n, area=2.0, sigma=0.2, dof=9, flags=()):
    return Estimate(n, area, n / area, None, None, sigma, dof, flags)


def stratum(n, area=1.0, n_tiles=9, quasi=None, bootstrap=None):
    values = [np.array([float(n if v is None else v)]) for v in (n, quasi, bootstrap)]
    return Stratum(("CD8+",), area, n_tiles, *values, enlarged=False)


# --- densities


def test_a_stratum_has_the_pearson_and_the_bootstrap_variance_of_its_count():
    found = summarise_stratum(tile_counts(flags=("tiles_enlarged",)), bootstrap=300, seed=4)
    assert (found.populations, found.area_mm2, found.n_tiles, found.n_cells.tolist()) == (
        ("CD8+",), pytest.approx(0.17), 5, [30.0],
    )  # fmt: skip
    assert found.enlarged is True
    assert found.quasi == pytest.approx([pearson(N, AREA) * 30])
    chosen = seeded_generator(4, "s", "core").integers(5, size=(300, 5), dtype=np.int32)
    drawn = N[chosen].sum(axis=1) / AREA[chosen].sum(axis=1)
    assert found.bootstrap == pytest.approx([drawn.var(ddof=1) * 0.17**2])
    assert dispersion(tile_counts()) == {"CD8+": pytest.approx(pearson(N, AREA))}
    one = summarise_stratum(tile_counts(N[:1], AREA[:1]), bootstrap=9, seed=0)
    assert np.isnan([one.quasi[0], one.bootstrap[0]]).all()
    assert math.isnan(dispersion(tile_counts(N[:1], AREA[:1]))["CD8+"])
    none = summarise_stratum(tile_counts(0 * N), bootstrap=9, seed=0)
    assert (none.quasi.tolist(), none.bootstrap.tolist(), none.enlarged) == ([0.0], [0.0], False)
    assert dispersion(tile_counts(0 * N)) == {"CD8+": 1.0}


@pytest.mark.parametrize(("quasi", "bootstrap"), [(400.0, 300.0), (300.0, 400.0)])
def test_a_density_has_the_wider_interval_on_the_log_scale(quasi, bootstrap):
    found = combine_strata([stratum(100, 0.5, 9, quasi, bootstrap)], confidence=0.9, min_tiles=9)["CD8+"]
    reach = math.exp(stats.t.ppf(0.95, 8) * 20 / 100)
    assert found == Estimate(
        100, 0.5, 200.0, pytest.approx(200 / reach), pytest.approx(200 * reach), pytest.approx(0.2), 8, ()
    )
    assert combine_strata([stratum(100, 0.5, 9, quasi)], confidence=0.9, min_tiles=10)["CD8+"].flags == ("few_tiles",)


def test_a_density_is_never_surer_than_poissons():
    found = combine_strata([stratum(100, 2.0, 9, 1.0, 1.0)], confidence=0.9, min_tiles=9)["CD8+"]
    low, high = stats.chi2.ppf(0.05, 200) / 2, stats.chi2.ppf(0.95, 202) / 2
    assert (found.ci_low, found.ci_high) == (pytest.approx(low / 2), pytest.approx(high / 2))
    assert found.sigma_ln == pytest.approx(math.log(high / low) / (2 * stats.t.ppf(0.95, 8)))
    even = combine_strata([stratum(100, 2.0, 9, 0.0, 0.0)], confidence=0.9, min_tiles=9)["CD8+"]
    assert (even.ci_low, even.dof) == (found.ci_low, 8)  # exactly as even as the areas: no more certain


@pytest.mark.parametrize(("n", "flags"), [(30, ()), (29, ("low_count",))])
def test_fifteen_variance_ratios_are_enough_cells(n, flags):
    assert combine_strata([stratum(n, 1.0, 9, 2.0 * n)], confidence=0.9, min_tiles=9)["CD8+"].flags == flags
    few = combine_strata([stratum(n // 2, 1.0, 9, 0.1)], confidence=0.9, min_tiles=9)["CD8+"]
    assert few.flags == flags  # 15 or 14 cells: less spread than by chance counts as chance


def test_no_cells_have_the_exact_upper_limit_and_a_sigma_that_says_the_same():
    found = combine_strata([stratum(0, 2.0, 5), stratum(0, 1.0, 4)], confidence=0.9, min_tiles=9)["CD8+"]
    upper = -math.log(0.05)
    sigma = math.log(upper / 0.5) / stats.t.ppf(0.95, 7)
    flags = ("zero_count", "low_count")
    assert found == Estimate(0, 3.0, 0.0, 0.0, pytest.approx(upper / 3), pytest.approx(sigma), 7, flags)
    alone = combine_strata([stratum(0, 2.0, 1)], confidence=0.9, min_tiles=1)["CD8+"]
    assert (alone.sigma_ln, alone.dof, alone.ci_high) == (None, 0, pytest.approx(upper / 2))


def test_strata_add_their_variances_and_welchs_degrees_of_freedom():
    found = combine_strata([stratum(60, 1.0, 11, 90.0), stratum(40, 3.0, 5, 160.0)], confidence=0.9, min_tiles=9)
    dof = 250**2 / (90**2 / 10 + 160**2 / 4)
    assert found["CD8+"].dof == int(dof)
    reach = math.exp(stats.t.ppf(0.95, int(dof)) * math.sqrt(250) / 100)
    assert found["CD8+"].ci_high == pytest.approx(25 * reach)
    without = combine_strata([stratum(7, 0.0, 0), stratum(3, 0.0, 0)], confidence=0.9, min_tiles=9)["CD8+"]
    assert without == Estimate(10, 0.0, None, None, None, None, 0)
    partly = combine_strata([stratum(60, 1.0, 11, 90.0), stratum(5, 0.0, 0)], confidence=0.9, min_tiles=9)["CD8+"]
    assert (partly.n_cells, partly.area_mm2) == (65, 1.0)
    single = combine_strata([stratum(60, 1.0, 1, math.nan, math.nan)], confidence=0.9, min_tiles=9)["CD8+"]
    low, high = stats.chi2.ppf(0.05, 120) / 2, stats.chi2.ppf(0.95, 122) / 2
    assert single == Estimate(60, 1.0, 60.0, pytest.approx(low), pytest.approx(high), None, 0, ("few_tiles",))
    other = Stratum(("PD-L1+",), 1.0, 3, *[np.ones(1)] * 3, enlarged=False)
    with pytest.raises(ValueError, match="same populations in the same order"):
        combine_strata([stratum(1), other], confidence=0.9, min_tiles=9)
    counted = tile_counts(counts={"CD8+": N, "all": 2 * N})
    table = {p: estimate([counted], p, confidence=0.9, bootstrap=50, min_tiles=5, seed=0) for p in ("CD8+", "all")}
    assert [table[p].n_cells for p in ("CD8+", "all")] == [30, 60]


# --- distributions


def test_poisson_limits_are_chi_squares_and_a_ratio_has_clopper_pearsons():
    low, high = garwood(np.array([0, 1, 7]), 0.9)
    assert low.tolist() == pytest.approx([0, *stats.chi2.ppf(0.05, [2, 14]) / 2])
    assert high.tolist() == pytest.approx((stats.chi2.ppf(0.95, [2, 4, 16]) / 2).tolist())
    assert (low.dtype, high.dtype) == (np.float64, np.float64)
    p = stats.beta.ppf(0.05, 3, 6), stats.beta.ppf(0.95, 4, 5)
    assert poisson_ratio(3, 2.0, 5, 4.0, 0.9) == pytest.approx(tuple(2 * x / (1 - x) for x in p))
    assert poisson_ratio(0, 1.0, 5, 1.0, 0.9)[0] == 0.0
    assert poisson_ratio(3, 1.0, 0, 1.0, 0.9)[1] == math.inf
    assert poisson_ratio(3, 1.0, 0, 1.0, 0.9)[0] == pytest.approx(1 / (1 / stats.beta.ppf(0.05, 3, 1) - 1))
    assert t_quantile(7.5, 0.9) == pytest.approx(stats.t.ppf(0.95, 7.5))
    assert welch_dof([4.0, 9.0, 0.0, 5.0], [3, 6, 9, 0]) == pytest.approx(169 / (16 / 3 + 81 / 6))
    assert welch_dof([0.0, 2.0], [5, 0]) == 0.0
    assert [whole_dof(d) for d in (3.0, 3 - 1e-10, 3 - 1e-8, 0.0)] == [3, 3, 2, 0]


def test_counts_more_or_less_spread_than_chance_are_drawn():
    mean = np.full(40_000, 5.0)
    for vmr, expected in ((0.5, 1.0), (1.0, 1.0), (1.5, 1.5), (4.0, 4.0)):
        counts = negative_binomial(mean, vmr, np.random.default_rng(3))
        assert counts.mean() == pytest.approx(5, rel=0.02)
        assert counts.var() / counts.mean() == pytest.approx(expected, rel=0.04)
    assert negative_binomial(np.zeros(5), 3.0, np.random.default_rng(0)).tolist() == [0] * 5


# --- changes and ratios


def test_a_change_adds_its_errors_in_quadrature():
    found = interval(1.5, [(0.3, 8), (0.4, 4)], 0.9)
    dof = 0.25**2 / (0.09**2 / 8 + 0.16**2 / 4)
    half = stats.t.ppf(0.95, dof) * 0.5
    expected = Value(1.5, pytest.approx(1.5 - half), pytest.approx(1.5 + half), pytest.approx(0.5), int(dof))
    assert found == expected
    assert interval(1.5, [(0.0, 5)], 0.9) == Value(1.5, 1.5, 1.5, 0.0, 0)
    assert minimum_detectable_change(found) == pytest.approx(half)
    assert minimum_detectable_change(Value(1.0)) is None
    assert minimum_detectable_change(Value(1.0, 0.5)) is None
    assert minimum_detectable_change(Value(1.0, None, 0.5)) is None


def test_contrasts_of_densities_by_hand():
    a, b = estimate_of(30, 2.0, 0.2, 9), estimate_of(7, 0.5, 0.3, 5)
    assert log2_density(a) == (pytest.approx(math.log2(30.5 / 2)), pytest.approx(0.2 / math.log(2)), 9)
    assert log2_density(estimate_of(30, dof=1))[2] == 1
    for unknown in (estimate_of(30, sigma=None), estimate_of(30, dof=0), estimate_of(30, flags=("few_tiles",))):
        assert log2_density(unknown) == (pytest.approx(math.log2(15.25)), None, 0)
        reason = "too few tiles for an interval"
        assert log2_contrast([a], [unknown], 0.9) == Value(pytest.approx(0.0), reason=reason)
    expected = interval(
        math.log2(30.5 / 2) - math.log2(7.5 / 0.5), [(0.2 / math.log(2), 9), (0.3 / math.log(2), 5)], 0.9
    )
    found = log2_contrast([a], [b], 0.9)
    assert (found.value, found.ci_low, found.dof) == (
        pytest.approx(expected.value), pytest.approx(expected.ci_low), expected.dof,
    )  # fmt: skip
    two = log2_contrast([a, b], [b, a], 0.9)
    assert (two.value, two.sigma) == (pytest.approx(0), pytest.approx(math.sqrt(2) * expected.sigma))
    nothing = Estimate(0, 0.0, None, None, None, None, 0)
    assert log2_contrast([a], [nothing], 0.9) == Value(None, reason="no tissue in this compartment")


def test_a_difference_says_what_is_missing():
    known = Value(1.0, 0.5, 1.5, 0.3, 8)
    found = difference(known, Value(3.0, 2.0, 4.0, 0.4, 4), 0.9)
    assert found == interval(2.0, [(0.3, 8), (0.4, 4)], 0.9)
    assert difference(None, known, 0.9) == Value(None, reason="not measured at both time points")
    assert difference(known, None, 0.9) == Value(None, reason="not measured at both time points")
    assert difference(Value(None, reason="a"), Value(None, reason="b"), 0.9) == Value(None, reason="b")
    assert difference(Value(None, reason="a"), known, 0.9) == Value(None, reason="a")
    assert difference(known, Value(None), 0.9) == Value(None, reason="not available at both time points")
    for other in (Value(3.0), Value(3.0, 2.0, 4.0, 0.4, 0), Value(3.0, None, None, None, 7)):
        assert difference(known, other, 0.9) == Value(2.0, reason="no interval at both time points")
        assert difference(other, known, 0.9) == Value(-2.0, reason="no interval at both time points")
    assert difference(known, Value(3.0, 2.0, 4.0, 0.4, 1), 0.9).dof > 0


def test_the_log_ratio_of_two_densities_by_hand():
    a, b = estimate_of(30, 2.0, 0.4, 9, ("low_count",)), estimate_of(60, 1.0, 0.3, 5, ("few_tiles", "low_count"))
    value = math.log2(30.5 / 2 / (60.5 / 1))
    dof = 0.25**2 / (0.16**2 / 9 + 0.09**2 / 5)
    half = stats.t.ppf(0.95, dof) * 0.5 / math.log(2)
    assert log2_ratio(a, b, confidence=0.9) == Value(
        pytest.approx(value), pytest.approx(value - half), pytest.approx(value + half),
        pytest.approx(0.5 / math.log(2)), int(dof), "", ("low_count", "few_tiles"),
    )  # fmt: skip
    sure = [estimate_of(n, area, 1e-3, 9) for n, area in ((30, 2.0), (60, 1.0))]
    exact = [math.log2(x) for x in poisson_ratio(30, 2.0, 60, 1.0, 0.9)]
    found = log2_ratio(*sure, confidence=0.9)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(exact))
    mean = (abs(exact[0] - value) + abs(exact[1] - value)) / 2
    assert found.sigma == pytest.approx(mean / stats.t.ppf(0.95, 18))
    few = log2_ratio(estimate_of(30, 2.0, None, 0), sure[1], confidence=0.9)
    reason = "too few tiles: exact Poisson limits only"
    assert few == Value(pytest.approx(value), *map(pytest.approx, exact), reason=reason)
    assert log2_ratio(sure[0], estimate_of(60, 1.0, None, 0), confidence=0.9).reason == reason
    one = "no cells on one side: one limit only"
    none_above = log2_ratio(estimate_of(0, 2.0, 0.4, 9), sure[1], confidence=0.9)
    assert (none_above.ci_low, none_above.reason) == (None, one)
    half = stats.t.ppf(0.95, none_above.dof) * math.hypot(0.4, 1e-3) / math.log(2)
    assert none_above.ci_high > none_above.value
    assert none_above.sigma == pytest.approx(
        (none_above.ci_high - none_above.value) / t_quantile(welch_dof((0.16, 1e-6), (9, 9)), 0.9)
    )
    none_below = log2_ratio(sure[0], estimate_of(0, 1.0, 0.4, 9), confidence=0.9)
    assert (none_below.ci_high, none_below.reason) == (None, one)
    neither = Value(None, reason="no cells of this population on either side", flags=("zero_count",))
    assert log2_ratio(estimate_of(0), estimate_of(0), confidence=0.9) == neither
    nothing = Estimate(0, 0.0, None, None, None, None, 0)
    for pair in ((nothing, a), (a, nothing)):
        assert log2_ratio(*pair, confidence=0.9) == Value(None, reason="a compartment has no tissue")


# --- pooled slides


def test_slides_as_tiles_have_cochrans_variance_of_each_population():
    slides = [[(4, 9, 1.0), (2, 3, 0.5)], [(10, 0, 2.0)], [(0, 7, 0.7)]]
    by_slide = [
        [Stratum(("a", "b"), area, 9, np.array([x, y], float), *[np.zeros(2)] * 2, enlarged=True) for x, y, area in of]
        for of in slides
    ]
    found = _slides_as_tiles(by_slide)
    n, area = np.array([[6, 12], [10, 0], [0, 7]], float), np.array([1.5, 2.0, 0.7])
    residual = n - area[:, None] * (n.sum(axis=0) / 4.2)
    assert found.quasi == pytest.approx(1.5 * (residual**2).sum(axis=0))
    assert found.bootstrap == pytest.approx(found.quasi)
    assert (found.populations, found.area_mm2, found.n_tiles, found.enlarged) == (
        ("a", "b"),
        pytest.approx(4.2),
        3,
        False,
    )
    assert found.n_cells.tolist() == [16, 19]


def test_the_wider_of_two_estimates_keeps_the_flags_of_the_tiles():
    within, between = estimate_of(9, sigma=0.2, flags=("few_tiles",)), estimate_of(9, sigma=0.3, dof=2)
    assert _wider(within, between) == estimate_of(9, sigma=0.3, dof=2, flags=("few_tiles",))
    assert _wider(within, estimate_of(9, sigma=0.2, dof=2)) is within
    assert _wider(within, estimate_of(9, sigma=None)) is within
    assert _wider(estimate_of(9, sigma=None), between).sigma_ln == 0.3
