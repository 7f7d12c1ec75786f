"""How sharp a picture is: the width of its edges, from how much a second blur weakens them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray

#: Side of the blocks that are judged on their own.
BLOCK_UM = 64.0
#: Edges wider than this (standard deviation) hide membranes; scans in focus stay below. Project default.
BLURRED_UM = 1.2
#: Blur before gradients are taken, against noise, and the second blur.
_FIRST_UM, _SECOND_UM = 0.5, 1.0
#: Edges of a block: gradients from this share of its 99th percentile on.
_EDGE_LEVEL = 0.9
#: A block is judged where tissue covers this share of it.
_LEAST_TISSUE = 0.5


def edge_widths_um(plane: NDArray[Any], tissue: BoolArray, *, px_um: float, least_range: float) -> FloatArray:
    """Return the edge width in µm of each block that has edges.

    Parameters
    ----------
    plane
        (rows, cols) grey levels or stain.
    tissue
        (rows, cols) bool; blocks that are mostly off tissue are left out.
    px_um
        Side of a pixel.
    least_range
        Blocks with a smaller range (5th to 95th percentile) of `plane` have no edges to judge.

    Notes
    -----
    A step edge blurred by s has a gradient of 1 / s at its middle; blurred again by s2 it is weaker by
    sqrt(s**2 + s2**2) / s, which gives s whatever the contrast (Zhuo & Sim 2011,
    doi:10.1016/j.patcog.2011.03.009). The strongest gradients of a block are its edges; the first blur and
    the two pixels over which gradients are taken are subtracted.
    """
    import cv2

    smooth = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), max(_FIRST_UM / px_um, 0.3))
    smoother = cv2.GaussianBlur(smooth, (0, 0), _SECOND_UM / px_um)
    side = max(round(BLOCK_UM / px_um), 8)
    low, high = np.percentile(_in_blocks(smooth, side)[:, ::7], (5, 95), axis=1)
    judged = (high - low >= least_range) & (_in_blocks(tissue, side).mean(axis=1) >= _LEAST_TISSUE)
    once, twice = (_in_blocks(_gradient(p), side)[judged] for p in (smooth, smoother))
    edges = once >= _EDGE_LEVEL * np.percentile(once, 99, axis=1, keepdims=True)
    weakened = (once * edges).sum(axis=1) / np.maximum((twice * edges).sum(axis=1), 1e-9)
    widened = _SECOND_UM**2 / np.maximum(weakened.astype(np.float64) ** 2 - 1, 1e-3)
    return np.asarray(np.sqrt(np.maximum(widened - _FIRST_UM**2 - px_um**2 / 3, 0.0)), dtype=np.float64)


def _gradient(plane: NDArray[Any]) -> NDArray[np.float32]:
    import cv2

    across, down = (cv2.Sobel(plane, cv2.CV_32F, 1 - k, k, ksize=1) for k in (0, 1))
    return np.asarray(cv2.magnitude(across, down))


def _in_blocks(plane: NDArray[Any], side: int) -> NDArray[Any]:
    """Return (blocks, pixels) of whole square blocks; a plane smaller than one block is one block."""
    rows, cols = (min(side, n) for n in plane.shape)
    down, across = plane.shape[0] // rows, plane.shape[1] // cols
    whole = plane[: down * rows, : across * cols].reshape(down, rows, across, cols)
    return whole.swapaxes(1, 2).reshape(down * across, rows * cols)
