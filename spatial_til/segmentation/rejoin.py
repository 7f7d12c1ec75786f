"""Parts on both sides of a cleft -> one nucleus, where what looked like a cleft was its chromatin.

Two nuclei side by side are longer than wide, and waisted; the halves of one nucleus together are neither, nor are the
three parts that a line with a fork leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.basins import Basins
from spatial_til.segmentation.merge import elongation, lacking, seen_from

#: Log odds that two parts are one nucleus: constant, log of length over width, log of what it lacks of an ellipse.
#: Fitted on clefts of 6 phantoms of two kinds and of 4 real fields with known nuclei.
_WEIGHTS = (-2.19, -3.15, -1.01)
#: Log odds that are added for a third part: three nuclei in a ring are round as well.
_THIRD = -0.5


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
    Two parts join, or three that lie beside each other, where no part is of a better pair or three: no order of
    processing, no chains across the tile.
    """
    pair, pixel = _beside(basins.labels, root, clefts)
    order = np.argsort(pair, kind="stable")
    pair, first = np.unique(pair[order], return_index=True)
    group, cleft = _groups(pair)
    cut = pixel[order], np.append(first, len(order)), basins.labels.shape[1]
    score = _rate(group, cleft, cut, basins.peak, sums, max_area_um2 / px_um**2, np.array(_WEIGHTS))
    _join_best(group, score, basins.peak, root, sums)


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
def _groups(pair: Any) -> Any:
    """Return pairs, each followed by the threes that it begins, and the numbers of the pairs in each: (n, 3), -1 none.

    `pair`: two nuclei as one number, sorted.
    """
    group, cleft = [(np.int64(-1), np.int64(-1), np.int64(-1))], [(0, -1, -1)]  # typed by their first, left out below
    for p in range(len(pair)):
        a, b = pair[p] >> 32, pair[p] & 0xFFFFFFFF
        group.append((a, b, np.int64(-1)))
        cleft.append((p, -1, -1))
        q = p + 1
        while q < len(pair) and pair[q] >> 32 == a:
            c = pair[q] & 0xFFFFFFFF
            r = np.searchsorted(pair, (b << 32) | c)
            if r < len(pair) and pair[r] == (b << 32) | c:
                group.append((a, b, c))
                cleft.append((p, q, r))
            q += 1
    return np.array(group)[1:], np.array(cleft)[1:]


@njit(cache=True, nogil=True)
def _rate(group: Any, cleft: Any, cut: Any, peak: Any, sums: Any, most_px: float, weights: Any) -> Any:
    """Return the log odds that each group is one nucleus, with what lies in its clefts.

    `cut`: pixels of clefts, where those of each pair begin (and end with the next), columns of the array.
    """
    pixel, start, cols = cut
    score, moved = np.full(len(group), -np.inf), np.zeros(7, dtype=np.int64)
    for g in range(len(group)):
        a = group[g, 0]
        whole = sums[a].copy()
        for b in group[g, 1:]:
            if b > 0:
                seen_from(moved, sums[b], peak[a, 0] - peak[b, 0], peak[a, 1] - peak[b, 1])
                whole += moved
        if whole[0] > most_px:
            continue
        for p in cleft[g]:
            if p >= 0:
                _add_pixels(whole, pixel[start[p] : start[p + 1]], cols, peak[a, 0], peak[a, 1])
        score[g] = _likeness(whole, weights) + (_THIRD if group[g, 2] > 0 else 0.0)
    return score


@njit(cache=True, nogil=True)
def _join_best(group: Any, score: Any, peak: Any, root: Any, sums: Any) -> None:
    """Join the groups that look like one nucleus and are the best of each of their parts, in place."""
    best, choice = np.zeros(len(root)), np.full(len(root), -1)
    for g in range(len(group)):
        for a in group[g]:
            if a > 0 and score[g] > best[a]:
                best[a], choice[a] = score[g], g
    moved = np.zeros(7, dtype=np.int64)
    for g in range(len(group)):
        keep, agreed = group[g, 0], True
        for a in group[g]:
            agreed &= a < 0 or choice[a] == g
            if a > 0 and peak[a, 2] > peak[keep, 2]:
                keep = a
        for a in group[g]:
            if agreed and a > 0 and a != keep:
                seen_from(moved, sums[a], peak[keep, 0] - peak[a, 0], peak[keep, 1] - peak[a, 1])
                sums[keep] += moved
                root[a] = keep
    for a in range(1, len(root)):
        while root[root[a]] != root[a]:
            root[a] = root[root[a]]


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
    n, none = float(sums[0]), np.zeros_like(sums)
    longer = elongation(n, sums, none, 0.0, 0.0)
    return weights[0] + weights[1] * longer + weights[2] * lacking(n, sums, none, 0.0, 0.0)
