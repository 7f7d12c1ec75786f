"""A coarse picture of the whole slide, and boxes to sample at full resolution: both deterministic."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import PixelSource
from spatial_til.segmentation.foreground import FLOOR_PX
from spatial_til.segmentation.tissue import mask_of
from spatial_til.units import PixelSize

#: The overview is reduced to pixels of at least this size.
OVERVIEW_UM = 4.0
_STRIP_ROWS = 512
#: Side of the boxes of a sample, in µm and at most in blocks of the local background, on which they begin.
_BOX_UM, _BOX_BLOCKS = 128.0, 16


def read_overview(source: PixelSource, overview: PixelSource | None) -> tuple[NDArray[Any], PixelSize]:
    """Return (rows, cols, channels) of the whole slide at about 4-8 µm per pixel, and its pixel size.

    Without an overview it is made by averaging the source strip by strip, which reads every pixel.
    """
    grid = source if overview is None else overview
    factor = max(int(OVERVIEW_UM / grid.pixel_size.mean_um), 1)
    rows, cols = grid.shape
    high = max(_STRIP_ROWS // factor, 1) * factor

    def strip(row: int) -> NDArray[Any]:
        return _reduce(grid.read(row, min(row + high, rows), 0, cols), factor)

    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(strip, range(0, rows, high)))), grid.pixel_size.scaled(factor, factor)


def _reduce(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return block means; partial blocks at the right and bottom edge are averaged over what they have."""
    if factor == 1:
        return image
    at_row, at_col = np.arange(0, image.shape[0], factor), np.arange(0, image.shape[1], factor)
    total = np.add.reduceat(image.astype(np.float32), at_row, axis=0)
    total = np.add.reduceat(total, at_col, axis=1)
    high = np.diff(np.append(at_row, image.shape[0]))[:, None, None]
    wide = np.diff(np.append(at_col, image.shape[1]))[None, :, None]
    mean = total / (high * wide)
    return np.round(mean).astype(image.dtype) if image.dtype.kind in "ui" else mean.astype(image.dtype)


class Remembered:
    """A source that keeps every box it has read: a sample of a slide is looked at by several, and read once."""

    def __init__(self, source: PixelSource) -> None:
        self._source = source
        self._boxes: dict[tuple[int, int, int, int], NDArray[Any]] = {}
        self.shape, self.pixel_size, self.channels = source.shape, source.pixel_size, source.channels

    def read(self, row0: int, row1: int, col0: int, col1: int) -> NDArray[Any]:
        """Return the pixels (rows, cols, channels) of a box; they must not be written to."""
        box = (row0, row1, col0, col1)
        if box not in self._boxes:
            self._boxes[box] = self._source.read(*box)
        return self._boxes[box]


def sample_boxes(
    tissue: MultiPolygon, shape: tuple[int, int], px: PixelSize, *, count: int = 24
) -> list[tuple[int, int, int, int]]:
    """Return up to `count` boxes (row0, row1, col0, col1) of the grid that hold most tissue, spread evenly.

    Boxes lie on a fixed grid, so that the same slide always gives the same sample.
    """
    rows, cols = shape
    side_px = min(max(round(_BOX_UM / px.mean_um / FLOOR_PX), 1), _BOX_BLOCKS) * FLOOR_PX
    r0, c0 = (a.ravel() for a in np.mgrid[0:rows:side_px, 0:cols:side_px])
    r1, c1 = np.minimum(r0 + side_px, rows), np.minimum(c0 + side_px, cols)
    share = _tissue_share(tissue, shape, px, side_px)[r0 // side_px, c0 // side_px]
    full = np.flatnonzero(share >= min(0.5, 0.9 * share.max(initial=0.0)))
    full = full[share[full] > 0]
    chosen = (
        full[np.unique(np.linspace(0, len(full) - 1, min(count, len(full))).round().astype(int))] if len(full) else full
    )
    return [(int(r0[k]), int(r1[k]), int(c0[k]), int(c1[k])) for k in chosen]


def _tissue_share(
    tissue: MultiPolygon, shape: tuple[int, int], px: PixelSize, side_px: int
) -> NDArray[np.floating[Any]]:
    """Return the share of tissue in each box of a grid, from 8 x 8 points a box."""
    grid = [-(-n // side_px) for n in shape]
    mask = mask_of(tissue, (8 * grid[0], 8 * grid[1]), px.scaled(side_px / 8, side_px / 8))
    return np.asarray(mask.reshape(grid[0], 8, grid[1], 8).mean(axis=(1, 3)))
