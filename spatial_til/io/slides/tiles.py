"""Decoded tiles, kept for a while and put together to boxes."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import SlideError
from spatial_til.io.slides.pyramid import Level
from spatial_til.model import Box

TileKey: TypeAlias = tuple[int, int, int, int]  # level, plane, tile row, tile column
Tile: TypeAlias = NDArray[Any] | None

MIN_CACHE_BYTES = 40 << 20
MAX_CACHE_BYTES = 1 << 30
#: How full the cache is left when room is made in it: not to look for what may go at every tile.
_EMPTIED = 7 / 8
_NEVER = 1 << 62
BAND_ROWS = 2048  # a stripped image is cached by this many rows, so that blocks beside each other share strips


class TileCache:
    """Decoded tiles, up to a number of bytes; safe to use from several threads.

    Those used last are kept. Where it is known what will be asked for, those that come next are, and none longer than
    it is needed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tiles: OrderedDict[TileKey, Tile] = OrderedDict()
        self._uses: dict[TileKey, deque[int]] = {}  # places in what is expected
        self._lock = threading.Lock()

    def expect(self, keys: Iterable[TileKey]) -> None:
        """Say which tiles will be asked for from now on, and in which order, each as often as it will be."""
        with self._lock:
            self._uses = {}
            for place, key in enumerate(keys):
                self._uses.setdefault(key, deque()).append(place)
            for key in [key for key in self._tiles if key not in self._uses]:
                self._drop(key)

    def get(self, key: TileKey, decode: Callable[[], Tile]) -> Tile:
        """Return a tile, decoding it where it is not kept. Decoding happens outside the lock."""
        with self._lock:
            if key in self._tiles:
                tile = self._tiles[key]
                self._tiles.move_to_end(key)
                self._use(key)
                return tile
        tile = decode()
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._bytes += 0 if tile is None else tile.nbytes
            self._use(key)
            self._evict()
        return tile

    def _use(self, key: TileKey) -> None:
        """Count one use of a tile that is kept, and let go of it where it was the last."""
        if key in self._uses:
            self._uses[key].popleft()
            if not self._uses[key]:
                del self._uses[key]
                self._drop(key)

    def _drop(self, key: TileKey) -> None:
        tile = self._tiles.pop(key)
        self._bytes -= 0 if tile is None else tile.nbytes

    def _evict(self) -> None:
        """Make room: what is not expected goes first, the longest unused of it, then what is expected last."""
        if self._bytes <= self._max_bytes:
            return
        soon = {key: self._uses[key][0] for key in self._tiles if key in self._uses}
        for key in sorted(self._tiles, key=lambda key: -soon.get(key, _NEVER)):
            if self._bytes <= self._max_bytes * _EMPTIED or len(self._tiles) == 1:
                return
            self._drop(key)


def cache_bytes(level: Level) -> int:
    """Return the memory that lets neighbouring blocks of a level share their tiles."""
    rows, cols = level.tile
    band = max(rows, BAND_ROWS) if cols >= level.shape[1] else 2 * rows
    wanted = band * cols * level.samples * level.planes * level.dtype.itemsize
    return min(max(wanted, MIN_CACHE_BYTES), MAX_CACHE_BYTES)


def check_box(box: Box, shape: tuple[int, int]) -> None:
    """Refuse a box that does not lie inside the grid."""
    row0, row1, col0, col1 = box
    if not (0 <= row0 < row1 <= shape[0] and 0 <= col0 < col1 <= shape[1]):
        msg = f"A box to read must lie inside the {shape[0]} x {shape[1]} grid and not be empty; got {box}."
        raise SlideError(msg)


def tile_keys(level: Level, index: int, box: Box, planes: Sequence[int]) -> Iterator[TileKey]:
    """Yield the tiles of a box of one level, in the order that they are read in."""
    row0, row1, col0, col1 = box
    height, width = level.tile
    for plane in planes:
        for tile_row in range(row0 // height, -(-row1 // height)):
            for tile_col in range(col0 // width, -(-col1 // width)):
                yield index, plane, tile_row, tile_col


def read_box(level: Level, index: int, box: Box, planes: Sequence[int], cache: TileCache) -> NDArray[Any]:
    """Return (planes, rows, cols, samples) of a box of one level."""
    row0, row1, col0, col1 = box
    out = np.empty((len(planes), row1 - row0, col1 - col0, level.samples), level.dtype)
    height, width = level.tile
    for i, plane in enumerate(planes):
        for key in tile_keys(level, index, box, [plane]):
            top, left = key[2] * height, key[3] * width
            y0, y1 = max(row0, top), min(row1, top + height)
            x0, x1 = max(col0, left), min(col1, left + width)
            tile = cache.get(key, lambda k=key: level.decode(*k[1:]))  # type: ignore[misc]
            part = out[i, y0 - row0 : y1 - row0, x0 - col0 : x1 - col0]
            part[...] = level.fill if tile is None else _cut(tile, (y0 - top, y1 - top, x0 - left, x1 - left))
    return out


def _cut(tile: NDArray[Any], box: Box) -> NDArray[Any]:
    """Return a box of a tile, refusing one that is too small, which NumPy would stretch in silence."""
    if tile.shape[0] < box[1] or tile.shape[1] < box[3]:
        msg = f"A tile of {tile.shape[0]} x {tile.shape[1]} px is smaller than its header says. Export the slide again."
        raise SlideError(msg)
    return tile[box[0] : box[1], box[2] : box[3]]
