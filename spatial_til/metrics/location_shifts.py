"""By how much do patients differ? Hodges–Lehmann shifts with intervals."""

from __future__ import annotations

import math

import numpy as np

from spatial_til.metrics.intervals import t_quantile
from spatial_til.metrics.rank_tests import rank_sum_quantile, signed_rank_quantile
from spatial_til.model import FloatArray, Value

#: Pairs of patients weighed in one bootstrap at most, over all its draws.
_PAIRS_AT_MOST = 20_000_000
_LEAST_DRAWS = 200


def shift_between(a: FloatArray, b: FloatArray, *, confidence: float) -> Value:
    """Return the Hodges–Lehmann shift from group a to group b: the median of all differences b − a.

    The interval is bounded by the differences that the rank-sum test at the same level would not
    reject; it is left out where so few patients cannot give one.

    References
    ----------
    Hodges & Lehmann 1963, Ann Math Stat 34:598, doi:10.1214/aoms/1177704172.

    Examples
    --------
    >>> v = shift_between(np.array([1.0, 2, 3, 4, 5]), np.array([11.0, 12, 13, 14, 15]), confidence=0.95)
    >>> v.value, v.ci_low, v.ci_high
    (10.0, 7.0, 13.0)
    """
    differences = np.sort((b[:, None] - a[None, :]).ravel())
    k = rank_sum_quantile(len(a), len(b), (1 - confidence) / 2)
    return _bounded(differences, k)


def shift_paired(differences: FloatArray, *, confidence: float) -> Value:
    """Return the Hodges–Lehmann centre of paired differences: the median of all their pairwise means."""
    i, j = np.triu_indices(len(differences))
    means = np.sort((differences[i] + differences[j]) / 2)
    return _bounded(means, signed_rank_quantile(len(differences), (1 - confidence) / 2))


def _bounded(ordered: FloatArray, k: int) -> Value:
    """Return the median of ordered numbers between the k-th from either end."""
    centre = float(np.median(ordered))
    if k < 1:
        return Value(centre, reason="too few patients for an interval")
    return Value(centre, float(ordered[k - 1]), float(ordered[-k]))


def cluster_shift_between(
    a: FloatArray, b: FloatArray, *, confidence: float, bootstrap: int, random: np.random.Generator
) -> Value:
    """Return the Hodges–Lehmann shift with an interval that resamples patients with all their lesions.

    Parameters
    ----------
    a, b
        One value a patient, the mean over their lesions; a drawn patient brings all of them.
    confidence
        Coverage.
    bootstrap
        Draws; fewer for very large groups, never under 200.
    random
        Generator.

    Notes
    -----
    Patients with several lesions vary less than patients with one, so groups may differ in spread and the
    rank interval need not hold. Bootstrap standard error x t, as for densities.
    """
    matrix = b[:, None] - a[None, :]
    order = np.argsort(matrix, axis=None)
    row, column = np.unravel_index(order, matrix.shape)
    ordered = matrix.ravel()[order]
    draws = _draws(bootstrap, len(ordered))
    of_b = random.multinomial(len(b), np.full(len(b), 1 / len(b)), draws)
    of_a = random.multinomial(len(a), np.full(len(a), 1 / len(a)), draws)
    centres = np.array([_weighted_median(ordered, wb[row] * wa[column]) for wa, wb in zip(of_a, of_b, strict=True)])
    return _studentised(float(np.median(ordered)), centres, len(a) + len(b) - 2, confidence)


def cluster_shift_paired(
    differences: FloatArray, *, confidence: float, bootstrap: int, random: np.random.Generator
) -> Value:
    """Return the Hodges–Lehmann centre with an interval that resamples patients with all their lesions."""
    n = len(differences)
    i, j = np.triu_indices(n)
    means = (differences[i] + differences[j]) / 2
    order = np.argsort(means)
    i, j, ordered = i[order], j[order], means[order]
    drawn = random.multinomial(n, np.full(n, 1 / n), _draws(bootstrap, len(ordered)))
    centres = np.array([_weighted_median(ordered, np.where(i == j, w[i] * (w[i] + 1) / 2, w[i] * w[j])) for w in drawn])
    return _studentised(float(np.median(ordered)), centres, n - 1, confidence)


def _draws(bootstrap: int, n_pairs: int) -> int:
    """Return how many draws are affordable."""
    return min(bootstrap, max(_LEAST_DRAWS, _PAIRS_AT_MOST // n_pairs))


def _weighted_median(ordered: FloatArray, weights: FloatArray) -> float:
    """Return the median of ordered numbers that occur `weights` times each."""
    cumulative = np.cumsum(weights)
    return float(ordered[np.searchsorted(cumulative, cumulative[-1] / 2)])


def _studentised(centre: float, drawn: FloatArray, dof: int, confidence: float) -> Value:
    """Return a centre with its bootstrap standard error times t."""
    if dof < 1:
        return Value(centre, reason="too few patients for an interval")
    sigma = float(drawn.std(ddof=1))
    half = t_quantile(dof, confidence) * sigma
    if not math.isfinite(half) or sigma == 0:
        return Value(centre, reason="too few patients for an interval")
    return Value(centre, centre - half, centre + half, sigma, dof)
