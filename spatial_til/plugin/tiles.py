"""Pictures that never keep the viewer waiting: what is not decoded yet is shown coarse, and fetched meanwhile.

A level looks like an array to napari. Taking a box of it only copies tiles that are in memory; missing ones
are filled from the finest coarser picture there is, and asked for from a few threads. When they have come,
`Loader.on_loaded` is told, so that whoever shows the picture draws it again.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import SlideError

TILE_PX = 512
CACHE_BYTES = 768 << 20
#: Tiles that may wait; the oldest are forgotten first, since the view has moved on.
MAX_WAITING = 256
_THREADS = 2
_NICE = 10

Image: TypeAlias = NDArray[Any]
#: Rows and columns: first, one past the last, of each.
Box: TypeAlias = tuple[int, int, int, int]


class Source(Protocol):
    """Pixels of one resolution."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def read(self, row0: int, row1: int, col0: int, col1: int) -> Image:
        """Return a box as (rows, cols) or (rows, cols, 3)."""


class TileKey(NamedTuple):
    """One tile of one level of one picture."""

    picture: int
    level: int
    row: int
    col: int


class Loader:
    """Threads that fetch tiles, newest request first, and the tiles fetched last."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self.on_loaded: Callable[[Picture, TileKey], None] = lambda _, __: None
        self.on_error: Callable[[str], None] = lambda _: None
        self._tiles: OrderedDict[TileKey, Image] = OrderedDict()
        self._waiting: deque[TileKey] = deque()
        self._underway: set[TileKey] = set()
        self._stale: set[TileKey] = set()
        self._pictures: weakref.WeakValueDictionary[int, Picture] = weakref.WeakValueDictionary()
        self._numbers = itertools.count()
        self._room = cache_bytes
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def add(self, picture: Picture) -> int:
        """Take a picture in and return its number."""
        with self._changed:
            number = next(self._numbers)
            self._pictures[number] = picture
            return number

    def cached(self, key: TileKey) -> Image | None:
        """Return a tile that is in memory."""
        with self._changed:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def ask(self, keys: Sequence[TileKey]) -> None:
        """Ask for tiles, which come before all that was asked for earlier."""
        with self._changed:
            if self._closed:
                return
            new = [k for k in keys if k not in self._tiles and k not in self._underway]
            for key in set(new) & set(self._waiting):
                self._waiting.remove(key)
            self._waiting.extendleft(reversed(new))
            while len(self._waiting) > MAX_WAITING:
                self._waiting.pop()
            while new and len(self._threads) < _THREADS:
                self._threads.append(threading.Thread(target=self._work, daemon=True, name="slide tiles"))
                self._threads[-1].start()
            self._changed.notify_all()

    def forget(self, picture: int) -> None:
        """Drop the tiles of a picture that changed, also those being fetched."""
        with self._changed:
            for key in [k for k in self._tiles if k.picture == picture]:
                self._room += self._tiles.pop(key).nbytes
            self._stale |= {k for k in self._underway if k.picture == picture}

    def wait(self, timeout_s: float = 30.0) -> bool:
        """Wait until nothing is asked for any more; say whether that came about."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._underway), timeout_s)

    def close(self) -> None:
        """Stop the threads, and wait for the tiles they are at."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    def _work(self) -> None:
        _stand_back()
        while (key := self._next()) is not None:
            picture = self._pictures.get(key.picture)
            if picture is None:  # no longer shown
                self._done(key, None)
                continue
            try:
                tile = picture.fetch(key)
            except (SlideError, OSError) as error:
                # shown coarse from now on: a damaged tile must not be asked for again and again
                tile = picture.coarse(key.level, picture.box_of(key))
                self.on_error(str(error))
            self._done(key, tile)
            if not self._closed:
                self.on_loaded(picture, key)

    def _done(self, key: TileKey, tile: Image | None) -> None:
        with self._changed:
            self._underway.discard(key)
            if key in self._stale:  # its picture changed meanwhile
                self._stale.discard(key)
                self._waiting.appendleft(key)
            elif tile is not None:
                self._keep(key, tile)
            self._changed.notify_all()

    def _next(self) -> TileKey | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            key = self._waiting.popleft()
            self._underway.add(key)
            return key

    def _keep(self, key: TileKey, tile: Image) -> None:
        self._tiles[key] = tile
        self._room -= tile.nbytes
        while self._room < 0 and len(self._tiles) > 1:
            _, old = self._tiles.popitem(last=False)
            self._room += old.nbytes


def in_view(key: TileKey, level: int, corners: Image) -> bool:
    """Return whether a tile lies in the view: rows and columns of its first and last pixel, [[r0, c0], [r1, c1]]."""
    (row0, col0), (row1, col1) = np.asarray(corners)[:, -2:] // TILE_PX
    return bool(key.level == level and row0 <= key.row <= row1 and col0 <= key.col <= col1)


def _stand_back() -> None:
    """Let the thread that draws go first, where threads have a rank: drawing a frame takes both cores of a laptop."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class Picture:
    """One picture at several resolutions, each half the one before; the last is held in memory.

    Parameters
    ----------
    sources
        Finest first. Each pixel of one covers exactly 2 x 2 of the one before; odd rows and columns are dropped.
    coarsest
        The pixels of the last source.
    loader
        Who fetches tiles; None to read in place, for callers that have nothing to show meanwhile.
    """

    def __init__(self, sources: Sequence[Source], coarsest: Image, loader: Loader | None) -> None:
        self._sources = tuple(sources)
        self._coarsest = coarsest
        self._loader = loader
        self._number = 0 if loader is None else loader.add(self)
        self.levels = tuple(TiledLevel(self, i, source.shape) for i, source in enumerate(sources))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        return self._coarsest.dtype

    @property
    def samples(self) -> tuple[int, ...]:
        """Shape of a pixel: () or (3,)."""
        return self._coarsest.shape[2:]

    def box(self, level: int, row0: int, row1: int, col0: int, col1: int) -> Image:
        """Return a box of a level without waiting for anything that is not in memory."""
        if level == len(self._sources) - 1:
            return self._coarsest[row0:row1, col0:col1]
        if self._loader is None:
            return self._sources[level].read(row0, row1, col0, col1)
        out, missing = self._in_memory(level, (row0, row1, col0, col1))
        self._loader.ask(missing)
        return out

    def _in_memory(self, level: int, box: Box) -> tuple[Image, list[TileKey]]:
        """Return a box as the finest pictures in memory show it, and the tiles of its level that are not there."""
        row0, row1, col0, col1 = box
        if level == len(self._sources) - 1 or self._loader is None:
            return self._coarsest[row0:row1, col0:col1], []
        out = np.empty((row1 - row0, col1 - col0, *self.samples), self.dtype)
        tiles = {key: self._loader.cached(key) for key in self._tiles_of(level, box)}
        missing = [key for key, tile in tiles.items() if tile is None]
        if missing:
            # enlarged once for all of them: what is painted too much is covered by the tiles there are
            around = np.array([_overlap(self.box_of(key), box) for key in missing])
            y0, y1, x0, x1 = (int(f(side)) for f, side in zip((min, max, min, max), around.T, strict=True))
            out[y0 - row0 : y1 - row0, x0 - col0 : x1 - col0] = self.coarse(level, (y0, y1, x0, x1))
        for key, tile in tiles.items():
            if tile is not None:
                y0, y1, x0, x1 = _overlap(self.box_of(key), box)
                top, left = key.row * TILE_PX, key.col * TILE_PX
                out[y0 - row0 : y1 - row0, x0 - col0 : x1 - col0] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        return out, missing

    def _tiles_of(self, level: int, box: Box) -> list[TileKey]:
        rows = range(box[0] // TILE_PX, -(-box[1] // TILE_PX))
        cols = range(box[2] // TILE_PX, -(-box[3] // TILE_PX))
        return [TileKey(self._number, level, row, col) for row in rows for col in cols]

    def replace(self, coarsest: Image) -> None:
        """Take a new picture: the sources changed, so that no tile in memory holds any more."""
        self._coarsest = coarsest
        if self._loader is not None:
            self._loader.forget(self._number)

    def fetch(self, key: TileKey) -> Image:
        """Return a tile, read from the slide."""
        row0, row1, col0, col1 = self.box_of(key)
        return self._sources[key.level].read(row0, row1, col0, col1)

    def coarse(self, level: int, box: Box) -> Image:
        """Return a box of a level as the next coarser one shows it in memory, enlarged twice."""
        row0, row1, col0, col1 = box
        rows, cols = self.levels[level + 1].shape[:2]
        # where rows or columns are odd the coarser picture has none for the last: the one before is repeated
        top, left = min(row0 >> 1, rows - 1), min(col0 >> 1, cols - 1)
        seen, _ = self._in_memory(level + 1, (top, min(-(-row1 >> 1), rows), left, min(-(-col1 >> 1), cols)))
        twice = cv2.resize(seen, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        y, x = min(row0 - 2 * top, twice.shape[0] - 1), min(col0 - 2 * left, twice.shape[1] - 1)
        part = twice[y : y + row1 - row0, x : x + col1 - col0]
        short = (row1 - row0 - part.shape[0], col1 - col0 - part.shape[1])
        return np.pad(part, [(0, n) for n in short] + [(0, 0)] * len(self.samples), "edge") if any(short) else part

    def box_of(self, key: TileKey) -> Box:
        """Return the rows and columns (start, stop each) of a tile."""
        rows, cols = self._sources[key.level].shape
        top, left = key.row * TILE_PX, key.col * TILE_PX
        return top, min(top + TILE_PX, rows), left, min(left + TILE_PX, cols)


class TiledLevel:
    """One level of a picture, as napari wants an array to be."""

    def __init__(self, picture: Picture, level: int, shape: tuple[int, int]) -> None:
        self.picture = picture
        self.level = level
        self.shape = (*shape, *picture.samples)
        self.ndim = len(self.shape)
        self.dtype = picture.dtype
        self.size = int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> Image:
        """Return what NumPy would, rows and columns taken lazily."""
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis in key:
            at = key.index(Ellipsis)
            key = (*key[:at], *[slice(None)] * (self.ndim - len(key) + 1), *key[at + 1 :])
        key = (*key, *[slice(None)] * (self.ndim - len(key)))
        spans = [_span(k, n) for k, n in zip(key[:2], self.shape[:2], strict=True)]
        box = self.picture.box(self.level, spans[0].start, spans[0].stop, spans[1].start, spans[1].stop)
        inner = tuple(0 if isinstance(k, int | np.integer) else slice(None, None, k.step) for k in key[:2])
        return np.asarray(box[(*inner, *key[2:])])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Image:  # noqa: FBT001
        """Return the whole level, as far as it is in memory: for thumbnails of the coarsest one."""
        return np.asarray(self[:, :], dtype=dtype)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]


def _span(key: Any, size: int) -> slice:
    if isinstance(key, int | np.integer):
        at = int(key) + (size if key < 0 else 0)
        return slice(at, at + 1)
    start, stop, step = key.indices(size)
    if step < 1:
        msg = f"rows and columns of a slide are taken forwards, found a step of {step}"
        raise IndexError(msg)
    return slice(start, max(start, stop))


def _overlap(one: Box, other: Box) -> Box:
    return max(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), min(one[3], other[3])
