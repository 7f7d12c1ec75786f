"""The white of a slide: what empty glass looks like in each channel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The bright end: pixels within this many grey levels of the brightest (99.8th percentile); project default.
_BRIGHT_END = 12
#: Glass is brighter than this grey level in every channel, and has this many pixels (methods A1).
_LEAST_WHITE = 200
_MIN_PIXELS = 1000
_FALLBACK = 255.0


class White(NamedTuple):
    """White of one slide and whether it could be read off the slide."""

    rgb: tuple[float, float, float]
    found: bool  # False: nothing bright enough, 255 assumed


def estimate_white(rgb: NDArray[np.uint8]) -> White:
    """Return the mode of the bright end of each channel.

    Parameters
    ----------
    rgb
        (..., 3) uint8 pixels of a low-resolution overview.

    Notes
    -----
    A mode, not a maximum: hot pixels do not move it. Of the bright end, not of the slide: pale stroma that
    covers more than the glass does not move it either.
    """
    pixels = rgb.reshape(-1, 3)
    light = pixels[:, 0].astype(np.uint16) + pixels[:, 1] + pixels[:, 2]
    least = np.percentile(light, 99.8) - 3 * _BRIGHT_END
    bright = np.compress(light >= least, pixels, axis=0)  # a third of what an index takes
    red, green, blue = (_mode(bright[:, c]) for c in range(3))
    if min(red, green, blue) < _LEAST_WHITE or len(pixels) < _MIN_PIXELS:
        return White((_FALLBACK, _FALLBACK, _FALLBACK), found=False)
    return White((red, green, blue), found=True)


def _mode(values: NDArray[Any]) -> float:
    """Return the mode of grey levels to a fraction of a level: the centroid around the smoothed peak."""
    histogram = np.bincount(values, minlength=256).astype(np.float64)
    smooth = np.convolve(histogram, [1, 2, 3, 2, 1], mode="same")
    peak = int(smooth.argmax())
    window = np.arange(max(peak - 2, 0), min(peak + 3, 256))
    return float((histogram[window] * window).sum() / histogram[window].sum())
