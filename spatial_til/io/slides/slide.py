"""A slide, and the grid of pixels that segmentation works on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import SlideError
from spatial_til.io.slides.alpha import over_white
from spatial_til.io.slides.binning import bin_mean
from spatial_til.io.slides.channels import find_channels
from spatial_til.io.slides.pixel_size import choose_pixel_size
from spatial_til.io.slides.pyramid import Level, Pyramid
from spatial_til.io.slides.tiles import TileCache, cache_bytes, check_box, read_box, tile_keys
from spatial_til.model import Box
from spatial_til.units import PixelSize

#: A level may be this much coarser than its nominal factor: 46,001 px over 11,500 is not quite 4.
LEVEL_TOLERANCE = 0.01
#: Pixels of a level that are held at once while a large box is reduced, and how many of them lie in a row: more
#: than a tile of the segmentation has, and few enough that the tiles of a row are kept for the next.
BAND_PX, BAND_COLS = 1 << 21, 1 << 13
#: Samples of a pixel without transparency, which needs no room to be laid over white.
_COLOURS = 3


@dataclass(frozen=True, slots=True)
class LevelInfo:
    """Size of one level, and its true downsample (y, x) as its shape shows it."""

    shape: tuple[int, int]
    downsample: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Overview:
    """A slide small enough to look at: (rows, cols, channels) and what one pixel of it covers."""

    image: NDArray[Any]
    downsample: tuple[float, float]  # full-resolution pixels in one pixel: y, x
    pixel_size: PixelSize | None


class Slide:
    """An open slide: what it holds, and pixels at any size. Reads are safe from several threads.

    Pickled by path: a copy in another process opens the file again.
    """

    def __init__(self, path: Path, pyramid: Pyramid, pixel_size_um: float | None, reopen: Callable[..., Slide]) -> None:
        self.path = path
        self.channels = pyramid.channels
        self.is_rgb = pyramid.is_rgb
        self.dtype = pyramid.levels[0].dtype
        self.shape = pyramid.levels[0].shape
        self.levels = tuple(_level_info(level, self.shape) for level in pyramid.levels)
        self.pixel_size, self.flags = choose_pixel_size(pyramid.size_sources, pixel_size_um)
        self._pyramid = pyramid
        self._cache = TileCache(cache_bytes(pyramid.levels[0]))
        self._reopen = reopen
        self._override_um = pixel_size_um

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_slide, (self._reopen, self.path, self._override_um)

    def close(self) -> None:
        """Close the file, and let go of what was read of it."""
        self._pyramid.close()
        self._cache = TileCache(0)

    def require_pixel_size(self) -> PixelSize:
        """Return the pixel size, or say that there is none and where to give it.

        Raises
        ------
        SlideError
            Neither the file nor the caller gave one.
        """
        if self.pixel_size is None:
            msg = (
                f"{self.path}: the file does not say how large its pixels are, and no default is right. "
                "Give it as pixel_size_um in the study sheet, or as --pixel-size."
            )
            raise SlideError(msg)
        return self.pixel_size

    @property
    def decoding_bytes(self) -> int:
        """What reading takes at most: tiles that are kept for their neighbours, and one more while it is decoded."""
        level = self._pyramid.levels[0]
        return cache_bytes(level) + level.tile[0] * level.tile[1] * level.samples * level.dtype.itemsize

    def at(self, pixel_size_um: float, *, channels: Sequence[int] | None = None) -> WorkingGrid:
        """Return the slide at about a pixel size: whole pixels of the nearest finer level, averaged.

        Each side of the full-resolution pixel is multiplied by the whole number that comes nearest to
        `pixel_size_um` (0.25 µm becomes 0.5, 0.4971 stays). The coarsest level that is not coarser than
        that is read, and averaged in blocks. Blocks that are not complete at the right and lower edge
        are left out, so every pixel of the grid covers the same area.

        Parameters
        ----------
        pixel_size_um
            The pixel size to work at, in µm.
        channels
            Indices of the channels to read; all by default.

        Raises
        ------
        SlideError
            The pixel size of the slide is not known.
        """
        size = self.require_pixel_size()
        factors = (_nearest_factor(pixel_size_um, size.y_um), _nearest_factor(pixel_size_um, size.x_um))
        index = self._level_for(factors)
        info = self.levels[index]
        blocks = tuple(
            min(_nearest_factor(f, d), n) for f, d, n in zip(factors, info.downsample, info.shape, strict=True)
        )
        return WorkingGrid(self, index, (blocks[0], blocks[1]), pixel_size_um, channels)

    def reduced(self, factor: int, *, channels: Sequence[int] | None = None) -> WorkingGrid:
        """Return the slide with `factor` x `factor` full-resolution pixels in one, for looking at.

        As `at`, but the factor is the same on both sides, whatever the shape of a pixel.
        """
        info = self.levels[self._level_for((float(factor), float(factor)))]
        blocks = tuple(min(_nearest_factor(factor, d), n) for d, n in zip(info.downsample, info.shape, strict=True))
        size = self.require_pixel_size().mean_um * factor
        return WorkingGrid(self, self.levels.index(info), (blocks[0], blocks[1]), size, channels)

    def overview(self, max_px: int) -> Overview:
        """Return the whole slide with at most `max_px` pixels on its longer side."""
        px = self.pixel_size or PixelSize(1.0, 1.0)
        side = max(self.shape[0] * px.y_um, self.shape[1] * px.x_um) / max_px
        index = self._level_for((max(1.0, side / px.y_um), max(1.0, side / px.x_um)))
        info = self.levels[index]
        block_y = _whole_factor(side / (px.y_um * info.downsample[0]))
        block_x = _whole_factor(side / (px.x_um * info.downsample[1]))
        blocks = (min(block_y, info.shape[0]), min(block_x, info.shape[1]))
        rows, cols = info.shape[0] // blocks[0], info.shape[1] // blocks[1]
        image = self._read(index, blocks, (0, rows, 0, cols), None)
        down = (info.downsample[0] * blocks[0], info.downsample[1] * blocks[1])
        return Overview(image, down, self.pixel_size and self.pixel_size.scaled(down[1], down[0]))

    def _level_for(self, factors: tuple[float, float]) -> int:
        """Return the coarsest level that is not coarser than the factors (y, x) on either side."""
        limit_y, limit_x = (f * (1 + LEVEL_TOLERANCE) for f in factors)
        fit = [i for i, v in enumerate(self.levels) if v.downsample[0] <= limit_y and v.downsample[1] <= limit_x]
        return max(fit, key=lambda i: self.levels[i].downsample)

    def _read(self, index: int, blocks: tuple[int, int], box: Box, channels: Sequence[int] | None) -> NDArray[Any]:
        """Return a box of the grid of `blocks` over one level, where pixels are averaged in bands of bounded memory."""
        first, *bands = self._bands(index, blocks, box)
        part = self._read_band(index, blocks, first, channels)
        if not bands:
            return part
        # like a part: channels that are contiguous there are so in the whole
        out = np.empty_like(part, shape=(box[1] - box[0], box[3] - box[2], part.shape[2]))
        for band in (first, *bands):
            part = part if band is first else self._read_band(index, blocks, band, channels)
            out[band[0] - box[0] : band[1] - box[0], band[2] - box[2] : band[3] - box[2]] = part
        return out

    def _expect(
        self, index: int, blocks: tuple[int, int], boxes: Iterable[Box], channels: Sequence[int] | None
    ) -> None:
        """Say which boxes of a grid will be read, and in which order: what they share is decoded once."""
        level, planes = self._pyramid.levels[index], self._planes(index, channels)
        bands = (band for box in boxes for band in self._bands(index, blocks, box))
        self._cache.expect(key for band in bands for key in tile_keys(level, index, _of_level(band, blocks), planes))

    def _bands(self, index: int, blocks: tuple[int, int], box: Box) -> Iterator[Box]:
        """Yield the bands of a box; where the level is stored in tiles, whole tiles, so that none is decoded twice."""
        row0, row1, col0, col1 = box
        (by, bx), level = blocks, self._pyramid.levels[index]
        if self.is_rgb and blocks == (1, 1) and level.samples == _COLOURS:  # taken as it is
            yield box
            return
        tile_rows, tile_cols = level.tile if level.tile[1] < level.shape[1] else (by, (col1 - col0) * bx)
        wide = max(1, max(1, BAND_COLS // tile_cols) * tile_cols // bx)
        high = max(1, max(1, BAND_PX // (tile_rows * wide * bx)) * tile_rows // by)
        for left in range(col0 // wide * wide, col1, wide):
            for top in range(row0 // high * high, row1, high):
                yield max(top, row0), min(top + high, row1), max(left, col0), min(left + wide, col1)

    def _read_band(self, index: int, blocks: tuple[int, int], box: Box, channels: Sequence[int] | None) -> NDArray[Any]:
        level = self._pyramid.levels[index]
        by, bx = blocks
        single = level.planes == 1
        planes = read_box(level, index, _of_level(box, blocks), self._planes(index, channels), self._cache)
        if self.is_rgb:
            colours = planes[0] if single else np.moveaxis(planes[..., 0], 0, -1)
            colours = over_white(colours, premultiplied=self._pyramid.premultiplied)
            out = bin_mean(np.ascontiguousarray(colours), by, bx, is_rgb=True)
            return out if channels is None else out[..., list(channels)]
        self._check_finite(planes)
        if single:
            out = bin_mean(planes[0], by, bx, is_rgb=False)
            return out if channels is None else out[..., list(channels)]
        # each channel stays contiguous in memory: kernels take one at a time
        return np.moveaxis(np.stack([bin_mean(p, by, bx, is_rgb=False)[..., 0] for p in planes]), 0, -1)

    def _planes(self, index: int, channels: Sequence[int] | None) -> Sequence[int]:
        """Return the planes of a level that hold the channels wanted."""
        if self._pyramid.levels[index].planes == 1:
            return [0]
        return range(len(self.channels)) if channels is None else channels

    def _check_finite(self, planes: NDArray[Any]) -> None:
        """Refuse pixels that are no numbers: whatever stood for them, a density would rest on it in silence."""
        if planes.dtype.kind != "f" or np.isfinite(planes).all():
            return
        n = int((~np.isfinite(planes)).sum())
        msg = (
            f"{self.path}: every pixel must be a finite number, and {n} of {planes.size} that were read together are "
            "NaN or infinite. Export the image again with numbers there."
        )
        raise SlideError(msg)


class WorkingGrid:
    """A `model.PixelSource` over a slide: blocks of whole pixels of one level."""

    def __init__(
        self,
        slide: Slide,
        level: int,
        blocks: tuple[int, int],
        pixel_size_um: float,
        channels: Sequence[int] | None,
    ) -> None:
        info = slide.levels[level]
        self.slide = slide
        self.level = level
        self.blocks = blocks
        self.shape = (info.shape[0] // blocks[0], info.shape[1] // blocks[1])
        self.downsample = (info.downsample[0] * blocks[0], info.downsample[1] * blocks[1])
        self.pixel_size = slide.require_pixel_size().scaled(self.downsample[1], self.downsample[0])
        self.channels = tuple(slide.channels[i] for i in channels) if channels is not None else slide.channels
        self._indices = None if channels is None else tuple(channels)
        self._pixel_size_um = pixel_size_um

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_grid, (self.slide, self._pixel_size_um, self._indices)

    def read(self, row0: int, row1: int, col0: int, col1: int) -> NDArray[Any]:
        """Return (rows, cols, channels): uint8 colours; else the file's type, float32 where averaged.

        Raises
        ------
        SlideError
            The box is not inside the grid, or a tile is damaged.
        """
        box = (row0, row1, col0, col1)
        check_box(box, self.shape)
        return self.slide._read(self.level, self.blocks, box, self._indices)  # noqa: SLF001

    def expect(self, boxes: Sequence[Box]) -> None:
        """Say which boxes will be read, and in which order."""
        self.slide._expect(self.level, self.blocks, boxes, self._indices)  # noqa: SLF001


def _of_level(box: Box, blocks: tuple[int, int]) -> Box:
    """Return a box of a grid of blocks in pixels of its level."""
    (row0, row1, col0, col1), (by, bx) = box, blocks
    return row0 * by, row1 * by, col0 * bx, col1 * bx


def select_channels(slide: Slide, wanted: Sequence[str | int]) -> tuple[int, ...]:
    """Return the index of each wanted channel of a slide, by name without case or by index.

    Raises
    ------
    SlideError
        One is missing; the message lists those present.
    """
    try:
        return find_channels(slide.channels, wanted)
    except SlideError as error:
        msg = f"{slide.path}: {error}"
        raise SlideError(msg) from None


def _level_info(level: Level, full: tuple[int, int]) -> LevelInfo:
    return LevelInfo(level.shape, (full[0] / level.shape[0], full[1] / level.shape[1]))


def _nearest_factor(target: float, unit: float) -> int:
    # half goes up, so that 0.2 µm at 0.5 becomes 0.6 on every machine
    return max(1, int(target / unit + 0.5 + 1e-9))


def _whole_factor(ratio: float) -> int:
    return max(1, int(np.ceil(ratio - 1e-9)))


def _reopen_slide(reopen: Callable[..., Slide], path: Path, pixel_size_um: float | None) -> Slide:
    return reopen(path, pixel_size_um=pixel_size_um)


def _reopen_grid(slide: Slide, pixel_size_um: float, channels: tuple[int, ...] | None) -> WorkingGrid:
    return slide.at(pixel_size_um, channels=channels)
