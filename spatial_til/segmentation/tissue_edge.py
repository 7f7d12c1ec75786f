"""Where exactly tissue ends: its outline drawn again at half the height of the ground between its cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray
from spatial_til.units import PixelSize

#: The outline may move by this much from where the coarse one lies.
_BAND_UM = 16.0
#: Where tissue was found by its nuclei alone, its ground may reach out further; glass begins after that.
GLASS_UM = 48.0
#: Ground is looked for this far inside, where no blur of the edge reaches, in squares of this side.
_INSIDE_UM = 8.0
_SQUARE_UM = 64.0
_MIN_GLASS_PX = 100
#: Pixels whose ground is looked for at a time: of a whole picture the copies would be most of a slide's memory.
_BAND_PX = 1 << 20
#: The share of pixels that show ground: cells, which lie above it, cover less than the rest. Project default.
_GROUND_PERCENTILE = 20.0


def edge_share(
    visible: FloatArray, mask: BoolArray, px: PixelSize, least: float, *, out_um: float = _BAND_UM
) -> FloatArray:
    """Return how much of each pixel counts as tissue; the outline runs where it is one half.

    A blurred edge lies where its profile has half the height of what it bounds. Beside the end of tissue that is
    ground: stroma or cytoplasm between nuclei, not the nuclei that lie further in. A cut-off low enough to find
    pale tissue would lie outside such an edge.

    Parameters
    ----------
    visible
        (rows, cols) how much each pixel differs from glass, 0 for glass.
    mask
        (rows, cols) tissue as found by a coarse cut-off, up to a few µm wrong at its edge.
    px
        Size of these pixels.
    least
        Ground no higher than this cannot be told from glass: there the coarse outline stays.
    out_um
        How far outwards the outline may move.

    Returns
    -------
    (rows, cols) in 0 to 1: `mask` itself away from its edge, else `visible` as a share of twice its half height.
    """
    inside, outside = _depth_um(mask, px), _depth_um(~mask, px)
    ground = _ground(visible, inside > _INSIDE_UM, px)
    near = (inside <= _BAND_UM) & (outside <= out_um) & (ground > least)
    share = mask.astype(np.float64)
    share[near] = np.clip(visible[near] / ground[near], 0.0, 1.0)
    return share


def glass_level(image: NDArray[Any], mask: BoolArray, px: PixelSize) -> tuple[float, float]:
    """Return the level of glass and its noise from the pixels (rows, cols) that lie well away from all tissue.

    Where there are none the noise is infinite: nothing can be told from glass.
    """
    glass = image[_depth_um(~mask, px) > GLASS_UM]
    if glass.size < _MIN_GLASS_PX:
        return 0.0, float("inf")
    return float(np.median(glass)), float(np.std(glass))


def _depth_um(mask: BoolArray, px: PixelSize) -> NDArray[np.float32]:
    """Return the distance of each pixel of a mask to its end, the frame not counted; 0 outside."""
    import cv2

    padded = np.pad(mask, 1, mode="edge").astype(np.uint8)
    depth_px = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(np.minimum(depth_px, max(mask.shape)) * px.mean_um)  # a mask without end has none


def _ground(visible: FloatArray, looked_at: BoolArray, px: PixelSize) -> FloatArray:
    """Return the level of ground at each pixel from the squares around it; only some pixels are looked at."""
    import cv2
    from scipy.ndimage import gaussian_filter

    side = max(round(_SQUARE_UM / px.mean_um), 1)
    rows, cols = visible.shape
    band = side * max(_BAND_PX // (cols * side), 1)  # rows of whole squares
    parts = [_levels(visible[k : k + band], looked_at[k : k + band], side) for k in range(0, rows, band)]
    level, seen = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not seen.any():
        return np.zeros((rows, cols))
    weight = gaussian_filter(seen, 1.0, mode="constant")
    smooth = gaussian_filter(level * seen, 1.0, mode="constant") / np.maximum(weight, 1e-9)
    fine = cv2.resize(smooth, (smooth.shape[1] * side, smooth.shape[0] * side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[:rows, :cols])


def _levels(visible: FloatArray, looked_at: BoolArray, side: int) -> tuple[FloatArray, FloatArray]:
    """Return the level of ground in each square (rows, cols), and of how many pixels it is: 0 where they are few."""
    rows, cols = visible.shape
    squares = np.where(looked_at, visible, np.nan)
    squares = np.pad(squares, ((0, -rows % side), (0, -cols % side)), constant_values=np.nan)
    squares = squares.reshape(-(-rows // side), side, -(-cols // side), side).swapaxes(1, 2)
    squares = squares.reshape(*squares.shape[:2], side * side)
    seen = np.isfinite(squares).sum(axis=2).astype(np.float64)
    seen[seen < side] = 0.0
    level = np.zeros(seen.shape)
    level[seen > 0] = _percentile_of_seen(squares[seen > 0], seen[seen > 0], _GROUND_PERCENTILE)
    return level, seen


def _percentile_of_seen(values: FloatArray, count: FloatArray, percent: float) -> FloatArray:
    """Return a percentile of each row (n, m) of which `count` values are not NaN, all rows at once."""
    ordered = np.sort(values, axis=1)  # NaN last
    at = percent / 100 * (count - 1)
    below = at.astype(np.intp)
    row = np.arange(len(values))
    low, high = ordered[row, below], ordered[row, np.minimum(below + 1, count.astype(np.intp) - 1)]
    share = at - below
    return np.asarray(np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share)))
