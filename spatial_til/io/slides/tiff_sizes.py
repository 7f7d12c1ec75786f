"""Pixel sizes that a TIFF states, best first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from spatial_til.io.slides.ome import OmeImage
from spatial_til.io.slides.pixel_size import is_plausible, pixel_size_from, to_um
from spatial_til.io.slides.pyramid import SizeSource
from spatial_til.io.slides.ventana import ventana_xmp
from spatial_til.io.slides.xml_text import children, descendants, parse_xml
from spatial_til.units import PixelSize

_APERIO_MPP = re.compile(r"\bMPP\s*=\s*([0-9.]+)")
_IMAGEJ_UNIT = re.compile(r"^unit=(.+?)\r?$", re.MULTILINE)
_RESOLUTION_UNIT = {2: "inch", 3: "cm"}
#: A print resolution that programs write when they know nothing.
_PRINT_DPI = (72.0, 96.0, 300.0)


def tiff_size_sources(tif: Any, page: Any, ome: OmeImage | None, path: Path) -> tuple[SizeSource, ...]:
    """Return every pixel size a TIFF states for its full resolution.

    Metadata written by a microscope come before the resolution tags, which any program may write;
    but a QPTIFF's tags are measured, and its description nominal. An objective's power is never used.
    """
    text = page.keyframe.description or ""
    found: list[tuple[str, PixelSize | None]] = [("OME", ome.pixel_size if ome else None)]
    found.append(("Aperio MPP", _aperio(text)))
    if tif.is_scn:
        found.append(("Leica SCN", _scn(tif.pages.first.description, page, path)))
    if tif.is_bif:
        found.append(("Ventana ScanRes", _bif(tif, path)))
    if tif.is_imagej:
        found.append(("ImageJ", _imagej(text, page)))
    found.append(("TIFF resolution", _resolution(page)))
    if tif.is_qpi:
        found.append(("QPTIFF PixelSizeMicrons", _qpi(text, path)))
    return tuple(SizeSource(name, size) for name, size in found if size is not None)


def _aperio(text: str) -> PixelSize | None:
    match = _APERIO_MPP.search(text) if text.startswith("Aperio") else None
    side = to_um(float(match[1]), "µm") if match else None
    return pixel_size_from(side, side)


def _rational(page: Any, name: str) -> float:
    tag = page.keyframe.tags.get(name)
    if tag is None:
        return 0.0
    top, bottom = tag.value
    return float(top / bottom) if bottom else 0.0


def _side(per_unit: float, unit: str) -> float | None:
    return to_um(1 / per_unit, unit) if per_unit > 0 else None


def _resolution(page: Any) -> PixelSize | None:
    unit_tag = page.keyframe.tags.get("ResolutionUnit")
    unit = _RESOLUTION_UNIT.get(2 if unit_tag is None else int(unit_tag.value))
    x, y = _rational(page, "XResolution"), _rational(page, "YResolution")
    if unit is None or x in _PRINT_DPI or y in _PRINT_DPI:
        return None
    size = pixel_size_from(_side(x, unit), _side(y, unit))
    # beyond the range of a microscope it is a resolution for printing; exactly 1 µm is what writers put for none
    return size if size is not None and is_plausible(size) and size != PixelSize(1.0, 1.0) else None


def _imagej(text: str, page: Any) -> PixelSize | None:
    match = _IMAGEJ_UNIT.search(text)
    unit = match[1].strip() if match else ""
    x, y = _rational(page, "XResolution"), _rational(page, "YResolution")
    return pixel_size_from(_side(x, unit), _side(y, unit))


def _qpi(text: str, path: Path) -> PixelSize | None:
    for scan in descendants(parse_xml(text, path), "ScanResolution"):
        for element in children(scan, "PixelSizeMicrons"):
            side = to_um(float(element.text or 0), "µm")
            return pixel_size_from(side, side)
    return None


def _scn(text: str, page: Any, path: Path) -> PixelSize | None:
    """Return view size (nm) over pixels, of the image that has the page's shape."""
    shape = (int(page.keyframe.imagelength), int(page.keyframe.imagewidth))
    for image in descendants(parse_xml(text, path), "image"):
        views, pixels = children(image, "view"), children(image, "pixels")
        if views and pixels and (int(pixels[0].get("sizeY", 0)), int(pixels[0].get("sizeX", 0))) == shape:
            width, height = float(views[0].get("sizeX", 0)), float(views[0].get("sizeY", 0))
            return pixel_size_from(to_um(width / shape[1], "nm"), to_um(height / shape[0], "nm"))
    return None


def _bif(tif: Any, path: Path) -> PixelSize | None:
    for xmp in ventana_xmp(tif, path):
        for scan in descendants(xmp, "iScan"):
            side = to_um(float(scan.get("ScanRes", 0)), "µm")
            if side is not None:
                return pixel_size_from(side, side)
    return None
