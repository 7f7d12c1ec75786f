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
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.features import (
    RESPONSES,
    SCALES_UM,
    SQUARE_PX,
    features_of,
    levels_in,
    support_px,
)
from spatial_til.segmentation.examples.halfway import (
    Border,
    beside_borders,
    drawn_halfway,
    reach_squares,
)
from spatial_til.segmentation.examples.planes import StainPlanes, levels_of
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
        return 1 + len(SCALES_UM) * len(RESPONSES)


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
    halo = support_px(planes.pixel_size)
    rows, cols = planes.planes.shape[1:]
    row0, row1, col0, col1 = (SQUARE_PX * n for n in box)
    read = (max(row0 - halo, 0), min(row1 + halo, rows), max(col0 - halo, 0), min(col1 + halo, cols))
    pixels = planes.select(channels)[:, read[0] : read[1], read[2] : read[3]]
    levels = levels_of(pixels, planes.references(channels, references))
    found = features_of(levels, planes.pixel_size, scratch)
    top, left = (row0 - read[0]) // SQUARE_PX, (col0 - read[2]) // SQUARE_PX
    return found[:, top : top + box[1] - box[0], left : left + box[3] - box[2]]


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
    read = box if model.border is None else _wider(box, planes)
    features = features_in(planes, model.channels, model.references, read, scratch)
    probability, unlike = classify(features, model)
    square = square_size(planes.pixel_size)
    if model.border is not None:
        tissue = model.border.tissue[read[0] : read[1], read[2] : read[3]]
        levels = levels_in(features, len(model.channels))
        beside = list(beside_borders(probability, levels, tissue, square.mean_um))
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
    probability = np.empty((len(model.classes), *features.shape[1:]), dtype=np.float32)
    unlike = np.empty(features.shape[1:], dtype=np.bool_)
    margin = RANGE_MARGIN * (model.high.astype(np.float64) - model.low)
    low, high = np.ceil(model.low - margin), np.floor(model.high + margin)  # of whole numbers, so whole as well
    low, high = (np.clip(bound, -32768, 32767).astype(np.int16) for bound in (low, high))
    _classify(features, model.look_of, model.weights, model.intercepts, low, high, probability, unlike)
    return probability, unlike


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
    shape = (len(model.classes), 1, len(features))
    probability, unlike = np.empty(shape, dtype=np.float64), np.empty(shape[1:], dtype=np.bool_)
    columns = np.ascontiguousarray(features.T)[:, None, :]
    _classify(columns, model.look_of, model.weights, model.intercepts, model.low, model.high, probability, unlike)
    return np.asarray(probability[:, 0].T)


@njit(cache=True, nogil=True)
def _classify(
    features: Any, look_of: Any, weights: Any, intercepts: Any, low: Any, high: Any, probability: Any, unlike: Any
) -> None:
    """Write the softmax of the linear scores of every square, summed over the looks of a class, and what is unlike.

    Scores are single precision: twice as many at a time, and 1e-5 is nothing to a probability.
    """
    count, rows, cols = features.shape
    looks = len(intercepts)
    score = np.empty((looks, cols), dtype=np.float32)
    total, highest = np.empty(cols, dtype=np.float32), np.empty(cols, dtype=np.float32)
    out = np.empty(cols, dtype=np.int16)
    line = np.empty(cols, dtype=np.float32)
    for i in range(rows):
        for k in range(looks):
            for j in range(cols):
                score[k, j] = intercepts[k]
        out[:] = 0
        for f in range(count):
            whole = features[f, i]
            for j in range(cols):
                line[j] = whole[j]
            for k in range(looks):
                weight = np.float32(weights[k, f])
                if weight != 0:
                    for j in range(cols):
                        score[k, j] += weight * line[j]
            below, above = low[f], high[f]
            for j in range(cols):
                out[j] |= np.int16(whole[j] < below) | np.int16(whole[j] > above)
        for j in range(cols):
            highest[j] = score[0, j]
        for k in range(1, looks):
            for j in range(cols):
                highest[j] = max(highest[j], score[k, j])
        total[:] = 0.0
        for k in range(looks):
            for j in range(cols):
                score[k, j] = np.exp(score[k, j] - highest[j])
                total[j] += score[k, j]
        probability[:, i] = 0.0
        for k in range(looks):
            shares = probability[look_of[k], i]
            for j in range(cols):
                shares[j] += score[k, j] / total[j]
        for j in range(cols):
            unlike[i, j] = out[j] != 0
