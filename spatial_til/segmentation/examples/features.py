"""What a neighbourhood looks like: level, edges and texture of stains at several scales, as whole numbers.

Each stain is smoothed at 2 and 4 µm. At each of these scales three responses are taken: the gradient (edges),
the trace of the Hessian (spots and gaps) and the difference of its eigenvalues (strands). Their means around a
place tell tissues apart that have the same colour: round nuclei from spindles, dense from loose. The quantities
are those of scikit-image's ``multiscale_basic_features``, averaged over neighbourhoods of 4 and 16 µm, for
squares of two pixels. A third scale of 10 µm and a third neighbourhood of 8 µm found tumours no better, and
coarser scales, of 2.5 and 5 µm, drew their borders less well: a tumour's nuclei differ in what is finer.
Derivatives are normalised by their scale (Lindeberg 1998, doi:10.1023/A:1008045108935), so that they do not
depend on the pixel size.

Everything is rounded to whole numbers whose sums are exact, so that a square has the same features in every tile
and on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.smooth import gaussian_weights, smooth
from spatial_til.units import PixelSize

#: Pixels in a side of a square that gets features.
SQUARE_PX = 2
#: Smoothing before responses are taken: the first at the planes' own pixels, the second at twice their size.
SCALES_UM = (2.0, 4.0)
#: Pixels of the planes in a side of one of each scale (1, or the square), and the parts of a level it is kept in.
_SIZES, _SIZE_PARTS = (1, 2), (1, 4)
#: Neighbourhoods over which levels and responses are averaged.
POOLS_UM = (4.0, 16.0)
RESPONSES = ("edge", "spot", "strand")
#: Highest level of a plane; parts of a level in smoothed planes, in levels and responses of a square, in features.
TOP_LEVEL = 511
_SMOOTH_PARTS, _SQUARE_PARTS, _POOL_PARTS = 64, 8, 8
_TOP_SQUARE = 4095
#: Parts of a level in `levels_in`: four squares of the highest are still below 4095.
LEVEL_PARTS = 2


def feature_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features of some channels, in their order.

    Examples
    --------
    >>> names = feature_names(["nuclei"])
    >>> len(names), names[0], names[2]
    (14, 'nuclei level, 4 um', 'nuclei edge 2 um, 4 um')
    """
    kinds = ["level", *(f"{response} {scale:g} um" for scale in SCALES_UM for response in RESPONSES)]
    return tuple(f"{name} {kind}, {pool:g} um" for name in channels for kind in kinds for pool in POOLS_UM)


