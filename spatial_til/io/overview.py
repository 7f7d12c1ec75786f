"""The slide's picture at low resolution, stored so that thumbnails can be drawn again without the image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.errors import SlideError
from spatial_til.io.atomic import write_bytes
from spatial_til.io.slides import Overview, Slide, select_channels
from spatial_til.segmentation.tissue import mask_of

#: Display colours of fluorescence markers; others are grey. None is the yellow in which CD8+ cells are drawn over it.
_COLORS = {"nuclei": (60, 90, 255), "CD8": (60, 255, 60), "PD-L1": (255, 60, 60), "tumor": (190, 190, 190)}
_GREY = (120, 120, 120)
_GLOWS = 3.0
#: What a report takes of each slide: a thousand of them stand inside one page.
_PHOTO_PX, _PHOTO_BYTES = 620, 65_000
_QUALITIES = (85, 75, 65, 50, 35)


def write_overview(
    path: Path, photo: Path, slide: Slide, overview: Overview, roles: Mapping[str, str], tissue: MultiPolygon
) -> None:
    """Write an overview of the whole slide as a PNG, and as a small JPEG for the report.

    Fluorescence channels are coloured by their marker, from the glow that most of the `tissue` (in µm) has to its
    brightest pixels: a picture to find one's way, not to measure in.
    """
    import cv2

    image, px = overview.image, overview.pixel_size or slide.require_pixel_size()
    rgb = image[..., :3] if slide.is_rgb else _composite(image, slide, roles, mask_of(tissue, image.shape[:2], px))
    done, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGR))
    if not done:
        msg = f"{slide.path}: its overview could not be encoded"
        raise SlideError(msg)
    write_bytes(photo, small_photo(rgb)[0])
    write_bytes(path, data.tobytes())


def read_overview(path: Path) -> NDArray[np.uint8]:
    """Return a stored overview as (rows, cols, 3) RGB."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        msg = f"{path}: the stored overview is missing or damaged: score the slide again with --rerun all"
        raise SlideError(msg)
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)


def small_photo(
    rgb: NDArray[np.uint8], longest_px: int = _PHOTO_PX, most_bytes: int = _PHOTO_BYTES
) -> tuple[bytes, tuple[int, int]]:
    """Return a (rows, cols, 3) photograph as a smaller JPEG, with its width and height.

    The best of a few qualities that fits `most_bytes` is taken, the lowest where none does.
    """
    import cv2

    image: NDArray[Any] = rgb
    scale = min(1.0, longest_px / max(image.shape[:2]))
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    for quality in _QUALITIES:
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= most_bytes:
            break
    return data, (image.shape[1], image.shape[0])


def _composite(
    image: NDArray[Any], slide: Slide, roles: Mapping[str, str], tissue: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    out = np.zeros((*image.shape[:2], 3), dtype=np.float32)
    for index, marker in zip(select_channels(slide, list(roles)), roles.values(), strict=True):
        plane = np.nan_to_num(image[..., index].astype(np.float32))
        low, high = shown_range(plane, plane[tissue] if tissue.any() else plane.ravel())
        out += np.clip((plane - low) / max(high - low, 1e-9), 0, 1)[..., None] * _COLORS.get(marker, _GREY)
    return np.clip(out, 0, 255).astype(np.uint8)


def shown_range(plane: NDArray[np.float32], inside: NDArray[np.float32]) -> tuple[float, float]:
    """Return what is black and what is brightest in the picture of a channel, from all pixels and those in tissue.

    A channel in which hardly a cell is stained must look empty, so the brightest is at least `_GLOWS` times as far
    above the tissue's glow as that is above the dark.
    """
    dark = float(np.percentile(plane, 1))
    glow, bright = np.percentile(inside, (25, 99.9)).tolist()
    return glow, max(bright, glow + _GLOWS * (glow - dark))
