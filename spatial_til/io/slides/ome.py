"""OME-XML: images, channel names, pixel size and where planes lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from spatial_til.io.slides.pixel_size import pixel_size_from, to_um
from spatial_til.io.slides.xml_text import children, descendants
from spatial_til.units import PixelSize

#: No slide has as many planes; a file that says so would be looked for without end.
MAX_PLANES = 100_000


@dataclass(frozen=True, slots=True)
class OmePlane:
    """Where one channel lies: page `ifd` of a file ("" for the file itself)."""

    channel: int
    ifd: int
    file: str


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One image of an OME-XML header."""

    shape: tuple[int, int]
    size_c: int
    size_z: int
    size_t: int
    channels: tuple[str, ...]
    samples: tuple[int, ...]  # samples of each channel: 3 is a colour picture
    pixel_size: PixelSize | None
    planes: tuple[OmePlane, ...]


def ome_images(root: Element) -> tuple[OmeImage, ...]:
    """Return the images of an OME-XML header, in its order.

    Raises
    ------
    ValueError
        A number is none, or more planes are declared than any file has.
    """
    images = [pixels for image in children(root, "Image") for pixels in children(image, "Pixels")]
    return tuple(_image(pixels) for pixels in images)


def _image(pixels: Element) -> OmeImage:
    channels = children(pixels, "Channel")
    listed = children(pixels, "TiffData")
    declared = [math.prod(int(pixels.get(f"Size{axis}", 1)) for axis in "CZT")]
    declared += [int(data.get("PlaneCount", 1)) for data in listed]
    if len(listed) > MAX_PLANES or max(declared) > MAX_PLANES:
        msg = f"{max(*declared, len(listed))} planes are declared, and at most {MAX_PLANES} can be"
        raise ValueError(msg)
    return OmeImage(
        shape=(int(pixels.get("SizeY", 0)), int(pixels.get("SizeX", 0))),
        size_c=int(pixels.get("SizeC", 1)),
        size_z=int(pixels.get("SizeZ", 1)),
        size_t=int(pixels.get("SizeT", 1)),
        channels=tuple(channel.get("Name", "") for channel in channels),
        samples=tuple(int(channel.get("SamplesPerPixel", 1)) for channel in channels),
        pixel_size=pixel_size_from(_side(pixels, "X"), _side(pixels, "Y")),
        planes=tuple(plane for data in listed for plane in _planes(data)),
    )


def _side(pixels: Element, axis: str) -> float | None:
    value = pixels.get(f"PhysicalSize{axis}")
    try:
        return to_um(float(value), pixels.get(f"PhysicalSize{axis}Unit", "µm")) if value else None
    except ValueError:
        return None


def _planes(data: Element) -> list[OmePlane]:
    """Return the planes of one TiffData, whose pages and channels count on together."""
    files = descendants(data, "UUID")
    name = files[0].get("FileName", "") if files else ""
    channel, ifd = int(data.get("FirstC", 0)), int(data.get("IFD", 0))
    return [OmePlane(channel + k, ifd + k, name) for k in range(int(data.get("PlaneCount", 1)))]


def companion_name(root: Element) -> str | None:
    """Return the name of the file that holds the metadata, where this one says that it holds none."""
    pointers = children(root, "BinaryOnly")
    return pointers[0].get("MetadataFile") if pointers else None
