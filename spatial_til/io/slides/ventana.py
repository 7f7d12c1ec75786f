"""Ventana BIF: tiles as the stage took them, which may overlap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from spatial_til.errors import SlideError
from spatial_til.io.slides.xml_text import descendants, parse_xml


def ventana_xmp(tif: Any, path: Path) -> Iterator[Element]:
    """Yield the metadata of each page that has some."""
    for page in tif.pages:
        tag = page.keyframe.tags.get("XMP")
        if tag is not None:
            text = tag.value.decode("utf-8", "replace") if isinstance(tag.value, bytes) else tag.value
            yield parse_xml(text.strip("\0 \r\n"), path)


def check_no_overlap(tif: Any, path: Path) -> None:
    """Refuse tiles that overlap: read side by side, they would show strips of tissue twice.

    Raises
    ------
    SlideError
        The metadata give an overlap of neighbouring tiles.
    """
    joints = (joint for xmp in ventana_xmp(tif, path) for joint in descendants(xmp, "TileJointInfo"))
    if any(float(joint.get(side, 0)) != 0 for joint in joints for side in ("OverlapX", "OverlapY")):
        msg = f"{path}: its tiles overlap and are not stitched here. Export it as OME-TIFF."
        raise SlideError(msg)
