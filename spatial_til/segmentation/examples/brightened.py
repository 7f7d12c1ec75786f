"""Whether tumour is found on a fluorescence slide only because it was brightened to the slides learned from.

The brightness of a slide is evened out by its own 99th percentile. A slide without tumour has none of the tumour's
light, so it is dimmer, is brightened by up to a factor of two, and its stroma may come to look like tumour. A dim slide
with tumour still has most of it as it is; one without has next to none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spatial_til.segmentation.examples.classifier import TissueModel, classify, features_in, tissue_corners
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.scratch import Scratch

#: Looked into where a channel is dimmer than this many times the slides learned from. Project default.
DIM = 0.8
#: Doubtful where less than this share of the tumour is left on the slide as it is. Project default.
LEFT = 0.25
#: Where a slide is looked at: so many boxes of so many squares a side, spread over its tissue.
_BOXES, _SIDE = 16, 64


def only_brightened(model: TissueModel, planes: StainPlanes, inside: NDArray[np.bool_], wanted: int) -> bool:
    """Return whether most of what is found of a class is found only because the slide was brightened.

    Parameters
    ----------
    model
        As learned.
    inside
        (rows, cols) of squares: which are tissue.
    wanted
        Index of the class.
    """
    if not planes.brightness or min(planes.shares(model.channels, model.references)) >= DIM:
        return False
    evened, as_is = (_found(model, p, inside, wanted) for p in (planes, replace(planes, brightness=())))
    return as_is < LEFT * evened


def _found(model: TissueModel, planes: StainPlanes, inside: NDArray[np.bool_], wanted: int) -> int:
    """Return how many squares of tissue are of a class, in boxes spread over the slide."""
    rows, cols = inside.shape
    scratch, count = Scratch(), 0
    for row, col in tissue_corners(inside, _SIDE, _BOXES):
        at = (row, min(row + _SIDE, rows), col, min(col + _SIDE, cols))
        probability, _ = classify(features_in(planes, model.channels, model.references, at, scratch), model)
        tissue = inside[at[0] : at[1], at[2] : at[3]]
        count += int(np.count_nonzero((probability[wanted] >= 0.5) & tissue))
    return count
