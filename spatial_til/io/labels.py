"""Label images: integer TIFFs in which each object has its number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import CellTableError, SlideError
from spatial_til.io.atomic import writing
from spatial_til.io.slides import Slide
from spatial_til.io.slides.tiff import open_tiff
from spatial_til.io.slides.tiles import TileCache, cache_bytes, check_box, read_box
from spatial_til.model import PixelSource
from spatial_til.units import PixelSize

_TILE = 512
_SMALLEST_LEVEL = 1024
_UINT16_MAX = 65_535


class LabelImage:
    """An open label image: 0 is background, every other number an object.

    Parameters
    ----------
    path
        An integer TIFF of any layout.
    plane
        Which plane, of files with several.

    Raises
    ------
    CellTableError
        It cannot be read, holds no whole numbers, or has several planes and none is chosen.
    """

    def __init__(self, path: Path, plane: int | None = None) -> None:
        self.path = path
        try:
            self._pyramid = open_tiff(path)
        except SlideError as error:
            raise CellTableError(str(error)) from error
        level = self._pyramid.levels[0]
        self.shape = level.shape
        self.dtype = level.dtype
        self._cache = TileCache(cache_bytes(level))
        try:
            self._plane = _only_plane(path, level.planes * level.samples, plane, is_rgb=self._pyramid.is_rgb)
            _check_whole(path, self.dtype)
        except CellTableError:
            self._pyramid.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._pyramid.close()

    def read(self, row0: int, row1: int, col0: int, col1: int) -> NDArray[Any]:
        """Return (rows, cols) labels of a box."""
        box = (row0, row1, col0, col1)
        check_box(box, self.shape)
        level = self._pyramid.levels[0]
        if level.planes == 1:
            return read_box(level, 0, box, [0], self._cache)[0, ..., self._plane]
        return read_box(level, 0, box, [self._plane], self._cache)[0, ..., 0]


def _check_whole(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "ui":
        msg = f"{path}: a label image must hold whole numbers; found {dtype}. Save it as 16- or 32-bit integers."
        raise CellTableError(msg)


def _only_plane(path: Path, planes: int, plane: int | None, *, is_rgb: bool) -> int:
    if is_rgb:
        msg = (
            f"{path}: a label image must hold one number a pixel; this is a colour picture. Save the labels themselves."
        )
        raise CellTableError(msg)
    if plane is None and planes == 1:
        return 0
    if plane is None or not 0 <= plane < planes:
        msg = f"{path}: a label image must have one plane; it has {planes}. Save the plane of the nuclei alone."
        raise CellTableError(msg)
    return plane


class LabelGrid:
    """A `model.PixelSource` of labels on a slide's working grid: the label at the centre of each pixel."""

    channels = ("labels",)

    def __init__(self, labels: LabelImage, like: PixelSource, step: tuple[int, int]) -> None:
        self.labels = labels
        self.shape = like.shape
        self.pixel_size = like.pixel_size
        self._step = step  # pixels of the labels in one of the grid: y, x

    def read(self, row0: int, row1: int, col0: int, col1: int) -> NDArray[Any]:
        """Return (rows, cols, 1) labels of a box of the grid."""
        check_box((row0, row1, col0, col1), self.shape)
        rows, cols = (
            np.arange(start, stop) * step + step // 2
            for start, stop, step in zip((row0, col0), (row1, col1), self._step, strict=True)
        )
        box = self.labels.read(rows[0], rows[-1] + 1, cols[0], cols[-1] + 1)
        return box[np.ix_(rows - rows[0], cols - cols[0])][..., np.newaxis]


def open_labels(path: Path, slide: Slide) -> LabelImage:
    """Open the label image of a slide, numbers above 65,535 included.

    Raises
    ------
    CellTableError
        Where it is none, or has another number of pixels than the slide.
    """
    labels = LabelImage(path)
    if labels.shape != slide.shape:
        labels.close()
        found, needed = (f"{cols} x {rows}" for rows, cols in (labels.shape, slide.shape))
        msg = f"{path}: labels must have the image's {needed} pixels, found {found}: give this image's labels"
        raise CellTableError(msg)
    return labels


def labels_on_grid(labels: LabelImage, slide: Slide, grid: PixelSource) -> LabelGrid:
    """Return the labels of a slide's own pixels on its working grid, whose pixels are whole blocks of them."""
    px = slide.require_pixel_size()
    step = round(grid.pixel_size.y_um / px.y_um), round(grid.pixel_size.x_um / px.x_um)
    return LabelGrid(labels, grid, step)


def write_labels(path: Path, labels: NDArray[np.integer[Any]], *, pixel_size: PixelSize, name: str = "labels") -> None:
    """Write labels as a pyramidal OME-TIFF, whole or not at all.

    Lower levels take every second pixel, so that no number arises that is not an object's.

    Parameters
    ----------
    path
        The file, ending in ``.ome.tif``.
    labels
        (rows, cols) numbers from 0; 16 bit where they fit, else 32.
    pixel_size
        Of these labels.
    name
        Name of the channel.
    """
    import tifffile

    highest = int(labels.max(initial=0))
    base = labels.astype(np.uint16 if highest <= _UINT16_MAX else np.uint32, copy=False)
    levels = list(_levels(base))
    options: dict[str, Any] = {
        "photometric": "minisblack",
        "tile": (_TILE, _TILE),
        "compression": "zlib",
        "predictor": True,
    }
    metadata = {
        "axes": "YX",
        "Channel": {"Name": [name]},
        "PhysicalSizeX": pixel_size.x_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": pixel_size.y_um,
        "PhysicalSizeYUnit": "µm",
    }
    with writing(path) as part, tifffile.TiffWriter(part, bigtiff=base.nbytes > 1 << 31, ome=True) as tif:
        tif.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **options)
        for level in levels[1:]:
            tif.write(level, subfiletype=1, metadata=None, **options)


def _levels(base: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield base
    while max(base.shape) > _SMALLEST_LEVEL:
        base = base[::2, ::2]
        yield base
