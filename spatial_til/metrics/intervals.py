"""Exact Poisson intervals and the few distributions that every interval here rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from spatial_til.model import FloatArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def t_quantile(dof: float, confidence: float) -> float:
    """Return the two-sided Student t quantile: half a 95 % interval is this many standard errors."""
    return float(special.stdtrit(dof, 0.5 + confidence / 2))


def garwood(n_cells: ArrayLike, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Return the exact Poisson interval of the expected count, given the observed one.

    Parameters
    ----------
    n_cells
        Observed counts, any shape.
    confidence
        Such as 0.95; half of the rest is left out on each side.

    Notes
    -----
    The lower limit at 0 is 0.

    References
    ----------
    Garwood 1936, Biometrika 28:437, doi:10.1093/biomet/28.3-4.437.

    Examples
    --------
    >>> low, high = garwood([0, 10], 0.95)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 4.795], [3.689, 18.39])
    """
    n: FloatArray = np.asarray(n_cells, dtype=np.float64)
    alpha = 1.0 - confidence
    low: FloatArray = np.where(n > 0, special.gammaincinv(np.maximum(n, 1.0), alpha / 2), 0.0)
    high: FloatArray = np.asarray(special.gammaincinv(n + 1.0, 1.0 - alpha / 2), dtype=np.float64)
    return low, high


def poisson_ratio(n_1: int, area_1: float, n_2: int, area_2: float, confidence: float) -> tuple[float, float]:
    """Return the exact interval of the ratio of two Poisson densities, (n_1 / area_1) / (n_2 / area_2).

    Given n_1 + n_2 the first count is binomial, so the Clopper-Pearson limits of its share carry over.
    The upper limit is infinite where n_2 is 0.

    References
    ----------
    Clopper & Pearson 1934, Biometrika 26:404, doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> [round(limit, 3) for limit in poisson_ratio(20, 1.0, 100, 1.0, 0.95)]
    [0.117, 0.326]
    """
    tail = (1.0 - confidence) / 2
    low = float(special.betaincinv(n_1, n_2 + 1, tail)) if n_1 else 0.0
    high = float(special.betaincinv(n_1 + 1, n_2, 1.0 - tail)) if n_2 else 1.0
    scale = area_2 / area_1
    return low / (1.0 - low) * scale, (high / (1.0 - high) * scale if high < 1.0 else np.inf)


def welch_dof(variances: ArrayLike, dofs: ArrayLike) -> float:
    """Return the degrees of freedom of a sum of independent variance estimates.

    Terms of zero variance do not count; 0 where nothing is left.

    References
    ----------
    Welch 1947, Biometrika 34:28, doi:10.1093/biomet/34.1-2.28.
    """
    v: FloatArray = np.asarray(variances, dtype=np.float64)
    nu: FloatArray = np.asarray(dofs, dtype=np.float64)
    used = (v > 0) & (nu > 0)
    spread = float((v[used] ** 2 / nu[used]).sum())
    return float(v[used].sum()) ** 2 / spread if spread > 0 else 0.0


def whole_dof(dof: float) -> int:
    """Return degrees of freedom cut to whole ones; what only rounding put below a whole number is that number.

    Examples
    --------
    >>> whole_dof(17.999999999999996), whole_dof(17.9)
    (18, 17)
    """
    return int(dof + 1e-9)
