"""A classifier of tissue: a straight-line score of each look of a class from the features of a square, and its softmax.

A class may have two looks, as stroma has with and without lymphocytes; its probability is that of both.

Of linear and tree-based classifiers trained on the same strokes none was clearly more accurate. A linear one is
a handful of numbers, so a stored one can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.features import (
    POOL_SHARE,
    as_levels,
    features_of,
    pools_of,
    responses_of,
    support_px,
)
from spatial_til.segmentation.examples.halfway import (
    Border,
    beside_borders,
    drawn_halfway,
    reach_squares,
)
from spatial_til.segmentation.examples.planes import StainPlanes, levels_of
from spatial_til.segmentation.examples.responses import PER_CHANNEL, SQUARE_PX
from spatial_til.segmentation.examples.scores import Scoring, score_features, score_responses
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.tiles import tile_grid
from spatial_til.units import PixelSize

#: A feature this share of its range in training beyond that range is unlike anything learned from.
RANGE_MARGIN = 0.25
#: Share of a slide's tissue that is unlike the training from which a slide is flagged. Project default.
MAX_UNLIKE = 0.1


@dataclass(frozen=True, slots=True)
class Painted:
    """What the looks were painted like over the widest neighbourhood, stain by stain: a slide's strength is told by it.

    Attributes
    ----------
    share
        (looks,) prior of each look.
    mean
        (looks, channels, n) average of the level and the responses of each channel.
    spread
        (looks, channels, n, n) their covariances.
    """

    share: FloatArray
    mean: FloatArray
    spread: FloatArray

    @staticmethod
    def per_channel() -> int:
        """Return n: a level, and the responses at each scale."""
        return PER_CHANNEL


@dataclass(frozen=True, slots=True)
class TissueModel:
    """What classes of tissue look like in some stains.

    Attributes
    ----------
    modality, channels, references
        What it looks at: see `StainPlanes` and `levels_of`.
    classes
        Their names, two or more.
    look_of
        (looks,) the class that each look is of, as its index; every class has one or more.
    weights, intercepts
        (looks, features) and (looks,): the score of a look is their linear form of the features.
    low, high
        (features,) range of each feature in training.
    painted
        What slides are brought to the strength of, in brightfield.
    border
        How borders are drawn on the one slide that this model is for; None for a model of any slide.
    """

    modality: str
    channels: tuple[str, ...]
    references: tuple[float, ...]
    classes: tuple[str, ...]
    look_of: NDArray[np.intp]
    weights: FloatArray
    intercepts: FloatArray
    low: NDArray[np.int16]
    high: NDArray[np.int16]
    painted: Painted | None = None
    border: Border | None = None


class TissueMap(NamedTuple):
    """Probability of each class in squares of two pixels of the planes.

    Attributes
    ----------
    probability
        (classes, rows, cols), the sum over classes is 1.
    unlike
        (rows, cols) bool: a feature is far beyond its range in training.
    row0, col0
        The first square, of the slide's.
    square
        Size of a square.
    """

    probability: NDArray[np.float32]
    unlike: NDArray[np.bool_]
    row0: int
    col0: int
    square: PixelSize


def square_size(px: PixelSize) -> PixelSize:
    """Return the size of the squares of planes with some pixel size."""
    return px.scaled(SQUARE_PX, SQUARE_PX)


def squares_shape(planes: StainPlanes) -> tuple[int, int]:
    """Return the rows and columns of the squares of a slide; parts of a square at its end have none."""
    rows, cols = planes.planes.shape[1:]
    return rows // SQUARE_PX, cols // SQUARE_PX


def tissue_corners(inside: NDArray[np.bool_], side: int, most: int) -> list[tuple[int, int]]:
    """Return the first square of boxes with tissue, `side` squares wide, at most so many, spread over the slide."""
    rows, cols = inside.shape
    corners = [(r, c) for r in range(0, rows, side) for c in range(0, cols, side)]
    corners = [(r, c) for r, c in corners if inside[r : r + side, c : c + side].any()]
    chosen = np.unique(np.linspace(0, len(corners) - 1, min(most, len(corners))).round().astype(int))
    return [corners[k] for k in chosen]


def features_in(
    planes: StainPlanes,
    channels: tuple[str, ...],
    references: tuple[float, ...],
    box: tuple[int, int, int, int],
    scratch: Scratch | None = None,
) -> NDArray[np.int16]:
    """Return the features (features, rows, cols) of a box of squares (row0, row1, col0, col1) of a slide.

    They are valid until the next call with the same `scratch`.
    """
    scratch = Scratch() if scratch is None else scratch
    levels, (row0, row1, col0, col1) = _levels_around(planes, channels, references, box, scratch)
    return features_of(levels, planes.pixel_size, scratch)[:, row0:row1, col0:col1]


def _levels_around(
    planes: StainPlanes,
    channels: tuple[str, ...],
    references: tuple[float, ...],
    box: tuple[int, int, int, int],
    scratch: Scratch,
) -> tuple[NDArray[Any], tuple[int, int, int, int]]:
    """Return the levels of a box of squares and of all that its features see, and the box in squares of these."""
    halo = support_px(planes.pixel_size)
    rows, cols = planes.planes.shape[1:]
    row0, row1, col0, col1 = (SQUARE_PX * n for n in box)
    read = (max(row0 - halo, 0), min(row1 + halo, rows), max(col0 - halo, 0), min(col1 + halo, cols))
    pixels = planes.select(channels, (slice(*read[:2]), slice(*read[2:])))
    levels = levels_of(pixels, planes.references(channels, references), scratch)
    top, left = (row0 - read[0]) // SQUARE_PX, (col0 - read[2]) // SQUARE_PX
    return levels, (top, top + box[1] - box[0], left, left + box[3] - box[2])


def classify_box(
    planes: StainPlanes, model: TissueModel, box: tuple[int, int, int, int], scratch: Scratch | None = None
) -> TissueMap:
    """Return the map of a box of squares (row0, row1, col0, col1); the same whatever the box around a square.

    Parameters
    ----------
    planes
        With the channels of the model.
    box
        Inside `squares_shape`.
    scratch
        Memory for one box after the other.
    """
    scratch = Scratch() if scratch is None else scratch
    read, square = box if model.border is None else _wider(box, planes), square_size(planes.pixel_size)
    levels, inner = _levels_around(planes, model.channels, model.references, read, scratch)
    responses = responses_of(levels, planes.pixel_size, scratch)
    probability, unlike = _empty(model, (read[1] - read[0], read[3] - read[2]))
    narrow = np.empty((len(levels) if model.border is not None else 0, *unlike.shape), np.int16)
    pools = pools_of(planes.pixel_size)
    score_responses(responses, pools, POOL_SHARE, inner, _scoring(model), narrow, probability, unlike)
    if model.border is not None:
        tissue = model.border.tissue[read[0] : read[1], read[2] : read[3]]
        beside = list(beside_borders(probability, as_levels(narrow), tissue, square.mean_um))
        probability = drawn_halfway(probability, beside, model.border.precision)
    cut = np.s_[..., box[0] - read[0] : box[1] - read[0], box[2] - read[2] : box[3] - read[2]]
    return TissueMap(probability[cut], unlike[cut], box[0], box[2], square)


def _wider(box: tuple[int, int, int, int], planes: StainPlanes) -> tuple[int, int, int, int]:
    """Return a box and what has a say in its borders, from an even row and column."""
    reach = reach_squares(square_size(planes.pixel_size).mean_um)
    rows, cols = squares_shape(planes)
    row0, col0 = (2 * (max(n - reach, 0) // 2) for n in (box[0], box[2]))
    return row0, min(box[1] + reach, rows), col0, min(box[3] + reach, cols)


def classify(features: NDArray[np.int16], model: TissueModel) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the probability (classes, rows, cols) of squares by their features, and which are unlike the training."""
    probability, unlike = _empty(model, features.shape[1:])
    score_features(features, _scoring(model), probability, unlike)
    return probability, unlike


