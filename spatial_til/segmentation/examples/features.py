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

from spatial_til.segmentation.examples.lines import Kernel, kernel, pool_line
from spatial_til.segmentation.examples.responses import (
    PER_CHANNEL,
    RESPONSES,
    SCALES_UM,
    SIZES,
    SQUARE_PARTS,
    SQUARE_PX,
    TOP_SQUARE,
    respond,
)
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.smooth import WEIGHT, gaussian_weights
from spatial_til.units import PixelSize

#: Neighbourhoods over which levels and responses are averaged, the narrow first.
POOLS_UM = (4.0, 16.0)
#: Parts of a level or response of a square in a feature; what sums over neighbourhoods are multiplied by.
_POOL_PARTS = 8
POOL_SHARE = np.float32(_POOL_PARTS / WEIGHT**2)
#: Parts of a level in `levels_in`: four squares of the highest are still below 4095. A feature has 32 times as many.
LEVEL_PARTS = 2
_LEVEL_SHIFT = np.int16((SQUARE_PARTS * _POOL_PARTS // LEVEL_PARTS).bit_length() - 1)


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


def near_features(channels: int) -> NDArray[np.bool_]:
    """Return which features say what is near a square: all but edges and textures over the wide neighbourhood.

    Examples
    --------
    >>> near_features(1).astype(int)
    array([1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    """
    near = np.ones((channels, PER_CHANNEL, len(POOLS_UM)), np.bool_)
    near[:, 1:, 1:] = False
    return near.ravel()


def levels_in(features: NDArray[np.int16], channels: int) -> NDArray[np.int16]:
    """Return the level (channels, ...) of each channel over the narrow neighbourhood, in halves of a level."""
    return as_levels(features[:: len(features) // channels])


def as_levels(narrow: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return averages of levels, as features have them, in halves of a level."""
    return np.asarray(narrow >> _LEVEL_SHIFT, np.int16)


def pools_of(px: PixelSize) -> tuple[Kernel, Kernel]:
    """Return the kernels of both neighbourhoods."""
    narrow, wide = (kernel(pool / (px.mean_um * SQUARE_PX), TOP_SQUARE) for pool in POOLS_UM)
    return narrow, wide


def responses_of(levels: NDArray[Any], px: PixelSize, scratch: Scratch) -> NDArray[np.int16]:
    """Return what features are averages of, (n, rows // 2, cols // 2): the level and responses of every channel."""
    rows, cols = (n // SQUARE_PX for n in levels.shape[1:])
    out = scratch.array("responses", (len(levels) * PER_CHANNEL, rows, cols), np.int16)
    for k, plane in enumerate(levels):
        respond(plane, px, out[k * PER_CHANNEL : (k + 1) * PER_CHANNEL])
    return out


def support_px(px: PixelSize) -> int:
    """Return how far beyond a square its features look, in pixels of the planes: a multiple of the square."""
    side = min(px.x_um, px.y_um)
    reach = 0
    for size, scale in zip(SIZES, SCALES_UM, strict=True):
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
    scratch = Scratch() if scratch is None else scratch
    planes = responses_of(levels, px, scratch)
    out = scratch.array("features", (len(planes) * len(POOLS_UM), *planes.shape[1:]), np.int16)
    _pool(planes, pools_of(px), POOL_SHARE, out)
    return out


@njit(cache=True, nogil=True)
def _pool(planes: Any, pools: Any, share: Any, out: Any) -> None:
    """Write the averages of planes over both neighbourhoods."""
    rows, cols = planes.shape[1:]
    line, change = np.empty(cols, np.float32), np.empty(cols, np.int16)
    for k, pool in enumerate(pools):
        n = len(pool.weights) // 2
        sums = np.empty(cols + 2 * n, np.float32)
        for p in range(len(planes)):
            for i in range(rows):
                pool_line(planes[p], i, 0, pool, share, (0, cols), change, sums, line)
                for j in range(cols):
                    out[2 * p + k, i, j] = np.int16(np.int32(line[j]))
