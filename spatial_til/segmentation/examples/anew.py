"""A fluorescence slide teaches its own model: what the one learned elsewhere is sure of is painted for it.

Channels of fluorescence are brought to the brightness of the slides learned from, each by one number. What differs
beyond that (how much of a marker the tumour takes, what shines by itself) leaves the border where the tissues of other
slides would have it. So the model is learned once more, by the usual training, from the squares of this slide of which
it is sure. These lie away from borders, as strokes do, and a class has one look, that of this slide: of two, one would
be that of squares nearer to the border, and draw it outwards.

A slide on which that cannot be done well is found by the model as it is: one unlike the training, one with little of a
class, and one on which another amount of a class would be found, as where tissue that nobody painted is in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.classifier import (
    MAX_UNLIKE,
    TissueModel,
    classify,
    features_in,
    square_size,
    tissue_corners,
)
from spatial_til.segmentation.examples.features import levels_in
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
#: Each class must be taught by so much of the tissue, and may then become so much more or less. Project defaults.
LEAST, MOST_CHANGED = 0.15, 0.2
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
    first = seen = [_seen(box, model, square_um) for box in boxes]
    anew, precision = model, _precision(seen)
    for _ in range(_ROUNDS):
        sure = [_sure(box, s, precision, square_um) for box, s in zip(boxes, seen, strict=True)]
        of = np.concatenate([s.probability.argmax(axis=0)[teach] for s, teach in zip(seen, sure, strict=True)])
        if np.bincount(of, minlength=len(model.classes)).min() < LEAST * tissue:
            return Taught(model, 0.0, "scarce")
        anew = _learned(anew, boxes, sure, of)
        seen = [_seen(box, anew, square_um) for box in boxes]
        precision = _precision(seen)
    drawn = [drawn_halfway(*s, precision) for s in seen]
    before, after = (_shares(boxes, p) for p in ([s.probability for s in first], drawn))
    if (np.abs(after - before) > MOST_CHANGED * before).any():
        return Taught(model, 0.0, "changed")
    return Taught(replace(anew, border=Border(precision, inside)), len(of) / tissue)


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


def _seen(box: _Box, model: TissueModel, square_um: float) -> _Seen:
    probability, _ = classify(box.features, model)
    levels = levels_in(box.features, len(model.channels))
    return _Seen(probability, list(beside_borders(probability, levels, box.tissue, square_um)))


def _precision(seen: Sequence[_Seen]) -> FloatArray:
    return precision_of([beside for s in seen for beside in s.beside])


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
    taken = [box.features.reshape(len(box.features), -1)[:, k] for box, k in zip(boxes, at, strict=True)]
    features, of = np.concatenate(taken, axis=1).T, of[::step]
    one_look = Samples(features, of, of, np.zeros(len(of), dtype=np.intp))
    anew = fit(one_look, model.classes, modality=model.modality, channels=model.channels, references=model.references)
    return replace(model, look_of=anew.look_of, weights=anew.weights, intercepts=anew.intercepts)


def _shares(boxes: Sequence[_Box], probability: Sequence[NDArray[np.float32]]) -> FloatArray:
    """Return the share of each class in the tissue of some boxes."""
    found = np.concatenate([p.argmax(axis=0)[box.tissue] for box, p in zip(boxes, probability, strict=True)])
    return np.bincount(found, minlength=len(probability[0])) / len(found)
