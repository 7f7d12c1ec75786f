"""Block means: how a level is reduced to the working grid, the same for every box that is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _mean_to_uint8(source, factor_y, factor_x, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    n = factor_y * factor_x
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            for sample in range(out.shape[2]):
                total = np.uint32(0)
                for y in range(row * factor_y, (row + 1) * factor_y):
                    for x in range(col * factor_x, (col + 1) * factor_x):
                        total += source[y, x, sample]
                out[row, col, sample] = (2 * total + n) // (2 * n)


@njit(cache=True, nogil=True)
def _mean_to_float32(source, factor_y, factor_x, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    n = factor_y * factor_x
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            for sample in range(out.shape[2]):
                total = 0.0
                for y in range(row * factor_y, (row + 1) * factor_y):
                    for x in range(col * factor_x, (col + 1) * factor_x):
                        total += source[y, x, sample]
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
    rows, cols = source.shape[0] // factor_y, source.shape[1] // factor_x
    out = np.empty((rows, cols, source.shape[2]), np.uint8 if is_rgb else np.float32)
    kernel = _mean_to_uint8 if is_rgb else _mean_to_float32
    kernel(source, factor_y, factor_x, out)
    return out
