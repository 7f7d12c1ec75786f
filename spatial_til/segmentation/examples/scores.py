"""Squares to the probability of classes: a linear score of each look, and the softmax of the scores.

On a whole slide features are made a line at a time, go into the scores while they are in the cache, and are gone: they
are ten times as large as the picture. Scores are single precision: twice as many at a time, and 1e-5 is nothing to a
probability. They are added in one order, so that a square has the same in any tile, made from stored features or not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.examples.lines import pool_line

#: So many rows of squares are scored at a time, which stay in the cache.
_STRIP_ROWS = 8


class Scoring(NamedTuple):
    """What looks are told by.

    Attributes
    ----------
    look_of
        (looks,) the class of each.
    weights, intercepts
        (looks, features) and (looks,) of their linear scores.
    low, high
        (features,) what lies beyond is unlike the training.
    """

    look_of: NDArray[np.intp]
    weights: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@njit(cache=True, nogil=True)
def score_features(features: Any, scoring: Scoring, probability: Any, unlike: Any) -> None:
    """Write the probability (classes, rows, cols) of squares, and which are unlike the training, by stored features."""
    count, rows, cols = features.shape
    room = np.empty((2, cols), dtype=np.float32)
    score = np.empty((len(scoring.intercepts), cols), dtype=np.float32)
    out, bits = np.empty(cols, dtype=np.int16), np.empty(cols, dtype=np.int32)
    for i in range(rows):
        _begin(scoring, score, out)
        for f in range(count):
            for j in range(cols):
                room[0, j] = features[f, i, j]
            _add(room[0], f, scoring, score, out)
        _finish(scoring, score, out, room, bits, i, probability, unlike[i])


@njit(cache=True, nogil=True)
def score_responses(
    planes: Any, pools: Any, share: Any, box: Any, scoring: Scoring, levels: Any, probability: Any, unlike: Any
) -> None:
    """Write the same by the responses of squares, averaged over the narrow and the wide of two pools.

    Parameters
    ----------
    planes
        (n, rows, cols) levels and responses, channel by channel.
    pools
        Two kernels.
    share
        What sums of them are multiplied by.
    box
        First and last row and column of the squares that are asked for.
    levels
        (channels, rows, cols) the narrow averages of the levels; (0, 0, 0) where they are not asked for.
    """
    row0, row1, col0, col1 = box
    narrow, wide = pools
    cols, asked, looks = planes.shape[2], col1 - col0, len(scoring.intercepts)
    near = np.empty(cols + len(narrow.weights) - 1, np.float32)
    far = np.empty((len(planes), cols + len(wide.weights) - 1), np.float32)
    change, line = np.empty(cols, np.int16), np.empty(asked, np.float32)
    score, out = np.empty((_STRIP_ROWS, looks, asked), np.float32), np.empty((_STRIP_ROWS, asked), np.int16)
    room, bits = np.empty((2, asked), np.float32), np.empty(asked, np.int32)
    every = len(planes) // max(len(levels), 1)
    for top in range(row0, row1, _STRIP_ROWS):
        strip = min(_STRIP_ROWS, row1 - top)
        for k in range(strip):
            _begin(scoring, score[k], out[k])
        for p in range(len(planes)):
            for k in range(strip):
                i = top + k
                pool_line(planes[p], i, i, narrow, share, (col0, col1), change, near, line)
                _add(line, 2 * p, scoring, score[k], out[k])
                if len(levels) > 0 and p % every == 0:
                    for j in range(asked):
                        levels[p // every, i - row0, j] = np.int16(np.int32(line[j]))
                pool_line(planes[p], i, row0, wide, share, (col0, col1), change, far[p], line)
                _add(line, 2 * p + 1, scoring, score[k], out[k])
        for k in range(strip):
            i = top + k - row0
            _finish(scoring, score[k], out[k], room, bits, i, probability, unlike[i])


@njit(cache=True, nogil=True)
def _begin(scoring: Scoring, score: Any, out: Any) -> None:
    for k in range(len(score)):
        score[k, :] = scoring.intercepts[k]
    out[:] = 0


@njit(cache=True, nogil=True)
def _add(line: Any, f: int, scoring: Scoring, score: Any, out: Any) -> None:
    """Add feature f of a line of squares to its scores."""
    cols = len(line)
    for k in range(len(score)):
        weight, of = scoring.weights[k, f], score[k]
        if weight != 0:
            for j in range(cols):
                of[j] += weight * line[j]
    low, high = scoring.low[f], scoring.high[f]
    for j in range(cols):
        out[j] |= np.int16(line[j] < low) | np.int16(line[j] > high)


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(
    scoring: Scoring, score: Any, out: Any, room: Any, bits: Any, i: int, probability: Any, unlike: Any
) -> None:
    """Write the softmax of the scores of line i, summed over the looks of a class, and what is unlike."""
    looks, cols = score.shape
    highest, total = room[0], room[1]
    highest[:] = score[0]
    for k in range(1, looks):
        of = score[k]
        for j in range(cols):
            highest[j] = max(highest[j], of[j])
    total[:] = 0
    for k in range(looks):
        of = score[k]
        for j in range(cols):
            of[j] -= highest[j]
        _exp(of, bits)
        for j in range(cols):
            total[j] += of[j]
    probability[:, i] = 0
    for k in range(looks):
        of, shares = score[k], probability[scoring.look_of[k], i]
        for j in range(cols):
            shares[j] += of[j] / total[j]
    for j in range(cols):
        unlike[j] = out[j] != 0


@njit(cache=True, nogil=True)
def _exp(x: Any, bits: Any) -> None:
    """Replace numbers of at most 0 by their exponentials: eight at once, the same on every machine, right to 2e-7.

    By the reduction and the polynomial of Cephes' ``expf`` (Moshier 1989, https://www.netlib.org/cephes/).
    """
    lowest, per, half = np.float32(-87), np.float32(1.4426950408889634), np.float32(0.5)
    first, second = np.float32(0.693359375), np.float32(-2.12194440e-4)
    a, b, c = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
    d, e, one = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(1)
    cols = len(x)
    for j in range(cols):
        at = max(x[j], lowest)
        whole = np.rint(at * per)
        r = at - whole * first - whole * second
        x[j] = (((((a * r + b) * r + c) * r + d) * r + e) * r + half) * (r * r) + r + one
        bits[j] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    as_float = bits.view(np.float32)
    for j in range(cols):
        x[j] *= as_float[j]
