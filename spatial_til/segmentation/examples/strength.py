"""How strongly a brightfield slide is stained beside those learned from, and the model brought to that strength.

Optical density doubles where there is twice the stain, and every feature with it. On a slide stained 40 % more strongly
than those learned from the blurred rim of the tumour is still above the level learned, and stroma is nearer to it.
No percentile of a slide tells how strongly it is stained: one without tumour has less stain to begin with. So each
stain is taken to be of the strength at which the squares of the slide are likeliest under the looks that were painted.
Stroma alone looks like stroma at its strength, not like pale tumour.

Assumed is that a slide holds the tissues that were painted, whatever there is of each, and that a stain is stronger or
weaker on all of it alike. Squares that look like nothing painted have little say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.classifier import (
    Painted,
    TissueModel,
    class_scores,
    features_in,
    tissue_corners,
)
from spatial_til.segmentation.examples.features import POOLS_UM
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.scratch import Scratch

#: A slide is evened out up to this many times the strength of those learned from, or down to its inverse.
#: Project default.
MAX_STRENGTH = 1.5
#: Up to this many times a slide is taken as it is: what tissue it holds moves the strength found by as much.
ALIKE = 1.1
_STEPS, _NEAR = 21, 0.01
#: A square farther than this many standard deviations from every look has no say.
_FAR = 6.0
#: Background that is no stain differs by about this much, in the unit of the features (0.0025 OD of level).
_BACKGROUND = 16.0
#: Of two strengths that fit alike the one nearer to 1 is taken: a factor of e is this much less likely a square.
_PRIOR = 1.5
#: Where a slide is looked at: so many boxes of so many squares a side, spread over its tissue, and squares of these.
_BOXES, _SIDE, _SQUARES = 16, 32, 1_500
#: A strength is not believed that leaves less than the first of all tissue but one, and changes more than the second.
_LEFT, _CHANGED = 0.05, 0.25


class Evened(NamedTuple):
    """A model at the strength of a slide.

    Attributes
    ----------
    model
        What to classify the slide with.
    strength
        (channels,) how many times as strongly each is stained as on the slides learned from; empty where not asked.
    believed
        Whether that was taken for true. If not, the model is as learned.
    """

    model: TissueModel
    strength: tuple[float, ...]
    believed: bool

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Channels stained so much otherwise that it is not evened out, or not believed."""
        far = [max(s, 1 / s) > MAX_STRENGTH - _NEAR for s in self.strength]
        pairs = zip(self.model.channels, far, strict=False)
        return tuple(name for name, is_far in pairs if is_far or not self.believed)


def even_out(model: TissueModel, planes: StainPlanes, inside: NDArray[np.bool_]) -> Evened:
    """Return a model at the strength a slide is stained in; as it is where it has learned no strength (fluorescence).

    Parameters
    ----------
    model
        As learned.
    inside
        (rows, cols) of squares: which are tissue.
    """
    if model.painted is None or not inside.any():
        return Evened(model, (), believed=True)
    features = _spread_out(planes, model, inside)
    found = [strength_of(pooled(features, k), model.painted, k) for k in range(len(model.channels))]
    strength = tuple(round(s, 3) for s in found)  # the same on every machine
    uneven = tuple(1.0 if max(s, 1 / s) <= ALIKE else s for s in strength)
    if set(uneven) == {1.0}:
        return Evened(model, strength, believed=True)
    evened = at_strength(model, uneven)
    before, after = (class_scores(features, m).argmax(axis=1) for m in (model, evened))
    shares = np.bincount(after, minlength=len(model.classes)) / len(after)
    believed = shares.max() < 1 - _LEFT or (before != after).mean() <= _CHANGED
    return Evened(evened if believed else model, strength, bool(believed))


def at_strength(model: TissueModel, strength: tuple[float, ...]) -> TissueModel:
    """Return the model that gives a slide stained so many times as strongly what `model` gives one of strength 1."""
    times = np.repeat(strength, model.weights.shape[1] // len(strength))
    low, high = np.floor(model.low * times), np.ceil(model.high * times)
    bounds = (np.clip(bound, -32768, 32767).astype(np.int16) for bound in (low, high))
    return replace(model, weights=model.weights / times, **dict(zip(("low", "high"), bounds, strict=True)))


def pooled(features: NDArray[np.int16], channel: int) -> FloatArray:
    """Return the features (n, ...) of one channel over the widest neighbourhood, which are the least noisy."""
    n = len(POOLS_UM)
    own = features.reshape(len(features), -1, n)[:, :, n - 1]
    count = Painted.per_channel()
    return own[:, channel * count : (channel + 1) * count].astype(np.float64)


def strength_of(features: FloatArray, painted: Painted, channel: int) -> float:
    """Return how many times as strongly one channel is stained as was painted.

    Parameters
    ----------
    features
        As `pooled`.

    Notes
    -----
    At strength s a look has s times its average and s² times its covariance, and the background has what it has.
    """
    steps = np.linspace(-np.log(MAX_STRENGTH), np.log(MAX_STRENGTH), _STEPS)
    looks = list(zip(painted.share, painted.mean[:, channel], painted.spread[:, channel], strict=True))
    widest = min(_density(_root(spread, 1.0)) for _, _, spread in looks)
    fit = np.empty(_STEPS)
    for k, step in enumerate(steps):
        likely = np.full(len(features), np.exp(-0.5 * _FAR**2))
        for share, mean, spread in looks:
            root = _root(spread, float(np.exp(step)))
            away = (((features - np.exp(step) * mean) @ root) ** 2).sum(axis=1)
            likely += share * _density(root) / widest * np.exp(-0.5 * away)
        fit[k] = np.log(likely).mean() - _PRIOR * step**2
    best = int(fit.argmax())
    if not 0 < best < _STEPS - 1:
        return float(np.exp(steps[best]))
    below, top, above = fit[best - 1 : best + 2]
    bend = below - 2 * top + above
    return float(np.exp(steps[best] + (0.5 * (below - above) / bend if bend < 0 else 0.0) * (steps[1] - steps[0])))


def _root(spread: FloatArray, strength: float) -> FloatArray:
    """Return the root of the inverse covariance of a look at a strength."""
    return np.linalg.cholesky(np.linalg.inv(strength**2 * spread + _BACKGROUND**2 * np.eye(len(spread))))


def _density(root: FloatArray) -> float:
    """Return the density in the middle of a normal distribution, in one unit, from the root of its inverse."""
    return float(np.diag(root).prod())


def _spread_out(planes: StainPlanes, model: TissueModel, inside: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Return the features (n, features) of squares of tissue in boxes spread over the slide."""
    rows, cols = inside.shape
    scratch, found = Scratch(), []
    for row, col in tissue_corners(inside, _SIDE, _BOXES):
        box = (row, min(row + _SIDE, rows), col, min(col + _SIDE, cols))
        features = features_in(planes, model.channels, model.references, box, scratch)
        found.append(features[:, inside[box[0] : box[1], box[2] : box[3]]].T.copy())
    every = np.concatenate(found)
    return every[:: -(-len(every) // _SQUARES)]
