"""The white of a slide: what empty glass looks like in each channel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Glass is brighter than this grey level in every channel; project default.
_BRIGHT = 200
#: A mode needs this many pixels behind it to be glass; methods: refuse below 1000 pixels.
_MIN_PIXELS = 1000
_FALLBACK = 255.0


class White(NamedTuple):
    """White of one slide and whether glass was seen."""

    rgb: tuple[float, float, float]
    found: bool  # False: too little glass, 255 assumed


def estimate_white(rgb: NDArray[np.uint8]) -> White:
    """Return the mode of the bright end of each channel.

    Parameters
    ----------
    rgb
        (..., 3) uint8 pixels of a low-resolution overview with glass in it.

    Notes
    -----
    Mode, not maximum or percentile: hot pixels and the share of tissue do not move it.
    """
    pixels = rgb.reshape(-1, 3)
    glass = pixels[(pixels.min(axis=1) > _BRIGHT) & (np.ptp(pixels, axis=1) < 30)]
    if len(glass) < _MIN_PIXELS:
        return White((_FALLBACK, _FALLBACK, _FALLBACK), found=False)
    red, green, blue = (_mode(glass[:, c]) for c in range(3))
    return White((red, green, blue), found=True)


def _mode(values: NDArray[Any]) -> float:
    """Return the mode of grey levels to a fraction of a level: the centroid around the smoothed peak."""
    histogram = np.bincount(values, minlength=256).astype(np.float64)
    smooth = np.convolve(histogram, [1, 2, 3, 2, 1], mode="same")
    peak = int(smooth.argmax())
    window = np.arange(max(peak - 2, 0), min(peak + 3, 256))
    return float((histogram[window] * window).sum() / histogram[window].sum())
