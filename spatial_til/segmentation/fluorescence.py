"""Fluorescence channels -> intensity above background, free of spill-over and autofluorescence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_til.errors import ProtocolError
from spatial_til.model import BoolArray, FloatArray


def channel_background(image: NDArray[Any], glass: BoolArray | None = None) -> float:
    """Return the slide-wide background of one channel: the median outside tissue.

    Parameters
    ----------
    image
        (rows, cols) intensities of an overview or sample.
    glass
        (rows, cols) True outside tissue; with None, or fewer than 100 pixels, the 1st percentile is used.
    """
    if glass is not None and int(glass.sum()) >= 100:
        return float(np.median(image[glass]))
    return float(np.percentile(image, 1))


def spillover_inverse(spillover: ArrayLike) -> FloatArray:
    """Return the matrix that undoes bleed-through: ``observed @ inverse = true``.

    Parameters
    ----------
    spillover
        (c, c), row = true channel, column = where it is seen, unit diagonal: ``observed = true @ spillover``.

    Raises
    ------
    ProtocolError
        If the matrix is not square with a unit diagonal, or channels cannot be told apart.

    Examples
    --------
    >>> inverse = spillover_inverse([[1, 0.1], [0, 1]])
    >>> (np.array([100, 60]) @ inverse).tolist()
    [100.0, 50.0]
    """
    matrix = np.asarray(spillover, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(np.diag(matrix), 1):
        msg = f"A spill-over matrix is square with 1 on its diagonal, found shape {matrix.shape}"
        raise ProtocolError([msg])
    if float(np.linalg.cond(matrix)) > 20:
        msg = f"Channels must be separable (condition number <= 20), found {np.linalg.cond(matrix):.1f}"
        raise ProtocolError([msg])
    return np.asarray(np.linalg.inv(matrix))


def autofluorescence_share(marker: ArrayLike, reference: ArrayLike) -> float:
    """Return k of ``marker - k * reference``: the lower envelope of their ratio, so that nothing is over-subtracted.

    Parameters
    ----------
    marker, reference
        Background-corrected intensities of the same pixels or cells; the reference channel carries no marker.
    """
    m, r = (np.asarray(a, dtype=np.float64).reshape(-1) for a in (marker, reference))
    bright = r > np.percentile(r, 50)
    ratio = m[bright & (r > 0)] / r[bright & (r > 0)]
    return max(float(np.percentile(ratio, 10)), 0.0) if len(ratio) else 0.0
