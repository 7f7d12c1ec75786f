"""The mixing score: contacts between two populations per contact within the reference."""

from __future__ import annotations

import numpy as np

from spatial_til.model import FloatArray


def mixing_score(reference_target: FloatArray, reference_reference: FloatArray) -> FloatArray:
    """Return reference-target pairs / reference-reference pairs.

    Parameters
    ----------
    reference_target
        (..., k) pairs within each radius.
    reference_reference
        (..., k) unordered pairs within each radius. NaN where there are none: no score, not 0.

    References
    ----------
    Keren et al. (2018), doi:10.1016/j.cell.2018.08.039.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        score: FloatArray = np.where(reference_reference > 0, reference_target / reference_reference, np.nan)
    return score


def normalised(score: FloatArray, n_reference: int, n_target: int) -> FloatArray:
    """Return the score over that of complete mixing: 1 where the populations lie at random.

    Notes
    -----
    Half the score x (n_reference - 1) / n_target, so that abundance drops out; NaN without targets.

    References
    ----------
    Feng et al. (2023), doi:10.1038/s41467-023-37822-0 (SPIAT).
    """
    if n_target == 0:
        return np.full_like(score, np.nan)
    value: FloatArray = 0.5 * score * (n_reference - 1) / n_target
    return value
