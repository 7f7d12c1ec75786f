"""Random labelling: where a population's cells could have been, had its label fallen on others of the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.pointpatterns.neighbours import IntArray
from spatial_til.model import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class LabelStrata:
    """The cells of a pool by stratum, and how many of each carry the label."""

    members: tuple[IntArray, ...]
    counts: tuple[int, ...]


def label_strata(stratum: NDArray[np.integer[Any]], labelled: BoolArray) -> LabelStrata:
    """Return the strata that hold labels.

    Parameters
    ----------
    stratum
        (n,) stratum of each cell of the pool: its compartment. Labels never leave their stratum, so that a
        difference between core and margin is not taken for contact.
    labelled
        (n,) cells that carry the label.
    """
    members = tuple(np.flatnonzero(stratum == code) for code in np.unique(stratum[labelled]))
    return LabelStrata(members, tuple(int(labelled[part].sum()) for part in members))


def draw_labels(strata: LabelStrata, random: np.random.Generator) -> IntArray:
    """Return the positions in the pool of one random labelling, strata one after the other."""
    return np.concatenate(
        [
            random.choice(members, count, replace=False, shuffle=False)
            for members, count in zip(strata.members, strata.counts, strict=True)
        ]
    )


def null_summary(observed: FloatArray, null: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean under the null and the two-sided p-value of each statistic.

    Parameters
    ----------
    observed
        (m,) statistics; NaN where not available.
    null
        (N, m) the same under random labelling; draws with NaN are left out.

    Notes
    -----
    p = (1 + number of draws at least as far from the centre as the observed) / (1 + N), the centre being
    the mean of observed and drawn together, so that all N + 1 are exchangeable: exact, and never 0.

    References
    ----------
    Phipson and Smyth (2010), doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> mean, p = null_summary(np.array([9.0]), np.array([[1.0], [2.0], [3.0]]))
    >>> mean.tolist(), p.tolist()
    ([2.0], [0.25])
    """
    usable = np.isfinite(null)
    n = usable.sum(axis=0)
    total = np.where(usable, null, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, total / n, np.nan)
        centre = (total + observed) / (n + 1)
        # Equal values may differ in their last digits, as sums in another order do.
        tolerance = 1e-9 * np.maximum(np.abs(observed), np.abs(centre))
        farther = (np.abs(null - centre) >= np.abs(observed - centre) - tolerance) & usable
    p = np.where(np.isfinite(observed) & (n > 0), (1 + farther.sum(axis=0)) / (1 + n), np.nan)
    return mean, p
