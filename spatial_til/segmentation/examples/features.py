"""What a neighbourhood looks like: level, edges and texture of stains at several scales, as whole numbers.

Each stain is smoothed at 2.5, 5 and 10 µm. At each of these scales three responses are taken: the gradient (edges),
the trace of the Hessian (spots and gaps) and the difference of its eigenvalues (strands). Their means around a
place tell tissues apart that have the same colour: round nuclei from spindles, dense from loose. The quantities
are those of scikit-image's ``multiscale_basic_features``, averaged over neighbourhoods of 4, 8 and 16 µm, for
squares of two pixels. Derivatives are normalised by their scale (Lindeberg 1998, doi:10.1023/A:1008045108935), so
that they do not depend on the pixel size.

Everything is rounded to whole numbers whose sums are exact, so that a square has the same features in every tile
and on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.smooth import gaussian_weights, smooth
from spatial_til.units import PixelSize

#: Pixels in a side of a square that gets features.
SQUARE_PX = 2
#: Smoothing before responses are taken: the first at the planes' own pixels, the others at twice their size.
SCALES_UM = (2.5, 5.0, 10.0)
#: Pixels of the planes in a side of one of each scale, and the parts of a level that its means are kept in.
_SIZES, _SIZE_PARTS = (1, 2, 2), (1, 4, 4)
#: Neighbourhoods over which levels and responses are averaged.
POOLS_UM = (4.0, 8.0, 16.0)
RESPONSES = ("edge", "spot", "strand")
#: Highest level of a plane; parts of a level in smoothed planes, in levels and responses of a square, in features.
TOP_LEVEL = 511
_SMOOTH_PARTS, _SQUARE_PARTS, _POOL_PARTS = 64, 8, 8
_TOP_SQUARE = 4095


def feature_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features of some channels, in their order.

    Examples
    --------
    >>> names = feature_names(["nuclei"])
    >>> len(names), names[0], names[3]
    (30, 'nuclei level, 4 um', 'nuclei edge 2.5 um, 4 um')
    """
    kinds = ["level", *(f"{response} {scale:g} um" for scale in SCALES_UM for response in RESPONSES)]
    return tuple(f"{name} {kind}, {pool:g} um" for name in channels for kind in kinds for pool in POOLS_UM)


def support_px(px: PixelSize) -> int:
    """Return how far beyond a square its features look, in pixels of the planes: a multiple of the square."""
    side = min(px.x_um, px.y_um)
    reach = 0
    for size, scale in zip(_SIZES, SCALES_UM, strict=True):
        reach = max(reach, size * (len(gaussian_weights(scale / (side * size))) // 2 + 1))
    reach += SQUARE_PX * max(len(gaussian_weights(pool / (side * SQUARE_PX))) // 2 for pool in POOLS_UM)
    return -(-reach // SQUARE_PX) * SQUARE_PX


def features_of(levels: NDArray[Any], px: PixelSize) -> NDArray[np.int16]:
    """Return the features (features, rows // 2, cols // 2) of planes of stain.

    Parameters
    ----------
    levels
        (channels, rows, cols) uint8 or int16 amounts of stain from 0 to 511. The box begins at a multiple of 2 pixels
        of the slide. Beyond its edges the last pixel is repeated: give `support_px` more on each side, but
        where the slide ends.
    px
        Size of a pixel.
    """
    rows, cols = (n // SQUARE_PX for n in levels.shape[1:])
    per_channel = (1 + len(SCALES_UM) * len(RESPONSES)) * len(POOLS_UM)
    out = np.empty((len(levels) * per_channel, rows, cols), dtype=np.int16)
    at = 0
    for plane in levels:
        for response in _responses(plane[: rows * SQUARE_PX, : cols * SQUARE_PX], px):
            for pool in POOLS_UM:
                smooth(response, pool / (px.mean_um * SQUARE_PX), _POOL_PARTS, out=out[at])
                at += 1
    return out


def _responses(plane: NDArray[Any], px: PixelSize) -> list[NDArray[np.int16]]:
    """Return the mean level of each square, then its mean responses, finest scale first, in parts of a level."""
    import cv2

    found: list[NDArray[np.int16]] = []
    rows, cols = (n // SQUARE_PX for n in plane.shape)
    for size, parts, scale in zip(_SIZES, _SIZE_PARTS, SCALES_UM, strict=True):
        side = SQUARE_PX // size
        sigma = scale / (px.mean_um * size)
        blurred = np.empty((rows * side, cols * side), dtype=np.int16)
        smooth(_block_means(plane, size, parts), sigma, _SMOOTH_PARTS // parts, out=blurred)
        framed = cv2.copyMakeBorder(blurred, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        means = np.empty((len(RESPONSES), rows, cols), dtype=np.int16)
        _respond(framed, side, np.float32(sigma), means)
        found += list(means)
    return [_block_means(plane, SQUARE_PX, _SQUARE_PARTS), *found]


@njit(cache=True, nogil=True)
def _block_means(plane: Any, side: int, parts: int) -> Any:
    """Return the means of blocks, in parts of a level."""
    rows, cols = plane.shape[0] // side, plane.shape[1] // side
    out = np.empty((rows, cols), dtype=np.int16)
    if side == 1:
        out[:] = plane
        return out
    line = np.empty(cols * side, dtype=np.int32)
    area = side * side
    for i in range(rows):
        line[:] = 0
        for k in range(i * side, (i + 1) * side):
            for j in range(cols * side):
                line[j] += plane[k, j]
        for c in range(cols):
            total = np.int32(0)
            for j in range(c * side, (c + 1) * side):
                total += line[j]
            out[i, c] = (2 * parts * total + area) // (2 * area)
    return out


@njit(cache=True, nogil=True)
def _respond(framed: Any, side: int, sigma: Any, means: Any) -> None:
    """Write the means of gradient, |trace| and eigenvalue difference of the Hessian over squares of `side` pixels.

    `framed` is the smoothed plane with one pixel around it.
    """
    rows, cols = framed.shape[0] - 2, framed.shape[1] - 2
    to_first = sigma * np.float32(0.5)
    to_second = sigma * sigma
    lines = np.zeros((3, cols), dtype=np.float32)
    share = np.float32(_SQUARE_PARTS / (_SMOOTH_PARTS * side * side))
    for i in range(rows):
        if i % side == 0:
            lines[:] = 0
        above, here, below = framed[i], framed[i + 1], framed[i + 2]
        for j in range(cols):
            dx = np.float32(here[j + 2] - here[j])
            dy = np.float32(below[j + 1] - above[j + 1])
            twice = 2 * np.int32(here[j + 1])
            xx = np.float32(np.int32(here[j + 2]) + np.int32(here[j]) - twice)
            yy = np.float32(np.int32(below[j + 1]) + np.int32(above[j + 1]) - twice)
            xy = np.float32(0.5) * np.float32(below[j + 2] - below[j] - above[j + 2] + above[j])
            lines[0, j] += np.sqrt(dx * dx + dy * dy)
            lines[1, j] += abs(xx + yy)
            lines[2, j] += np.sqrt((xx - yy) * (xx - yy) + xy * xy)
        if i % side == side - 1:
            for k in range(3):
                weight = share * (to_first if k == 0 else to_second)
                for c in range(cols // side):
                    total = np.float32(0)
                    for j in range(c * side, (c + 1) * side):
                        total += lines[k, j]
                    means[k, i // side, c] = np.int16(min(total * weight + np.float32(0.5), np.float32(_TOP_SQUARE)))
