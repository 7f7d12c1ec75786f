"""Brightfield read finer than cells need: of every 3 x 3 pixels 2 x 2 are made before cells are found.

At 0.5 µm a pixel neighbours tell the same: stain is smoothed over 0.45 µm before nuclei are sought, and scanners
blur by as much. At 0.75 µm the same cells are found and called on phantoms (see docs/segmentation.md) in less than
half the pixels. In fluorescence outlines of real cells suffer, so it is left as it is read; and so is a panel with a
marker of nuclei, which are then what is measured: crowded ones are told apart a little better as read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import Box, ExpectingSource, PixelSource
from spatial_til.segmentation.settings import COARSER, MeasureSettings

_COLOURS = 3
#: Rows that are made at a time, an even number: the finer pixels of a whole tile would take much memory beside it.
_BAND_ROWS = 256


def for_cells(source: PixelSource, settings: MeasureSettings) -> PixelSource:
    """Return the grid that cells are found on: `source` itself, or one with pixels one and a half times as large."""
    read_um = source.pixel_size.mean_um
    coarser = settings.cell_pixel_um(read_um) > read_um and min(source.shape) > 1
    return Coarser(source) if coarser else source


class Coarser:
    """A brightfield source of two pixels where another has three, on both sides.

    A last pixel that would not be whole is left out, so every pixel covers the same area. What a pixel holds does
    not depend on the box that is read.
    """

    def __init__(self, source: PixelSource) -> None:
        self._source = source
        self.shape = (_whole(source.shape[0]), _whole(source.shape[1]))
        self.pixel_size = source.pixel_size.scaled(COARSER, COARSER)
        self.channels = source.channels

    def read(self, row0: int, row1: int, col0: int, col1: int) -> NDArray[np.uint8]:
        """Return the colours (rows, cols, 3) of a box, each the mean of what the pixel covers, rounded."""
        first_row, first_col = row0 // 2 * 2, col0 // 2 * 2
        out = np.empty((row1 - first_row, col1 - first_col, _COLOURS), dtype=np.uint8)
        for band in _bands((first_row, row1, first_col, col1)):
            fine = self._source.read(*_made_of(band))
            rows = out[band[0] - first_row : band[1] - first_row]
            _reduce(np.ascontiguousarray(fine).reshape(len(fine), -1), rows.reshape(len(rows), -1))
        return out[row0 - first_row :, col0 - first_col :]

    def expect(self, boxes: Sequence[Box]) -> None:
        """Say which boxes will be read, and in which order."""
        if isinstance(self._source, ExpectingSource):
            self._source.expect([_made_of(band) for box in boxes for band in _bands(box)])


def _bands(box: Box) -> list[Box]:
    """Return a box in bands that begin at the same rows of the grid in every box."""
    row0, row1, col0, col1 = box
    tops = range(row0 // _BAND_ROWS * _BAND_ROWS, row1, _BAND_ROWS)
    return [(max(top, row0), min(top + _BAND_ROWS, row1), col0, col1) for top in tops]


def _made_of(box: Box) -> Box:
    """Return the box of finer pixels that the pixels of a box are made of."""
    row0, row1, col0, col1 = box
    return row0 // 2 * 3, _reach(row1), col0 // 2 * 3, _reach(col1)


def _whole(n: int) -> int:
    """Return how many whole pixels are made of `n`."""
    return n // 3 * 2 + n % 3 // 2


def _reach(end: int) -> int:
    """Return where the pixels end that those before `end` are made of."""
    return end // 2 * 3 + end % 2 * 2


@njit(cache=True, nogil=True)
def _reduce(fine: Any, out: Any) -> None:
    """Write two rows of colours for three, and two colours for three in each: whole numbers until the last step."""
    lines = np.empty(fine.shape[1], dtype=np.uint16)
    left, right = np.zeros(fine.shape[1], dtype=np.uint8), np.zeros(fine.shape[1], dtype=np.uint8)
    for i in range(out.shape[0]):
        _down(fine[i // 2 * 3 + i % 2 * 2], fine[i // 2 * 3 + 1], lines)
        _across(lines, left, right)
        _pick(left, right, out[i])


@njit(cache=True, nogil=True)
def _down(twice: Any, once: Any, lines: Any) -> None:
    for j in range(len(lines)):
        lines[j] = np.uint16(twice[j]) + np.uint16(twice[j]) + np.uint16(once[j])


@njit(cache=True, nogil=True)
def _across(lines: Any, left: Any, right: Any) -> None:
    """Write a ninth of twice each colour and the next pixel's, and the other way round; all, so it is vectorised."""
    half, ninth, bits = np.uint16(4), np.uint32(7282), np.uint32(16)  # v * 7282 >> 16 is v // 9 up to 16,000
    for j in range(len(lines) - _COLOURS):
        here, beside = lines[j], lines[j + _COLOURS]
        left[j] = np.uint8(np.uint32(np.uint16(here + here + np.uint16(beside + half))) * ninth >> bits)
        right[j] = np.uint8(np.uint32(np.uint16(beside + beside + np.uint16(here + half))) * ninth >> bits)


@njit(cache=True, nogil=True)
def _pick(left: Any, right: Any, out: Any) -> None:
    """Write the colours of the two pixels made of each three."""
    for k in range(len(out) // _COLOURS):
        pair, at = k // 2, k % 2 * _COLOURS
        for c in range(_COLOURS):
            out[k * _COLOURS + c] = right[9 * pair + at + c] if at else left[9 * pair + c]
