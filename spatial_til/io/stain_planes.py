"""Stains of a measured slide at 2 µm per pixel, as a compressed TIFF beside its cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from spatial_til.errors import SlideError
from spatial_til.io.atomic import writing
from spatial_til.io.slides.pyramid import HEADER_ERRORS
from spatial_til.io.slides.tiff_level import FileBytes, TiffPlane, check_size
from spatial_til.segmentation.examples.planes import TILE_PX, StainPlanes, reference_intensity, unit_of
from spatial_til.units import PixelSize

_Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_LEVEL = 1  # of zstd: level 7 takes six times as long and saves nothing on stains


class _Told(BaseModel):
    """What the file says of its planes."""

    channels: tuple[str, ...]
    modality: str
    unit: str
    pixel_size_um: tuple[_Length, _Length]


def write_stain_planes(
    path: Path,
    tiles: Iterator[NDArray[Any]],
    *,
    shape: tuple[int, int],
    channels: Sequence[str],
    modality: str,
    pixel_size: PixelSize,
) -> None:
    """Write the planes of a slide from its tiles, whole or not at all; they are never all in memory.

    Parameters
    ----------
    tiles
        From `tiles_of_planes`.
    shape
        Rows and columns.
    """
    import tifffile

    px = (pixel_size.x_um, pixel_size.y_um)
    told = _Told(channels=tuple(channels), modality=modality, unit=unit_of(modality), pixel_size_um=px)
    many = len(channels) > 1
    with writing(path) as part, tifffile.TiffWriter(part, bigtiff=True) as file:
        file.write(
            (tile if many else tile[..., 0] for tile in tiles),
            shape=(*shape, len(channels)) if many else shape,
            dtype=_dtype(modality),
            tile=(TILE_PX, TILE_PX),
            photometric="minisblack",
            planarconfig="contig" if many else None,
            compression="zstd",
            compressionargs={"level": _LEVEL},
            predictor=True,
            description=json.dumps(told.model_dump()),
            metadata=None,
            software=False,
            maxworkers=1,
        )


def read_stain_channels(path: Path) -> tuple[str, ...]:
    """Read what the planes of a slide show, without the planes.

    Raises
    ------
    SlideError
        The file is missing, damaged, or not one of ours.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            return _Told.model_validate_json(page.description).channels
    except HEADER_ERRORS as error:
        raise SlideError(_damaged(path, error)) from None


def _damaged(path: Path, error: Exception) -> str:
    return f"{path}: the stored stains are missing or damaged ({error}): score the slide again with --rerun all"


def read_stain_planes(path: Path, channels: Sequence[str] | None = None) -> StainPlanes:
    """Read the planes of a slide; `channels` limits them to those named, as far as there are such.

    Raises
    ------
    SlideError
        The file is missing, damaged, or not one of ours.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file, closing(FileBytes(path)) as data:
            page: Any = file.pages[0]
            told = _Told.model_validate_json(page.description)
            names = told.channels
            _check_stored(path, page, told, TiffPlane(page, data))
            keep = [k for k, name in enumerate(names) if channels is None or name in channels]
            planes = np.zeros((len(keep), *page.shape[:2]), dtype=page.dtype)
            for tile, index, _ in page.segments(maxworkers=1):
                if tile is not None:
                    rows, cols = (min(TILE_PX, n - at) for n, at in zip(planes.shape[1:], index[2:4], strict=True))
                    box = np.s_[:, index[2] : index[2] + rows, index[3] : index[3] + cols]
                    planes[box] = np.moveaxis(tile[0, :rows, :cols], -1, 0)[keep]
            kept = tuple(names[k] for k in keep)
            bright = () if told.modality == "brightfield" else tuple(reference_intensity(plane) for plane in planes)
            return StainPlanes(planes, kept, told.modality, PixelSize(*told.pixel_size_um), bright)
    except HEADER_ERRORS as error:
        raise SlideError(_damaged(path, error)) from None


def _dtype(modality: str) -> np.dtype[Any]:
    return np.dtype(np.uint8 if modality == "brightfield" else np.float16)


def _check_stored(path: Path, page: Any, told: _Told, plane: TiffPlane) -> None:
    """Refuse a header that declares other planes than the tiles of the file are, before memory is asked for.

    Raises
    ------
    SlideError
        The planes are not as `write_stain_planes` writes them, or a tile is missing.
    """
    n, dtype = len(told.channels), _dtype(told.modality)
    shape = (int(page.imagelength), int(page.imagewidth))
    check_size(path, shape, (int(page.tilelength), int(page.tilewidth)), n * dtype.itemsize)
    whole = page.tilelength == page.tilewidth == TILE_PX and page.samplesperpixel == n and page.dtype == dtype
    if not whole or len(plane.counts) != int(np.prod(page.chunked)) or not (plane.counts > 0).all():
        msg = f"{path}: the stored stains are damaged: score the slide again with --rerun all"
        raise SlideError(msg)
