"""Densities: exact intervals against statsmodels, variances by hand, laws, and coverage of the intervals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spatial_til.metrics import density as densities
from spatial_til.metrics.density import combine_strata, dispersion, estimate, estimate_table, summarise_stratum
from spatial_til.metrics.intervals import garwood, poisson_ratio, t_quantile, welch_dof
from spatial_til.metrics.log_ratios import log2_ratio, log2_ratios
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import TileCounts

SETTINGS = {"confidence": 0.95, "bootstrap": 2000, "min_tiles": 8, "seed": 0}


def tile_counts(counts, area=0.04, compartment="core", slide_id="S1", flags=()):
    counts = np.asarray(counts, dtype=np.int64)
    area_mm2 = np.broadcast_to(np.asarray(area, dtype=float), counts.shape).copy()
    where = np.arange(len(counts), dtype=float)
    return TileCounts(slide_id, compartment, 200.0, area_mm2, {"CD8+": counts}, where, where, flags)


def density(*strata, **changes):
    return estimate(strata, "CD8+", **(SETTINGS | changes))


def spread(n, tiles=10, area=1.0, **kw):
    """Return n cells as evenly as can be over tiles that make up the area."""
    counts = np.full(tiles, n // tiles)
    counts[: n % tiles] += 1
    return tile_counts(counts, area / tiles, **kw)


class TestExactPoisson:
    def test_methods_table(self):
        low, high = garwood([0, 1, 5, 10, 20, 100], 0.95)
        np.testing.assert_allclose(low, [0, 0.025, 1.623, 4.795, 12.217, 81.364], atol=6e-4)
        np.testing.assert_allclose(high, [3.689, 5.572, 11.668, 18.390, 30.888, 121.627], atol=6e-4)

    @pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
    def test_agrees_with_statsmodels(self, confidence):
        rates = pytest.importorskip("statsmodels.stats.rates")
        for n in (0, 1, 7, 300):
            ours = [float(limit) for limit in garwood(n, confidence)]
            theirs = rates.confint_poisson(n, 1, method="exact-c", alpha=1 - confidence)
            np.testing.assert_allclose(ours, np.nan_to_num(theirs), rtol=1e-9)

    def test_ratio_oracles(self):
        np.testing.assert_allclose(poisson_ratio(20, 1, 100, 1, 0.95), (0.1172, 0.3256), atol=5e-5)
        np.testing.assert_allclose(poisson_ratio(200, 2, 100, 1, 0.95), (0.783, 1.284), atol=5e-4)
        np.testing.assert_allclose(poisson_ratio(0, 1, 100, 1, 0.95), (0, 0.0376), atol=5e-5)
        assert poisson_ratio(5, 1, 0, 1, 0.95)[1] == np.inf

    def test_ratio_is_clopper_pearson_of_statsmodels(self):
        proportion = pytest.importorskip("statsmodels.stats.proportion")
        low, high = proportion.proportion_confint(17, 17 + 40, method="beta")
        ours = poisson_ratio(17, 2.0, 40, 3.0, 0.95)
        np.testing.assert_allclose(ours, np.array([low / (1 - low), high / (1 - high)]) * 1.5, rtol=1e-9)

    def test_t_and_welch(self):
        assert t_quantile(9, 0.95) == pytest.approx(stats.t.ppf(0.975, 9))
        assert welch_dof([9.0, 16.0], [9, 9]) == pytest.approx(625 / ((81 + 256) / 9))
        assert welch_dof([2.0, 0.0], [7, 30]) == pytest.approx(7)


class TestEstimate:
    def test_density_is_the_ratio_of_sums(self):
        e = density(tile_counts([10, 2] * 5, [0.04, 0.01] * 5))
        assert (e.n_cells, e.area_mm2, e.density_per_mm2) == (60, pytest.approx(0.25), pytest.approx(240))

    def test_quasi_poisson_by_hand(self):
        """Counts 5 and 15 in ten equal tiles: phi = sum((n - 10)^2 / 10) / 9 = 25 / 9."""
        tiles = tile_counts([5, 15] * 5)
        stratum = summarise_stratum(tiles, bootstrap=4000, seed=0)
        assert stratum.quasi[0] == pytest.approx(25 / 9 * 100)
        assert stratum.bootstrap[0] == pytest.approx(250, rel=0.1)  # T x population variance of the tiles
        e = density(tiles)
        t = stats.t.ppf(0.975, 9)
        half = t * np.sqrt(25 / 9 / 100)
        assert e.ci_high == pytest.approx(250 * np.exp(half))
        assert e.ci_low == pytest.approx(250 * np.exp(-half))
        assert (e.sigma_ln, e.dof) == (pytest.approx(np.sqrt(25 / 9 / 100)), 9)

    def test_even_counts_fall_back_on_exact_poisson(self):
        e = density(spread(100))
        assert (e.ci_low, e.ci_high) == pytest.approx((81.364, 121.627), abs=1e-3)
        assert e.sigma_ln == pytest.approx(np.log(121.627 / 81.364) / 2 / stats.t.ppf(0.975, 9), rel=1e-4)

    def test_no_cells(self):
        e = density(spread(0, area=2.0))
        assert (e.density_per_mm2, e.ci_low, e.ci_high) == (0.0, 0.0, pytest.approx(3.689 / 2, abs=1e-3))
        assert {"zero_count", "low_count"} <= set(e.flags)
        reach = np.exp(stats.t.ppf(0.975, 9) * e.sigma_ln)
        assert 0.5 * reach == pytest.approx(3.689, abs=1e-3)

    def test_no_area_is_not_zero(self):
        e = density(tile_counts([]))
        assert (e.n_cells, e.area_mm2, e.density_per_mm2, e.ci_low, e.sigma_ln) == (0, 0.0, None, None, None)
        e = density(tile_counts([12], 0.0))  # counted cells, area unknown
        assert (e.n_cells, e.density_per_mm2, e.ci_high) == (12, None, None)

    def test_few_tiles(self):
        e = density(tile_counts([30, 34, 29]))
        assert "few_tiles" in e.flags
        assert e.dof == 2
        single = density(tile_counts([30]))
        assert (single.sigma_ln, single.dof) == (None, 0)
        assert "few_tiles" in single.flags
        assert single.ci_high > single.density_per_mm2 > single.ci_low

    def test_low_count_is_fifteen_times_the_variance_to_mean(self):
        assert "low_count" in density(spread(14)).flags
        assert "low_count" not in density(spread(15)).flags
        clustered = tile_counts([5, 15] * 5)  # ratio 2.8: 42 needed
        assert "low_count" not in density(clustered).flags
        assert "low_count" in density(tile_counts([0, 8] * 5)).flags  # 40 cells, ratio 4.4: 67 needed

    def test_enlarged_tiles_are_said_even_of_one_stratum(self):
        enlarged = tile_counts([9] * 10, flags=("tiles_enlarged",))
        as_asked = tile_counts([9] * 10, compartment="inner_margin")
        assert "tiles_enlarged" in density(enlarged).flags
        assert "tiles_enlarged" in density(enlarged, as_asked).flags
        assert "tiles_enlarged" not in density(as_asked).flags

    def test_tiles_are_few_below_the_number_asked_for_in_all_strata_together(self):
        seven, eight = tile_counts([9] * 7), tile_counts([9] * 8)
        assert ("few_tiles" in density(seven).flags, "few_tiles" in density(eight).flags) == (True, False)
        four = tile_counts([9] * 4)
        assert "few_tiles" not in density(four, replace(four, compartment="inner_margin")).flags

    def test_dispersion_is_pearsons_for_each_population_and_one_where_nothing_was_found(self):
        counts = {"a": np.array([5, 15] * 5), "none": np.zeros(10, dtype=np.int64), "even": np.full(10, 7)}
        tiles = replace(tile_counts([0] * 10), counts=counts)
        assert dispersion(tiles) == pytest.approx({"a": 25 / 9, "none": 1.0, "even": 0.0})
        assert summarise_stratum(tiles, bootstrap=10, seed=0).quasi == pytest.approx([25 / 9 * 100, 0, 0])
        assert dispersion(tile_counts([3, 5])) == pytest.approx({"CD8+": 0.5})
        assert np.isnan(dispersion(tile_counts([3]))["CD8+"])

    @pytest.mark.parametrize("at_once", [3, 8, 20, 4_000_000])
    def test_bootstrap_is_the_variance_over_draws_however_many_are_held_at_once(self, monkeypatch, at_once):
        """Of 12 draws of 8 tiles; with 3 weights at once not even one draw would be held."""
        monkeypatch.setattr(densities, "_WEIGHTS_AT_ONCE", at_once)
        tiles = tile_counts([1, 40, 3, 22, 9, 0, 17, 30], [0.04, 0.01] * 4)
        chosen = seeded_generator(0, "S1", "core").integers(8, size=(12, 8), dtype=np.int32)
        drawn = tiles.counts["CD8+"][chosen].sum(axis=1) / tiles.area_mm2[chosen].sum(axis=1)
        found = summarise_stratum(tiles, bootstrap=12, seed=0).bootstrap
        assert found == pytest.approx([drawn.var(ddof=1) * tiles.area_mm2.sum() ** 2])

    def test_a_stratum_of_two_tiles_has_a_variance_of_its_own(self):
        parts = tile_counts([5, 15] * 5), tile_counts([5, 25], compartment="inner_margin")
        quasi = 25 / 9 * 100 + 2 * 10**2 / 15 * 30
        resampled = sum(summarise_stratum(part, bootstrap=2000, seed=0).bootstrap[0] for part in parts)
        e = density(*parts)
        assert quasi > resampled
        assert np.log(e.ci_high / e.density_per_mm2) == pytest.approx(t_quantile(e.dof, 0.95) * np.sqrt(quasi) / 130)

    def test_strata_add_their_variances(self):
        inner, outer = (
            tile_counts([5, 15] * 5, compartment="inner_margin"),
            tile_counts([30, 50] * 8, compartment="outer_margin"),
        )
        parts = [summarise_stratum(s, bootstrap=2000, seed=0) for s in (inner, outer)]
        e = density(inner, outer)
        variance = max(sum(p.quasi[0] for p in parts), sum(p.bootstrap[0] for p in parts))
        assert e.n_cells == 740
        assert np.log(e.ci_high / e.density_per_mm2) == pytest.approx(t_quantile(e.dof, 0.95) * np.sqrt(variance) / 740)
        # the step between the two densities is not variance: 250 against 1000 per mm²
        merged = density(tile_counts([5, 15] * 5 + [30, 50] * 8))
        assert merged.ci_high > e.ci_high

    def test_a_stratum_of_one_tile_borrows_the_dispersion_of_the_others(self):
        clustered = tile_counts([5, 15] * 5)
        e = density(clustered, tile_counts([10], compartment="tumor_unresolved"))
        ratio = 250 / 90 if 25 / 9 * 100 > 250 else 2.5
        assert e.sigma_ln >= np.sqrt(ratio * 110) / 110 * 0.99
        assert e.dof == 9

    def test_table_has_compartments_and_aggregates(self):
        tiles = {"core": spread(100), "inner_margin": spread(50, compartment="inner_margin")}
        table = estimate_table(tiles, **SETTINGS)
        assert {c for _, c in table} == {"core", "inner_margin", "margin", "tumor", "tissue"}
        assert table["CD8+", "tumor"].n_cells == 150
        assert table["CD8+", "margin"] == replace(table["CD8+", "inner_margin"])
        assert table["CD8+", "core"] == density(tiles["core"])

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(counts=st.lists(st.integers(0, 60), min_size=2, max_size=30), factor=st.sampled_from([0.25, 4.0]))
    def test_laws(self, counts, factor):
        """Never narrower than exact Poisson, holds the estimate; area x k: density and limits / k."""
        e, scaled = density(tile_counts(counts)), density(tile_counts(counts, 0.04 * factor))
        low, high = garwood(e.n_cells, 0.95)
        assert e.ci_low * e.area_mm2 <= low * (1 + 1e-12)
        assert e.ci_high * e.area_mm2 >= high * (1 - 1e-12)
        assert e.ci_low <= e.density_per_mm2 <= e.ci_high
        assert scaled.density_per_mm2 * factor == pytest.approx(e.density_per_mm2)
        assert scaled.ci_high * factor == pytest.approx(e.ci_high)
        assert scaled.sigma_ln == pytest.approx(e.sigma_ln)

    def test_same_seed_same_numbers_and_names_matter(self):
        tiles = tile_counts([1, 40, 3, 22, 9, 0, 17, 30], [0.04, 0.01] * 4)
        again = summarise_stratum(tiles, bootstrap=500, seed=0).bootstrap
        np.testing.assert_array_equal(again, summarise_stratum(tiles, bootstrap=500, seed=0).bootstrap)
        for other in (replace(tiles, slide_id="S2"), replace(tiles, compartment="outside")):
            assert again != summarise_stratum(other, bootstrap=500, seed=0).bootstrap
        assert again != summarise_stratum(tiles, bootstrap=500, seed=1).bootstrap

    def test_generator_is_the_same_on_every_machine(self):
        assert seeded_generator(0, "S1", "core").integers(1_000_000) == 380297
        assert seeded_generator(0, "S1", "core").random() != seeded_generator(0, "S1c", "ore").random()

    def test_populations_do_not_disturb_each_other(self):
        alone = tile_counts([1, 40, 3, 22, 9, 0, 17, 30])
        both = replace(alone, counts={"all": alone.counts["CD8+"] * 3, **alone.counts})
        assert density(both) == density(alone)

    def test_strata_of_different_panels_are_refused(self):
        parts = [summarise_stratum(spread(30), bootstrap=50, seed=0) for _ in range(2)]
        parts[1] = replace(parts[1], populations=("PD-L1+",))
        with pytest.raises(ValueError, match="same populations"):
            combine_strata(parts, confidence=0.95, min_tiles=8)


class TestLog2Ratio:
    def test_poisson_oracles(self):
        """methods G5: 20 against 100 in 1 mm²: -2.294; equal counts: log2 1 = 0."""
        value = log2_ratio(density(spread(20, 40)), density(spread(100, 40)), confidence=0.95)
        assert value.value == pytest.approx(-2.294, abs=1e-3)
        assert value.ci_low == pytest.approx(-3.09, abs=0.06)
        assert value.ci_high == pytest.approx(-1.62, abs=0.06)
        assert value.ci_low <= np.log2(0.1172)
        assert value.ci_high >= np.log2(0.3256)

    @pytest.mark.parametrize(("n", "se"), [(10, 0.645), (20, 0.456), (50, 0.289), (100, 0.204), (500, 0.091)])
    def test_standard_error_of_equal_poisson_counts(self, n, se):
        """Poisson's error, and the half count by which exact limits step out: 1 / n on the ln scale."""
        e = density(spread(n, 400))
        value = log2_ratio(e, e, confidence=0.95)
        t = t_quantile(value.dof, 0.95)
        assert value.value == 0
        assert value.sigma * t == pytest.approx(se * 1.96 + 1 / n / np.log(2), rel=0.02)

    def test_no_cells_above_gives_an_upper_limit(self):
        value = log2_ratio(density(spread(0, 40)), density(spread(100, 40)), confidence=0.95)
        assert value.value == pytest.approx(-7.65, abs=0.01)
        assert value.ci_low is None
        assert value.ci_high == pytest.approx(np.log2(0.0376), abs=0.05)
        assert "one limit" in value.reason

    def test_no_cells_below_gives_a_lower_limit(self):
        value = log2_ratio(density(spread(100, 40)), density(spread(0, 40)), confidence=0.95)
        assert value.ci_high is None
        assert value.ci_low == pytest.approx(-np.log2(0.0376), abs=0.05)

    def test_unknown_stays_unknown(self):
        none, some, empty = density(spread(0)), density(spread(9)), density(tile_counts([]))
        assert log2_ratio(none, none, confidence=0.95).value is None
        assert log2_ratio(some, empty, confidence=0.95).value is None
        assert log2_ratio(empty, some, confidence=0.95).reason == "a compartment has no tissue"

    def test_few_tiles_keep_the_exact_limits(self):
        value = log2_ratio(density(tile_counts([20], 1.0)), density(spread(100)), confidence=0.95)
        assert (value.ci_low, value.ci_high) == pytest.approx((np.log2(0.1172), np.log2(0.3256)), abs=1e-3)
        assert value.sigma is None

    def test_three_ratios(self):
        tiles = {
            "core": spread(100),
            "inner_margin": spread(200, compartment="inner_margin"),
            "outer_margin": spread(400, compartment="outer_margin"),
        }
        table = estimate_table(tiles, **SETTINGS)
        values = log2_ratios({c: e for (_, c), e in table.items()}, confidence=0.95)
        assert values["log2_core_margin"].value == pytest.approx(np.log2(100.5 / 300.25), abs=1e-3)
        assert values["log2_core_outer"].value == pytest.approx(-2, abs=0.01)
        assert values["log2_inner_outer"].value == pytest.approx(-1, abs=0.01)


@pytest.mark.parametrize("ratio", [1, 3, 10])
@pytest.mark.parametrize("tiles", [8, 50])
def test_coverage_of_95_percent_intervals(ratio, tiles):
    """Expected count 15 x variance-to-mean, negative binomial tiles of unequal area: 0.92 to 0.99."""
    random = np.random.default_rng(ratio * 1000 + tiles)
    share = np.where(np.arange(tiles) % 3, 1.0, 0.4)
    share /= share.sum()
    mean, repeats, hits = 15 * ratio * share, 1500, 0
    for i in range(repeats):
        rate = mean if ratio == 1 else random.gamma(mean / (ratio - 1), ratio - 1)
        e = density(tile_counts(random.poisson(rate), share, slide_id=str(i)), bootstrap=200)
        hits += e.ci_low <= 15 * ratio <= e.ci_high
    assert 0.92 <= hits / repeats <= 0.99
