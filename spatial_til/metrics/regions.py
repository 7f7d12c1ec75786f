"""Which compartment codes make up a named region."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import AGGREGATES, COMPARTMENTS, BoolArray

#: The region of the combined positive score: the tumour and the stroma that touches it.
TUMOR_AND_OUTER = "tumor_and_outer_margin"

_PARTS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in COMPARTMENTS},
    **AGGREGATES,
    TUMOR_AND_OUTER: (*AGGREGATES["tumor"], "outer_margin"),
}

#: Compartments, then their sums: the regions for which scores are reported.
REGIONS = tuple(_PARTS)


def region_parts(region: str) -> tuple[str, ...]:
    """Return the base compartments of a region.

    Examples
    --------
    >>> region_parts("margin")
    ('inner_margin', 'outer_margin')
    """
    return _PARTS[region]


def in_region(compartment: NDArray[np.integer[Any]], region: str) -> BoolArray:
    """Return which cells lie in a region.

    Parameters
    ----------
    compartment
        (n,) codes: indices into `model.COMPARTMENTS`, or `model.EXCLUDED`, which is in no region.
    region
        One of `REGIONS`.

    Examples
    --------
    >>> in_region(np.array([0, 1, 2, 3, 4, -1], dtype=np.int8), "tumor").tolist()
    [True, True, False, False, True, False]
    """
    wanted = np.zeros(len(COMPARTMENTS) + 1, dtype=np.bool_)  # the last entry answers for EXCLUDED (-1)
    wanted[[COMPARTMENTS.index(part) for part in region_parts(region)]] = True
    inside: BoolArray = wanted[compartment]
    return inside
