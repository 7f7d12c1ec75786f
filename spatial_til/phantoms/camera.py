"""From stains to grey levels: absorption, focus, light, sensor and JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from spatial_til.phantoms.fields import sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_til.phantoms.fields import Plane


@dataclass(frozen=True, slots=True)
class Camera:
    """Optics and sensor of one scan."""

    white: tuple[float, float, float] = (240.0, 238.0, 242.0)
    blur_um: float = 0.32  # standard deviation in focus
    defocus_um: float = 0.75  # … and at the worst place
    uneven: float = 0.02  # amplitude of the light field
    noise: float = 2.0  # grey levels
    jpeg_quality: int | None = 90


@njit(cache=True, nogil=True)
def transmit(planes: Plane, vectors: Plane, white: Plane, lamp: Plane) -> Plane:
    """Return light (rows, cols, 3) through stains (stains, rows, cols) by the law of Beer and Lambert."""
    count, rows, cols = planes.shape
    out = np.empty((rows, cols, 3), np.float32)
    ln10 = np.float32(np.log(10.0))
    for row in range(rows):
        for col in range(cols):
            for c in range(3):
                od = np.float32(0)
                for s in range(count):
                    od += planes[s, row, col] * vectors[s, c]
                out[row, col, c] = white[c] * lamp[row, col] * np.exp(-ln10 * od)
    return out


@njit(cache=True, nogil=True)
def lamp(light: Plane, uneven: float, um: float, x0: int, y0: int, rows: int, cols: int) -> Plane:
    """Return the light field around 1 (rows, cols)."""
    out = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            wave = sample(light, (col + x0) * um / 250, (row + y0) * um / 250)
            out[row, col] = min(1 + uneven * wave, 1.04)
    return out


def focus(image: Plane, camera: Camera, blend: Plane, um: float) -> Plane:
    """Return the image blurred between in focus and out of focus, by a map from 0 to 1."""
    import cv2

    sharp = cv2.GaussianBlur(image, (0, 0), max(camera.blur_um / um, 0.2))
    extra = cv2.GaussianBlur(image, (0, 0), max(camera.defocus_um / um, 0.2))
    blend = blend if image.ndim == 2 else blend[..., None]
    return sharp + (extra - sharp) * blend


@njit(cache=True, nogil=True)
def focus_map(slow: Plane, um: float, x0: int, y0: int, rows: int, cols: int) -> Plane:
    """Return how far out of focus each pixel is, from 0 to 1: a drift over some 300 µm."""
    out = np.empty((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            drift = sample(slow, (col + x0) * um / 60, (row + y0) * um / 60)
            out[row, col] = min(1.0, max(0.0, 0.35 + 0.4 * drift))
    return out


def expose(image: Plane, noise: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return 8-bit grey levels with sensor noise."""
    noisy = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def through_jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an RGB image after JPEG compression."""
    import cv2

    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(image[..., ::-1])
