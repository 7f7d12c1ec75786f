"""The border where stain is halfway between what it is on both sides, around there.

The classifier looks at a square with its neighbourhood, and at edges, which a border has: what it finds is a little
too wide or too narrow. The level of stain in the square itself is not smeared so far. Beside the border that the
classifier finds it is compared with the mean levels on both sides, as by Fisher's discriminant of the two, and the log
odds of that are added to half of the classifier's. Half, since both look at the same stain.

All sums are of whole numbers, so that a border lies in the same place whatever the tile it is drawn in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.features import LEVEL_PARTS, square_sums
from spatial_til.segmentation.smooth import gaussian_weights, smooth

#: Squares as near as this to the other side are looked at again, by the means of both sides so far around (standard
#: deviation of a Gaussian). Project defaults.
NEAR_UM, AROUND_UM = 8.0, 12.0
#: How much of the classifier's log odds is added, and how far log odds of either kind may go.
_SHARE, _MOST = 0.5, 4.0
#: Either side must be at least so much of what is around; levels are unsure by at least one.
_LEAST, _LEVEL_ERROR = 0.02, 1.0
#: Means are taken over cells of so many squares a side; parts of a square in a share, of a level in a mean.
_CELL, _SQUARE_PARTS, _MEAN_PARTS = 2, 64, 8


@dataclass(frozen=True, slots=True)
class Border:
    """How borders are drawn on one slide.

    Attributes
    ----------
    precision
        (channels, channels) inverse covariance of the levels beside borders, about the mean of their side.
    tissue
        (rows, cols) of all squares of the slide: which are tissue.
    """

    precision: FloatArray
    tissue: NDArray[np.bool_]


class Beside(NamedTuple):
    """The n squares beside the border of a class.

    Attributes
    ----------
    at
        Their rows and columns.
    is_class
        (n,) which are of the class.
    level, of_class, of_rest
        (channels, n) the level in each square, and the means of the class and of the rest around it.
    """

    at: tuple[NDArray[np.intp], NDArray[np.intp]]
    is_class: NDArray[np.bool_]
    level: NDArray[np.float32]
    of_class: NDArray[np.float32]
    of_rest: NDArray[np.float32]


def reach_squares(square_um: float) -> int:
    """Return how many squares around one may have a say in its probability."""
    return max(_CELL * (_cells_around(square_um) + 2), _near(square_um))


def beside_borders(
    probability: NDArray[np.float32], levels: NDArray[Any], tissue: NDArray[np.bool_], square_um: float
) -> Iterator[Beside]:
    """Yield the squares beside the border of each class; of two classes the border is one, that of the first.

    Parameters
    ----------
    probability
        (classes, rows, cols) by the classifier, from an even row and column of the slide.
    levels
        (channels, rows, cols) as `levels_in`.
    tissue
        (rows, cols)
    """
    for own in probability[: 1 if len(probability) == 2 else None]:
        yield _beside(own >= 0.5, levels, tissue, square_um)


def precision_of(beside: Sequence[Beside]) -> FloatArray:
    """Return the inverse covariance of the levels of some squares about the mean of their side."""
    about = [b.level - np.where(b.is_class, b.of_class, b.of_rest) for b in beside]
    every = np.concatenate(about, axis=1).astype(np.float64)
    covariance = every @ every.T / max(every.shape[1], 1)
    return np.linalg.inv(covariance + _LEVEL_ERROR**2 * np.eye(len(every)))


def drawn_halfway(
    probability: NDArray[np.float32], beside: Sequence[Beside], precision: FloatArray
) -> NDArray[np.float32]:
    """Return the probability with borders drawn halfway; see `beside_borders`."""
    drawn = probability.copy()
    for own, b in zip(drawn, beside, strict=False):
        own[b.at] = _likely(b, own[b.at], precision)
    if len(drawn) == 2:
        drawn[1] = 1 - drawn[0]
    else:
        drawn /= drawn.sum(axis=0)
    return drawn


def _likely(beside: Beside, probability: NDArray[np.float32], precision: FloatArray) -> NDArray[np.float32]:
    apart = beside.of_class - beside.of_rest
    beyond = beside.level - (beside.of_class + beside.of_rest) / 2
    by_level = np.zeros(len(probability), np.float32)
    for row, b in zip(precision.astype(np.float32), beyond, strict=True):  # sums in one order, in every tile
        for p, a in zip(row, apart, strict=True):
            by_level += p * a * b
    sure = np.clip(probability, 1e-4, 1 - 1e-4)
    odds = _SHARE * np.clip(np.log(sure / (1 - sure)), -_MOST, _MOST) + np.clip(by_level, -_MOST, _MOST)
    return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)


def _beside(found: NDArray[np.bool_], levels: NDArray[Any], tissue: NDArray[np.bool_], square_um: float) -> Beside:
    import cv2

    sides = (found & tissue, tissue & ~found)
    near = _near(square_um)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * near + 1, 2 * near + 1))
    by_both = np.logical_and(*(cv2.dilate(side.view(np.uint8), disc) > 0 for side in sides)) & tissue
    row, col = np.nonzero(by_both)
    if not len(row):
        none = np.empty((len(levels), 0), np.float32)
        return Beside((row, col), np.empty(0, np.bool_), none, none, none)
    cell, enough = (row // _CELL, col // _CELL), np.ones(len(row), np.bool_)
    means: list[NDArray[np.float32]] = []
    sigma = AROUND_UM / (square_um * _CELL)
    for side in sides:
        share = _around(side.view(np.uint8), sigma, _SQUARE_PARTS)[cell]
        enough &= share > _LEAST * _SQUARE_PARTS * _CELL**2
        per_square = np.float32(_SQUARE_PARTS / _MEAN_PARTS / LEVEL_PARTS) / np.maximum(share, np.float32(1))
        sums = [_around(plane * side, sigma, _MEAN_PARTS)[cell] for plane in levels]
        means.append((np.stack(sums) * per_square).astype(np.float32, copy=False))
    row, col = row[enough], col[enough]
    level = levels[:, row, col].astype(np.float32) / np.float32(LEVEL_PARTS)
    return Beside((row, col), found[row, col], level, means[0][:, enough], means[1][:, enough])


def _around(plane: NDArray[Any], sigma_cells: float, parts: int) -> NDArray[np.float32]:
    """Return the sums of a plane over cells, smoothed, in parts of one."""
    rows, cols = (-(-n // _CELL) for n in plane.shape)
    if plane.shape != (rows * _CELL, cols * _CELL):  # beyond the end of the slide there is no tissue
        plane = np.pad(plane, [(0, n % _CELL) for n in plane.shape])
    sums = np.empty((rows, cols), np.int16)
    square_sums(plane, sums)
    return smooth(sums, sigma_cells, parts, out=np.empty((rows, cols), np.int16)).astype(np.float32)


def _near(square_um: float) -> int:
    return round(NEAR_UM / square_um)


def _cells_around(square_um: float) -> int:
    return len(gaussian_weights(AROUND_UM / (square_um * _CELL))) // 2
