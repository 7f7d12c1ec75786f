"""A million cells as one picture: dots painted where one looks, so that no window waits for a million shapes.

Far out a cell is one pixel; near, a ring that leaves the stain in view. The picture holds a number a pixel,
the population of the cell drawn there, 0 for none: the viewer gives each its colour. Where dots overlap, the
population with the higher number is on top, whatever the order of the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import XY, BoolArray
from spatial_til.plugin.tiles import Image, Loader, Picture
from spatial_til.units import PixelSize

RADIUS_UM = 4.0
RING_UM = 1.0
#: Below this many pixels of radius a ring would be a blot: the dot is filled.
_RING_FROM_PX = 4.0
_BIN_UM = 100.0


@dataclass(frozen=True, slots=True)
class CellBins:
    """Cells sorted into squares, so that those of a tile are found at once."""

    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    order: NDArray[np.int64]  # position in these arrays -> cell
    first: NDArray[np.int64]  # (rows * cols + 1,) where each square's cells begin
    rows: int
    cols: int


def bin_cells(xy_um: XY) -> CellBins:
    """Return cells sorted into squares of 100 µm from the origin."""
    squares = np.maximum(np.floor_divide(xy_um, _BIN_UM), 0).astype(np.int64)
    cols, rows = (int(n) + 1 for n in (squares.max(axis=0) if len(squares) else (0, 0)))
    square = squares[:, 1] * cols + squares[:, 0]
    order = np.argsort(square, kind="stable")
    first = np.zeros(rows * cols + 1, np.int64)
    np.cumsum(np.bincount(square, minlength=rows * cols), out=first[1:])
    sorted_xy = xy_um[order]
    return CellBins(
        np.ascontiguousarray(sorted_xy[:, 0]), np.ascontiguousarray(sorted_xy[:, 1]), order, first, rows, cols
    )


def codes_of(populations: Mapping[str, BoolArray], shown: Sequence[str], n_cells: int) -> NDArray[np.uint8]:
    """Return the number that stands for each cell: its place in `shown` from the end, 0 where it is in none.

    A cell of several populations goes by the first in `shown`, which is drawn on top.

    Examples
    --------
    >>> members = {"CD8+": np.array([True, True, False]), "all": np.array([True, True, True])}
    >>> codes_of(members, ["CD8+", "all"], 3).tolist()
    [2, 2, 1]
    """
    codes = np.zeros(n_cells, np.uint8)
    for i, name in enumerate(reversed(shown), start=1):
        codes[populations[name]] = i
    return codes


class CellSource:
    """Cells painted on the grid of one resolution; the codes may change while it is shown.

    `factors` (y, x) are how much coarser the grid is than the slide. napari draws the middle of the first pixel
    of every resolution where the middle of the slide's first pixel is: cells are painted for that.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        factors: tuple[float, float],
        px: PixelSize,
        bins: CellBins,
        codes: Callable[[], NDArray[np.uint8]],
    ) -> None:
        self.shape = shape
        self._factors = factors
        self._px = px
        self._bins = bins
        self._codes = codes  # in the order of the bins

    def read(self, row0: int, row1: int, col0: int, col1: int) -> Image:
        """Return (rows, cols) codes."""
        out = np.zeros((row1 - row0, col1 - col0), np.uint8)
        px, bins, (fy, fx) = self._px, self._bins, self._factors
        radius = max(RADIUS_UM / (px.mean_um * fy), 0.5)
        inner = radius - max(RING_UM / (px.mean_um * fy), 1.0) if radius >= _RING_FROM_PX else -1.0
        reach = RADIUS_UM + px.mean_um * fy
        left, right = _bins_between(col0 * fx * px.x_um - reach, col1 * fx * px.x_um + reach, bins.cols)
        top, low = _bins_between(row0 * fy * px.y_um - reach, row1 * fy * px.y_um + reach, bins.rows)
        codes = self._codes()
        for row in range(top, low + 1):
            begin, end = bins.first[row * bins.cols + left], bins.first[row * bins.cols + right + 1]
            rows = (bins.y_um[begin:end] / px.y_um - 0.5) / fy - row0
            cols = (bins.x_um[begin:end] / px.x_um - 0.5) / fx - col0
            _paint(rows, cols, codes[begin:end], radius, inner, out)
        return out


def _bins_between(low_um: float, high_um: float, n: int) -> tuple[int, int]:
    return min(max(int(low_um // _BIN_UM), 0), n - 1), min(max(int(high_um // _BIN_UM), 0), n - 1)


@njit(cache=True, nogil=True)
def _paint(rows: Any, cols: Any, codes: Any, radius: float, inner: float, out: Any) -> None:
    height, width = out.shape
    for i in range(rows.size):
        code = codes[i]
        if code == 0:
            continue
        if radius <= 0.75:  # one pixel, the one that holds the cell
            r, c = int(np.floor(rows[i] + 0.5)), int(np.floor(cols[i] + 0.5))
            if 0 <= r < height and 0 <= c < width and out[r, c] < code:
                out[r, c] = code
            continue
        for r in range(max(int(np.ceil(rows[i] - radius)), 0), min(int(rows[i] + radius) + 1, height)):
            for c in range(max(int(np.ceil(cols[i] - radius)), 0), min(int(cols[i] + radius) + 1, width)):
                away = np.sqrt((r - rows[i]) ** 2 + (c - cols[i]) ** 2)
                if inner <= away <= radius and out[r, c] < code:
                    out[r, c] = code


class CellPicture:
    """Cells of one slide, painted at the resolutions of its picture, with the populations that are switched on."""

    def __init__(self, xy_um: XY, shapes: Sequence[tuple[int, int]], px: PixelSize, loader: Loader | None) -> None:
        self.bins = bin_cells(xy_um)
        self.n_cells = len(xy_um)
        self._codes = np.zeros(self.n_cells, np.uint8)
        full = shapes[0]
        self._sources = [
            CellSource(shape, (full[0] / shape[0], full[1] / shape[1]), px, self.bins, lambda: self._codes)
            for shape in shapes
        ]
        self.picture = Picture(self._sources, self._coarsest(), loader)

    def show(self, codes: NDArray[np.uint8]) -> None:
        """Paint these codes, one a cell, from now on; who shows the picture must draw it again."""
        self._codes = codes[self.bins.order]
        self.picture.replace(self._coarsest())

    def _coarsest(self) -> Image:
        rows, cols = self._sources[-1].shape
        return self._sources[-1].read(0, rows, 0, cols)
