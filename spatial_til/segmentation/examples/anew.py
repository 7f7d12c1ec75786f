"""A fluorescence slide teaches its own model: what the one learned elsewhere is sure of is painted for it.

Channels of fluorescence are brought to the brightness of the slides learned from, each by one number. What differs
beyond that (how much of a marker the tumour takes, what shines by itself) leaves the border where the tissues of other
slides would have it. So the model is learned once more, by the usual training, from the squares of this slide of which
it is sure. These lie away from borders, as strokes do, and a class has one look, that of this slide: of two, one would
be that of squares nearer to the border, and draw it outwards. The brightness of the slide is then corrected by what it
taught (`agreeing`), and it teaches once more, from what is found at that.

A slide on which that cannot be done well is found by the model as it is: one unlike the training, one with little of a
class, and one on which another amount of a class would be found, as where tissue that nobody painted is in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.agreeing import MOST, as_bright, brightness_agreeing
from spatial_til.segmentation.examples.classifier import (
    MAX_UNLIKE,
    TissueModel,
    class_scores,
    classify,
    features_in,
    square_size,
    tissue_corners,
)
from spatial_til.segmentation.examples.features import levels_in, near_features
from spatial_til.segmentation.examples.halfway import (
    Beside,
    Border,
    beside_borders,
    drawn_halfway,
    precision_of,
)
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.examples.strokes import Samples
from spatial_til.segmentation.examples.training import fit
from spatial_til.segmentation.scratch import Scratch

#: Squares so sure teach, whose middle is so far from what is of another class; twice. Project defaults.
SURE, AWAY_UM, _ROUNDS = 0.9, 4.0, 2
#: Before that the slide is taken to be brighter or dimmer, so many times as far (in logarithms) as it says by what it
#: teaches: that was learned from what was found, and goes part of the way only. Project default.
_FARTHER = 2.2
#: Texture over the wide neighbourhood reaches across narrow gaps: it is looked at only where without it more than so
#: many times as many of the squares that teach, and this share, would not be sure. Project defaults.
_TIMES_UNSURE, _UNSURE = 3.0, 0.01
#: Each class must be taught by so much of the tissue, and may become so much more or less than as learned. Defaults.
LEAST, MOST_CHANGED = 0.15, 1 / 3
#: Where a slide is looked at: so many boxes of so many squares a side, spread over its tissue; so many squares teach.
_BOXES, _SIDE, _SQUARES = 16, 64, 3_000

Reason = Literal["", "unlike", "scarce", "changed"]


class Taught(NamedTuple):
    """A model of one slide.

    Attributes
    ----------
    model
        What to classify the slide with.
    share
        Share of the tissue looked at that taught; 0 where the model is as it was.
    reason
        Why it is: too much of the slide is unlike the training, a class is scarce, or its share would have changed.
    """

    model: TissueModel
    share: float
    reason: Reason = ""


class _Box(NamedTuple):
    features: NDArray[np.int16]
    tissue: NDArray[np.bool_]
    known: NDArray[np.bool_]  # tissue like the training


class _Seen(NamedTuple):
    """A box as a model sees it, and the squares beside its borders."""

    probability: NDArray[np.float32]
    beside: list[Beside]


class _View(NamedTuple):
    """All boxes as a model sees them; `share` is the share of the tissue that taught it."""

    model: TissueModel
    seen: list[_Seen]
    precision: FloatArray
    share: float = 0.0

    def drawn(self) -> list[NDArray[np.float32]]:
        """Return the probability in each box, with borders drawn halfway."""
        return [drawn_halfway(*s, self.precision) for s in self.seen]


def taught_by_slide(model: TissueModel, planes: StainPlanes, inside: NDArray[np.bool_]) -> Taught:
    """Return the model that a slide teaches, or the model as it is and why.

    Parameters
    ----------
    model
        As learned.
    inside
        (rows, cols) of squares: which are tissue.
    """
    square_um = square_size(planes.pixel_size).mean_um
    boxes = _spread_out(planes, model, inside)
    tissue = sum(int(box.tissue.sum()) for box in boxes)
    if not tissue:
        return Taught(model, 0.0, "scarce")
    if sum(int(box.known.sum()) for box in boxes) < (1 - MAX_UNLIKE) * tissue:
        return Taught(model, 0.0, "unlike")
    first = _view(boxes, model, square_um)
    taught = _taught(boxes, first, square_um)
    if taught is not None:
        taught = _view(boxes, as_bright(model, _brightness(model, boxes, taught.drawn())), square_um)
    for _ in range(_ROUNDS):
        taught = _taught(boxes, taught, square_um) if taught is not None else None
    if taught is None:
        return Taught(model, 0.0, "scarce")
    before, after = (_shares(boxes, p) for p in ([s.probability for s in first.seen], taught.drawn()))
    if (np.abs(after - before) > MOST_CHANGED * before).any():
        return Taught(model, 0.0, "changed")
    return Taught(replace(taught.model, border=Border(taught.precision, inside)), taught.share)


def _spread_out(planes: StainPlanes, model: TissueModel, inside: NDArray[np.bool_]) -> list[_Box]:
    """Return boxes spread over the tissue of a slide."""
    rows, cols = inside.shape
    scratch, boxes = Scratch(), []
    for row, col in tissue_corners(inside, _SIDE, _BOXES):
        at = (row, min(row + _SIDE, rows), col, min(col + _SIDE, cols))
        features = features_in(planes, model.channels, model.references, at, scratch).copy()
        tissue = inside[at[0] : at[1], at[2] : at[3]]
        boxes.append(_Box(features, tissue, tissue & ~classify(features, model)[1]))
    return boxes


def _view(boxes: Sequence[_Box], model: TissueModel, square_um: float, share: float = 0.0) -> _View:
    seen = []
    for box in boxes:
        probability, _ = classify(box.features, model)
        levels = levels_in(box.features, len(model.channels))
        seen.append(_Seen(probability, list(beside_borders(probability, levels, box.tissue, square_um))))
    return _View(model, seen, precision_of([beside for s in seen for beside in s.beside]), share)


def _taught(boxes: Sequence[_Box], here: _View, square_um: float) -> _View | None:
    """Return what a model sees that the sure squares of a view have taught; None where a class has too few."""
    sure = [_sure(box, s, here.precision, square_um) for box, s in zip(boxes, here.seen, strict=True)]
    of = np.concatenate([s.probability.argmax(axis=0)[teach] for s, teach in zip(here.seen, sure, strict=True)])
    tissue = sum(int(box.tissue.sum()) for box in boxes)
    if np.bincount(of, minlength=len(here.model.classes)).min() < LEAST * tissue:
        return None
    return _view(boxes, _learned(here.model, boxes, sure, of), square_um, len(of) / tissue)


def _brightness(model: TissueModel, boxes: Sequence[_Box], drawn: Sequence[NDArray[np.float32]]) -> float:
    """Return how many times as bright the slide is taken to be, by the classes that were drawn on it."""
    step = -(-sum(int(box.tissue.sum()) for box in boxes) // _SQUARES)
    at = [np.flatnonzero(box.tissue)[::step] for box in boxes]
    features = np.concatenate([_squares(box.features, k) for box, k in zip(boxes, at, strict=True)])
    of = np.concatenate([_squares(p, k).argmax(axis=1) for p, k in zip(drawn, at, strict=True)])
    return float(np.clip(brightness_agreeing(model, features, of) ** _FARTHER, 1 / MOST, MOST))


def _squares(planes: NDArray[Any], at: NDArray[np.intp]) -> NDArray[Any]:
    """Return some squares (squares, planes) of a box."""
    return planes.reshape(len(planes), -1)[:, at].T


def _sure(box: _Box, seen: _Seen, precision: FloatArray, square_um: float) -> NDArray[np.bool_]:
    """Return the squares that teach: the model is sure of them, the halfway border agrees, no other class is near."""
    import cv2

    halfway, best = drawn_halfway(seen.probability, seen.beside, precision), seen.probability.argmax(axis=0)
    teach = box.known & (seen.probability.max(axis=0) >= SURE)
    for k, own in enumerate(halfway):
        other = box.tissue & (own < 0.5)
        far = cv2.distanceTransform((~other).view(np.uint8), cv2.DIST_L2, 5) if other.any() else np.inf
        teach &= (best != k) | (~other & (far >= AWAY_UM / square_um + 0.5))
    return teach


def _learned(
    model: TissueModel, boxes: Sequence[_Box], sure: Sequence[NDArray[np.bool_]], of: NDArray[np.intp]
) -> TissueModel:
    """Return the model learned anew from sure squares; what is unlike the training is still what was unlike it."""
    step = -(-len(of) // _SQUARES)
    every = np.zeros(len(of), dtype=np.bool_)
    every[::step] = True
    parts = np.split(every, np.cumsum([np.count_nonzero(teach) for teach in sure])[:-1])
    at = [np.flatnonzero(teach)[part] for teach, part in zip(sure, parts, strict=True)]
    features = np.concatenate([_squares(box.features, k) for box, k in zip(boxes, at, strict=True)])
    of = of[::step]
    near = _fitted(model, features, of, near_features(len(model.channels)))
    unsure = _unsure(near, features, of)
    if unsure <= _UNSURE:  # whatever all features would tell
        return near
    wide = _fitted(model, features, of, np.ones(features.shape[1], np.bool_))
    return wide if unsure > _TIMES_UNSURE * _unsure(wide, features, of) + _UNSURE else near


def _unsure(model: TissueModel, features: NDArray[np.int16], of: NDArray[np.intp]) -> float:
    """Return the share of squares that a model is not sure to be of their class."""
    return float(np.mean(class_scores(features, model)[np.arange(len(of)), of] < SURE))


def _fitted(
    model: TissueModel, features: NDArray[np.int16], of: NDArray[np.intp], used: NDArray[np.bool_]
) -> TissueModel:
    one_look = Samples(features[:, used], of, of, np.zeros(len(of), dtype=np.intp))
    anew = fit(one_look, model.classes, modality=model.modality, channels=model.channels, references=model.references)
    weights = np.zeros((len(anew.weights), len(used)))
    weights[:, used] = anew.weights
    return replace(model, look_of=anew.look_of, weights=weights, intercepts=anew.intercepts)


def _shares(boxes: Sequence[_Box], probability: Sequence[NDArray[np.float32]]) -> FloatArray:
    """Return the share of each class in the tissue of some boxes."""
    found = np.concatenate([p.argmax(axis=0)[box.tissue] for box, p in zip(boxes, probability, strict=True)])
    return np.bincount(found, minlength=len(probability[0])) / len(found)
