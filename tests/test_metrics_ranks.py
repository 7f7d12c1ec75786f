"""Rank tests, shifts and correlations of few patients against all permutations, one by one."""

import math
from itertools import combinations, permutations, product

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics import rank_tests
from spatial_til.metrics.location_shifts import (
    _studentised,
    _weighted_median,
    cluster_shift_between,
    cluster_shift_paired,
    shift_between,
    shift_paired,
)
from spatial_til.metrics.multiplicity import benjamini_hochberg
from spatial_til.metrics.rank_correlation import _standardised, _test, cluster_spearman, spearman
from spatial_til.metrics.rank_tests import (
    EXACT_UP_TO,
    Significance,
    _flipped_sums,
    _lower_quantile,
    _normal,
    _normal_quantile,
    _subset_sums,
    rank_sum,
    rank_sum_quantile,
    sign_flip,
    signed_rank_quantile,
)
from spatial_til.model import Value

TIED = np.array([1.0, 2, 2, 3, 5, 5, 5, 8])


@pytest.mark.parametrize("size", [1, 2, 4, 6, 7])
@pytest.mark.parametrize("seed", range(3))
def test_rank_sums_are_counted_over_all_ways_to_deal_the_patients(size, seed):
    values = np.random.default_rng(seed).permutation(TIED)
    ranks = stats.rankdata(values)
    centre = size * 4.5
    every = np.array([abs(ranks[list(chosen)].sum() - centre) for chosen in combinations(range(8), size)])
    found = rank_sum(values[:size], values[size:])
    assert found.p_value == pytest.approx((every >= abs(ranks[:size].sum() - centre) - 1e-9).mean())
    assert found.smallest == pytest.approx((every >= every.max() - 1e-9).mean())
    assert found.exact is True
    assert rank_sum(values[size:], values[:size]) == found


@pytest.mark.parametrize("seed", range(4))
def test_signs_are_flipped_in_all_ways_and_a_zero_keeps_its_rank_but_has_none(seed):
    values = np.random.default_rng(seed).permutation([0.0, 0, 1, 1, -2, 3, -3, 7]) * (1 if seed % 2 else -1)
    ranks = stats.rankdata(np.abs(values))
    signed = ranks[values != 0]
    every = np.array([abs(np.dot(signs, signed)) for signs in product((-1, 1), repeat=len(signed))])
    found = sign_flip(values)
    assert found.p_value == pytest.approx((every >= abs((np.sign(values) * ranks).sum()) - 1e-9).mean())
    assert found.smallest == pytest.approx((every >= every.max() - 1e-9).mean())
    assert found.exact is True


def test_no_sign_to_flip_and_one_sign_to_flip():
    assert sign_flip(np.zeros(3)) == Significance(1.0, 1.0, exact=True)
    assert sign_flip(np.zeros(0)) == Significance(1.0, 1.0, exact=True)
    assert sign_flip(np.array([0.0, 2.0])) == Significance(1.0, 1.0, exact=True)
    assert sign_flip(np.array([1.0, 2.0])) == Significance(0.5, 0.5, exact=True)


def test_many_patients_have_the_normal_distribution_with_ties_and_continuity():
    random = np.random.default_rng(3)
    a, b = random.integers(0, 9, 40).astype(float), random.integers(1, 10, 61).astype(float)
    found = rank_sum(a, b)
    expected = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=True).pvalue
    assert found == Significance(pytest.approx(expected), 0.0, exact=False)
    assert rank_sum(b, a) == found
    assert rank_sum(a, b[:60]).exact  # a hundred are counted out
    assert rank_sum(np.ones(60), np.ones(60)) == Significance(1.0, 1.0, exact=False)
    x = random.normal(0.2, 1, EXACT_UP_TO + 1)
    assert not sign_flip(x).exact
    assert sign_flip(np.append(x[:-1], 0.0)).exact


def test_the_normal_p_is_two_sided_and_less_one_half_for_continuity():
    assert _normal(2.5, 4.0) == Significance(pytest.approx(2 * stats.norm.sf(1.0)), 0.0, exact=False)
    for near in (0.0, 0.4, 0.5):
        assert _normal(near, 4.0) == Significance(1.0, 0.0, exact=False)
    assert _normal(3.0, 0.0) == Significance(1.0, 1.0, exact=False)
    assert _normal(1.5, 1.0).p_value == pytest.approx(2 * stats.norm.sf(1.0))


