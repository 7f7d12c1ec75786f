"""Scanner formats that only OpenSlide reads: an optional extra."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import SlideError
from spatial_til.io.slides.channels import RGB
from spatial_til.io.slides.pixel_size import pixel_size_from, to_um
from spatial_til.io.slides.pyramid import Pyramid, SizeSource
from spatial_til.io.slides.tiff_level import check_size

_TILE = 512


class OpenSlideLevel:
    """One level of an OpenSlide slide: RGBA, transparent where nothing was scanned."""

    planes = 1
    samples = 4
    fill = 255
    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, slide: Any, index: int) -> None:
        cols, rows = slide.level_dimensions[index]
        self._path = path
        self._slide = slide
        self._index = index
        self._downsample = float(slide.level_downsamples[index])
        self.shape = (int(rows), int(cols))
        self.tile = (_TILE, _TILE)
        check_size(path, self.shape, self.tile, self.samples)

    def decode(self, plane: int, tile_row: int, tile_col: int) -> NDArray[Any]:  # noqa: ARG002
        """Return (rows, cols, 4) of one square of the level."""
        top, left = tile_row * _TILE, tile_col * _TILE
        size = (min(_TILE, self.shape[1] - left), min(_TILE, self.shape[0] - top))
        corner = (round(left * self._downsample), round(top * self._downsample))
        try:
            return np.asarray(self._slide.read_region(corner, self._index, size))
        except MemoryError:
            raise
        except Exception as error:  # OpenSlide's own classes, which are not there without the extra
            msg = f"{self._path}: OpenSlide cannot read a tile ({error}). Copy the slide again."
            raise SlideError(msg) from error


def has_openslide() -> bool:
    """Say whether the extra is installed."""
    return find_spec("openslide") is not None


def open_openslide(path: Path) -> Pyramid:
    """Open a slide with OpenSlide.

    Raises
    ------
    SlideError
        The extra is not installed, or OpenSlide does not read the file.
    """
    if not has_openslide():
        msg = f"{path}: this kind of file is not read. Install spatial-til[openslide], or export it as OME-TIFF."
        raise SlideError(msg)
    import openslide

    try:
        slide = openslide.OpenSlide(str(path))
    except (openslide.OpenSlideError, OSError) as error:
        msg = f"{path}: neither this package nor OpenSlide reads it ({error}). Export it as OME-TIFF."
        raise SlideError(msg) from error
    levels = tuple(OpenSlideLevel(path, slide, i) for i in range(slide.level_count))
    x, y = (to_um(_number(slide.properties.get(f"openslide.mpp-{axis}")), "µm") for axis in "xy")
    size = pixel_size_from(x, y)
    return Pyramid(
        levels=levels,
        channels=RGB,
        is_rgb=True,
        size_sources=(SizeSource("OpenSlide mpp", size),) if size else (),
        close=slide.close,
    )


def _number(text: str | None) -> float:
    try:
        return float(text) if text else 0.0
    except ValueError:
        return 0.0
