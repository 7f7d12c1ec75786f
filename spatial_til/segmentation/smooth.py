"""Exact Gaussian smoothing: a pixel's value never depends on the tile it is read in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Sum of the weights along one axis.
WEIGHT = 64


@lru_cache(maxsize=64)
def gaussian_weights(sigma_px: float) -> NDArray[np.int32]:
    """Return an odd number of symmetric integer weights that sum to 64.

    Examples
    --------
    >>> gaussian_weights(0.9).tolist()
    [2, 15, 30, 15, 2]
    """
    radius = max(int(np.ceil(2.5 * sigma_px)), 0)
    at = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (at / max(sigma_px, 1e-6)) ** 2)
    whole = np.round(bell / bell.sum() * WEIGHT).astype(np.int32)
    whole[radius] += WEIGHT - int(whole.sum())
    keep = int(np.flatnonzero(whole)[-1]) - radius
    weights = np.asarray(whole[radius - keep : radius + keep + 1])
    weights.setflags(write=False)  # the same array is returned again
    return weights


def smooth(plane: NDArray[Any], sigma_px: float, scale: int, *, out: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the plane smoothed, times `scale`, rounded to int16.

    Parameters
    ----------
    plane
        (rows, cols) uint8 or int16, within ±4095, and within ±32767 / scale.
    sigma_px
        Standard deviation of the Gaussian.
    scale
        1, or up to 64 to keep fractions; a power of two.
    out
        Where to write.

    Notes
    -----
    All sums are whole numbers below 2**24 (4095 * 64 * 64), which float32 holds exactly in any order, so
    the vectorised filter gives the same value in every tile. Edges repeat the last pixel.
    """
    import cv2

    weights = gaussian_weights(sigma_px).astype(np.float32)
    across, down = weights, weights * np.float32(scale / WEIGHT**2)
    return np.asarray(cv2.sepFilter2D(plane, cv2.CV_16S, across, down, dst=out, borderType=cv2.BORDER_REPLICATE))
