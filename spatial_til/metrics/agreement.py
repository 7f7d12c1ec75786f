"""How far two readers agree: on a class, on a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from spatial_til.metrics.intervals import t_quantile
from spatial_til.model import FloatArray, Value

#: A variance of kappa below this is none but for rounding.
_NO_VARIANCE = 1e-12


def share_agreed(a: Sequence[str], b: Sequence[str], *, confidence: float) -> Value:
    """Return the share of slides given the same class by both, with its exact binomial interval.

    References
    ----------
    Clopper & Pearson 1934, Biometrika 26:404, doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> found = share_agreed(["x", "x", "y"], ["x", "y", "y"], confidence=0.95)
    >>> round(found.value, 3), round(found.ci_low, 3), round(found.ci_high, 3)
    (0.667, 0.094, 0.992)
    """
    n, same = len(a), sum(x == y for x, y in zip(a, b, strict=True))
    if n == 0:
        return Value(None, reason="no slide that both reviewed")
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(same, n - same + 1, tail)) if same else 0.0
    high = float(special.betaincinv(same + 1, n - same, 1 - tail)) if same < n else 1.0
    return Value(same / n, low, high)


def cohens_kappa(a: Sequence[str], b: Sequence[str], *, confidence: float) -> Value:
    """Return Cohen's kappa of two readers' classes, with its large-sample interval.

    Parameters
    ----------
    a, b
        (n,) classes by each reader, slide by slide.
    confidence
        Such as 0.95.

    Notes
    -----
    kappa = (p_o - p_e) / (1 - p_e): the agreement beyond chance. Not defined where chance alone agrees always:
    both readers used one and the same class only. Where the large-sample interval has no width, as where the
    readers agree on all slides, it is the exact interval of p_o on the scale of kappa. Where one reader used one
    class only kappa is 0 whatever the agreement, and has no interval.

    References
    ----------
    Cohen 1960, Educ Psychol Meas 20:37, doi:10.1177/001316446002000104.
    Fleiss, Cohen & Everitt 1969, Psychol Bull 72:323, doi:10.1037/h0028106: the standard error.

    Examples
    --------
    >>> found = cohens_kappa(["x", "x", "y", "y"], ["x", "x", "y", "x"], confidence=0.95)
    >>> found.value
    0.5
    """
    n = len(a)
    if n < 2:
        return Value(None, reason="fewer than two slides that both reviewed")
    p = _table(a, b) / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    agreed, chance = float(np.trace(p)), float(rows @ columns)
    if chance >= 1.0:
        return Value(None, reason="both readers used one and the same class only")
    if len(set(a)) == 1 or len(set(b)) == 1:
        return Value(0.0, reason="a reader used one class only: kappa is 0 whatever the agreement")
    kappa = (agreed - chance) / (1 - chance)
    variance = _kappa_variance(p, kappa, chance) / n
    if variance < _NO_VARIANCE:
        exact = share_agreed(a, b, confidence=confidence)
        low, high = ((limit - chance) / (1 - chance) for limit in (exact.ci_low or 0.0, exact.ci_high or 0.0))
        return Value(kappa, max(low, -1.0), high)
    sigma = math.sqrt(variance)
    reach = float(special.ndtri(0.5 + confidence / 2)) * sigma
    return Value(kappa, max(kappa - reach, -1.0), min(kappa + reach, 1.0), sigma=sigma)


def _table(a: Sequence[str], b: Sequence[str]) -> FloatArray:
    """Return how many slides got each pair of classes."""
    classes, code = np.unique(np.array([*a, *b]), return_inverse=True)
    first, second = np.split(code, 2)
    counts = np.bincount(first * len(classes) + second, minlength=len(classes) ** 2)
    return counts.reshape(len(classes), len(classes)).astype(np.float64)


def _kappa_variance(p: FloatArray, kappa: float, chance: float) -> float:
    """Return the large-sample variance of kappa times n."""
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    diagonal = np.diag(p) * (1 - (rows + columns) * (1 - kappa)) ** 2
    crossed = p * (columns[:, None] + rows[None, :]) ** 2 * (1 - kappa) ** 2
    np.fill_diagonal(crossed, 0.0)
    variance = diagonal.sum() + crossed.sum() - (kappa - chance * (1 - kappa)) ** 2
    return float(variance) / (1 - chance) ** 2


class Limits(NamedTuple):
    """Mean difference of two readers with its interval, and the limits of agreement."""

    n: int
    bias: Value
    low: float | None
    high: float | None


def limits_of_agreement(differences: Sequence[float], *, confidence: float) -> Limits:
    """Return the mean of the readers' differences and the limits that most single differences lie within.

    Notes
    -----
    Limits = mean ± z s, of which a share `confidence` of differences is expected; the interval of the mean is
    Student's. Fewer than two slides give no limits.

    References
    ----------
    Bland & Altman 1986, Lancet 327:307, doi:10.1016/S0140-6736(86)90837-8.

    Examples
    --------
    >>> found = limits_of_agreement([-1.0, 0.0, 1.0], confidence=0.95)
    >>> found.bias.value, round(found.high, 2)
    (0.0, 1.96)
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2:
        mean = float(values[0]) if n else None
        return Limits(n, Value(mean, reason="fewer than two slides that both reviewed"), None, None)
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    sigma = spread / np.sqrt(n)
    reach = t_quantile(n - 1, confidence) * sigma
    wide = float(special.ndtri(0.5 + confidence / 2)) * spread
    bias = Value(mean, float(mean - reach), float(mean + reach), sigma=float(sigma), dof=n - 1)
    return Limits(n, bias, mean - wide, mean + wide)
