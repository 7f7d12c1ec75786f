"""Random sequential inhibition: keep candidates that are far enough from every cell laid before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_til.model import FloatArray

    Plane = NDArray[np.float32]
    IntArray = NDArray[np.int32]

_SIDE_UM = 16.0  # wider than any sum of two radii
_SLOTS = 64


@dataclass(frozen=True, slots=True)
class Grid:
    """Discs laid so far, in square buckets: x, y, radius. Filled in place while a scene is laid."""

    discs: NDArray[np.float32]  # (rows, cols, slots, 3)
    used: NDArray[np.int32]  # (rows, cols)


def empty_grid(width_um: float, height_um: float) -> Grid:
    """Return a grid without discs for a slide of this size."""
    shape = (int(height_um / _SIDE_UM) + 1, int(width_um / _SIDE_UM) + 1)
    return Grid(np.zeros((*shape, _SLOTS, 3), np.float32), np.zeros(shape, np.int32))


def thin(
    x: FloatArray,
    y: FloatArray,
    radius: FloatArray,
    angle: FloatArray,
    aspect: float,
    share: FloatArray,
    quota: int,
    grid: Grid,
) -> NDArray[np.intp]:
    """Return the indices of the candidates kept, at most `quota`, and add them to the grid.

    An elongated nucleus is tested as three discs along its axis.
    """
    return _thin(x, y, radius, angle, aspect, share, quota, grid.discs, grid.used)


@njit(cache=True, nogil=True)
def _fits(px: float, py: float, r: float, share: float, discs: Plane, used: IntArray) -> bool:
    row = int(py / _SIDE_UM)
    col = int(px / _SIDE_UM)
    if not (0 <= row < used.shape[0] and 0 <= col < used.shape[1]) or used[row, col] >= _SLOTS:
        return False
    for i in range(max(0, row - 1), min(used.shape[0], row + 2)):
        for j in range(max(0, col - 1), min(used.shape[1], col + 2)):
            for k in range(used[i, j]):
                dx = discs[i, j, k, 0] - px
                dy = discs[i, j, k, 1] - py
                apart = share * (discs[i, j, k, 2] + r)
                if dx * dx + dy * dy < apart * apart:
                    return False
    return True


@njit(cache=True, nogil=True)
def _add(px: float, py: float, r: float, discs: Plane, used: IntArray) -> None:
    row = int(py / _SIDE_UM)
    col = int(px / _SIDE_UM)
    k = used[row, col]
    if k < _SLOTS:
        discs[row, col, k, 0] = px
        discs[row, col, k, 1] = py
        discs[row, col, k, 2] = r
        used[row, col] = k + 1


@njit(cache=True, nogil=True)
def _thin(
    x: FloatArray,
    y: FloatArray,
    radius: FloatArray,
    angle: FloatArray,
    aspect: float,
    share: FloatArray,
    quota: int,
    discs: Plane,
    used: IntArray,
) -> NDArray[np.intp]:
    kept = np.empty(quota, np.intp)
    n = 0
    long = aspect > 1.6
    for i in range(x.shape[0]):
        if n == quota:
            break
        minor = radius[i] / np.sqrt(aspect)
        reach = radius[i] * np.sqrt(aspect) - minor
        r = minor if long else radius[i]
        step_x = reach * np.cos(angle[i]) if long else 0.0
        step_y = reach * np.sin(angle[i]) if long else 0.0
        steps = (-1, 0, 1)
        good = True
        for s in steps:
            good = good and _fits(x[i] + s * step_x, y[i] + s * step_y, r, share[i], discs, used)
        if not good:
            continue
        for s in steps:
            if s == 0 or long:
                _add(x[i] + s * step_x, y[i] + s * step_y, r, discs, used)
        kept[n] = i
        n += 1
    return kept[:n]
