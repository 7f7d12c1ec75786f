"""A slide as pictures: its colours or channels, and its stains one by one, computed for what is in view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spatial_til.io.overview import shown_range
from spatial_til.io.slides import Slide, WorkingGrid
from spatial_til.plugin.tiles import Image, Loader, Picture
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.stains import OD_STEP, UnmixTable, amounts_table, apply_table, stain_matrix

#: The coarsest picture, which is held in memory, has at most this many pixels on its longer side.
COARSEST_PX = 1024
#: Percentiles of the coarsest picture of a channel between which it is looked for tissue.
_SHOWN = (1.0, 99.8)
_GLOW = 1 / 16  # of what lies between these: from here on it is tissue
_SHOWN_OD = 1.0


@dataclass(frozen=True, slots=True)
class SlideView:
    """One picture of a slide, and how to show it. `color` is for one channel on black; None for RGB."""

    name: str
    picture: Picture
    limits: tuple[float, float] | None = None
    color: tuple[float, float, float] | None = None
    visible: bool = True
    on_white: bool = False


def slide_factors(shape: tuple[int, int]) -> list[int]:
    """Return by how much each resolution is coarser than the slide: 1, 2, 4 … until it is small.

    Examples
    --------
    >>> slide_factors((40_000, 30_000))[-1]
    64
    """
    factors = [1]
    while max(shape) > factors[-1] * COARSEST_PX and min(shape) > 2 * factors[-1]:
        factors.append(2 * factors[-1])
    return factors


def slide_pictures(slide: Slide, loader: Loader | None, roles: Mapping[str, str] | None = None) -> list[SlideView]:
    """Return a slide as one RGB picture, or one picture a channel.

    Parameters
    ----------
    slide
        Open, with a pixel size.
    loader
        Fetches what is in view in the background; None to read in place.
    roles
        Marker by channel, for names and colours.
    """
    factors = slide_factors(slide.shape)
    if slide.is_rgb:
        grids = [_Pixels(slide.reduced(f)) for f in factors]
        return [SlideView("Slide", Picture(grids, _whole(grids[-1]), loader))]
    views = []
    marker_of = {str(channel).casefold(): marker for channel, marker in (roles or {}).items()}
    for i, name in enumerate(slide.channels):
        grids = [_Pixels(slide.reduced(f, channels=[i]), 0, slide.dtype) for f in factors]
        coarsest = _whole(grids[-1])
        marker = marker_of.get(name.casefold(), marker_of.get(str(i), ""))
        views.append(
            SlideView(
                name if marker in ("", name) else f"{marker} ({name})",
                Picture(grids, coarsest, loader),
                _limits(coarsest),
                CHANNEL_COLORS.get(marker, _OTHER_COLORS[i % len(_OTHER_COLORS)]),
                visible=not marker_of or bool(marker),
            )
        )
    return views


def stain_pictures(
    slide: Slide,
    loader: Loader | None,
    vectors: Mapping[str, Sequence[float]],
    white: Sequence[float],
    names: Mapping[str, str],
) -> list[SlideView]:
    """Return one picture a stain of a brightfield slide, in optical density, computed where one looks.

    Parameters
    ----------
    vectors, white
        Stain vectors and white point that the slide was measured with.
    names
        What to call each stain.
    """
    matrix = stain_matrix(list(vectors.values()))
    table = amounts_table(matrix, white)
    views = []
    for plane, stain in enumerate(vectors):
        grids = [_Stain(_Pixels(slide.reduced(f)), table, plane) for f in slide_factors(slide.shape)]
        limits = (0.0, _SHOWN_OD / OD_STEP)
        red, green, blue = 10.0 ** -matrix[plane]
        color = (float(red), float(green), float(blue))
        picture = Picture(grids, _whole(grids[-1]), loader)
        views.append(SlideView(names[stain], picture, limits, color, visible=False, on_white=True))
    return views


class _Pixels:
    """A grid of a slide as colours, or as one channel in the file's own type."""

    def __init__(self, grid: WorkingGrid, channel: int | None = None, dtype: np.dtype[Any] | None = None) -> None:
        self.shape = grid.shape
        self._grid = grid
        self._channel = channel
        self._dtype = dtype

    def read(self, row0: int, row1: int, col0: int, col1: int) -> Image:
        pixels = self._grid.read(row0, row1, col0, col1)
        if self._channel is None:
            return pixels[..., :3]
        plane = pixels[..., self._channel]
        if self._dtype is not None and self._dtype.kind in "ui":
            plane = np.rint(plane)
        return np.ascontiguousarray(plane, dtype=self._dtype)


class _Stain:
    """One stain of a grid, in steps of 0.01 OD."""

    def __init__(self, pixels: _Pixels, table: UnmixTable, plane: int) -> None:
        self.shape = pixels.shape
        self._pixels = pixels
        self._table = table
        self._plane = plane

    def read(self, row0: int, row1: int, col0: int, col1: int) -> Image:
        rgb = np.ascontiguousarray(self._pixels.read(row0, row1, col0, col1))
        return np.array(apply_table(rgb, self._table, Scratch())[self._plane])


def _whole(source: Any) -> Image:
    rows, cols = source.shape
    return np.asarray(source.read(0, rows, 0, cols))


def _limits(plane: Image) -> tuple[float, float]:
    """Return what is black and what brightest, as in overviews; tissue is what is a little brighter than the dark."""
    known = (plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane.ravel()).astype(np.float32)
    if not known.size:
        return 0.0, 1.0
    dark, bright = np.percentile(known, _SHOWN)
    low, high = shown_range(known, known[known >= dark + _GLOW * (bright - dark)])
    return low, max(high, low + 1.0 if plane.dtype.kind in "ui" else low + 1e-6)


#: Colours of markers on black; the same as in overviews.
CHANNEL_COLORS: Mapping[str, tuple[float, float, float]] = {
    "nuclei": (0.24, 0.35, 1.0),
    "CD8": (0.24, 1.0, 0.24),
    "PD-L1": (1.0, 0.24, 0.24),
    "tumor": (0.75, 0.75, 0.75),
}
_OTHER_COLORS = ((0.0, 0.9, 0.9), (1.0, 0.5, 0.0), (0.9, 0.3, 0.9), (0.7, 0.7, 0.7))
