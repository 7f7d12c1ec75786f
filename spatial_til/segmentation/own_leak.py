"""How much of a slide's brown is seen as its other chromogen, read off the slide where brown stands out.

A brown that is redder than its vector makes every brown membrane a faint red one. Where it stands out, half of its
pixels or more have nothing else, so that the median of red over brown is what its colour lends. Beside real red the
ground is red as well, and brown stands out with less red than it has: the reading is too low by 0.02 to 0.2, also
with the true vectors, and what is above 0 is no accident.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spatial_til.model import FloatArray
from spatial_til.segmentation.leak import leaked_share
from spatial_til.segmentation.own_nuclear import LEAST_OD, MOST_OTHER, weighted_median
from spatial_til.segmentation.pigment import is_brown

#: Pixels in which brown stands out, with fewer of which nothing is read: deserts have some hundred.
_LEAST_PX = 2000


def brown_seen_as_other(
    standing: FloatArray, matrix: FloatArray, own: FloatArray, marked: Sequence[int]
) -> float | None:
    """Return the share of brown that is seen as the other chromogen; may be below 0.

    None where the panel has no other chromogen, not one brown one, or too little brown stands out.

    Parameters
    ----------
    standing
        (n, k) amounts by which pixels stand out, see `own_nuclear.standing_out`.
    matrix, own
        (k, 3) unit stain vectors of the panel, and those that markers are unmixed with.
    marked
        Indices of the chromogens.
    """
    brown = [k for k in marked if is_brown(matrix[k].tolist())]
    others = [k for k in marked if k not in brown]
    if len(brown) != 1 or len(others) != 1:
        return None
    strong = standing[standing[:, brown[0]] > LEAST_OD]
    amounts = strong @ matrix @ np.linalg.pinv(own)
    amount, other = amounts[:, brown[0]], amounts[:, others[0]]
    mostly = (amount > LEAST_OD / 2) & (np.abs(other) < MOST_OTHER * amount)
    if mostly.sum() < _LEAST_PX:
        return None
    return weighted_median(other[mostly] / amount[mostly], amount[mostly] ** 2)


def own_leaked_share(own: FloatArray, marked: Sequence[int], lent: float | None) -> FloatArray:
    """Return (m, m) the most of each other chromogen (column) that may be seen as a chromogen (row).

    `leaked_share` says how much that is for colours a few degrees off. What brown lends the other by the slide's own
    reading comes on top, at most as much again: cells that truly have both would lose the other.

    Parameters
    ----------
    own
        (k, 3) unit stain vectors that markers are unmixed with.
    marked
        Indices of the chromogens.
    lent
        See `brown_seen_as_other`.
    """
    shares = np.array(leaked_share(own)[np.ix_(marked, marked)])
    if lent is not None and lent > 0:
        brown = next(at for at, k in enumerate(marked) if is_brown(own[k].tolist()))
        other = 1 - brown
        shares[other, brown] += min(lent, shares[other, brown])
    return shares
