"""Parts on both sides of a cleft -> one nucleus, where what looked like a cleft was its chromatin.

Two nuclei side by side are longer than wide, and waisted; the halves of one nucleus together are neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.basins import Basins
from spatial_til.segmentation.merge import join_partners, offer, roundness, seen_from

#: Log odds that two parts are one nucleus: constant, log of length over width, log of what it lacks of an ellipse.
#: Fitted on clefts of 6 phantoms of two kinds and of 4 real fields with known nuclei.
_WEIGHTS = (-2.19, -3.15, -1.01)


def rejoin_parts(
    basins: Basins,
    root: NDArray[np.int32],
    sums: NDArray[np.int64],
    clefts: NDArray[np.int64],
    *,
    px_um: float,
    max_area_um2: float,
) -> None:
    """Join nuclei that a cleft parted and that together look like one, in place.

    Parameters
    ----------
    basins
        Their labels are still those of basins.
    root, sums
        The nucleus of each basin and its sums, see `merge.join_basins`; changed.
    clefts
        Pixels (flat) that were taken out of the foreground, see `clefts.open_clefts`.
    px_um
        Side of a pixel.
    max_area_um2
        Parts never join to more than this.

    Notes
    -----
    Two join where each is the other's best partner: no order of processing, no chains across the tile.
    """
    pair, pixel = _beside(basins.labels, root, clefts)
    order = np.argsort(pair, kind="stable")
    most_px = max_area_um2 / px_um**2
    cols = basins.labels.shape[1]
    _rejoin(pair[order], pixel[order], cols, basins.peak, most_px, np.array(_WEIGHTS), root, sums)


@njit(cache=True, nogil=True)
def _beside(labels: Any, root: Any, clefts: Any) -> Any:
    """Return the pairs of nuclei that meet at pixels of clefts, as one number each, and the pixel of each pair."""
    cols = labels.shape[1]
    room = 6 * len(clefts)  # four nuclei at one pixel make six pairs, more are not looked at
    pair, pixel = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    near = np.zeros(4, dtype=np.int64)
    n = 0
    for p in clefts:
        i, j = p // cols, p % cols
        held = 0
        for r in range(max(i - 1, 0), min(i + 2, labels.shape[0])):
            for c in range(max(j - 1, 0), min(j + 2, cols)):
                k = np.int64(root[labels[r, c]])
                if k and held < len(near) and not (near[:held] == k).any():
                    near[held] = k
                    held += 1
        for s in range(held):
            for t in range(s + 1, held):
                low, high = min(near[s], near[t]), max(near[s], near[t])
                pair[n], pixel[n] = (low << 32) | high, p
                n += 1
    return pair[:n], pixel[:n]


@njit(cache=True, nogil=True)
def _rejoin(pair: Any, pixel: Any, cols: int, peak: Any, most_px: float, weights: Any, root: Any, sums: Any) -> None:
    """Join the best pairs; equal pairs lie one after the other, with the pixels of the cleft between them."""
    best, partner = np.zeros(len(root)), np.zeros(len(root), dtype=np.int32)
    whole = np.zeros(7, dtype=np.int64)
    start = 0
    while start < len(pair):
        stop = start
        while stop < len(pair) and pair[stop] == pair[start]:
            stop += 1
        a, b = pair[start] >> 32, pair[start] & 0xFFFFFFFF
        if sums[a, 0] + sums[b, 0] <= most_px:
            seen_from(whole, sums[b], peak[a, 0] - peak[b, 0], peak[a, 1] - peak[b, 1])
            for t in range(7):
                whole[t] += sums[a, t]
            _add_pixels(whole, pixel[start:stop], cols, peak[a, 0], peak[a, 1])
            offer(best, partner, a, b, _likeness(whole, weights))
        start = stop
    join_partners(partner, peak, root, sums)


@njit(cache=True, nogil=True)
def _add_pixels(sums: Any, pixels: Any, cols: int, row: int, col: int) -> None:
    """Add pixels to the shape of an object, seen from (row, col)."""
    for p in pixels:
        y, x = p // cols - row, p % cols - col
        sums[0] += 1
        sums[1] += y
        sums[2] += x
        sums[3] += y * y
        sums[4] += x * x
        sums[5] += y * x


@njit(cache=True, nogil=True)
def _likeness(sums: Any, weights: Any) -> float:
    """Return the log odds that an object of this shape is one nucleus."""
    n = float(sums[0])
    y, x = sums[1] / n, sums[2] / n
    vy, vx = sums[3] / n - y * y + 1 / 12, sums[4] / n - x * x + 1 / 12
    vxy = sums[5] / n - x * y
    middle, half = (vy + vx) / 2, np.sqrt((vy - vx) ** 2 / 4 + vxy * vxy)
    longer = np.log((middle + half) / max(middle - half, 1 / 12)) / 2
    lacks = np.log(1.01 - min(roundness(n, sums, np.zeros_like(sums), 0.0, 0.0), 1.0))
    return weights[0] + weights[1] * longer + weights[2] * lacks
