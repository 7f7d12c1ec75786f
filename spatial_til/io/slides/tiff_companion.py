"""Multi-file OME-TIFF whose metadata lie in a companion file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spatial_til.counted import counted
from spatial_til.errors import SlideError
from spatial_til.io.slides.ome import OmeImage, ome_images
from spatial_til.io.slides.xml_text import parse_xml

#: A plane takes about 200 bytes in it.
MAX_XML_BYTES = 64 << 20


def read_companion(path: Path) -> OmeImage:
    """Return the one image of a companion file.

    Raises
    ------
    SlideError
        It is no OME-XML, or its image has focal planes or times, or there are several images.
    """
    try:
        if path.stat().st_size > MAX_XML_BYTES:
            msg = f"{path}: {path.stat().st_size >> 20} MiB are too much for a companion file. Export the image again."
            raise SlideError(msg)
        images = ome_images(parse_xml(path.read_bytes(), path))
    except OSError as error:
        msg = f"{path}: the companion file cannot be opened ({error.strerror}). Put it beside the image."
        raise SlideError(msg) from error
    except ValueError as error:
        msg = f"{path}: the OME metadata are damaged ({error}). Export the image again."
        raise SlideError(msg) from error
    if len(images) != 1:
        msg = f"{path}: the companion file describes {len(images)} images; export the one to score to its own file."
        raise SlideError(msg)
    for size, name in ((images[0].size_z, "focal planes"), (images[0].size_t, "times")):
        if size > 1:
            msg = f"{path}: the image has {size} {name}; choose or project to one, and export that."
            raise SlideError(msg)
    return images[0]


def companion_levels(path: Path, image: OmeImage, open_tif: Callable[[Path], Any]) -> list[list[Any]]:
    """Return the pages of each level, full resolution first, channel by channel.

    Raises
    ------
    SlideError
        A channel has no page, or its file is missing or of another size.
    """
    where = {plane.channel: plane for plane in image.planes}
    n = max(len(image.channels), 1)
    if sorted(where) != list(range(n)):
        msg = f"{path}: declared: {counted(n, 'channel')}; with pages: {len(where)}. Export the image again."
        raise SlideError(msg)
    pages = []
    for channel in range(n):
        # only the name counts: files lie beside the companion, never elsewhere
        file = path.parent / Path(where[channel].file).name
        page = open_tif(file).pages[where[channel].ifd]
        if (int(page.keyframe.imagelength), int(page.keyframe.imagewidth)) != image.shape:
            msg = f"{file}: the page is not of the size {path.name} declares. Export the image again."
            raise SlideError(msg)
        pages.append([page, *(page.pages or ())])
    return [list(level) for level in zip(*pages, strict=False)]
