"""How the colours of each stained cell vary, summed over its pixels: what tells pigment from stain (see `laden`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import CELL_END, label_of

#: µm. Detail: the mean of a small square less that of a larger one; fine detail for what varies together, less
#: fine for colour, which cameras and JPEG keep at a lower resolution.
_DETAIL_UM, _FINE_UM, _COLOUR_UM = 1.5, 2.5, 4.5
#: µm. Furthest from the nuclear centre, along rows and columns, that a cell is looked at.
_REACH_UM = 12.0
#: Columns of `colour_sums`: in fine detail red by red, red by blue, blue by blue; then red, green and blue by blue;
#: then red, green and blue themselves, by how much blue stands out.
N_SUMS = 9


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
    _sum_products(keys, centre, chosen, rgb, np.ascontiguousarray(density.T).astype(np.int32), sizes, sums)
    return sums


@njit(cache=True, nogil=True)
def _sum_products(keys: Any, centre: Any, chosen: Any, rgb: Any, density: Any, sizes: Any, sums: Any) -> None:
    """Add up the products of each chosen cell; `sizes`: half sides of the three squares and of the box around."""
    rows, cols = keys.shape
    small, fine, wide, reach = sizes
    side = 2 * (reach + wide) + 2
    total = np.zeros((3, side * side), dtype=np.int32)
    detail, broad = np.empty((3, side * side), dtype=np.int32), np.empty((3, side * side), dtype=np.int32)
    for k in range(len(centre)):
        if not chosen[k]:
            continue
        r, c = centre[k, 0] >> 8, centre[k, 1] >> 8
        box = max(r - reach, 0), min(r + reach + 1, rows), max(c - reach, 0), min(c + reach + 1, cols)
        top, bottom, left, right = _bounds(keys, k + 1, box)
        if top >= bottom:
            continue
        width = right - left + 2 * wide + 1
        size = (bottom - top - 1) * width + right - left
        _add_up(rgb, density, top - wide, left - wide, bottom - top + 2 * wide + 1, width, total)
        _detail(total, wide, width, small, fine, detail[:, :size])
        _detail(total, wide, width, small, wide, broad[:, :size])
        for i in range(top, bottom):
            first = (i - top) * width
            _add_products(keys[i, left:right], k + 1, detail[:, first:], broad[:, first:], sums[k])
            _add_density(keys[i, left:right], k + 1, rgb[i, left:right], density, broad[2, first:], sums[k, 6:])


@njit(cache=True, nogil=True)
def _add_products(keys: Any, label: int, detail: Any, broad: Any, sums: Any) -> None:
    """Add the products of a row's pixels that belong to a cell."""
    for j in range(len(keys)):
        if label_of(keys[j], CELL_END) == label:
            red, blue, by = np.int64(detail[0, j]), np.int64(detail[2, j]), np.int64(broad[2, j])
            sums[0] += red * red
            sums[1] += red * blue
            sums[2] += blue * blue
            for c in range(3):
                sums[3 + c] += by * broad[c, j]


@njit(cache=True, nogil=True)
def _add_density(keys: Any, label: int, pixels: Any, density: Any, weight: Any, sums: Any) -> None:
    """Add the optical densities of a row's pixels that belong to a cell, times a weight where it is above 0."""
    for j in range(len(keys)):
        if label_of(keys[j], CELL_END) == label and weight[j] > 0:
            for c in range(3):
                sums[c] += np.int64(weight[j]) * density[c, pixels[j, c]]


@njit(cache=True, nogil=True)
def _bounds(keys: Any, label: int, box: Any) -> Any:
    """Return the first row of a cell's pixels in a box, the one past the last, and the same of columns."""
    row0, row1, col0, col1 = box
    top, bottom, left, right = row1, row0, col1, col0
    for i in range(row0, row1):
        line = keys[i, col0:col1]
        held = 0
        for j in range(len(line)):
            held += label_of(line[j], CELL_END) == label
        if held == 0:
            continue
        top, bottom = min(top, i), i + 1
        for j in range(len(line)):
            if label_of(line[j], CELL_END) == label:
                left, right = min(left, col0 + j), max(right, col0 + j + 1)
    return top, bottom, left, right


@njit(cache=True, nogil=True)
def _add_up(rgb: Any, density: Any, row0: int, col0: int, height: int, width: int, total: Any) -> None:
    """Write the sums of densities (3, height * width) above and left of each place; edges repeat the last pixel."""
    rows, cols, _ = rgb.shape
    total[:, :width] = 0
    for i in range(1, height):
        pixels = rgb[min(max(row0 + i - 1, 0), rows - 1)]
        for c in range(3):
            line, above, known = total[c, i * width : (i + 1) * width], total[c, (i - 1) * width :], density[c]
            added = line[0] = np.int32(0)
            for j in range(1, width):
                x = np.uint64(min(max(col0 + j - 1, 0), cols - 1))
                added += known[pixels[x, np.uint64(c)]]
                line[j] = above[j] + added


@njit(cache=True, nogil=True)
def _detail(total: Any, wide: int, width: int, small: int, large: int, out: Any) -> None:
    """Write (3, n) means of small squares less those of large ones, times both their areas, `wide` into a box."""
    inner, outer = np.int32((2 * small + 1) ** 2), np.int32((2 * large + 1) ** 2)
    for c in range(3):
        out[c] = 0
        for half, times in ((small, outer), (large, np.int32(-inner))):
            above = total[c, (wide - half) * width + wide - half :]
            below = total[c, (wide + half + 1) * width + wide - half :]
            _add_squares(above, above[2 * half + 1 :], below, below[2 * half + 1 :], times, out[c])


@njit(cache=True, nogil=True)
def _add_squares(a: Any, b: Any, c: Any, d: Any, times: Any, out: Any) -> None:
    """Add the sums of squares, from what lies above and left of their corners; apart so that it is vectorised."""
    for j in range(len(out)):
        out[j] += times * (d[j] - b[j] - c[j] + a[j])
