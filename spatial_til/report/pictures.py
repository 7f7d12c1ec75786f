"""Pictures as text that stands inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from spatial_til.io.drawn import drawn
from spatial_til.io.overview import read_overview, small_photo

#: Flat figures need few colours: a third of the bytes.
_COLORS = 96


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as PNG with a palette, the same bytes for the same figure."""
    from PIL import Image

    figure.set_dpi(dpi)
    small = drawn(figure).quantize(_COLORS, method=Image.Quantize.MEDIANCUT)
    out = io.BytesIO()
    small.save(out, format="PNG", optimize=True)
    return out.getvalue()


class Picture(NamedTuple):
    """A picture and what it shows, in words."""

    uri: str
    words: str


def png_uri(data: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def photo_uri(path: Path) -> tuple[str, tuple[int, int]]:
    """Return a photograph as a smaller JPEG that stands inside the page, with its width and height."""
    data, size = small_photo(read_overview(path))
    return jpeg_uri(data), size


def jpeg_uri(data: bytes) -> str:
    """Return a JPEG as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