@pytest.mark.parametrize("items", [(1, 2, 3, 4), (2, 2, 5), (1, 1, 1, 6, 9)])
def test_sums_of_subsets_are_counted(items):
    for size in range(1, len(items) + 1):
        sums = [sum(chosen) for chosen in combinations(items, size)]
        expected = np.bincount(sums, minlength=max(sums) + 1) / len(sums)
        assert _subset_sums(items, size) == pytest.approx(expected)
    sums = [sum(x for x, taken in zip(items, of, strict=True) if taken) for of in product((0, 1), repeat=len(items))]
    assert _flipped_sums(items) == pytest.approx(np.bincount(sums) / len(sums))
    assert len(_flipped_sums(items)) == sum(items) + 1


def test_a_quantile_is_the_largest_with_no_more_than_the_tail_below_it():
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    assert [_lower_quantile(shares, tail) for tail in (0.09, 0.1, 0.29, 0.3, 0.6, 0.99)] == [0, 1, 1, 2, 3, 3]
    assert _lower_quantile(shares, 0.1 * (1 - 1e-8)) == 0  # not by rounding
    assert _lower_quantile(shares, 0.1 * (1 - 1e-11)) == 1
    assert [_normal_quantile(10.0, 4.0, tail) for tail in (0.5, 0.025, 1e-9)] == [10, 6, 0]
    assert _normal_quantile(10.9, 4.0, 0.5) == 10


@pytest.mark.parametrize(("n_a", "n_b"), [(3, 5), (5, 3), (1, 4), (6, 6), (2, 9)])
@pytest.mark.parametrize("tail", [0.025, 0.05, 0.2])
def test_quantiles_of_the_rank_sum_and_of_the_signed_ranks_are_those_of_all_cases(n_a, n_b, tail):
    u = np.array([sum(chosen) - n_a * (n_a - 1) / 2 for chosen in combinations(range(n_a + n_b), n_a)])
    assert rank_sum_quantile(n_a, n_b, tail) == max(k for k in range(n_a * n_b + 1) if (u < k).mean() <= tail + 1e-12)
    w = np.array([sum(k for k, up in enumerate(of, start=1) if up) for of in product((0, 1), repeat=n_b)])
    largest = n_b * (n_b + 1) // 2
    assert signed_rank_quantile(n_b, tail) == max(k for k in range(largest + 1) if (w < k).mean() <= tail + 1e-12)


def test_quantiles_of_many_patients_are_those_of_the_normal():
    z = stats.norm.ppf(0.025)
    assert rank_sum_quantile(50, 50, 0.025) == pytest.approx(1250 + z * math.sqrt(2500 * 101 / 12), abs=2)
    assert rank_sum_quantile(40, 61, 0.025) == math.floor(1220 + z * math.sqrt(2440 * 102 / 12))
    assert signed_rank_quantile(120, 0.025) == math.floor(120 * 121 / 4 + z * math.sqrt(120 * 121 * 241 / 24))


def test_exact_counting_ends_at_a_hundred(monkeypatch):
    monkeypatch.setattr(rank_tests, "EXACT_UP_TO", 8)
    assert rank_sum(TIED[:3], TIED[3:]).exact
    assert not rank_sum(TIED[:3], np.append(TIED[3:], 9.0)).exact
    monkeypatch.setattr(rank_tests, "_normal_quantile", lambda *_: -1)
    assert rank_sum_quantile(4, 4, 0.05) >= 0
    assert rank_sum_quantile(4, 5, 0.05) == -1
    assert signed_rank_quantile(8, 0.05) >= 0
    assert signed_rank_quantile(9, 0.05) == -1


# --- shifts


