"""How much of one chromogen a slide's cells show as another, and scores without it.

Colours a few degrees off, and pictures whose colour is coarser than their light (JPEG), make every strongly red
membrane a faintly brown one, by a share that differs from slide to slide. The cells themselves say how much: of those
that stand out by one stain some have the other as well; what the rest usually show of it is not theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import Cells

#: OD. A cell whose rim stands out by as much is asked which share of it the rim of the other stain has. From a share on
#: it has both; so many others have to be left, and as a share of all.
_STRONG_OD, _BOTH, _LEAST_CELLS, _LEAST_SHARE = 0.045, 0.6, 50, 0.5
#: Above this share those left have the other stain, too, and nothing is known.
_MOST = 0.5


def without_crosstalk(cells: Cells, markers: Sequence[str]) -> tuple[Cells, dict[str, float]]:
    """Return cells whose ridges lack what the other chromogens lend them, and the shares lent.

    Parameters
    ----------
    cells
        Cells of one slide, with the columns ``<marker>_membrane_ridge`` and ``<marker>_membrane_own_ridge``.
    markers
        Markers of the chromogens.

    Returns
    -------
    cells, shares
        Shares by ``"<marker> seen as <marker>"``; those that are not known are left out, and nothing is taken off.
        A ridge above 0 stays at 0 or above.
    """
    before, columns, shares = cells.measurements, dict(cells.measurements), {}
    for giver, taker in permutations(markers, 2):
        share = lent_share(before[f"{giver}_membrane_ridge"], before[f"{taker}_membrane_ridge"])
        if share is None:
            continue
        shares[f"{giver} seen as {taker}"] = share
        for name in ("membrane_ridge", "membrane_own_ridge"):
            lent = np.float32(share) * np.fmax(before[f"{giver}_{name}"], 0)
            ridge = columns[f"{taker}_{name}"]
            columns[f"{taker}_{name}"] = np.where(ridge > 0, np.maximum(ridge - lent, 0), ridge)
    return replace(cells, measurements=columns), shares


def lent_share(giver: NDArray[np.floating[Any]], taker: NDArray[np.floating[Any]]) -> float | None:
    """Return how much of one stain's ridge a cell usually shows as another's, None where cells do not tell.

    Parameters
    ----------
    giver, taker
        (n,) ridges of the two stains, in OD.
    """
    strong = (giver >= _STRONG_OD) & np.isfinite(taker)
    shown = np.maximum(taker[strong], 0) / giver[strong]
    shown = shown[shown < _BOTH]
    if len(shown) < max(_LEAST_CELLS, _LEAST_SHARE * strong.sum()):
        return None
    share = float(np.median(shown))
    return share if share <= _MOST else None