def _empty(model: TissueModel, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return np.empty((len(model.classes), *shape), np.float32), np.empty(shape, np.bool_)


def _scoring(model: TissueModel) -> Scoring:
    margin = RANGE_MARGIN * (model.high.astype(np.float64) - model.low)
    low, high = np.ceil(model.low - margin), np.floor(model.high + margin)  # of whole numbers, so whole as well
    single = [np.asarray(a, np.float32) for a in (model.weights, model.intercepts, low, high)]
    return Scoring(np.ascontiguousarray(model.look_of, np.intp), *(np.ascontiguousarray(a) for a in single))


def classify_slide(
    planes: StainPlanes,
    model: TissueModel,
    inside: NDArray[np.bool_],
    *,
    wanted: int,
    tile_squares: int = 1024,
    on_tile: Callable[[float], None] = lambda _: None,
) -> tuple[NDArray[np.float32], float]:
    """Return the probability of one class on a whole slide, (rows, cols), and the share of tissue unlike the training.

    Parameters
    ----------
    inside
        (rows, cols) of squares: which are tissue. Tiles without any have probability 0.
    wanted
        Index of the class.
    tile_squares
        Side of the tiles; the result does not depend on it.
    on_tile
        Told before each tile what share is done; what it raises ends the work.
    """
    probability = np.zeros(inside.shape, dtype=np.float32)
    unlike, scratch = 0, Scratch()
    tiles = list(tile_grid(inside.shape, tile_px=(tile_squares, tile_squares), halo_px=0, align_px=1))
    for done, tile in enumerate(tiles):
        on_tile(done / len(tiles))
        here = np.s_[tile.row0 : tile.row1, tile.col0 : tile.col1]
        if inside[here].any():
            found = classify_box(planes, model, (tile.row0, tile.row1, tile.col0, tile.col1), scratch)
            probability[here] = found.probability[wanted]
            unlike += int((found.unlike & inside[here]).sum())
    return probability, unlike / max(int(inside.sum()), 1)


def class_scores(features: NDArray[np.int16], model: TissueModel) -> FloatArray:
    """Return the probability of each class, (n, classes), of n squares given by their features (n, features)."""
    probability, _ = classify(np.ascontiguousarray(features.T)[:, None, :], model)
    return np.asarray(probability[:, 0].T, dtype=np.float64)
