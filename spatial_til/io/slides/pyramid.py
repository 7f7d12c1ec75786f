"""What every slide format is turned into: levels of tiles, channel names and sources of pixel size."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spatial_til.units import PixelSize

#: No scanner writes an image this wide; a header that says so is damaged or hostile.
MAX_SIDE_PX = 1_000_000
MAX_CHANNELS = 1_000
#: Largest piece of a file that is decoded in one go; decoding takes a few times as much.
MAX_TILE_BYTES = 256 << 20
#: What a damaged header makes a parser raise.
HEADER_ERRORS = (
    ValueError, RuntimeError, OSError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
    struct.error,
)  # fmt: skip


class Level(Protocol):
    """One resolution of a slide, in tiles. Either one plane of several samples, or several of one."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of one tile."""

    @property
    def planes(self) -> int:
        """Number of planes that are stored one after the other."""

    @property
    def samples(self) -> int:
        """Number of samples interleaved in each plane."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one sample."""

    @property
    def fill(self) -> int:
        """Value of a tile the scanner did not store: white glass, or dark."""

    def decode(self, plane: int, tile_row: int, tile_col: int) -> NDArray[Any] | None:
        """Return (rows, cols, samples) that cover the tile's part of the image; None where it was not stored."""


@dataclass(frozen=True, slots=True)
class SizeSource:
    """One statement of pixel size in a file."""

    name: str
    size: PixelSize


@dataclass(frozen=True, slots=True)
class Pyramid:
    """An open slide file. Level 0 is the full resolution; `channels` counts colours, not alpha."""

    levels: tuple[Level, ...]
    channels: tuple[str, ...]
    is_rgb: bool
    size_sources: tuple[SizeSource, ...]  # best first
    close: Callable[[], None]
    premultiplied: bool = False  # a fourth sample is alpha, and the colours are multiplied by it
