"""Which pages of a TIFF are the slide, and whether they can be read as what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spatial_til.counted import counted
from spatial_til.errors import SlideError

PHOTOMETRIC_GREY, PHOTOMETRIC_RGB, PHOTOMETRIC_PALETTE, PHOTOMETRIC_YCBCR = 1, 2, 3, 6
_PHOTOMETRIC_NAMES = {0: "white-is-zero", 3: "colour table", 5: "CMYK", 8: "CIE Lab", 32803: "camera raw"}
_DTYPES = "uif"
#: Another image with this share of the pixels is no label or macro picture.
_RIVAL_SHARE = 0.25
_ASPECT_TOLERANCE = 0.02
_PLAIN_KINDS = {"generic", "uniform", "shaped"}


def choose_levels(tif: Any, path: Path) -> list[list[Any]]:
    """Return the pages of each level of the one image in a TIFF, full resolution first.

    Raises
    ------
    SlideError
        There are focal planes, times, or several images, of which none is *the* slide.
    """
    series = sorted(tif.series, key=_pixels, reverse=True)
    if not series or _pixels(series[0]) == 0:
        msg = f"{path}: the file holds no image."
        raise SlideError(msg)
    main = series[0]
    levels = list(main.levels)
    if main.kind in _PLAIN_KINDS:
        # only here are levels not declared; elsewhere a smaller image is another image
        levels += [other for other in series[1:] if other not in levels and _is_reduced(main, other)]
    rivals = [s for s in series[1:] if s not in levels and _pixels(s) >= _RIVAL_SHARE * _pixels(main)]
    if rivals:
        msg = f"{path}: the file holds {len(rivals) + 1} images of like size; export the one to score to its own file."
        raise SlideError(msg)
    return [_pages(level, path) for level in levels]


def _sides(series: Any) -> tuple[int, int]:
    key = series.keyframe
    return int(key.imagelength), int(key.imagewidth)


def _pixels(series: Any) -> int:
    rows, cols = _sides(series)
    return rows * cols


def _is_reduced(main: Any, other: Any) -> bool:
    """Say whether a series is the main one at a lower resolution, as plain page pyramids hold it."""
    (rows, cols), (low_rows, low_cols) = _sides(main), _sides(other)
    if low_rows < 1 or low_cols < 1 or rows <= low_rows or other.dtype != main.dtype:
        return False
    alike = len(other.pages) == len(main.pages) and other.keyframe.samplesperpixel == main.keyframe.samplesperpixel
    same_kind = other.keyframe.is_tiled == main.keyframe.is_tiled
    return alike and same_kind and abs(rows / low_rows / (cols / low_cols) - 1) < _ASPECT_TOLERANCE


def _pages(level: Any, path: Path) -> list[Any]:
    dimensions = list(zip(level.axes, level.shape, strict=True))
    sizes = dict(dimensions)
    for axis, name in (("Z", "focal planes"), ("T", "times")):
        if sizes.get(axis, 1) > 1:
            msg = f"{path}: the image has {sizes[axis]} {name}; choose or project to one, and export that."
            raise SlideError(msg)
    pages = list(level.pages)
    if any(page is None for page in pages):
        msg = f"{path}: the image lies in several files and some are missing; put them into one folder."
        raise SlideError(msg)
    stored = len(pages) * int(level.keyframe.samplesperpixel)
    wanted = 1
    for axis, size in dimensions:
        wanted *= 1 if axis in "YX" else size
    if stored != wanted:
        msg = f"{path}: declared: {counted(wanted, 'channel')}; stored: {stored}. Export the image as OME-TIFF."
        raise SlideError(msg)
    return pages


def check_alike(levels: Sequence[Sequence[Any]], path: Path) -> None:
    """Refuse an image whose parts are not stored alike: one would be read as if it were the other.

    Raises
    ------
    SlideError
        Pages of one level differ in size, tiles, samples or type; or a level has other samples or another type.
    """
    for pages in levels:
        kinds = {_stored_as(page) for page in pages}
        if len(kinds) > 1:
            msg = f"{path}: the channels of the image are not of one size and type. Export the slide again."
            raise SlideError(msg)
    first = levels[0]
    for number, pages in enumerate(levels):
        same = pages[0].keyframe.dtype == first[0].keyframe.dtype and _samples(pages) == _samples(first)
        if not same:
            msg = f"{path}: level {number} of the pyramid is not of the type of the first. Export the slide again."
            raise SlideError(msg)


def _stored_as(page: Any) -> tuple[object, ...]:
    key = page.keyframe
    return key.imagelength, key.imagewidth, tuple(key.chunks), str(key.dtype), key.samplesperpixel, key.planarconfig


def _samples(pages: Sequence[Any]) -> int:
    return len(pages) * int(pages[0].keyframe.samplesperpixel)


def is_colour(page: Any, pages: Sequence[Any]) -> bool:
    """Say whether pages are one colour picture, not channels."""
    return len(pages) == 1 and int(page.keyframe.photometric) in {PHOTOMETRIC_RGB, PHOTOMETRIC_YCBCR}


def check_photometric(page: Any, path: Path, *, is_ome: bool) -> None:
    """Refuse pixel values that do not mean intensity or red, green and blue.

    Raises
    ------
    SlideError
        Another photometric, another sample type, 16-bit colour, or several colour pictures in one.
    """
    key = page.keyframe
    photometric, dtype = int(key.photometric), key.dtype
    whole_bytes = dtype is not None and dtype.itemsize in {1, 2, 4, 8} and key.bitspersample % 8 == 0
    if not whole_bytes or dtype.kind not in _DTYPES or dtype.name == "float16":
        msg = (
            f"{path}: pixels of type {dtype} ({key.bitspersample} bits) cannot be scored. Export 8 or 16 bit, or float."
        )
        raise SlideError(msg)
    if photometric in {PHOTOMETRIC_RGB, PHOTOMETRIC_YCBCR}:
        if dtype.name != "uint8" or int(key.samplesperpixel) not in {3, 4}:
            msg = (
                f"{path}: colour pixels must be 8-bit RGB or RGBA; found {key.samplesperpixel} samples of {dtype}, "
                "whose white is not known. Export 8-bit RGB; save fluorescence as grey channels."
            )
            raise SlideError(msg)
        return
    # OME and ImageJ keep intensities and attach a colour table for display only
    if photometric == PHOTOMETRIC_GREY or (photometric == PHOTOMETRIC_PALETTE and is_ome):
        return
    name = _PHOTOMETRIC_NAMES.get(photometric, str(photometric))
    msg = f"{path}: pixel values are {name}, not intensities or RGB. Export 8-bit RGB or grey channels."
    raise SlideError(msg)
