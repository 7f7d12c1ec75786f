"""Logarithms of densities, their ratios, and changes between two biopsies, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spatial_til.metrics.intervals import t_quantile, welch_dof, whole_dof
from spatial_til.model import Estimate, Value

#: Added to every count before its logarithm, so that no cells at all still has one.
HALF_COUNT = 0.5


def interval(value: float, parts: Sequence[tuple[float, int]], confidence: float) -> Value:
    """Return a value with the interval of a sum of independent terms.

    Parameters
    ----------
    value
        The sum.
    parts
        (standard error, degrees of freedom) of each term.
    confidence
        Such as 0.95.

    Notes
    -----
    Standard errors add in quadrature; degrees of freedom are Welch's. They are fractions, and the
    interval is made with them; `Value.dof` holds the whole ones.

    Examples
    --------
    >>> v = interval(-2.5, [(0.35, 200), (0.35, 200)], 0.95)
    >>> round(v.ci_low, 2), round(v.ci_high, 2)
    (-3.47, -1.53)
    """
    variances = [sigma**2 for sigma, _ in parts]
    sigma = math.sqrt(sum(variances))
    dof = welch_dof(variances, [dof for _, dof in parts])
    half = t_quantile(dof, confidence) * sigma if sigma > 0 else 0.0
    return Value(value, value - half, value + half, sigma=sigma, dof=whole_dof(dof))


def log2_density(estimate: Estimate) -> tuple[float, float | None, int]:
    """Return log2((n + 0.5) / area), its standard error and degrees of freedom.

    The standard error is that of the density's interval, its half-width on the logarithmic scale over
    t; None where the density has too few tiles for one. The value is NaN where the area is 0.
    """
    if estimate.area_mm2 <= 0:
        return math.nan, None, 0
    level = math.log2((estimate.n_cells + HALF_COUNT) / estimate.area_mm2)
    if estimate.sigma_ln is None or estimate.dof < 1 or "few_tiles" in estimate.flags:
        return level, None, 0
    return level, estimate.sigma_ln / math.log(2), estimate.dof


def log2_contrast(plus: Sequence[Estimate], minus: Sequence[Estimate], confidence: float) -> Value:
    """Return the sum of log2 densities of `plus` less those of `minus`, with its interval.

    One each is a log2 ratio (core over margin) or a log2 fold change (target over reference); two each
    is the change of a log2 ratio. The estimates must be independent of each other: disjoint tissue.
    """
    terms = [(1, log2_density(e)) for e in plus]
    terms += [(-1, log2_density(e)) for e in minus]
    value = sum(sign * level for sign, (level, _, _) in terms)
    if math.isnan(value):
        return Value(None, reason="no tissue in this compartment")
    parts = [(sigma, dof) for _, (_, sigma, dof) in terms if sigma is not None]
    if len(parts) < len(terms):
        return Value(value, reason="too few tiles for an interval")
    return interval(value, parts, confidence)


def difference(reference: Value | None, target: Value | None, confidence: float) -> Value:
    """Return target less reference, with its interval where both have a standard error."""
    if reference is None or target is None:
        return Value(None, reason="not measured at both time points")
    if reference.value is None or target.value is None:
        return Value(None, reason=target.reason or reference.reason or "not available at both time points")
    value = target.value - reference.value
    parts = [(v.sigma, v.dof) for v in (reference, target) if v.sigma is not None and v.dof > 0]
    if len(parts) < 2:
        return Value(value, reason="no interval at both time points")
    return interval(value, parts, confidence)


def minimum_detectable_change(change: Value) -> float | None:
    """Return the smallest change whose interval would exclude no change: t times the standard error.

    Sampling between blocks and the error of thresholds are not in it.
    """
    if change.ci_low is None or change.ci_high is None:
        return None
    return (change.ci_high - change.ci_low) / 2
