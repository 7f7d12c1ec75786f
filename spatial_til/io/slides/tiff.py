"""TIFF and its dialects: OME-TIFF, QPTIFF, component TIFF, SVS, NDPI, SCN, BIF and plain files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from spatial_til.errors import SlideError, SlideMemoryError
from spatial_til.io.slides.channels import RGB, name_channels
from spatial_til.io.slides.ome import MAX_PLANES, OmeImage, companion_name, ome_images
from spatial_til.io.slides.pyramid import HEADER_ERRORS, Level, Pyramid
from spatial_til.io.slides.tiff_chain import check_directories
from spatial_til.io.slides.tiff_companion import companion_levels, read_companion
from spatial_til.io.slides.tiff_level import FileBytes, RawLevel, TiffLevel, check_channels
from spatial_til.io.slides.tiff_series import check_alike, check_photometric, choose_levels, is_colour
from spatial_til.io.slides.tiff_sizes import tiff_size_sources
from spatial_til.io.slides.ventana import check_no_overlap
from spatial_til.io.slides.xml_text import children, parse_xml


def open_tiff(path: Path) -> Pyramid:
    """Open a TIFF of any dialect, or the companion file of a multi-file OME-TIFF.

    Raises
    ------
    SlideError
        The file is damaged, or holds what cannot be scored: focal planes, times, several images.
    """
    _keep_quiet()
    files: dict[str, FileBytes] = {}
    try:
        with ExitStack() as opened:
            return _pyramid(path, files, opened)
    except SlideError:
        _close(files)
        raise
    except HEADER_ERRORS as error:
        _close(files)
        msg = f"{path}: it cannot be read as TIFF ({error}). Copy it again, or export it as OME-TIFF."
        raise SlideError(msg) from error
    except MemoryError as error:
        _close(files)
        msg = f"{path}: its header declares more than memory holds; it is damaged, or memory is short. Export it again."
        raise SlideMemoryError(msg) from error


def _keep_quiet() -> None:
    """Keep tifffile's log off standard error, where one line is to say what is wrong; handlers still get it."""
    logger = logging.getLogger("tifffile")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _close(files: dict[str, FileBytes]) -> None:
    for file in files.values():
        file.close()


def _pyramid(path: Path, files: dict[str, FileBytes], opened: ExitStack) -> Pyramid:
    """Read all headers; what reading pixels needs stays in `files`, the rest is closed."""
    import tifffile

    def open_tif(file: Path) -> Any:
        check_directories(file)
        return opened.enter_context(tifffile.TiffFile(file))

    tif, ome, page_levels = _chosen(path, open_tif)
    check_alike(page_levels, path)
    page = page_levels[0][0]
    check_photometric(page, path, is_ome=ome is not None or bool(tif.is_imagej))
    colour = is_colour(page, page_levels[0])

    def file_of(some_page: Any) -> FileBytes:
        name = some_page.parent.filehandle.path
        if name not in files:
            files[name] = FileBytes(Path(name))
        return files[name]

    levels = tuple(_level(pages, file_of, 255 if colour else 0) for pages in page_levels)
    extra = tuple(page.keyframe.extrasamples)
    n = 3 if colour else levels[0].planes * levels[0].samples
    for level in levels:
        check_channels(path, level.planes * level.samples)
    return Pyramid(
        levels=levels,
        channels=RGB if colour else name_channels(_channel_names(tif, page_levels[0], ome, path), n),
        is_rgb=colour,
        size_sources=tiff_size_sources(tif, page, ome, path),
        close=lambda: _close(files),
        premultiplied=bool(extra) and int(extra[0]) == 1,
    )


def _chosen(path: Path, open_tif: Callable[[Path], Any]) -> tuple[Any, OmeImage | None, list[list[Any]]]:
    """Return the file that describes the slide, its OME image, and the pages of each level."""
    companion = path if _is_xml(path) else _companion_of(open_tif(path), path)
    if companion is not None:
        ome = read_companion(companion)
        page_levels = companion_levels(companion, ome, open_tif)
        return page_levels[0][0].parent, ome, page_levels
    tif = open_tif(path)
    found = _ome_image(tif, path)
    if tif.is_bif:
        check_no_overlap(tif, path)
    return tif, found, choose_levels(tif, path)


def _is_xml(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _companion_of(tif: Any, path: Path) -> Path | None:
    """Return the companion file of a TIFF that says it holds pixels only."""
    text = tif.pages.first.description or ""
    name = companion_name(parse_xml(text, path)) if tif.is_ome and "BinaryOnly" in text else None
    return path.parent / Path(name).name if name else None


def _level(pages: Sequence[Any], file_of: Any, fill: int) -> Level:
    key = pages[0].keyframe
    order = key.parent.byteorder
    if all(_is_unbroken(page.keyframe) and page.keyframe.parent.byteorder == order for page in pages):
        dtype = np.dtype(key.dtype).newbyteorder(order)
        planes = [(file_of(page), int(page.dataoffsets[0])) for page in pages]
        return RawLevel((int(key.imagelength), int(key.imagewidth)), dtype, int(key.samplesperpixel), planes)
    return TiffLevel(pages, file_of, fill)


def _is_unbroken(key: Any) -> bool:
    """Say whether the pixels of a page lie uncompressed and in one piece."""
    whole = not key.is_tiled and key.rowsperstrip >= key.imagelength and key.planarconfig == 1
    plain = key.compression == 1 and key.fillorder == 1 and key.bitspersample == 8 * np.dtype(key.dtype).itemsize
    return bool(whole and plain)


def _ome_image(tif: Any, path: Path) -> OmeImage | None:
    """Return the OME image with most pixels; the header is checked before tifffile parses it."""
    text = tif.pages.first.description or ""
    if text.lstrip("\ufeff").lstrip().startswith("<"):
        root = parse_xml(text, path)
        images = ome_images(root)
        for image in images:
            _check_planes(tif, image)
        if images:
            return max(images, key=lambda image: image.shape[0] * image.shape[1])
    return None


def _check_planes(tif: Any, image: OmeImage) -> None:
    """Refuse an image of more pages than any file has: tifffile makes a list of them all."""
    first = min((plane.ifd for plane in image.planes), default=0)
    page = tif.pages[first] if 0 <= first < len(tif.pages) else tif.pages.first
    rows, cols = (max(side, 1) for side in image.shape)
    declared = rows * cols * max(len(image.channels), image.size_c) * image.size_z * image.size_t
    n = declared // max(int(page.imagelength) * int(page.imagewidth), 1)
    if n > MAX_PLANES:
        msg = f"{n} pages of {page.imagelength} x {page.imagewidth} px are declared, and at most {MAX_PLANES} can be"
        raise ValueError(msg)


def _channel_names(tif: Any, pages: Sequence[Any], ome: OmeImage | None, path: Path) -> list[str]:
    if ome is not None:
        return list(ome.channels)
    if tif.is_qpi:
        names = []
        for page in pages:
            named = children(parse_xml(page.description, path), "Name")
            names.append(named[0].text or "" if named else "")
        return names
    if tif.is_imagej:
        labels = (tif.imagej_metadata or {}).get("Labels") or []
        return [str(label) for label in labels] if len(labels) == len(pages) else []
    return []
