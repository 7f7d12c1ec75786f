"""Pictures as text that stands inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

#: Flat figures need few colours: a third of the bytes.
_COLORS = 96
_QUALITIES = (85, 75, 65, 50, 35)


def figure_png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as PNG with a palette, the same bytes for the same figure."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    buffer.seek(0)
    small = Image.open(buffer).convert("RGB").quantize(_COLORS, method=Image.Quantize.MEDIANCUT)
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


def photo_uri(path: Path, longest_px: int, most_bytes: int) -> tuple[str, tuple[int, int]]:
    """Return a photograph as a smaller JPEG that stands inside the page, with its width and height.

    The best of a few qualities that fits `most_bytes` is taken, the lowest where none does.
    """
    import cv2

    from spatial_til.io.overview import read_overview

    image: NDArray[Any] = read_overview(path)
    scale = min(1.0, longest_px / max(image.shape[:2]))
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    bgr = np.ascontiguousarray(image[..., ::-1])
    for quality in _QUALITIES:
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= most_bytes:
            break
    uri = "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
    return uri, (image.shape[1], image.shape[0])
