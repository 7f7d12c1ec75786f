"""Colour that no stain of the panel explains, and pixels at the end of the scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray
from spatial_til.segmentation.mixing import best_mixes, mixes_of
from spatial_til.segmentation.stains import SATURATED_LEVEL

#: Above this share of stained pixels of another colour a stain is missing from the panel, or a vector is wrong.
MAX_OTHER_COLOUR = 0.05
#: Stained pixels have this much of a marker (OD), are of another colour where this share of their density lies beside
#: the two stains, and tell something where there are this many.
_STAINED_OD, _BESIDE, _LEAST_STAINED = 0.2, 0.1, 20
#: Ends of the scale of common cameras: 8 to 16 bits.
_CEILINGS = (255, 1023, 4095, 16383, 65535)


def unexplained_od(od: NDArray[np.floating[Any]], matrix: FloatArray) -> FloatArray:
    """Return the optical density left over by the best non-negative mix of stains.

    Parameters
    ----------
    od
        (n, 3) optical densities.
    matrix
        (k, 3) unit stain vectors, one to three.

    Notes
    -----
    Exact non-negative least squares, see `mixing.best_mixes`.

    Examples
    --------
    >>> import numpy as np
    >>> unexplained_od(np.array([[0.3, 0.4, 0.0]]), np.array([[0.0, 1.0, 0.0]])).round(3).tolist()
    [0.3]
    """
    left = np.empty(len(od))
    best_mixes(np.ascontiguousarray(od.T, dtype=np.float64), *mixes_of(matrix), np.empty((len(matrix), len(od))), left)
    return np.sqrt(left)


def other_colour_fraction(od: NDArray[np.floating[Any]], matrix: FloatArray, marker: BoolArray) -> float | None:
    """Return the share of pixels stained for a marker whose colour is no mix of a panel's two stains.

    A rare third stain hides from percentiles over all of the tissue, and is taken for a marker all the same.

    Parameters
    ----------
    od
        (n, 3) optical densities.
    matrix
        (k, 3) unit stain vectors, one to three.
    marker
        (k,) which of them stain a marker.

    Returns
    -------
    float or None
        None where three stains explain any colour, one has no mixes, or fewer than 20 pixels are stained.
    """
    if len(matrix) != 2:
        return None
    stained = od[(od @ np.linalg.pinv(matrix))[:, marker].max(axis=1, initial=0.0) >= _STAINED_OD]
    if len(stained) < _LEAST_STAINED:
        return None
    normal = np.cross(matrix[0], matrix[1])
    beside = np.abs(stained @ normal) / np.linalg.norm(normal)
    return float((beside > _BESIDE * stained.sum(axis=1)).mean())


def saturated_rgb(rgb: NDArray[np.uint8]) -> BoolArray:
    """Return pixels (rows, cols) too dark in a channel, or clipped in some channels but not in all.

    White in all channels is glass in a gap of the tissue, not lost stain.
    """
    import cv2

    r, g, b = cv2.split(np.ascontiguousarray(rgb))
    darkest, lightest = np.minimum(np.minimum(r, g), b), np.maximum(np.maximum(r, g), b)
    return np.asarray((darkest <= SATURATED_LEVEL) | ((lightest == 255) & (darkest < 255)))


def saturated_channels(pixels: NDArray[Any]) -> BoolArray:
    """Return pixels (rows, cols) with a channel at the end of the scale of its camera.

    The end is the highest value of the channel where that is 2**8, 10, 12, 14 or 16 less 1. Floating-point
    images have no known end: nothing is saturated.
    """
    if pixels.dtype.kind not in "ui":
        return np.zeros(pixels.shape[:2], dtype=np.bool_)
    top = pixels.max(axis=(0, 1))
    return np.asarray(((pixels == top) & np.isin(top, _CEILINGS)).any(axis=2))
