"""Pixel kernels: which cell owns a pixel, and what each cell adds to a plane of stain.

All lengths are in pixels of the block. A nucleus is given by its centre and its radius at a number of
directions; the distance to its outline is the radial one, corrected for the slope of the outline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from spatial_til.phantoms.fields import sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_til.model import FloatArray
    from spatial_til.phantoms.fields import Plane

    IntArray = NDArray[np.int32]

FAR = np.float32(1e6)


@njit(cache=True, nogil=True, inline="always")
def _outside(dx: float, dy: float, radii: Plane) -> tuple[Any, Any]:
    """Return the distance to an outline (negative inside) and the direction as a fraction of a turn."""
    count = radii.shape[0]
    turn = np.arctan2(dy, dx) / (2 * np.pi)
    turn = turn - np.floor(turn)
    at = turn * count
    k = int(at)
    t = np.float32(at - k)
    k = k % count
    nxt = (k + 1) % count
    edge = radii[k] * (1 - t) + radii[nxt] * t
    r = np.sqrt(dx * dx + dy * dy)
    slope = (radii[nxt] - radii[k]) * count / (2 * np.pi) / max(edge, np.float32(0.5))
    return np.float32((r - edge) / np.sqrt(1 + slope * slope)), np.float32(turn)


@njit(cache=True, nogil=True, inline="always")
def _box(x: float, y: float, reach: float, rows: int, cols: int) -> tuple[int, int, int, int]:
    return (
        max(0, int(y - reach)),
        min(rows, int(y + reach) + 2),
        max(0, int(x - reach)),
        min(cols, int(x + reach) + 2),
    )


@njit(cache=True, nogil=True)
def claim(
    x: FloatArray,
    y: FloatArray,
    radii: Plane,
    growth: Plane,
    offset: Plane,
    texture: Plane,
    um: float,
    rows: int,
    cols: int,
) -> tuple[Plane, Plane, IntArray, IntArray]:
    """Return distance to, and index of, the nearest and second nearest nucleus that reaches each pixel.

    `growth` is how far each cell reaches beyond its nucleus; -1 marks pixels out of reach of any. Cells
    are ragged: their reach varies with direction by a sixth.
    """
    d1 = np.full((rows, cols), FAR, np.float32)
    d2 = np.full((rows, cols), FAR, np.float32)
    i1 = np.full((rows, cols), -1, np.int32)
    i2 = np.full((rows, cols), -1, np.int32)
    for i in range(x.shape[0]):
        r0, r1, c0, c1 = _box(x[i], y[i], radii[i].max() + growth[i], rows, cols)
        for row in range(r0, r1):
            for col in range(c0, c1):
                dx, dy = col + 0.5 - x[i], row + 0.5 - y[i]
                d, _ = _outside(dx, dy, radii[i])
                if d > 0:
                    ragged = sample(texture, dx * um / 0.3 + offset[i, 0], dy * um / 0.3 + offset[i, 1])
                    d *= 1 + np.float32(0.12) * ragged
                if d > growth[i]:
                    continue
                if d < d1[row, col]:
                    d2[row, col] = d1[row, col]
                    i2[row, col] = i1[row, col]
                    d1[row, col] = d
                    i1[row, col] = i
                elif d < d2[row, col]:
                    d2[row, col] = d
                    i2[row, col] = i
    return d1, d2, i1, i2


@njit(cache=True, nogil=True)
def nuclei(
    plane: Plane,
    x: FloatArray,
    y: FloatArray,
    radii: Plane,
    amount: Plane,
    vesicular: Plane,
    clump: Plane,
    soft: Plane,
    nucleoli: Plane,
    offset: Plane,
    texture: Plane,
    um: float,
) -> None:
    """Add nuclei to a plane; where nuclei overlap, their stain adds up.

    `vesicular` (0-1) pales the inside against the rim; `clump` is the contrast of chromatin; `soft` the
    width of the edge in pixels; `nucleoli` (n, 2, 3) x, y from the centre and strength; `um` the pixel.
    """
    rows, cols = plane.shape
    for i in range(x.shape[0]):
        if amount[i] <= 0:
            continue
        r0, r1, c0, c1 = _box(x[i], y[i], radii[i].max() + 3 * soft[i], rows, cols)
        for row in range(r0, r1):
            for col in range(c0, c1):
                dx = col + 0.5 - x[i]
                dy = row + 0.5 - y[i]
                d, _ = _outside(dx, dy, radii[i])
                if d > 3 * soft[i]:
                    continue
                cover = 1 / (1 + np.exp(d / (0.5 * soft[i])))
                rim = np.exp(-((d * um / 0.8) ** 2)) if d < 0 else 1.0
                body = 1.0 - float(vesicular[i]) * (1 - rim)
                grain = sample(texture, dx * um / 0.25 + offset[i, 0], dy * um / 0.25 + offset[i, 1])
                body *= max(0.15, 1 + clump[i] * grain)
                for k in range(nucleoli.shape[1]):
                    ux = dx * um - nucleoli[i, k, 0]
                    uy = dy * um - nucleoli[i, k, 1]
                    body += nucleoli[i, k, 2] * np.exp(-(ux * ux + uy * uy) / 0.9)
                plane[row, col] += amount[i] * cover * body


@njit(cache=True, nogil=True, inline="always")
def _on_arc(turn: float, start: float, length: float) -> Any:
    """Return how far a direction lies on a stained stretch, from 0 to 1; all in turns."""
    away = turn - start
    away = abs(away - np.floor(away) - 0.5 * length)
    away = min(away, 1 - away) - 0.5 * length
    return 1.0 if length >= 1 else 1 / (1 + np.exp(away / 0.02))


@njit(cache=True, nogil=True)
def membranes(
    plane: Plane,
    d1: Plane,
    d2: Plane,
    i1: IntArray,
    i2: IntArray,
    x: FloatArray,
    y: FloatArray,
    radii: Plane,
    growth: Plane,
    amount: Plane,
    arc: Plane,
    fill: Plane,
    width: Plane,
    offset: Plane,
    texture: Plane,
    um: float,
) -> None:
    """Add stained membranes to a plane.

    The membrane of a cell runs where the cell ends: half-way to a neighbour, or at its full growth.
    `arc` (n, 2) is the start and the length, in turns, of the stained stretch; `fill` the share of the
    stain seen over the whole cell; `width` the membrane's half-width in pixels.
    """
    rows, cols = plane.shape
    for i in range(x.shape[0]):
        if amount[i] <= 0:
            continue
        r0, r1, c0, c1 = _box(x[i], y[i], radii[i].max() + growth[i] + 3 * width[i], rows, cols)
        for row in range(r0, r1):
            for col in range(c0, c1):
                mine = i1[row, col] == i
                if not mine and i2[row, col] != i and i1[row, col] >= 0:
                    continue
                dx, dy = col + 0.5 - x[i], row + 0.5 - y[i]
                d, turn = _outside(dx, dy, radii[i])
                gap = 0.5 * (d2[row, col] - d1[row, col])
                beyond = gap if i2[row, col] == i else d - growth[i]
                m = min(gap, growth[i] - d1[row, col]) if mine else beyond
                if not mine and m > 3 * width[i]:
                    continue
                on = _on_arc(turn, arc[i, 0], arc[i, 1])
                uneven = 1 + 0.35 * sample(texture, turn * 40 + offset[i, 0], offset[i, 1])
                stain = np.exp(-0.5 * (m / width[i]) ** 2) * on * max(0.2, uneven)
                if mine:
                    grain = sample(texture, dx * um / 0.4 + offset[i, 1], dy * um / 0.4)
                    stain += fill[i] * max(0.0, 1 + 0.4 * grain)
                plane[row, col] += amount[i] * stain


@njit(cache=True, nogil=True)
def cytoplasm(
    plane: Plane,
    d1: Plane,
    d2: Plane,
    i1: IntArray,
    growth: Plane,
    tint: Plane,
    texture: Plane,
    um: float,
    x0: int,
    y0: int,
) -> None:
    """Add cytoplasm to a plane, fading towards the end of each cell."""
    rows, cols = plane.shape
    for row in range(rows):
        for col in range(cols):
            i = i1[row, col]
            if i < 0 or tint[i] <= 0:
                continue
            m = min(0.5 * (d2[row, col] - d1[row, col]), growth[i] - d1[row, col]) * um
            edge = 1 - 0.75 * np.exp(-((m / 0.7) ** 2))
            grain = sample(texture, (col + x0) * um / 0.5, (row + y0) * um / 0.5)
            plane[row, col] += tint[i] * edge * max(0.1, 1 + 0.45 * grain)


@njit(cache=True, nogil=True)
def spots(plane: Plane, x: FloatArray, y: FloatArray, radius: FloatArray, amount: Plane) -> None:
    """Add soft round spots: debris, pigment granules, smears."""
    rows, cols = plane.shape
    for i in range(x.shape[0]):
        r0, r1, c0, c1 = _box(x[i], y[i], 2.5 * radius[i] + 1, rows, cols)
        for row in range(r0, r1):
            for col in range(c0, c1):
                u = ((col + 0.5 - x[i]) ** 2 + (row + 0.5 - y[i]) ** 2) / radius[i] ** 2
                plane[row, col] += amount[i] * np.exp(-u * u)


@njit(cache=True, nogil=True)
def ground(depth: Plane, edge: Plane, fibres: Plane, slow: Plane, um: float, x0: int, y0: int) -> Plane:
    """Return the tint of tissue between cells: collagen in wavy strands along the border, pale in tumour.

    Parameters are signed distances in µm to the tumour and to the end of tissue, per pixel.
    """
    rows, cols = depth.shape
    out = np.zeros((rows, cols), np.float32)
    for row in range(rows):
        for col in range(cols):
            outside = 1 / (1 + np.exp(edge[row, col] / 1.0))
            if outside < 1e-3:
                continue
            px = (col + x0) * um
            py = (row + y0) * um
            warp = 4 * sample(slow, px / 7, py / 7) + 12 * sample(slow, px / 23, py / 23)
            u = (depth[row, col] + warp + 0.25 * px + 0.15 * py) / 1.1
            v = (px - 0.7 * py) / 9
            strand = 0.7 * sample(fibres, u, v) + 0.5 * sample(fibres, u / 4, v / 2)
            strand += 0.5 * sample(fibres, px / 0.8, py / 0.8) + 0.4 * sample(slow, px / 5, py / 5)
            in_stroma = 1 / (1 + np.exp(-depth[row, col] / 6))
            mottle = sample(slow, px / 20, py / 20)
            tint = 0.055 + 0.015 * mottle + 0.016 * (1 - in_stroma) * sample(fibres, px / 1.2, py / 1.2)
            tint += in_stroma * (0.020 + 0.02 * strand)
            cleft = 1 / (1 + np.exp(-(strand + 0.5 * mottle + 2.0) / 0.15))
            out[row, col] = outside * max(0.0, tint) * (1 - in_stroma * (1 - cleft))
    return out
