"""Does a number of the patients go with a metric? Spearman's correlation with its interval."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata, t

from spatial_til.metrics.intervals import t_quantile
from spatial_til.metrics.rank_tests import Significance
from spatial_til.model import FloatArray, Value

#: Largest number of patients for which all orders are tried: 8! = 40,320.
_EXACT_UP_TO = 8
_EQUAL = 1e-12
#: Bounds a resampled correlation of ±1, which few patients may give, before Fisher's z.
_NEAR_ONE = 0.999
#: Ranks of all draws at most.
_RANKS_AT_MOST = 2_000_000
_LEAST_DRAWS = 200


def spearman(x: FloatArray, y: FloatArray, *, confidence: float) -> tuple[Value, Significance]:
    """Return Spearman's correlation of two numbers of the same patients, and its test.

    Parameters
    ----------
    x, y
        (n,) one value a patient.
    confidence
        Coverage of the interval.

    Notes
    -----
    Interval by Fisher's z with the standard error sqrt((1 + r²/2) / (n − 3)); none under four patients,
    nor at ±1. Test: all orders up to eight patients, above that Student's t.

    References
    ----------
    Bonett & Wright 2000, Psychometrika 65:23, doi:10.1007/BF02294183.
    """
    n = len(x)
    rank_x, rank_y = (rankdata(values) - (n + 1) / 2 for values in (x, y))  # multiples of a half: their sums are exact
    length = float(np.sqrt((rank_x @ rank_x) * (rank_y @ rank_y)))
    if n < 3 or length == 0:
        return Value(None, reason="too few patients, or all alike"), Significance(1.0, 1.0, exact=True)
    r = float(np.clip(rank_x @ rank_y / length, -1, 1))
    return _with_interval(r, n, confidence), _test(r, _standardised(rank_x), _standardised(rank_y))


def cluster_spearman(
    x: FloatArray, y: FloatArray, *, confidence: float, bootstrap: int, random: np.random.Generator
) -> tuple[Value, Significance]:
    """Return Spearman's correlation with an interval that resamples patients with all their lesions.

    Standard error of Fisher's z over draws of patients, x t; fewer draws for very many patients.
    """
    value, test = spearman(x, y, confidence=confidence)
    n = len(x)
    if value.value is None or value.ci_low is None:
        return value, test
    chosen = random.integers(n, size=(min(bootstrap, max(_LEAST_DRAWS, _RANKS_AT_MOST // n)), n))
    a, b = (rankdata(values[chosen], axis=1) - (n + 1) / 2 for values in (x, y))
    lengths = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    drawn = (a * b).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
    sigma = float(np.arctanh(np.clip(drawn, -_NEAR_ONE, _NEAR_ONE)).std(ddof=1))
    half = t_quantile(n - 2, confidence) * sigma
    centre = math.atanh(value.value)
    return Value(value.value, math.tanh(centre - half), math.tanh(centre + half)), test


def _standardised(centred: FloatArray) -> FloatArray:
    """Return ranks whose mean is 0 with length 1."""
    return np.asarray(centred / np.sqrt(centred @ centred), dtype=np.float64)


def _with_interval(r: float, n: int, confidence: float) -> Value:
    """Return the correlation with its interval."""
    if n < 4 or abs(r) > 1 - _EQUAL:
        return Value(r, reason="too few patients for an interval" if n < 4 else "no interval at a correlation of ±1")
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt((1 + r**2 / 2) / (n - 3))
    return Value(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))


def _test(r: float, rank_x: FloatArray, rank_y: FloatArray) -> Significance:
    """Return the two-sided test of no correlation."""
    n = len(rank_x)
    if n <= _EXACT_UP_TO:
        orders = np.array(list(permutations(range(n))))
        every = np.abs(rank_y[orders] @ rank_x)
        p_value, smallest = (float((every >= level - _EQUAL).mean()) for level in (abs(r), every.max()))
        return Significance(p_value, smallest, exact=True)
    if abs(r) > 1 - _EQUAL:
        _, ties = np.unique(rank_x, return_counts=True)
        alike = math.prod(math.factorial(int(count)) for count in ties) / math.factorial(n)
        return Significance(2 * alike, 2 * alike, exact=True)
    return Significance(float(2 * t.sf(abs(r) * math.sqrt((n - 2) / (1 - r**2)), n - 2)), 0.0, exact=False)
