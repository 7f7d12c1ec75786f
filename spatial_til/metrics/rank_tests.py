"""Exact permutation tests on ranks, for few patients, with ties as they are."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from spatial_til.model import FloatArray

#: Largest number of patients for which the permutation distribution is counted out.
EXACT_UP_TO = 100


class Significance(NamedTuple):
    """Two-sided p, and the smallest that these numbers of patients and ties could give."""

    p_value: float
    smallest: float
    exact: bool


def rank_sum(a: FloatArray, b: FloatArray) -> Significance:
    """Compare two independent groups of patients by the sum of midranks.

    Parameters
    ----------
    a, b
        (n_a,), (n_b,) one value a patient; at least one each.

    Notes
    -----
    All ways to deal the patients to the groups are counted; p is the share whose rank sum lies as far
    from its mean as the one found, or further. Above `EXACT_UP_TO` patients: the normal distribution with
    correction for ties and continuity.

    References
    ----------
    Wilcoxon 1945, Biometrics Bulletin 1:80, doi:10.2307/3001968.

    Examples
    --------
    >>> rank_sum(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    Significance(p_value=0.1, smallest=0.1, exact=True)
    """
    doubled = np.rint(2 * rankdata(np.concatenate([a, b]))).astype(np.int64)
    size, of_smaller = (len(a), doubled[: len(a)]) if len(a) <= len(b) else (len(b), doubled[len(a) :])
    observed = abs(int(of_smaller.sum()) - size * (len(doubled) + 1))
    if len(doubled) <= EXACT_UP_TO:
        distances, shares = _rank_sum_distances(tuple(sorted(doubled.tolist())), size)
        return _two_sided(observed, distances, shares)
    n = len(doubled)
    _, ties = np.unique(doubled, return_counts=True)
    spread = n + 1 - float((ties**3 - ties).sum()) / (n * (n - 1))
    variance = size * (n - size) / 12 * spread
    return _normal(observed / 2, variance)


def sign_flip(differences: FloatArray) -> Significance:
    """Test paired differences by flipping the signs of their midranks.

    Parameters
    ----------
    differences
        (n,) one difference a patient.

    Notes
    -----
    All 2^n signs are counted. Differences of 0 keep their place in the ranking but have no sign to flip
    (Pratt). With fewer than six that are not 0, no result can have p ≤ 0.05.

    References
    ----------
    Pratt 1959, J Am Stat Assoc 54:655, doi:10.1080/01621459.1959.10501526.

    Examples
    --------
    >>> sign_flip(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    Significance(p_value=0.03125, smallest=0.03125, exact=True)
    """
    doubled = np.rint(2 * rankdata(np.abs(differences))).astype(np.int64)
    signed = doubled[differences != 0]
    if len(signed) == 0:
        return Significance(1.0, 1.0, exact=True)
    observed = abs(2 * int(doubled[differences > 0].sum()) - int(signed.sum()))
    if len(signed) <= EXACT_UP_TO:
        distances, shares = _sign_flip_distances(tuple(sorted(signed.tolist())))
        return _two_sided(observed, distances, shares)
    return _normal(observed / 4, float((signed.astype(np.float64) ** 2).sum()) / 16)


def rank_sum_quantile(n_a: int, n_b: int, tail: float) -> int:
    """Return the largest k with P(U < k) ≤ tail for the Mann–Whitney U of untied groups; 0 where none is."""
    if n_a + n_b > EXACT_UP_TO:
        return _normal_quantile(n_a * n_b / 2, n_a * n_b * (n_a + n_b + 1) / 12, tail)
    size = min(n_a, n_b)
    shares = _subset_sums(tuple(range(1, n_a + n_b + 1)), size)
    return _lower_quantile(shares[size * (size + 1) // 2 :], tail)


def signed_rank_quantile(n: int, tail: float) -> int:
    """Return the largest k with P(W < k) ≤ tail for the signed-rank sum W of n untied differences."""
    if n > EXACT_UP_TO:
        return _normal_quantile(n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24, tail)
    return _lower_quantile(_flipped_sums(tuple(range(1, n + 1))), tail)


@lru_cache(maxsize=256)
def _rank_sum_distances(doubled: tuple[int, ...], size: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return how far from its mean the doubled rank sum of a group may lie, and how often."""
    shares = _subset_sums(doubled, size)
    return np.abs(np.arange(len(shares)) - size * (len(doubled) + 1)), shares


@lru_cache(maxsize=256)
def _sign_flip_distances(doubled: tuple[int, ...]) -> tuple[NDArray[np.int64], FloatArray]:
    """Return how far from 0 the signed sum may lie, and how often."""
    shares = _flipped_sums(doubled)
    return np.abs(2 * np.arange(len(shares)) - sum(doubled)), shares


@lru_cache(maxsize=256)
def _subset_sums(items: tuple[int, ...], size: int) -> FloatArray:
    """Return the share of all subsets of a size with each sum, (largest sum + 1,)."""
    largest = sum(sorted(items)[-size:])
    ways = np.zeros((size + 1, largest + 1))
    ways[0, 0] = 1.0
    for item in items:  # item by item: each is in the subset or not
        if item <= largest:
            ways[1:, item:] += ways[:-1, : largest + 1 - item].copy()
    shares: FloatArray = ways[size] / math.comb(len(items), size)
    return shares


@lru_cache(maxsize=256)
def _flipped_sums(items: tuple[int, ...]) -> FloatArray:
    """Return the share of all subsets of any size with each sum, (sum + 1,)."""
    shares = np.zeros(sum(items) + 1)
    shares[0] = 1.0
    for item in items:
        shares[item:] += shares[: len(shares) - item].copy()
        shares /= 2
    return shares


def _two_sided(observed: int, distances: NDArray[np.int64], shares: FloatArray) -> Significance:
    """Return the share of the distribution as far out as observed, and at its far end."""
    furthest = distances[shares > 0].max()
    p_value, smallest = (float(shares[distances >= d].sum()) for d in (observed, furthest))
    return Significance(min(p_value, 1.0), smallest, exact=True)


def _normal(distance: float, variance: float) -> Significance:
    """Return the two-sided p of a distance from the mean, less one half for continuity."""
    if variance <= 0:
        return Significance(1.0, 1.0, exact=False)
    z = max(distance - 0.5, 0.0) / math.sqrt(variance)
    return Significance(min(2 * float(ndtr(-z)), 1.0), 0.0, exact=False)


def _lower_quantile(shares: FloatArray, tail: float) -> int:
    """Return the largest k with P(X < k) ≤ tail, from the shares of X = 0, 1, 2 and so on."""
    return int(np.searchsorted(np.cumsum(shares), tail * (1 + 1e-9), side="right"))


def _normal_quantile(mean: float, variance: float, tail: float) -> int:
    """Return the largest k with P(X < k) ≤ tail for a normal X."""
    return max(math.floor(mean + float(ndtri(tail)) * math.sqrt(variance)), 0)
