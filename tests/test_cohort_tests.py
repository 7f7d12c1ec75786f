"""Exact tests, shifts and correlation against closed forms, enumeration and scipy."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics import rank_tests
from spatial_til.metrics.location_shifts import (
    cluster_shift_between,
    cluster_shift_paired,
    shift_between,
    shift_paired,
)
from spatial_til.metrics.multiplicity import benjamini_hochberg
from spatial_til.metrics.rank_correlation import cluster_spearman, spearman
from spatial_til.metrics.rank_tests import EXACT_UP_TO, rank_sum, rank_sum_quantile, sign_flip, signed_rank_quantile

RANDOM = np.random.default_rng(20240301)


def enumerated_rank_sum(a, b):
    ranks = stats.rankdata(np.concatenate([a, b]))
    mean = len(a) * (len(ranks) + 1) / 2
    sums = np.array([ranks[list(chosen)].sum() for chosen in combinations(range(len(ranks)), len(a))])
    return float((np.abs(sums - mean) >= abs(ranks[: len(a)].sum() - mean) - 1e-9).mean())


def enumerated_sign_flip(differences):
    ranks = stats.rankdata(np.abs(differences)) * (differences != 0)
    found = abs((np.sign(differences) * ranks).sum())
    sums = np.array([abs(np.dot(signs, ranks)) for signs in product((-1, 1), repeat=len(ranks))])
    return float((sums >= found - 1e-9).mean())


@pytest.mark.parametrize(("n_a", "n_b"), [(3, 3), (4, 6), (7, 5), (1, 9)])
@pytest.mark.parametrize("levels", [3, 6, 1000])
def test_rank_sum_is_the_enumeration_with_ties(n_a, n_b, levels):
    a, b = RANDOM.integers(0, levels, n_a).astype(float), RANDOM.integers(0, levels, n_b) + 0.0
    assert rank_sum(a, b).p_value == pytest.approx(enumerated_rank_sum(a, b))


def test_rank_sum_without_ties_is_scipys():
    a, b = RANDOM.normal(size=12), RANDOM.normal(0.8, size=17)
    assert rank_sum(a, b).p_value == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)


def test_rank_sum_of_many_is_scipys_normal():
    a, b = RANDOM.integers(0, 50, 80).astype(float), RANDOM.integers(5, 55, 70).astype(float)
    found = rank_sum(a, b)
    assert not found.exact
    assert found.p_value == pytest.approx(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)


def test_exact_and_normal_agree_where_they_meet():
    a, b = RANDOM.normal(size=EXACT_UP_TO // 2), RANDOM.normal(0.4, size=EXACT_UP_TO // 2)
    normal = stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    assert rank_sum(a, b).p_value == pytest.approx(normal, abs=0.002)


@pytest.mark.parametrize(("n_a", "n_b", "smallest"), [(3, 3, 2 / 20), (4, 4, 2 / 70), (2, 5, 2 / 21), (1, 20, 2 / 21)])
def test_smallest_p_of_a_rank_sum(n_a, n_b, smallest):
    assert rank_sum(np.arange(n_a) + 0.0, np.arange(n_b) + 0.5).smallest == pytest.approx(smallest)


@pytest.mark.parametrize("n", [3, 6, 9])
@pytest.mark.parametrize("levels", [3, 1000])
def test_sign_flip_is_the_enumeration_with_ties_and_zeros(n, levels):
    differences = RANDOM.integers(-levels, levels + 1, n).astype(float)
    assert sign_flip(differences).p_value == pytest.approx(enumerated_sign_flip(differences))


def test_sign_flip_without_ties_is_scipys():
    differences = RANDOM.normal(0.5, size=15)
    assert sign_flip(differences).p_value == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125)])
def test_smallest_p_of_pairs(n, smallest):
    assert sign_flip(np.arange(1.0, n + 1)).smallest == pytest.approx(smallest)


def test_nothing_but_zeros_is_no_difference():
    assert sign_flip(np.zeros(8)).p_value == 1.0


@pytest.mark.parametrize("n", [2, EXACT_UP_TO])
def test_groups_that_are_all_alike_do_not_differ_few_or_many(n):
    found = rank_sum(np.ones(n), np.ones(n))
    assert (found.p_value, found.smallest, found.exact) == (1.0, 1.0, n == 2)


def test_p_is_at_most_alpha_that_often_where_nothing_differs():
    p = [rank_sum(RANDOM.normal(size=6), RANDOM.normal(size=7)).p_value for _ in range(2000)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_quantiles_are_those_of_the_distributions():
    # published tables: U 0.025 for 5 and 5 is 2, for 10 and 10 is 23; W 0.025 for 8 is 3, for 20 is 52
    assert rank_sum_quantile(5, 5, 0.025) == 2 + 1
    assert rank_sum_quantile(10, 10, 0.025) == 23 + 1
    assert signed_rank_quantile(8, 0.025) == 3 + 1
    assert signed_rank_quantile(20, 0.025) == 52 + 1
    assert rank_sum_quantile(3, 3, 0.025) == 0
    assert signed_rank_quantile(5, 0.025) == 0


def test_shift_moves_with_the_group():
    a, b = RANDOM.normal(size=9), RANDOM.normal(size=11)
    one, two = shift_between(a, b, confidence=0.95), shift_between(a, b + 2, confidence=0.95)
    assert (two.value, two.ci_low, two.ci_high) == pytest.approx((one.value + 2, one.ci_low + 2, one.ci_high + 2))
    back = shift_between(b, a, confidence=0.95)
    assert (back.value, back.ci_low, back.ci_high) == pytest.approx((-one.value, -one.ci_high, -one.ci_low))


def test_interval_of_the_shift_holds_what_the_test_accepts():
    a, b = RANDOM.normal(size=8), RANDOM.normal(1, size=9)
    shift = shift_between(a, b, confidence=0.95)
    for inside, outside in ((shift.ci_low + 1e-6, shift.ci_low - 1e-6), (shift.ci_high - 1e-6, shift.ci_high + 1e-6)):
        assert rank_sum(a + inside, b).p_value > 0.05
        assert rank_sum(a + outside, b).p_value <= 0.05


def test_interval_of_the_paired_shift_holds_what_the_test_accepts():
    d = RANDOM.normal(1, size=10)
    shift = shift_paired(d, confidence=0.95)
    assert shift.value == pytest.approx(np.median([(x + y) / 2 for i, x in enumerate(d) for y in d[i:]]))
    assert sign_flip(d - shift.ci_low - 1e-6).p_value > 0.05
    assert sign_flip(d - shift.ci_low + 1e-6).p_value <= 0.05


@pytest.mark.parametrize(("n_a", "n_b"), [(3, EXACT_UP_TO - 2), (EXACT_UP_TO // 2, EXACT_UP_TO // 2 + 1)])
def test_the_normal_quantile_of_many_rank_sums_is_near_the_exact_one_and_further_out_on_the_safe_side(
    monkeypatch, n_a, n_b
):
    """At 99 % it lies up to ten below the exact one of 3 and 98 patients: a wider interval, never a narrower."""
    normal = [rank_sum_quantile(n_a, n_b, tail) for tail in (0.025, 0.005)]
    monkeypatch.setattr(rank_tests, "EXACT_UP_TO", n_a + n_b)
    exact = [rank_sum_quantile(n_a, n_b, tail) for tail in (0.025, 0.005)]
    assert abs(normal[0] - exact[0]) <= 1
    assert exact[1] - 10 <= normal[1] <= exact[1]


def test_few_patients_have_no_interval():
    assert shift_between(np.arange(3.0), np.arange(3.0), confidence=0.95).ci_low is None
    assert shift_paired(np.arange(5.0), confidence=0.95).ci_low is None


def test_a_shift_that_resamples_patients_is_hodges_and_lehmanns_and_moves_with_a_group():
    a, b = RANDOM.gamma(2, 3, size=11), RANDOM.gamma(2, 5, size=9)  # skewed and not about 0: signs matter

    def shift(a, b):
        return cluster_shift_between(a, b, confidence=0.95, bootstrap=200, random=np.random.default_rng(0))

    found = shift(a, b)
    assert found.value == pytest.approx(np.median([y - x for x in a for y in b]))
    for moved, by in ((shift(a, b + 4), 4), (shift(a + 4, b), -4)):
        assert (moved.value, moved.ci_low, moved.ci_high) == pytest.approx(
            (found.value + by, found.ci_low + by, found.ci_high + by)
        )


def test_coverage_of_the_intervals():
    draws, covered = 400, np.zeros(4)
    for i in range(draws):
        a, b, d = RANDOM.normal(size=12), RANDOM.normal(0.7, size=15), RANDOM.normal(0.7, size=14)
        seeded = {"confidence": 0.95, "bootstrap": 300, "random": np.random.default_rng(i)}
        found = (
            shift_between(a, b, confidence=0.95),
            shift_paired(d, confidence=0.95),
            cluster_shift_between(a, b, **seeded),
            cluster_shift_paired(d, **seeded),
        )
        covered += [value.ci_low <= 0.7 <= value.ci_high for value in found]
    assert np.all(covered / draws > 0.95 - 3 * math.sqrt(0.05 * 0.95 / draws))
    assert np.all(covered / draws < 0.99)


def test_cluster_bootstrap_copes_with_unequal_spread():
    draws, covered = 300, 0
    for i in range(draws):
        few, many = RANDOM.normal(0, 3, size=10), RANDOM.normal(0, 0.5, size=30)
        value = cluster_shift_between(few, many, confidence=0.95, bootstrap=300, random=np.random.default_rng(i))
        covered += value.ci_low <= 0 <= value.ci_high
    assert covered / draws > 0.95 - 3 * math.sqrt(0.05 * 0.95 / draws)


def test_spearman_is_scipys():
    x, y = RANDOM.integers(0, 9, 20).astype(float), RANDOM.normal(size=20)
    value, test = spearman(x, y + 0.2 * x, confidence=0.95)
    theirs = stats.spearmanr(x, y + 0.2 * x)
    assert (value.value, test.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_no_correlation_is_zero_and_a_full_one_is_one_to_the_last_digit():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(x, np.array([2.0, 4.0, 1.0, 3.0]), confidence=0.95)[0].value == 0
    for n in range(3, 40):
        x = np.random.default_rng(n).integers(0, 9, n) + np.linspace(0, 3, n)
        assert (spearman(x, x, confidence=0.95)[0].value, spearman(x, -x, confidence=0.95)[0].value) == (1, -1)


def test_spearman_of_few_tries_every_order():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 3, 4, 5])
    value, test = spearman(x, y, confidence=0.95)
    assert value.value == pytest.approx(0.9)
    assert test.p_value == pytest.approx(10 / 120)  # 4 orders at 0.9, the one at 1, and as many below 0
    assert test.smallest == pytest.approx(2 / 120)


def test_spearman_says_nothing_of_constants():
    assert spearman(np.ones(9), np.arange(9.0), confidence=0.95)[0].value is None


def test_spearman_interval_is_bonett_and_wrights():
    x = np.arange(30.0)
    y = x + RANDOM.normal(0, 12, 30)
    value, _ = spearman(x, y, confidence=0.95)
    se = math.sqrt((1 + value.value**2 / 2) / 27)
    low = math.tanh(math.atanh(value.value) - 1.959964 * se)
    assert value.ci_low == pytest.approx(low, abs=1e-6)


def test_cluster_interval_of_spearman_covers_the_truth():
    draws, covered, rho = 300, 0, 0.5
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a bivariate normal
    for i in range(draws):
        x, y = RANDOM.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 25).T
        value, _ = cluster_spearman(x, y, confidence=0.95, bootstrap=300, random=np.random.default_rng(i))
        covered += value.ci_low <= truth <= value.ci_high
    assert 0.95 - 3 * math.sqrt(0.05 * 0.95 / draws) < covered / draws < 0.995


def test_q_values_are_scipys():
    p = RANDOM.uniform(size=40) ** 2
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
