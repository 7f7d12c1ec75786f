"""Pyramidal OME-TIFFs, written tile by tile; the same pixels give the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

TILE = 512


@dataclass(frozen=True, slots=True)
class SlideFormat:
    """What an OME-TIFF says of its pixels."""

    pixel_size_um: float
    channels: tuple[str, ...] = ()  # empty: RGB
    quality: int = 90

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds red, green and blue; else the first axis holds channels."""
        return not self.channels


def encode_tile(tile: Image, quality: int) -> bytes:
    """Return a tile as JPEG, padded with its last row and column to full size."""
    from imagecodecs import jpeg8_encode

    missing = [(0, TILE - tile.shape[0]), (0, TILE - tile.shape[1])] + [(0, 0)] * (tile.ndim - 2)
    full = np.ascontiguousarray(np.pad(tile, missing, mode="edge"))
    if full.ndim == 2:
        return bytes(jpeg8_encode(full, level=quality))
    return bytes(jpeg8_encode(full, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"))


def halve(image: Image) -> Image:
    """Return an image (rows, cols[, 3]) of half the size, by means of 2 x 2 pixels."""
    import cv2

    rows, cols = image.shape[0] // 2, image.shape[1] // 2
    return np.asarray(cv2.resize(image[: 2 * rows, : 2 * cols], (cols, rows), interpolation=cv2.INTER_AREA))


def write_slide(path: Path, image: Image, form: SlideFormat, levels: int = 4) -> None:
    """Write an image that fits in memory as a pyramidal OME-TIFF.

    Parameters
    ----------
    path
        File to write.
    image
        (rows, cols, 3) RGB, or (channels, rows, cols), in uint8.
    form
        Pixel size, channel names and JPEG quality.
    levels
        Number of pyramid levels, each half the one before.
    """
    planes = [image] if form.rgb else list(image)
    pyramid = [planes]
    for _ in range(levels - 1):
        pyramid.append([halve(plane) for plane in pyramid[-1]])

    def tiles(level: int) -> Iterator[bytes]:
        for plane in pyramid[level]:
            rows, cols = plane.shape[:2]
            for row in range(0, rows, TILE):
                for col in range(0, cols, TILE):
                    yield encode_tile(plane[row : row + TILE, col : col + TILE], form.quality)

    shapes = [(planes[0].shape[0], planes[0].shape[1]) for planes in pyramid]
    write_levels(path, shapes, tiles, form)


def write_levels(
    path: Path, shapes: list[tuple[int, int]], tiles: Callable[[int], Iterator[bytes]], form: SlideFormat
) -> None:
    """Write a pyramidal OME-TIFF from encoded tiles.

    Parameters
    ----------
    path
        File to write.
    shapes
        Rows and columns of each level.
    tiles
        Function that gives the JPEG tiles of a level, channel by channel, row by row.
    form
        Pixel size, channel names and JPEG quality.
    """
    import tifffile

    size = shapes[0][0] * shapes[0][1] * max(len(form.channels), 3)
    with tifffile.TiffWriter(path, bigtiff=size > 2**32, ome=True) as tif:
        for level, shape in enumerate(shapes):
            tif.write(
                tiles(level),
                shape=(*shape, 3) if form.rgb else (len(form.channels), *shape),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb" if form.rgb else "minisblack",
                compression="jpeg",
                subsampling=(2, 2) if form.rgb else None,
                software=False,
                **_level_tags(level, len(shapes), form, path),
            )


def _level_tags(level: int, levels: int, form: SlideFormat, path: Path) -> dict[str, Any]:
    if level:
        return {"subfiletype": 1, "metadata": None}
    metadata: dict[str, Any] = {
        "axes": "YXS" if form.rgb else "CYX",
        "UUID": str(uuid5(NAMESPACE_URL, path.name)),  # of the name, so that the file can be made again
        "PhysicalSizeX": form.pixel_size_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": form.pixel_size_um,
        "PhysicalSizeYUnit": "µm",
    }
    if not form.rgb:
        metadata["Channel"] = {"Name": list(form.channels)}
    centimetre = 1e4 / form.pixel_size_um
    return {
        "subifds": levels - 1,
        "metadata": metadata,
        "resolution": (centimetre, centimetre),
        "resolutionunit": "CENTIMETER",
    }
