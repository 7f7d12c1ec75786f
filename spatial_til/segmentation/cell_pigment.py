"""Cells whose brown is melanin and no chromogen: one substance of one colour, where a stained cell has two.

Hematoxylin lies in the nucleus and a chromogen on the membrane, so that red and blue light are taken away in
different places; granules of pigment take both away together. Real stained cells are often blurred enough to do so
too, so the colour must also be one that no mix of the slide's own hematoxylin and brown has (see `pigment`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import CELL_END, label_of
from spatial_til.segmentation.pigment import off_plane

#: µm. Detail: the mean of a small square less that of a larger one; fine detail for what varies together, less
#: fine for colour, which cameras and JPEG keep at a lower resolution.
_DETAIL_UM, _FINE_UM, _COLOUR_UM = 1.5, 2.5, 4.5
#: Least correlation of red and blue in fine detail, and red over blue of pigment: DAB 0.35, melanin 0.6 to 1.2,
#: hematoxylin 2.2. Project defaults.
_TOGETHER, _PIGMENT_RED = 0.9, (0.5, 1.4)
#: µm. Furthest from the nuclear centre, along rows and columns, that a cell is looked at.
_REACH_UM = 12.0
#: Columns of `colour_sums`: in fine detail red by red, red by blue, blue by blue; then red, green and blue by blue.
N_SUMS = 6


def colour_sums(
    keys: NDArray[np.uint32],
    centre: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    rgb: NDArray[np.uint8],
    density: NDArray[np.uint8],
    *,
    px_um: float,
) -> NDArray[np.int64]:
    """Return (n, N_SUMS) products of the detail of optical densities summed over each chosen cell; 0 for others.

    Parameters
    ----------
    keys
        (rows, cols) cells, see `cells.grow_cells`.
    centre
        (n, 2) row and column of the nuclear centroid from the array's corner, in 1/256 pixel.
    chosen
        (n,) cells to look at.
    rgb
        (rows, cols, 3) picture.
    density
        (256, 3) optical density of each grey level in whole steps: sums of whole numbers are the same in any tile.
    """
    halves = [max(round((um / px_um - 1) / 2), 0) for um in (_DETAIL_UM, _FINE_UM, _COLOUR_UM)]
    halves[1] = max(halves[1], halves[0] + 1)
    sizes = np.array([*halves, int(_REACH_UM / px_um)], dtype=np.int64)
    sums = np.zeros((len(centre), N_SUMS), dtype=np.int64)
    _sum_products(keys, centre, chosen, rgb, density.astype(np.int64), sizes, sums)
    return sums


def pigment_of(sums: NDArray[np.int64], normal: Sequence[float] | None) -> NDArray[np.float32]:
    """Return (n,) how far a cell's colour lies off every mix of the slide's stains, as the sine of an angle.

    0 where the cell has stains, NaN where it was not looked at or the slide's own colours are not known.

    Parameters
    ----------
    sums
        See `colour_sums`.
    normal
        Direction across the slide's hematoxylin and brown, see `pigment.own_normal`.
    """
    red, both, blue, rb, gb, bb = sums.T.astype(np.float64)
    if normal is None:
        return np.full(len(sums), np.nan, dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        together = both / np.sqrt(red * blue)
        direction = np.column_stack((rb, gb, bb)) / bb[:, None]
        off = off_plane(direction, np.array(normal))
    low, high = _PIGMENT_RED
    pigment = (together > _TOGETHER) & (direction[:, 0] > low) & (direction[:, 0] < high) & (off > 0)
    return np.where(bb > 0, np.where(pigment, off, 0.0), np.nan).astype(np.float32)


@njit(cache=True, nogil=True)
def _sum_products(keys: Any, centre: Any, chosen: Any, rgb: Any, density: Any, sizes: Any, sums: Any) -> None:
    """Add up the products of each chosen cell; `sizes`: half sides of the three squares and of the box around."""
    rows, cols = keys.shape
    small, fine, wide, reach = sizes
    side = 2 * (reach + wide) + 2
    total = np.zeros((side, side, 3), dtype=np.int64)
    detail, broad = np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)
    for k in range(len(centre)):
        if not chosen[k]:
            continue
        row0, col0 = (centre[k, 0] >> 8) - reach - wide, (centre[k, 1] >> 8) - reach - wide
        _add_up(rgb, density, row0, col0, total)
        for i in range(max(row0 + wide, 0), min(row0 + wide + 2 * reach + 1, rows)):
            for j in range(max(col0 + wide, 0), min(col0 + wide + 2 * reach + 1, cols)):
                if label_of(keys[i, j], CELL_END) != k + 1:
                    continue
                _detail(total, i - row0, j - col0, small, fine, detail)
                _detail(total, i - row0, j - col0, small, wide, broad)
                sums[k, 0] += detail[0] * detail[0]
                sums[k, 1] += detail[0] * detail[2]
                sums[k, 2] += detail[2] * detail[2]
                for c in range(3):
                    sums[k, 3 + c] += broad[c] * broad[2]


@njit(cache=True, nogil=True)
def _add_up(rgb: Any, density: Any, row0: int, col0: int, total: Any) -> None:
    """Write the sums of densities above and left of each place of a box; edges repeat the last pixel."""
    rows, cols, _ = rgb.shape
    for i in range(1, total.shape[0]):
        y = min(max(row0 + i - 1, 0), rows - 1)
        for c in range(3):
            line = 0
            for j in range(1, total.shape[1]):
                x = min(max(col0 + j - 1, 0), cols - 1)
                line += density[rgb[y, x, c], c]
                total[i, j, c] = total[i - 1, j, c] + line


@njit(cache=True, nogil=True)
def _detail(total: Any, i: int, j: int, small: int, large: int, out: Any) -> None:
    """Write the mean of a small square less that of a large one, times both their areas."""
    inner, outer = (2 * small + 1) ** 2, (2 * large + 1) ** 2
    for c in range(3):
        near = _square(total, i, j, small, c)
        out[c] = outer * near - inner * _square(total, i, j, large, c)


@njit(cache=True, nogil=True, inline="always")
def _square(total: Any, i: int, j: int, half: int, c: int) -> Any:
    top, bottom, left, right = i - half, i + half + 1, j - half, j + half + 1
    return total[bottom, right, c] - total[top, right, c] - total[bottom, left, c] + total[top, left, c]
