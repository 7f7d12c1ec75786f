"""Basins -> nuclei: neighbours join where together they look like one nucleus."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.basins import Basins

#: Rounds of joining: up to 2**rounds basins make one nucleus.
ROUNDS = 4
#: Log odds that two objects are one nucleus: constant, peak distance (µm), distance in inscribed radii, log of what the
#: whole lacks of an ellipse, levels, log of its area (µm²), log of what its parts lack, log of its length over width.
#: Fitted on pairs of basins in phantoms of three makers and in real fields, see the documentation.
WEIGHTS = (8.67, -0.50, 1.36, -2.11, -3.88, -1.10, 2.56, -0.97)


def join_basins(
    basins: Basins, *, px_um: float, step: int, max_area_um2: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the nucleus of each basin (n + 1,), the label of one of its basins, and the sums of nuclei.

    Parameters
    ----------
    step
        Units of the landscape in one pixel.
    max_area_um2
        Basins never join to more than this.

    Notes
    -----
    In each of a few rounds two objects join where each is the other's best partner and the pair looks
    like one nucleus. That is local: no order of processing, no chains across the tile.
    """
    weights = np.array(WEIGHTS)
    root, sums = _join(basins.peak, basins.sums, basins.pairs, px_um, step, max_area_um2, weights, ROUNDS)
    return root, sums


@njit(cache=True, nogil=True)
def _spread(n: float, sums: Any, other: Any, y: float, x: float) -> Any:
    """Return the variances of rows and of columns, and what they share, of one object or two, see `roundness`."""
    m = float(other[0])
    sy = sums[1] + other[1] + m * y
    sx = sums[2] + other[2] + m * x
    syy = sums[3] + other[3] + 2 * y * other[1] + m * y * y
    sxx = sums[4] + other[4] + 2 * x * other[2] + m * x * x
    sxy = sums[5] + other[5] + y * other[2] + x * other[1] + m * x * y
    vy = syy / n - (sy / n) ** 2 + 1 / 12
    vx = sxx / n - (sx / n) ** 2 + 1 / 12
    return vy, vx, sxy / n - sx * sy / (n * n)


@njit(cache=True, nogil=True)
def roundness(n: float, sums: Any, other: Any, y: float, x: float) -> float:
    """Return area over that of the ellipse with the same second moments, for one object or two.

    1 for any ellipse, 0.89 for two touching discs. `y`, `x`: peak of the second seen from the first.
    """
    vy, vx, vxy = _spread(n, sums, other, y, x)
    return n / (4 * np.pi * np.sqrt(max(vy * vx - vxy * vxy, 1e-9)))


@njit(cache=True, nogil=True)
def lacking(n: float, sums: Any, other: Any, y: float, x: float) -> float:
    """Return the log of what one object or two lack of an ellipse."""
    return np.log(1.01 - min(roundness(n, sums, other, y, x), 1.0))


@njit(cache=True, nogil=True)
def elongation(n: float, sums: Any, other: Any, y: float, x: float) -> float:
    """Return the log of length over width of one object or two."""
    vy, vx, vxy = _spread(n, sums, other, y, x)
    middle, half = (vy + vx) / 2, np.sqrt((vy - vx) ** 2 / 4 + vxy * vxy)
    return np.log((middle + half) / max(middle - half, 1 / 12)) / 2


@njit(cache=True, nogil=True)
def _likeness(peak: Any, sums: Any, a: int, b: int, none: Any, px: float, step: int, weights: Any) -> float:
    """Return how much two objects look like one nucleus; above 0 they do.

    Two parts of one nucleus are less of an ellipse than they are together; two nuclei are more of one.
    """
    y, x = float(peak[b, 0] - peak[a, 0]), float(peak[b, 1] - peak[a, 1])
    one, two = float(sums[a, 0]), float(sums[b, 0])
    apart, both = np.sqrt(y * y + x * x), one + two
    radii = (peak[a, 2] + peak[b, 2]) / step
    parts = one * lacking(one, sums[a], none, 0.0, 0.0) + two * lacking(two, sums[b], none, 0.0, 0.0)
    level = abs(np.log(max(sums[a, 6] / one, 1.0) / max(sums[b, 6] / two, 1.0)))
    return (
        weights[0]
        + weights[1] * apart * px
        + weights[2] * apart / max(radii, 1e-6)
        + weights[3] * lacking(both, sums[a], sums[b], y, x)
        + weights[4] * min(level, 2.3)
        + weights[5] * np.log(both * px * px)
        + weights[6] * parts / both
        + weights[7] * elongation(both, sums[a], sums[b], y, x)
    )


@njit(cache=True, nogil=True)
def _join(peak: Any, sums: Any, pairs: Any, px: float, step: int, max_area: float, weights: Any, rounds: int) -> Any:
    n = len(peak)
    root = np.arange(n).astype(np.int32)
    sums = sums.copy()
    best = np.zeros(n)
    partner, none = np.zeros(n, dtype=np.int32), np.zeros(7, dtype=np.int64)
    for _ in range(rounds):
        best[:] = 0.0
        partner[:] = 0
        for p in range(len(pairs)):
            a, b = root[pairs[p, 0]], root[pairs[p, 1]]
            if a == b or (sums[a, 0] + sums[b, 0]) * px * px > max_area:
                continue
            a, b = min(a, b), max(a, b)
            offer(best, partner, a, b, _likeness(peak, sums, a, b, none, px, step, weights))
        if not join_partners(partner, peak, root, sums):
            break
    return root, sums


@njit(cache=True, nogil=True)
def offer(best: Any, partner: Any, a: int, b: int, score: float) -> None:
    """Make two objects each other's partner where the score is above 0 and the highest so far of each."""
    if score <= 0.0:
        return
    for one, two in ((a, b), (b, a)):
        if score > best[one] or (score == best[one] and two < partner[one]):
            best[one] = score
            partner[one] = two


@njit(cache=True, nogil=True)
def join_partners(partner: Any, peak: Any, root: Any, sums: Any) -> bool:
    """Join objects that are each other's partner, in place; return whether there were any."""
    moved = np.zeros(7, dtype=np.int64)
    joined = False
    for a in range(1, len(partner)):
        b = partner[a]
        if b == 0 or partner[b] != a or b < a:
            continue
        keep, gone = (a, b) if peak[a, 2] >= peak[b, 2] else (b, a)
        seen_from(moved, sums[gone], peak[keep, 0] - peak[gone, 0], peak[keep, 1] - peak[gone, 1])
        for t in range(7):
            sums[keep, t] += moved[t]
        root[gone] = keep
        joined = True
    for a in range(1, len(root)):
        while root[root[a]] != root[a]:
            root[a] = root[root[a]]
    return joined


@njit(cache=True, nogil=True)
def seen_from(out: Any, sums: Any, y: int, x: int) -> None:
    """Write an object's sums as seen from (y, x), given from where they are seen now."""
    n, sy, sx = sums[0], sums[1], sums[2]
    out[0], out[1], out[2], out[6] = n, sy - n * y, sx - n * x, sums[6]
    out[3] = sums[3] - 2 * y * sy + n * y * y
    out[4] = sums[4] - 2 * x * sx + n * x * x
    out[5] = sums[5] - y * sx - x * sy + n * y * x
