"""Weighted sums around squares, a line at a time: what smoothing and averages are made of, exact and vectorised.

All sums are of whole numbers below 2**24, which float32 holds exactly in any order. So a square has the same value
however many are taken at a time, and as `smooth` gives it. Loops over a line are simple enough for the compiler to take
eight or sixteen squares at once; neighbours above and below come from lines that are still in the cache.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.smooth import gaussian_weights


class Kernel(NamedTuple):
    """Weights of an average, the same along both axes.

    Attributes
    ----------
    weights
        Symmetric, as `gaussian_weights`.
    added, taken
        What the sum of a column gains and loses from one row to the next, as rows from the new one, each with weight 1;
        empty where summing anew is as fast, or where int16 would not hold it.
    """

    weights: NDArray[np.float32]
    added: NDArray[np.int64]
    taken: NDArray[np.int64]


@lru_cache(maxsize=64)
def kernel(sigma_px: float, top: int) -> Kernel:
    """Return the kernel of a Gaussian for values of at most `top`.

    Examples
    --------
    >>> kernel(4.0, 4095).added.tolist()
    [9, 6, 5, 4, 3, 2]
    """
    whole = gaussian_weights(sigma_px)
    reach = len(whole) // 2
    change = np.diff(np.concatenate(([0], whole, [0])))
    at = np.repeat(np.arange(len(change)) - reach - 1, np.abs(change))
    sign = np.repeat(np.sign(change), np.abs(change))
    added, taken = at[sign < 0][::-1].copy(), at[sign > 0].copy()
    if len(added) > reach or int(whole.max()) * top > np.iinfo(np.int16).max:
        added = taken = np.empty(0, np.int64)
    return Kernel(whole.astype(np.float32), added, taken)


@njit(cache=True, nogil=True)
def sum_down(plane: Any, i: int, weights: Any, out: Any) -> None:
    """Write the weighted sums of columns around row i; beyond the edges the last row is repeated."""
    rows, cols = plane.shape
    n, first = len(weights) // 2, len(weights) // 2 % 2
    middle, here = weights[n], plane[i]
    if first == 1:
        w, a, b = weights[0], plane[max(i - n, 0)], plane[min(i + n, rows - 1)]
        for j in range(cols):
            out[j] = middle * np.float32(here[j]) + w * np.float32(np.int16(a[j] + b[j]))
    elif n > 0:
        first = 2
        w, a, b = weights[0], plane[max(i - n, 0)], plane[min(i + n, rows - 1)]
        v, c, d = weights[1], plane[max(i - n + 1, 0)], plane[min(i + n - 1, rows - 1)]
        for j in range(cols):
            pairs = w * np.float32(np.int16(a[j] + b[j])) + v * np.float32(np.int16(c[j] + d[j]))
            out[j] = middle * np.float32(here[j]) + pairs
    else:
        for j in range(cols):
            out[j] = middle * np.float32(here[j])
    for k in range(first, n, 2):
        w, a, b = weights[k], plane[max(i - n + k, 0)], plane[min(i + n - k, rows - 1)]
        v, c, d = weights[k + 1], plane[max(i - n + k + 1, 0)], plane[min(i + n - k - 1, rows - 1)]
        for j in range(cols):
            out[j] += w * np.float32(np.int16(a[j] + b[j])) + v * np.float32(np.int16(c[j] + d[j]))


@njit(cache=True, nogil=True)
def move_down(plane: Any, i: int, added: Any, taken: Any, change: Any, out: Any) -> None:
    """Bring the weighted sums of columns from around row i - 1 to around row i; `change` is room for a line of int16.

    Its whole numbers may overflow on the way and be right in the end.
    """
    rows, cols = plane.shape
    n, first = len(added), len(added) % 2
    if first:
        a, b = plane[min(max(i + added[0], 0), rows - 1)], plane[min(max(i + taken[0], 0), rows - 1)]
        for j in range(cols):
            change[j] = np.int16(a[j] - b[j])
    else:
        change[:cols] = 0
    for k in range(first, n, 2):
        a, b = plane[min(max(i + added[k], 0), rows - 1)], plane[min(max(i + taken[k], 0), rows - 1)]
        c, d = plane[min(max(i + added[k + 1], 0), rows - 1)], plane[min(max(i + taken[k + 1], 0), rows - 1)]
        for j in range(cols):
            change[j] += np.int16(np.int16(a[j] - b[j]) + np.int16(c[j] - d[j]))
    for j in range(cols):
        out[j] += np.float32(change[j])


@njit(cache=True, nogil=True)
def repeat_ends(line: Any, n: int) -> None:
    """Repeat the first and the last value of a line with n more at each end."""
    for j in range(n):
        line[j] = line[n]
        line[len(line) - 1 - j] = line[len(line) - 1 - n]


@njit(cache=True, nogil=True)
def sum_across(line: Any, weights: Any, out: Any) -> None:
    """Write the weighted sums along a line with half as many more at each end as there are weights."""
    cols, last = len(out), len(weights) - 1
    n, first = last // 2, last // 2 % 3
    middle, here = weights[n], line[n : n + cols]
    if first == 1:
        w, a, b = weights[0], line[:cols], line[last : last + cols]
        for j in range(cols):
            out[j] = middle * here[j] + w * (a[j] + b[j])
    elif first == 2:
        w, a, b = weights[0], line[:cols], line[last : last + cols]
        v, c, d = weights[1], line[1 : 1 + cols], line[last - 1 : last - 1 + cols]
        for j in range(cols):
            out[j] = middle * here[j] + w * (a[j] + b[j]) + v * (c[j] + d[j])
    else:
        for j in range(cols):
            out[j] = middle * here[j]
    for k in range(first, n, 3):
        w, a, b = weights[k], line[k : k + cols], line[last - k : last - k + cols]
        v, c, d = weights[k + 1], line[k + 1 : k + 1 + cols], line[last - k - 1 : last - k - 1 + cols]
        u, e, f = weights[k + 2], line[k + 2 : k + 2 + cols], line[last - k - 2 : last - k - 2 + cols]
        for j in range(cols):
            out[j] += w * (a[j] + b[j]) + v * (c[j] + d[j]) + u * (e[j] + f[j])


@njit(cache=True, nogil=True)
def rounded(line: Any, scale: Any) -> None:
    """Scale a line and round it to whole numbers."""
    for j in range(len(line)):
        line[j] = np.rint(line[j] * scale)


@njit(cache=True, nogil=True)
def pool_line(
    plane: Any, i: int, first: int, pool: Kernel, share: Any, ends: Any, change: Any, sums: Any, line: Any
) -> None:
    """Write row i of the averages of a plane, from one column to before another.

    Parameters
    ----------
    first
        The first row asked for; after it `sums` hold the sums of the columns around the row above.
    share
        What sums are multiplied by.
    ends
        The first and the last column.
    change, sums
        Room for a line; with half as many more at each end as there are weights.
    """
    n, cols = len(pool.weights) // 2, plane.shape[1]
    if i == first or len(pool.added) == 0:
        sum_down(plane, i, pool.weights, sums[n : n + cols])
    else:
        move_down(plane, i, pool.added, pool.taken, change, sums[n : n + cols])
    repeat_ends(sums, n)
    sum_across(sums[ends[0] : ends[1] + 2 * n], pool.weights, line)
    rounded(line, share)
