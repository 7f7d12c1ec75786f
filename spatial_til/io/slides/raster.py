"""PNG and JPEG: small pictures, decoded whole, whose pixel size the sheet gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import SlideError
from spatial_til.io.slides.channels import RGB, name_channels
from spatial_til.io.slides.pyramid import Pyramid

#: A picture is decoded whole.
MAX_PICTURE_BYTES = 768 << 20
_PNG_HEADER_BYTES = 33
#: Samples of a pixel by the colour type of a PNG.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


class ArrayLevel:
    """A level that is already in memory."""

    planes = 1
    fill = 0

    def __init__(self, image: NDArray[Any]) -> None:
        self._image = image
        self.shape = (image.shape[0], image.shape[1])
        self.tile = self.shape
        self.samples = image.shape[2]
        self.dtype = image.dtype

    def decode(self, plane: int, tile_row: int, tile_col: int) -> NDArray[Any]:  # noqa: ARG002
        """Return the picture."""
        return self._image


def open_png(path: Path) -> Pyramid:
    """Open a PNG. Its header is looked at before it is decoded."""
    import imagecodecs

    data = _read(path)
    if len(data) < _PNG_HEADER_BYTES:
        msg = f"{path}: the PNG has no header; it was cut short. Copy it again."
        raise SlideError(msg)
    shape = int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    _check_pixels(path, shape, _PNG_SAMPLES.get(data[25], 4) * (2 if data[24] == 16 else 1))
    return _picture(path, shape, lambda: imagecodecs.png_decode(data))


def open_jpeg(path: Path) -> Pyramid:
    """Open a JPEG. Its header is looked at before it is decoded."""
    import imagecodecs

    data = _read(path)
    rows, cols, samples = _jpeg_size(data, path)
    if samples == 4:
        msg = f"{path}: a CMYK JPEG cannot be scored. Export RGB."
        raise SlideError(msg)
    _check_pixels(path, (rows, cols), samples)
    return _picture(path, (rows, cols), lambda: imagecodecs.jpeg_decode(data))


def _read(path: Path) -> bytes:
    """Return the bytes of a picture, which is no larger packed than it is unpacked."""
    size = path.stat().st_size
    if size > MAX_PICTURE_BYTES:
        msg = f"{path}: a picture of {size} bytes cannot be read. Export a tiled OME-TIFF."
        raise SlideError(msg)
    return path.read_bytes()


def _picture(path: Path, shape: tuple[int, int], decode: Callable[[], NDArray[Any]]) -> Pyramid:
    try:
        image = np.atleast_3d(decode())
    except (RuntimeError, ValueError) as error:
        msg = f"{path}: the picture cannot be decoded ({error}). Export it again."
        raise SlideError(msg) from error
    if image.shape[:2] != shape:
        found = f"{shape[0]} x {shape[1]} px are declared and {image.shape[0]} x {image.shape[1]} stored"
        msg = f"{path}: {found}; the picture is damaged. Export it again."
        raise SlideError(msg)
    if image.shape[2] == 2:  # grey with alpha
        msg = f"{path}: a grey picture with transparency cannot be scored. Export it without."
        raise SlideError(msg)
    colour = image.shape[2] >= 3
    if colour and image.dtype != np.uint8:
        msg = f"{path}: colour pixels must be 8-bit; found {image.dtype}, whose white is not known. Export 8-bit RGB."
        raise SlideError(msg)
    return Pyramid((ArrayLevel(image),), RGB if colour else name_channels([], 1), colour, (), lambda: None)


def _check_pixels(path: Path, shape: tuple[int, int], pixel_bytes: int) -> None:
    rows, cols = shape
    if not 0 < rows * cols * pixel_bytes <= MAX_PICTURE_BYTES:
        msg = f"{path}: the header declares {rows} x {cols} px, too much for one picture. Export a tiled OME-TIFF."
        raise SlideError(msg)


def _jpeg_size(data: bytes, path: Path) -> tuple[int, int, int]:
    """Return rows, columns and samples from the frame header."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            return (
                int.from_bytes(data[at + 5 : at + 7], "big"),
                int.from_bytes(data[at + 7 : at + 9], "big"),
                data[at + 9],
            )
        filler = marker == 0xFF
        at += 1 if filler else 2 if marker in _JPEG_BARE else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    msg = f"{path}: the JPEG has no frame header; it was cut short. Copy it again."
    raise SlideError(msg)
