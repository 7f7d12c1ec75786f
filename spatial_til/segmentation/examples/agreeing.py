"""At what brightness a model finds as much of each class on a slide as the slide itself teaches it to find.

One number a channel, its 99th percentile, brings a slide to the brightness of those learned from. Where bright debris
or little tumour moves that percentile, all of the slide is seen too bright or too dim, and too much or too little of it
is found. The slide's own model knows better, but learned from what was found. So the two are brought together: levels
and responses go with the root of light, hence a model's weights are divided by it and no feature is computed anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.segmentation.examples.classifier import TissueModel

#: How many times as bright or dim a slide may be taken to be, on top of its percentiles. Project default.
MOST = 1.5
#: Brightness is looked for in so many steps up and down; of two that fit alike the one nearer to 1 is taken.
_STEPS, _TIE = 30, 1e-4


def as_bright(model: TissueModel, times: float) -> TissueModel:
    """Return a model as it sees a slide that is so many times as bright in all channels as its percentiles say."""
    return replace(model, weights=model.weights / np.sqrt(times))


def brightness_agreeing(model: TissueModel, features: NDArray[Any], of: NDArray[np.intp]) -> float:
    """Return how many times as bright a slide is, that a model finds as much of each class on it as there is.

    Parameters
    ----------
    model
        As learned.
    features
        (squares, features) of a sample of the slide.
    of
        (squares,) the class of each square.

    Returns
    -------
    float
        From 1 / `MOST` to `MOST`: that at which the shares of the classes differ least.
    """
    classes = len(model.classes)
    scores, wanted = features.astype(np.float64) @ model.weights.T, np.bincount(of, minlength=classes)
    every, apart = np.exp(np.linspace(-np.log(MOST), np.log(MOST), 2 * _STEPS + 1)), []
    for times in every:
        likeliest = model.look_of[(scores / np.sqrt(times) + model.intercepts).argmax(axis=1)]
        differ = np.abs(np.bincount(likeliest, minlength=classes) - wanted).sum() / len(of)
        apart.append(differ + _TIE * abs(np.log(times)))
    return float(every[int(np.argmin(apart))])
