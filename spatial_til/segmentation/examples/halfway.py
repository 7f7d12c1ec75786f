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
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import FloatArray
from spatial_til.segmentation.examples.features import LEVEL_PARTS
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
    if not by_both.any():
        none = np.empty((len(levels), 0), np.float32)
        return Beside((np.empty(0, np.intp), np.empty(0, np.intp)), np.empty(0, np.bool_), none, none, none)
    sigma = AROUND_UM / (square_um * _CELL)
    ones = np.broadcast_to(np.ones(1, np.int16), (1, *found.shape))
    share = np.stack([_around(ones, side, sigma, _SQUARE_PARTS)[0] for side in sides])
    sums = np.stack([_around(levels, side, sigma, _MEAN_PARTS) for side in sides])
    return _gathered(by_both, found, levels, share, sums)


def _around(planes: NDArray[Any], side: NDArray[np.bool_], sigma_cells: float, parts: int) -> NDArray[np.int16]:
    """Return the sums of planes over cells of a side, smoothed, in parts of one."""
    sums = np.empty((len(planes), *(-(-n // _CELL) for n in side.shape)), np.int16)
    for plane, out in zip(planes, sums, strict=True):
        _cell_sums(plane, side, out)
        smooth(out, sigma_cells, parts, out=out)
    return sums


@njit(cache=True, nogil=True)
def _cell_sums(plane: Any, side: Any, out: Any) -> None:
    """Write the sums of a plane over the squares of a side in cells of two by two; beyond the slide there are none."""
    rows, cols = side.shape
    line = np.zeros(2 * out.shape[1], np.int16)
    for i in range(len(out)):
        upper, lower = 2 * i, min(2 * i + 1, rows - 1)
        a, b, c, d = plane[upper], plane[lower], side[upper], side[lower]
        whole = np.int16(lower > upper)
        for j in range(cols):
            line[j] = np.int16(a[j] * np.int16(c[j])) + np.int16(np.int16(b[j] * np.int16(d[j])) * whole)
        for j in range(out.shape[1]):
            out[i, j] = line[2 * j] + line[2 * j + 1]


def _gathered(
    by_both: NDArray[np.bool_],
    found: NDArray[np.bool_],
    levels: NDArray[Any],
    share: NDArray[np.int16],
    sums: NDArray[np.int16],
) -> Beside:
    """Return the squares that have enough of both sides around them."""
    most, n = int(np.count_nonzero(by_both)), len(levels)
    row, col, is_class = np.empty(most, np.intp), np.empty(most, np.intp), np.empty(most, np.bool_)
    level, means = np.empty((n, most), np.float32), np.empty((2, n, most), np.float32)
    count = _gather(by_both, found, levels, share, sums, row, col, is_class, level, means)
    of_class, of_rest = means[:, :, :count]
    return Beside((row[:count], col[:count]), is_class[:count], level[:, :count], of_class, of_rest)


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(
    by_both: Any,
    found: Any,
    levels: Any,
    share: Any,
    sums: Any,
    row: Any,
    col: Any,
    is_class: Any,
    level: Any,
    means: Any,
) -> Any:
    least, at = _LEAST * _SQUARE_PARTS * _CELL**2, 0
    parts, one = np.float32(_SQUARE_PARTS / _MEAN_PARTS / LEVEL_PARTS), np.float32(1)
    for i in range(by_both.shape[0]):
        for j in range(by_both.shape[1]):
            r, c = i // _CELL, j // _CELL
            if by_both[i, j] and share[0, r, c] > least and share[1, r, c] > least:
                row[at], col[at], is_class[at] = i, j, found[i, j]
                for s in range(2):
                    per_square = parts / max(np.float32(share[s, r, c]), one)
                    for k in range(len(levels)):
                        means[s, k, at] = np.float32(sums[s, k, r, c]) * per_square
                for k in range(len(levels)):
                    level[k, at] = np.float32(levels[k, i, j]) / np.float32(LEVEL_PARTS)
                at += 1
    return at


def _near(square_um: float) -> int:
    return round(NEAR_UM / square_um)


def _cells_around(square_um: float) -> int:
    return len(gaussian_weights(AROUND_UM / (square_um * _CELL))) // 2
