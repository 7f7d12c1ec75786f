"""A plane of nuclear stain -> its foreground, and how deep each pixel lies in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.settings import NucleusSettings
from spatial_til.segmentation.smooth import (
    SCALE,
    above_surface,
    block_level,
    block_mean,
    gaussian_weights,
    smooth,
    tent,
    window_min,
)

#: Units of the distance landscape in one pixel, straight and diagonal.
STEP = 16
_DIAGONAL = 23


def block_px(settings: NucleusSettings, px_um: float) -> int:
    """Return the side of background blocks in pixels; arrays must start at a multiple of it."""
    return max(4 * round(settings.block_um / px_um / 4), 4)


def level_px(settings: NucleusSettings, px_um: float) -> int:
    """Return the side of level blocks in pixels: half a background block."""
    return block_px(settings, px_um) // 2


def nuclear_contrast(signal: NDArray[Any], *, px_um: float, settings: NucleusSettings) -> NDArray[np.int16]:
    """Return the smoothed stain above its local background, in 1/64 of the plane's unit.

    The background is the lowest 4 µm mean within `background_um`.
    """
    block = block_px(settings, px_um)
    smoothed = smooth(signal, gaussian_weights(settings.blur_um / px_um), 6)
    means = block_mean(signal, block)
    lowest = window_min(means, round(settings.background_um / px_um / block))
    return np.asarray(above_surface(smoothed, np.maximum(lowest, 0), block))


def foreground_level(
    contrast: NDArray[np.int16], *, px_um: float, typical: float, settings: NucleusSettings
) -> NDArray[np.int32]:
    """Return the foreground cut-off at the centres of level blocks.

    The larger of a slide-wide floor and a share of the local level, the self-weighted mean of contrast
    ``sum(c * c) / sum(c)``: it is the level of a nucleus wherever one lies near, however much of the
    window it covers.
    """
    first, second = block_level(contrast, level_px(settings, px_um))
    radius = max(round(settings.local_um / px_um / level_px(settings, px_um)), 1)
    level = tent(second, radius) // np.maximum(tent(first, radius), 1)
    floor = settings.typical_share * typical if settings.threshold is None else settings.threshold
    local = level * round(settings.local_share * 1024) >> 10
    return np.maximum(local, round(floor * SCALE)).astype(np.int32)


def fill_holes(above: NDArray[np.int16], max_hole_px: int) -> NDArray[np.uint8]:
    """Return the foreground (1) with enclosed holes of up to `max_hole_px` pixels filled."""
    import cv2

    background = (above <= 0).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4, ltype=cv2.CV_32S)
    small = stats[:, cv2.CC_STAT_AREA] <= max_hole_px
    rows, cols = above.shape
    touches = (
        (stats[:, 0] == 0) | (stats[:, 1] == 0)
        | (stats[:, 0] + stats[:, 2] == cols) | (stats[:, 1] + stats[:, 3] == rows)
    )  # fmt: skip
    fill = small & ~touches
    fill[0] = True
    return np.asarray(_mask_of(labels, fill))


@njit(cache=True, nogil=True)
def _mask_of(labels: Any, fill: Any) -> Any:
    out = np.empty(labels.shape, dtype=np.uint8)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            out[i, j] = fill[labels[i, j]]
    return out


@njit(cache=True, nogil=True)
def depth_in(above: Any, mask: Any, cap: int) -> Any:
    """Chamfer distance into the foreground in 1/16 pixel, from the sub-pixel crossing, capped."""
    rows, cols = mask.shape
    out = np.zeros((rows, cols), dtype=np.int16)
    for i in range(rows):
        for j in range(cols):
            if not mask[i, j]:
                continue
            best = cap
            here = max(np.int32(above[i, j]), 0)
            for t in range(4):
                r = i + (1 if t == 0 else -1 if t == 1 else 0)
                c = j + (1 if t == 2 else -1 if t == 3 else 0)
                if 0 <= r < rows and 0 <= c < cols and not mask[r, c]:
                    there = -np.int32(above[r, c])
                    best = min(best, STEP * here // (here + there + 1))
            for t in range(4):
                r = i + (1 if t < 2 else -1)
                c = j + (1 if t % 2 == 0 else -1)
                if 0 <= r < rows and 0 <= c < cols and not mask[r, c]:
                    there = -np.int32(above[r, c])
                    best = min(best, _DIAGONAL * here // (here + there + 1))
            out[i, j] = best
    for i in range(rows):
        for j in range(cols):
            if mask[i, j]:
                d = np.int32(out[i, j])
                if i > 0:
                    d = min(d, np.int32(out[i - 1, j]) + STEP)
                    if j > 0:
                        d = min(d, np.int32(out[i - 1, j - 1]) + _DIAGONAL)
                    if j < cols - 1:
                        d = min(d, np.int32(out[i - 1, j + 1]) + _DIAGONAL)
                if j > 0:
                    d = min(d, np.int32(out[i, j - 1]) + STEP)
                out[i, j] = d
    for i in range(rows - 1, -1, -1):
        for j in range(cols - 1, -1, -1):
            if mask[i, j]:
                d = np.int32(out[i, j])
                if i < rows - 1:
                    d = min(d, np.int32(out[i + 1, j]) + STEP)
                    if j > 0:
                        d = min(d, np.int32(out[i + 1, j - 1]) + _DIAGONAL)
                    if j < cols - 1:
                        d = min(d, np.int32(out[i + 1, j + 1]) + _DIAGONAL)
                if j < cols - 1:
                    d = min(d, np.int32(out[i, j + 1]) + STEP)
                out[i, j] = d
    return out
