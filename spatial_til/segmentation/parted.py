"""Two populations of one figure: where a sample is parted best, and how far its two sides stand apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spatial_til.model import FloatArray


class Parted(NamedTuple):
    """A sample in two: those above the cut, and the others."""

    cut: float
    ashman_d: float


def parted(values: FloatArray) -> Parted | None:
    """Return the cut that parts values best, and how far apart its two sides stand.

    The cut has the largest variance between its sides (Otsu 1979, doi:10.1109/TSMC.1979.4310076) and lies halfway
    between the two values beside it; how far apart: Ashman's D (Ashman et al. 1994, doi:10.1086/117248), infinite
    where each side is one value. None where all values are alike.

    Notes
    -----
    All is reckoned on sorted values, so that it does not depend on their order to the last bit.
    """
    ordered = np.sort(values)
    if len(ordered) < 2 or ordered[0] == ordered[-1]:
        return None
    below = np.arange(1, len(ordered))
    above, total = len(ordered) - below, np.cumsum(ordered)
    between = below * above * ((total[-1] - total[:-1]) / above - total[:-1] / below) ** 2
    k = int(np.argmax(np.where(ordered[1:] > ordered[:-1], between, -1.0))) + 1
    low, high = ordered[:k], ordered[k:]
    with np.errstate(divide="ignore"):
        ashman_d = np.sqrt(2) * (high.mean() - low.mean()) / np.sqrt(low.var() + high.var())
    return Parted(float(ordered[k - 1] + ordered[k]) / 2, float(ashman_d))
