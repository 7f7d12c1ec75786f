"""Block means: how a level is reduced to the working grid, the same for every box that is read.

Sums run down the rows of a block, then along them, so that the inner loops lie along memory; their
order does not depend on where a box begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Half up, and over the rounding of 1 / n: sums are whole numbers, so nothing else is that near.
_HALF_UP = 0.5 + 1e-9


@njit(cache=True, nogil=True)
def _halve_colours(source, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Average 2 x 2 pixels of three colours: the common case, spelled out so that it is vectorised."""
    flat = source.reshape(source.shape[0], -1)
    two = np.uint32(2)
    for row in range(out.shape[0]):
        a, b, line = flat[2 * row], flat[2 * row + 1], out[row].reshape(-1)
        for col in range(out.shape[1]):
            i, j = 6 * col, 3 * col
            line[j] = (np.uint32(a[i]) + a[i + 3] + b[i] + b[i + 3] + two) >> two
            line[j + 1] = (np.uint32(a[i + 1]) + a[i + 4] + b[i + 1] + b[i + 4] + two) >> two
            line[j + 2] = (np.uint32(a[i + 2]) + a[i + 5] + b[i + 2] + b[i + 5] + two) >> two


@njit(cache=True, nogil=True)
def _mean_colours(source, factor_y, factor_x, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    rows, cols, samples = out.shape
    flat = source.reshape(source.shape[0], -1)
    line = np.empty(cols * factor_x * samples, np.uint32)
    share = 1.0 / (factor_y * factor_x)
    for row in range(rows):
        line[:] = 0
        for y in range(row * factor_y, (row + 1) * factor_y):
            for i in range(line.size):
                line[i] += flat[y, i]
        for col in range(cols):
            for sample in range(samples):
                total = np.uint32(0)
                for x in range(factor_x):
                    total += line[(col * factor_x + x) * samples + sample]
                out[row, col, sample] = np.uint8(total * share + _HALF_UP)


@njit(cache=True, nogil=True)
def _mean_values(source, factor_y, factor_x, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    rows, cols, samples = out.shape
    flat = source.reshape(source.shape[0], -1)
    line = np.empty(cols * factor_x * samples, np.float64)
    n = factor_y * factor_x
    for row in range(rows):
        line[:] = 0
        for y in range(row * factor_y, (row + 1) * factor_y):
            for i in range(line.size):
                line[i] += flat[y, i]
        for col in range(cols):
            for sample in range(samples):
                total = 0.0
                for x in range(factor_x):
                    total += line[(col * factor_x + x) * samples + sample]
                out[row, col, sample] = total / n


def bin_mean(source: NDArray[Any], factor_y: int, factor_x: int, *, is_rgb: bool) -> NDArray[Any]:
    """Return the mean of each block of `factor_y` x `factor_x` pixels.

    Parameters
    ----------
    source
        (rows, cols, samples); a last block that is not complete is left out.
    factor_y, factor_x
        Pixels in a block.
    is_rgb
        Colours stay uint8, rounded half up; everything else becomes float32, so that nothing is lost.

    Examples
    --------
    >>> bin_mean(np.array([[[1], [2]], [[3], [5]]], np.uint16), 2, 2, is_rgb=False).ravel()
    array([2.75], dtype=float32)
    """
    if factor_y == factor_x == 1:
        return source
    source = np.ascontiguousarray(source)
    rows, cols = source.shape[0] // factor_y, source.shape[1] // factor_x
    out = np.empty((rows, cols, source.shape[2]), np.uint8 if is_rgb else np.float32)
    if is_rgb and factor_y == factor_x == 2 and source.shape[2] == 3:
        _halve_colours(source, out)
    else:
        (_mean_colours if is_rgb else _mean_values)(source, factor_y, factor_x, out)
    return out
