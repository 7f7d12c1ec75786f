"""Smooth random fields, and distances to polygons: what layouts and painters sample from."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from shapely.geometry import MultiPolygon, Polygon

    from spatial_til.model import XY, FloatArray

    Plane = NDArray[np.float32]

TEXTURE_SIDE = 512


@cache
def noise_texture(seed: int, low: float, high: float, side: int = TEXTURE_SIDE) -> Plane:
    """Return a periodic Gaussian texture of mean 0 and variance 1.

    Parameters
    ----------
    seed
        Seed of the texture.
    low, high
        Wavelengths in texture pixels between which the power lies.
    side
        Side of the square texture in pixels.
    """
    rng = np.random.default_rng([seed, 11])
    spectrum = np.fft.rfft2(rng.standard_normal((side, side)))
    freq = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    band = np.exp(-((freq * low) ** 2)) - np.exp(-((freq * high) ** 2))
    texture = np.fft.irfft2(spectrum * band, s=(side, side))
    unit: Plane = (texture / texture.std()).astype(np.float32)
    return unit


@njit(cache=True, nogil=True, inline="always")
def sample(texture: Plane, u: float, v: float) -> Any:
    """Return a periodic texture at fractional (u, v), bilinear."""
    side = texture.shape[0]
    fu = np.floor(u)
    fv = np.floor(v)
    a = np.float32(u - fu)
    b = np.float32(v - fv)
    i = int(fv) % side
    j = int(fu) % side
    k = (i + 1) % side
    m = (j + 1) % side
    top = texture[i, j] * (1 - a) + texture[i, m] * a
    return top * (1 - b) + (texture[k, j] * (1 - a) + texture[k, m] * a) * b


@njit(cache=True, nogil=True)
def smooth_field(texture: Plane, x: FloatArray, y: FloatArray, period_um: float) -> Plane:
    """Return a texture at points, stretched so that one texture pixel is `period_um`."""
    out = np.empty(x.shape[0], np.float32)
    for i in range(x.shape[0]):
        out[i] = sample(texture, x[i] / period_um, y[i] / period_um)
    return out


def signed_distance(xy_um: XY, region: MultiPolygon | Polygon) -> FloatArray:
    """Return distances in µm to a region's boundary: negative inside, positive outside.

    Parameters
    ----------
    xy_um
        (n, 2) points.
    region
        Polygons; holes count as outside. An empty region is infinitely far.
    """
    segments = boundary_segments(region)
    xy = np.ascontiguousarray(xy_um, dtype=np.float64)
    return _signed_distance(xy, segments)


def distance_to_lines(xy_um: XY, lines: shapely.geometry.base.BaseGeometry) -> FloatArray:
    """Return distances in µm from (n, 2) points to lines; infinite where there is no line."""
    xy = np.ascontiguousarray(xy_um, dtype=np.float64)
    return np.abs(_signed_distance(xy, _segments(shapely.get_parts(lines))))


def boundary_segments(region: MultiPolygon | Polygon) -> FloatArray:
    """Return the (m, 4) segments x0, y0, x1, y1 of all rings of a region."""
    return _segments(shapely.get_rings(shapely.get_parts(region)))


def _segments(lines: NDArray[np.object_]) -> FloatArray:
    coords, index = shapely.get_coordinates(lines, return_index=True)
    joined = index[1:] == index[:-1]
    return np.ascontiguousarray(np.hstack((coords[:-1], coords[1:]))[joined])


@njit(cache=True, nogil=True)
def _signed_distance(xy: FloatArray, seg: FloatArray) -> FloatArray:
    """Brute force: exact, and quick enough for borders of some hundred segments."""
    out = np.empty(xy.shape[0], np.float64)
    for i in range(xy.shape[0]):
        px, py = xy[i, 0], xy[i, 1]
        best = np.inf
        inside = False
        for k in range(seg.shape[0]):
            x0, y0, x1, y1 = seg[k, 0], seg[k, 1], seg[k, 2], seg[k, 3]
            dx, dy = x1 - x0, y1 - y0
            t = ((px - x0) * dx + (py - y0) * dy) / max(dx * dx + dy * dy, 1e-12)
            t = min(1.0, max(0.0, t))
            ex, ey = px - x0 - t * dx, py - y0 - t * dy
            best = min(best, ex * ex + ey * ey)
            if (y0 > py) != (y1 > py) and px < x0 + dx * (py - y0) / dy:
                inside = not inside
        out[i] = -np.sqrt(best) if inside else np.sqrt(best)
    return out
