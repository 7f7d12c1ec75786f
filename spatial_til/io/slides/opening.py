"""From a path to an open slide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spatial_til.errors import SlideError
from spatial_til.io.slides.ome_zarr import open_ome_zarr
from spatial_til.io.slides.openslide_reader import open_openslide
from spatial_til.io.slides.pyramid import Pyramid
from spatial_til.io.slides.raster import open_jpeg, open_png
from spatial_til.io.slides.slide import Slide
from spatial_til.io.slides.tiff import open_tiff

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OPENSLIDE_SUFFIXES = {".mrxs", ".vms", ".vmu", ".svslide", ".dcm"}
#: Files of these names are ours to read, or no images at all.
_ALWAYS_OURS = {".tif", ".tiff", ".qptiff", ".png", ".jpg", ".jpeg"}
_PNG_MAGIC = b"\x89PNG"
_JPEG_MAGIC = b"\xff\xd8\xff"


def open_slide(path: str | Path, *, pixel_size_um: float | None = None) -> Slide:
    """Open a slide: only headers are read.

    Parameters
    ----------
    path
        A TIFF of any dialect (OME-TIFF, QPTIFF, component TIFF, SVS, NDPI, SCN, BIF), an OME-TIFF
        companion file, a PNG or JPEG, an OME-Zarr folder, or, with the openslide extra, what OpenSlide reads.
    pixel_size_um
        Side of a full-resolution pixel in µm, where the file is wrong or silent.

    Raises
    ------
    SlideError
        The file is missing, damaged, of an unknown kind, or holds what cannot be scored.
    """
    path = Path(path)
    pyramid = _opener(path)(path)
    try:
        return Slide(path, pyramid, pixel_size_um, open_slide)
    except SlideError:
        pyramid.close()
        raise


def _opener(path: Path) -> Callable[[Path], Pyramid]:
    if path.is_dir():
        return open_ome_zarr
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        msg = f"{path}: the image cannot be opened ({error.strerror}). Correct the path in the sheet."
        raise SlideError(msg) from error
    if not magic:
        msg = f"{path}: the file is empty (0 bytes). Copy it again."
        raise SlideError(msg)
    if path.suffix.lower() in _OPENSLIDE_SUFFIXES:  # an .mrxs begins like a JPEG
        return open_openslide
    if magic in _TIFF_MAGIC or path.name.endswith(".companion.ome"):
        return open_tiff
    if magic == _PNG_MAGIC:
        return open_png
    if magic.startswith(_JPEG_MAGIC):
        return open_jpeg
    if path.suffix.lower() in _ALWAYS_OURS:
        msg = f"{path}: its content is no TIFF, PNG or JPEG, whatever its name says. Copy or export the image again."
        raise SlideError(msg)
    return open_openslide