def test_a_shift_is_the_median_difference_between_those_the_test_does_not_reject():
    a, b = np.array([1.0, 4, 2, 9, 7]), np.array([3.0, 8, 12, 20, 6, 11])
    differences = np.sort([y - x for x in a for y in b])
    k = rank_sum_quantile(5, 6, 0.05)
    assert k > 1
    expected = Value(np.median(differences), differences[k - 1], differences[-k])
    assert shift_between(a, b, confidence=0.9) == expected
    x = np.array([1.0, -3, 5, 8, 2, 2.5, 9])
    means = np.sort([(x[i] + x[j]) / 2 for i in range(7) for j in range(i, 7)])
    k = signed_rank_quantile(7, 0.05)
    assert k > 1
    assert shift_paired(x, confidence=0.9) == Value(np.median(means), means[k - 1], means[-k])
    reason = "too few patients for an interval"
    assert shift_between(a[:2], b[:1], confidence=0.95) == Value(0.5, reason=reason)
    assert shift_paired(x[:2], confidence=0.95) == Value(-1.0, reason=reason)


def test_a_shift_between_groups_of_several_lesions_resamples_patients():
    a, b = np.array([1.0, 4, 2, 9]), np.array([3.0, 8, 13, 20, 6.5])
    found = cluster_shift_between(a, b, confidence=0.9, bootstrap=50, random=np.random.default_rng(6))
    random = np.random.default_rng(6)
    of_b, of_a = random.multinomial(5, [0.2] * 5, 50), random.multinomial(4, [0.25] * 4, 50)
    centres = []
    for in_a, in_b in zip(of_a, of_b, strict=True):
        every = np.sort([y - x for x in np.repeat(a, in_a) for y in np.repeat(b, in_b)])
        centres.append(every[(len(every) - 1) // 2])  # the lower of two in the middle
    sigma = np.std(centres, ddof=1)
    centre = np.median([y - x for x in a for y in b])
    half = stats.t.ppf(0.95, 7) * sigma
    assert found == Value(
        pytest.approx(centre), pytest.approx(centre - half), pytest.approx(centre + half), pytest.approx(sigma), 7
    )


def test_a_paired_shift_of_several_lesions_resamples_patients():
    x = np.array([1.0, -3, 5, 8, 2.2])
    found = cluster_shift_paired(x, confidence=0.9, bootstrap=50, random=np.random.default_rng(6))
    centres = []
    for times in np.random.default_rng(6).multinomial(5, [0.2] * 5, 50):
        drawn = np.repeat(x, times)
        every = np.sort([(drawn[i] + drawn[j]) / 2 for i in range(5) for j in range(i, 5)])
        centres.append(every[(len(every) - 1) // 2])
    sigma = np.std(centres, ddof=1)
    centre = np.median([(x[i] + x[j]) / 2 for i in range(5) for j in range(i, 5)])
    half = stats.t.ppf(0.95, 4) * sigma
    assert found == Value(
        pytest.approx(centre), pytest.approx(centre - half), pytest.approx(centre + half), pytest.approx(sigma), 4
    )


def test_a_weighted_median_is_that_of_repeated_numbers():
    assert _weighted_median(np.array([1.0, 2, 3]), np.array([1, 0, 2])) == 3.0
    assert _weighted_median(np.array([1.0, 2, 3]), np.array([2, 1, 1])) == 1.0
    assert _weighted_median(np.array([1.0, 2, 3]), np.array([1, 2, 1])) == 2.0


@pytest.mark.parametrize(("drawn", "dof"), [([1.0, 2.0], 0), ([1.0, 1.0], 3), ([1.0, np.inf], 3)])
def test_a_centre_whose_draws_say_nothing_has_no_interval(drawn, dof):
    with np.errstate(invalid="ignore"):
        found = _studentised(1.5, np.array(drawn), dof, 0.9)
    assert found == Value(1.5, reason="too few patients for an interval")


def test_a_centre_has_its_error_times_t():
    half = stats.t.ppf(0.95, 1) * math.sqrt(0.5)
    expected = Value(1.5, pytest.approx(1.5 - half), pytest.approx(1.5 + half), pytest.approx(math.sqrt(0.5)), 1)
    assert _studentised(1.5, np.array([1.0, 2.0]), 1, 0.9) == expected


# --- correlation


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("seed", range(3))
def test_spearmans_p_is_counted_over_all_orders(n, seed):
    random = np.random.default_rng(seed)
    x, y = random.integers(0, 6, n).astype(float), random.normal(size=n)
    x[0], x[1] = -1.0, 9.0
    r = stats.spearmanr(x, y).statistic
    value, test = spearman(x, y, confidence=0.9)
    rank_x, rank_y = stats.rankdata(x), stats.rankdata(y)
    if n < 8:
        every = np.abs([np.corrcoef(rank_x, rank_y[list(order)])[0, 1] for order in permutations(range(n))])
        assert test.p_value == pytest.approx((every >= abs(r) - 1e-9).mean())
        assert test.smallest == pytest.approx((every >= every.max() - 1e-9).mean())
    assert test.exact is True
    assert value.value == pytest.approx(r)


def test_spearmans_interval_is_fishers_with_bonetts_error():
    x, y = np.arange(9.0), np.array([2.0, 1, 4, 3, 6, 9, 5, 7, 8])
    r = stats.spearmanr(x, y).statistic
    half = stats.norm.ppf(0.95) * math.sqrt((1 + r**2 / 2) / 6)
    value, test = spearman(x, y, confidence=0.9)
    z = math.atanh(r)
    assert value == Value(pytest.approx(r), pytest.approx(math.tanh(z - half)), pytest.approx(math.tanh(z + half)))
    expected = 2 * stats.t.sf(r * math.sqrt(7 / (1 - r**2)), 7)
    assert test == Significance(pytest.approx(expected), 0.0, exact=False)
    assert spearman(-x, y, confidence=0.9)[1].p_value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("x", "y"), [([1.0, 2], [3.0, 4]), ([1.0, 1, 1], [1.0, 2, 3]), ([1.0, 2, 3], [5.0, 5, 5])]
)  # fmt: skip
def test_patients_that_are_too_few_or_all_alike_have_no_correlation(x, y):
    expected = Value(None, reason="too few patients, or all alike"), Significance(1.0, 1.0, exact=True)
    assert spearman(np.array(x), np.array(y), confidence=0.9) == expected
    found = cluster_spearman(np.array(x), np.array(y), confidence=0.9, bootstrap=9, random=np.random.default_rng(0))
    assert found == expected


def test_three_patients_and_a_perfect_order_have_no_interval():
    x = np.arange(4.0)
    assert spearman(x[:3], np.array([1.0, 3, 2]), confidence=0.9)[0] == Value(
        pytest.approx(0.5), reason="too few patients for an interval"
    )
    for sign in (1, -1):
        value, test = spearman(x, sign * x, confidence=0.9)
        assert value == Value(pytest.approx(sign), reason="no interval at a correlation of ±1")
        assert test == Significance(pytest.approx(2 / 24), pytest.approx(2 / 24), exact=True)
        assert abs(value.value) <= 1
    assert spearman(x, np.array([0.0, 1, 3, 2]), confidence=0.9)[0].ci_high is not None
    for alike in (np.full(4, 2.0), np.full(4, 0.1)):
        value, test = spearman(x, alike, confidence=0.9)
        assert value == Value(None, reason="too few patients, or all alike")
        assert test == Significance(1.0, 1.0, exact=True)
    assert _standardised(np.array([-1.0, 0, 1])) == pytest.approx(np.array([-1, 0, 1]) / math.sqrt(2))


def test_a_correlation_of_many_that_is_not_quite_perfect_is_tested_by_t():
    x = np.arange(12.0) - 5.5
    y = x.copy()
    y[[0, 1]] = y[[1, 0]]
    rank_x, rank_y = _standardised(x), _standardised(y)
    r = float(rank_x @ rank_y)
    assert _test(r, rank_x, rank_y).exact is False
    assert _test(1.0, rank_x, rank_x) == Significance(*[pytest.approx(2 / math.factorial(12))] * 2, exact=True)


# --- many tests


def test_q_is_the_least_share_of_false_ones_among_those_as_good():
    p = [0.01, 0.04, 0.03, 0.5, 0.005]
    expected = [min(sorted(p)[j] * 5 / (j + 1) for j in range(sorted(p).index(own), 5)) for own in p]
    assert list(benjamini_hochberg(p)) == pytest.approx(expected)
    assert list(benjamini_hochberg([0.9, 0.95])) == pytest.approx([0.95, 0.95])
    assert list(benjamini_hochberg([])) == []
