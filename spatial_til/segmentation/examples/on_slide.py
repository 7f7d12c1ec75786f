"""A model as it is used on one slide: at the strength of its stain in brightfield, taught by it in fluorescence.

Once for each slide, from a sample of its tissue, before anything is classified: so a view of the slide and a batch see
the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.segmentation.examples.anew import Taught, taught_by_slide
from spatial_til.segmentation.examples.classifier import TissueModel
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.examples.strength import Evened, even_out


class OnSlide(NamedTuple):
    """What to classify a slide with, and how it came about; None for what is not done in its modality."""

    model: TissueModel
    evened: Evened | None
    taught: Taught | None


def on_slide(model: TissueModel, planes: StainPlanes, inside: NDArray[np.bool_]) -> OnSlide:
    """Return a model as it is used on a slide.

    Parameters
    ----------
    model
        As learned.
    inside
        (rows, cols) of squares: which are tissue.
    """
    if model.modality == "fluorescence":
        taught = taught_by_slide(model, planes, inside)
        return OnSlide(taught.model, None, taught)
    evened = even_out(model, planes, inside)
    return OnSlide(evened.model, evened, None)
