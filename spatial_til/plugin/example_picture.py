"""What a tissue model makes of a slide, as a picture computed where one looks; and the strokes. No window.

A square of the picture holds 0 where there is no tissue, 1 to 254 for a probability from 0 to 1, and 255 where the
tissue is unlike anything the model learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from spatial_til.plugin.colors import steps
from spatial_til.plugin.convert import fill, place_image, to_napari
from spatial_til.plugin.examples import Learned
from spatial_til.plugin.layers import UNITS, LayerTuple
from spatial_til.plugin.tiles import Image, Loader, Picture
from spatial_til.region_colors import Color
from spatial_til.segmentation.examples.classifier import classify_box

PROBABILITY, STROKES, STROKE = "Probability", "Examples", "Your stroke"
_UNLIKE = 255
_TOP = 253
#: Side in squares of what is classified at once.
_BLOCK = 512
#: The coarsest resolution stays blank; at this size nobody looks at it.
_BLANK_SQUARES = 48
_UNLIKE_COLOR = (255, 235, 59)
_AGAINST_COLOR, _AGAINST_ALPHA = (33, 33, 33), 0.6
_CLASS_COLORS: tuple[Color, ...] = (
    (255, 64, 129), (0, 150, 136), (63, 81, 181), (255, 152, 0), (121, 85, 72), (124, 179, 66), (0, 188, 212),
)  # fmt: skip


def class_color(index: int) -> Color:
    """Return the colour of a class."""
    return _CLASS_COLORS[index % len(_CLASS_COLORS)]


class ClassifiedSquares:
    """The probability of one class as a source of tiles, each square as many squares of the model as `factor`²."""

    def __init__(self, learned: Learned, wanted: int, factor: int) -> None:
        self._learned, self._wanted, self._factor = learned, wanted, factor
        rows, cols = learned.inside.shape
        self.shape = (rows // factor, cols // factor)

    def read(self, row0: int, row1: int, col0: int, col1: int) -> Image:
        """Return a box of the picture."""
        out = np.zeros((row1 - row0, col1 - col0), np.uint8)
        side = max(_BLOCK // self._factor, 1)
        for row in range(row0, row1, side):
            for col in range(col0, col1, side):
                box = (row, min(row + side, row1), col, min(col + side, col1))
                out[box[0] - row0 : box[1] - row0, box[2] - col0 : box[3] - col0] = self._block(box)
        return out

    def _block(self, box: tuple[int, int, int, int]) -> Image:
        f, (row0, row1, col0, col1) = self._factor, (self._factor * n for n in box)
        inside = self._learned.inside[row0:row1, col0:col1]
        if not inside.any():
            return np.zeros((box[1] - box[0], box[3] - box[2]), np.uint8)
        found = classify_box(self._learned.planes, self._learned.on_slide, (row0, row1, col0, col1))
        weight = _means(inside, f)
        seen = np.maximum(weight, 1e-6)
        code = 1 + np.rint(_TOP * _means(found.probability[self._wanted] * inside, f) / seen)
        code[_means(found.unlike & inside, f) > seen / 2] = _UNLIKE
        return np.where(weight >= 0.5, code, 0).astype(np.uint8)


def _means(values: NDArray[Any], factor: int) -> NDArray[np.float32]:
    rows, cols = (n // factor for n in values.shape)
    return np.asarray(values.reshape(rows, factor, cols, factor).mean(axis=(1, 3), dtype=np.float32))


def probability_picture(learned: Learned, wanted: int, loader: Loader | None) -> Picture:
    """Return the probability of one class over the slide, computed in tiles as they come into view."""
    factors = [1]
    while max(learned.inside.shape) > _BLANK_SQUARES * factors[-1] and min(learned.inside.shape) > 2 * factors[-1]:
        factors.append(2 * factors[-1])
    sources = [ClassifiedSquares(learned, wanted, factor) for factor in factors]
    return Picture(sources, np.zeros(sources[-1].shape, np.uint8), loader)


def probability_layer(picture: Picture, learned: Learned, color: Color) -> LayerTuple:
    """Return the layer of a probability: coloured where the class is likely, dark where it is not, clear between."""
    placed = place_image(learned.square)
    settings = {
        "name": PROBABILITY,
        "multiscale": True,
        "rgb": False,
        "scale": placed.scale,
        "translate": placed.translate,
        "units": UNITS,
        "colormap": probability_colors(color),
        "contrast_limits": (0, 255),
        "blending": "translucent_no_depth",
        "interpolation2d": "nearest",
        "opacity": 0.55,
    }
    return list(picture.levels), settings, "image"


def probability_colors(color: Color) -> dict[str, Any]:
    """Return the colour map of a probability's picture."""
    found = steps(PROBABILITY, [])
    share = np.linspace(-1, 1, _TOP + 1)
    table = np.zeros((256, 4), np.float32)
    table[1:_UNLIKE, :3] = np.where(share[:, None] > 0, color, _AGAINST_COLOR) / np.float32(255)
    table[1:_UNLIKE, 3] = np.where(share > 0, share, -_AGAINST_ALPHA * share)
    table[_UNLIKE] = (*(c / 255 for c in _UNLIKE_COLOR), 1.0)
    return found | {"name": f"{PROBABILITY} {color}", "colors": table}


def strokes_mesh(regions: Sequence[BaseGeometry]) -> tuple[Any, Any, Any]:
    """Return painted areas as triangles, those of the first class with the number 1; a speck where there is none."""
    vertices, faces, values = [np.zeros((3, 2))], [np.array([[0, 1, 2]])], [np.zeros(3, np.float32)]
    for number, region in enumerate(regions, start=1):
        if not region.is_empty:
            mesh = fill(region)
            faces.append(mesh.faces + sum(len(v) for v in vertices))
            vertices.append(mesh.vertices)
            values.append(np.full(len(mesh.vertices), number, np.float32))
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(values)


def strokes_layer(regions: Sequence[BaseGeometry]) -> LayerTuple:
    """Return the layer of what was painted, class by class."""
    settings = {
        "name": STROKES,
        "colormap": steps(STROKES, [class_color(k) for k in range(len(regions))]),
        "contrast_limits": (0, 255),
        "opacity": 0.6,
        "shading": "none",
        "blending": "translucent_no_depth",
        "units": UNITS,
    }
    return strokes_mesh(regions), settings, "surface"


def stroke_segments(xy_um: Any) -> NDArray[np.float64]:
    """Return a line being drawn as the segments of napari's vectors; a speck where it has one point."""
    path = to_napari(xy_um)
    path = np.concatenate((path, path[-1:] + np.array([0.0, 0.1]))) if len(path) < 2 else path
    return np.stack((path[:-1], np.diff(path, axis=0)), axis=1)


def stroke_layer(width_um: float, color: Color) -> LayerTuple:
    """Return the layer in which a stroke is drawn."""
    settings = {
        "name": STROKE,
        "vector_style": "line",
        "edge_width": width_um,
        "edge_color": np.array([[*(c / 255 for c in color), 1.0]]),
        "opacity": 0.7,
        "units": UNITS,
    }
    return np.zeros((1, 2, 2)), settings, "vectors"
