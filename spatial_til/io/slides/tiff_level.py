"""Tiles and strips of TIFF pages, read without seeking through shared state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.counted import counted
from spatial_til.errors import SlideError, SlideMemoryError
from spatial_til.io.slides.pyramid import MAX_CHANNELS, MAX_SIDE_PX, MAX_TILE_BYTES

#: TIFF compressions that need the tables kept outside the tiles.
JPEG_COMPRESSIONS = (6, 7, 34892, 33007)
RAW_ROWS_BYTES = 1 << 20  # one uncompressed strip may hold the whole image: it is read in pieces of about this size


class FileBytes:
    """Bytes of one file by position; one at a time, so that threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()
        self.size = path.stat().st_size

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes at `offset`."""
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(count)
        if len(data) != count:
            msg = f"{self.path}: the file ends before byte {offset + count}; it was cut short. Copy it again."
            raise SlideError(msg)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TiffPlane:
    """One page of a TIFF: where its segments lie, and how they are decoded."""

    def __init__(self, page: Any, file: FileBytes) -> None:
        key = page.keyframe
        self.file = file
        self.offsets = np.asarray(page.dataoffsets, np.int64)
        self.counts = np.asarray(page.databytecounts, np.int64)
        self._decode: Callable[..., Any] = key.decode
        self._arguments: dict[str, Any] = {}
        if key.compression in JPEG_COMPRESSIONS:
            self._arguments = {"jpegtables": page.jpegtables, "jpegheader": key.jpegheader}
        expected = int(np.prod(key.chunked))
        if len(self.offsets) < expected or len(self.counts) < expected:
            found = f"a page has {len(self.offsets)} of its {counted(expected, 'tile')}"
            msg = f"{file.path}: {found}; the file is damaged. Copy it again."
            raise SlideError(msg)
        ends = self.offsets + self.counts
        if min(self.offsets.min(initial=0), self.counts.min(initial=0)) < 0 or ends.max(initial=0) > file.size:
            msg = f"{file.path}: pixels lie beyond the end of the file; it was cut short. Copy it again."
            raise SlideError(msg)

    def decode(self, segment: int) -> NDArray[Any] | None:
        """Return one segment as (rows, cols, samples); None where it was not stored."""
        count = int(self.counts[segment])
        if count == 0 or self.offsets[segment] == 0:
            return None
        data = self.file.read(int(self.offsets[segment]), count)
        try:
            decoded = self._decode(data, segment, **self._arguments)[0]
        except (ValueError, RuntimeError, OSError, TypeError, ArithmeticError, LookupError) as error:
            msg = f"{self.file.path}: tile {segment} cannot be decoded ({error}). Export the slide again."
            raise SlideError(msg) from error
        except MemoryError as error:
            msg = f"{self.file.path}: out of memory: tile {segment} needs more than there is, or is damaged. "
            msg += "Use fewer --workers, or export the slide as a tiled pyramid (OME-TIFF)."
            raise SlideMemoryError(msg) from error
        return None if decoded is None else np.asarray(decoded[0])


class TiffLevel:
    """A level whose planes are TIFF pages, or the separate colours of one page."""

    def __init__(self, pages: Sequence[Any], files: Callable[[Any], FileBytes], fill: int) -> None:
        key = pages[0].keyframe
        path = files(pages[0]).path
        self.shape = (int(key.imagelength), int(key.imagewidth))
        self.dtype = np.dtype(key.dtype)
        self.fill = fill
        separate = int(key.samplesperpixel) if key.planarconfig == 2 else 1
        self.samples = 1 if key.planarconfig == 2 else int(key.samplesperpixel)
        self.planes = len(pages) * separate
        self.tile = (int(key.tilelength), int(key.tilewidth)) if key.is_tiled else self._strip(key)
        check_size(path, self.shape, self.tile, self.samples * self.dtype.itemsize)
        self._grid = (-(-self.shape[0] // self.tile[0]), -(-self.shape[1] // self.tile[1]))
        self._separate = separate
        self._planes = [TiffPlane(page, files(page)) for page in pages]

    def _strip(self, key: Any) -> tuple[int, int]:
        return min(int(key.rowsperstrip), self.shape[0]), self.shape[1]

    def decode(self, plane: int, tile_row: int, tile_col: int) -> NDArray[Any] | None:
        """Return (rows, cols, samples) of one tile; None where it was not stored."""
        page, colour = divmod(plane, self._separate)
        segment = (colour * self._grid[0] + tile_row) * self._grid[1] + tile_col
        return self._planes[page].decode(segment)


class RawLevel:
    """A level whose planes lie uncompressed and unbroken in the file: rows are read where they are."""

    samples = 1
    fill = 0

    def __init__(
        self, shape: tuple[int, int], dtype: np.dtype[Any], samples: int, planes: Sequence[tuple[FileBytes, int]]
    ) -> None:
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.samples = samples
        self.planes = len(planes)
        self._stored = dtype
        self._row_bytes = shape[1] * samples * dtype.itemsize
        self.tile = (min(shape[0], max(1, RAW_ROWS_BYTES // self._row_bytes)), shape[1])
        self._where = tuple(planes)
        check_size(planes[0][0].path, shape, self.tile, samples * dtype.itemsize)
        for file, offset in planes:
            if offset < 0 or offset + shape[0] * self._row_bytes > file.size:
                msg = f"{file.path}: pixels lie beyond the end of the file; it was cut short. Copy it again."
                raise SlideError(msg)

    def decode(self, plane: int, tile_row: int, tile_col: int) -> NDArray[Any]:  # noqa: ARG002
        """Return (rows, cols, samples) of one band of rows."""
        file, offset = self._where[plane]
        top = tile_row * self.tile[0]
        rows = min(self.tile[0], self.shape[0] - top)
        data = file.read(offset + top * self._row_bytes, rows * self._row_bytes)
        band = np.frombuffer(data, self._stored).reshape(rows, self.shape[1], self.samples)
        return band.astype(self.dtype, copy=False)


def check_channels(path: Path, n: int) -> None:
    """Refuse none, or more channels than any slide has: a box of all of them would not fit into memory.

    Raises
    ------
    SlideError
        None, or more than 1,000.
    """
    if not 0 < n <= MAX_CHANNELS:
        msg = f"{path}: the header declares {n} channels; no slide has that. Export it again."
        raise SlideError(msg)


def check_size(path: Path, shape: tuple[int, int], tile: tuple[int, int], pixel_bytes: int) -> None:
    """Refuse a level whose header declares what cannot be, before memory is asked for.

    Raises
    ------
    SlideError
        A side is 0 or above a million pixels, or a tile would take more than 256 MiB.
    """
    if not all(0 < side <= MAX_SIDE_PX for side in shape):
        msg = f"{path}: the header declares {shape[0]} x {shape[1]} px; no slide has that. Export it again."
        raise SlideError(msg)
    if not all(0 < side <= MAX_SIDE_PX for side in tile):
        msg = f"{path}: the header declares pieces of {tile[0]} x {tile[1]} px; no slide has them. Export it again."
        raise SlideError(msg)
    size = tile[0] * tile[1] * pixel_bytes
    if size > MAX_TILE_BYTES:
        msg = (
            f"{path}: the pixels are stored in pieces of {tile[0]} x {tile[1]} px, {size / 2**30:.1f} GiB each. "
            "Export the slide as a tiled pyramid (OME-TIFF)."
        )
        raise SlideError(msg)