def levels_in(features: NDArray[np.int16], channels: int) -> NDArray[np.int16]:
    """Return the level (channels, ...) of each channel over the narrowest neighbourhood, in halves of a level."""
    return features[:: len(features) // channels] // np.int16(_SQUARE_PARTS * _POOL_PARTS // LEVEL_PARTS)


def support_px(px: PixelSize) -> int:
    """Return how far beyond a square its features look, in pixels of the planes: a multiple of the square."""
    side = min(px.x_um, px.y_um)
    reach = 0
    for size, scale in zip(_SIZES, SCALES_UM, strict=True):
        reach = max(reach, size * (len(gaussian_weights(scale / (side * size))) // 2 + 1))
    reach += 1  # intensities are averaged over 3 x 3 pixels
    reach += SQUARE_PX * max(len(gaussian_weights(pool / (side * SQUARE_PX))) // 2 for pool in POOLS_UM)
    return -(-reach // SQUARE_PX) * SQUARE_PX


def features_of(levels: NDArray[Any], px: PixelSize, scratch: Scratch | None = None) -> NDArray[np.int16]:
    """Return the features (features, rows // 2, cols // 2) of planes of stain.

    Parameters
    ----------
    levels
        (channels, rows, cols) uint8 or int16 amounts of stain from 0 to 511. The box begins at a multiple of 2 pixels
        of the slide. Beyond its edges the last pixel is repeated: give `support_px` more on each side, but
        where the slide ends.
    px
        Size of a pixel.
    scratch
        Holds the features until the next call with it; none to keep them.
    """
    rows, cols = (n // SQUARE_PX for n in levels.shape[1:])
    per_channel = (1 + len(SCALES_UM) * len(RESPONSES)) * len(POOLS_UM)
    scratch = Scratch() if scratch is None else scratch
    out = scratch.array("features", (len(levels) * per_channel, rows, cols), np.int16)
    at = 0
    for plane in levels:
        for response in _responses(plane[: rows * SQUARE_PX, : cols * SQUARE_PX], px, scratch):
            for pool in POOLS_UM:
                smooth(response, pool / (px.mean_um * SQUARE_PX), _POOL_PARTS, out=out[at])
                at += 1
    return out


def _responses(plane: NDArray[Any], px: PixelSize, scratch: Scratch) -> list[NDArray[np.int16]]:
    """Return the mean level of each square, then its mean responses, finest scale first, in parts of a level."""
    import cv2

    found: list[NDArray[np.int16]] = []
    rows, cols = (n // SQUARE_PX for n in plane.shape)
    sums = scratch.array("sums", (rows, cols), np.int16)
    square_sums(plane, sums)  # the mean level of a square in quarters
    means = scratch.array("means", (len(SCALES_UM), len(RESPONSES), rows, cols), np.int16)
    for k, (size, parts, scale) in enumerate(zip(_SIZES, _SIZE_PARTS, SCALES_UM, strict=True)):
        side = SQUARE_PX // size
        sigma = scale / (px.mean_um * size)
        blurred = scratch.array("blurred", (rows * side, cols * side), np.int16)
        smooth(plane if size == 1 else sums, sigma, _SMOOTH_PARTS // parts, out=blurred)
        framed = scratch.array("framed", (rows * side + 2, cols * side + 2), np.int16)
        cv2.copyMakeBorder(blurred, 1, 1, 1, 1, cv2.BORDER_REPLICATE, dst=framed)
        _respond(framed, side, np.float32(sigma), means[k])
        found += list(means[k])
    return [sums * np.int16(_SQUARE_PARTS // SQUARE_PX**2), *found]


@njit(cache=True, nogil=True)
def square_sums(plane: Any, out: Any) -> None:
    """Write the sums of squares of two pixels (or of any two by two)."""
    rows, cols = out.shape
    line = np.empty(2 * cols, dtype=np.int16)
    for i in range(rows):
        upper, lower = plane[2 * i], plane[2 * i + 1]
        for j in range(2 * cols):
            line[j] = np.int16(upper[j]) + np.int16(lower[j])
        for c in range(cols):
            out[i, c] = line[2 * c] + line[2 * c + 1]


@njit(cache=True, nogil=True)
def _respond(framed: Any, side: int, sigma: Any, means: Any) -> None:
    """Write the means of gradient, |trace| and eigenvalue difference of the Hessian over squares of `side` pixels.

    `framed` is the smoothed plane with one pixel around it. Its whole numbers and their sums are exact as float32.
    """
    rows, cols = framed.shape[0] - 2, framed.shape[1] - 2
    half = np.float32(0.5)
    to_first, to_second = sigma * half, sigma * sigma
    share = np.float32(_SQUARE_PARTS / (_SMOOTH_PARTS * side * side))
    lines = np.zeros((3, cols), dtype=np.float32)
    three = framed[:3].astype(np.float32)
    for i in range(rows):
        if i > 0:
            fresh = three[(i + 2) % 3]
            for j in range(cols + 2):
                fresh[j] = framed[i + 2, j]
        above, here, below = three[i % 3], three[(i + 1) % 3], three[(i + 2) % 3]
        if i % side == 0:
            lines[:] = 0
        edge, spot, strand = lines[0], lines[1], lines[2]
        for j in range(cols):
            dx, dy = here[j + 2] - here[j], below[j + 1] - above[j + 1]
            twice = here[j + 1] + here[j + 1]
            xx, yy = here[j + 2] + here[j] - twice, below[j + 1] + above[j + 1] - twice
            xy = half * (below[j + 2] - below[j] - above[j + 2] + above[j])
            edge[j] += np.sqrt(dx * dx + dy * dy)
            spot[j] += abs(xx + yy)
            strand[j] += np.sqrt((xx - yy) * (xx - yy) + xy * xy)
        if i % side == side - 1:
            for k in range(3):
                line, out = lines[k], means[k, i // side]
                weight = share * (to_first if k == 0 else to_second)
                if side == 2:
                    for c in range(cols // 2):
                        line[c] = line[2 * c] + line[2 * c + 1]
                for c in range(cols // side):
                    out[c] = np.int16(np.int32(min(line[c] * weight + half, np.float32(_TOP_SQUARE))))
