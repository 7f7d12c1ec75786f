"""What a user paints: strokes of a class, and the squares of a slide under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry import MultiPolygon
from shapely.geometry.base import BaseGeometry

from spatial_til.segmentation.examples.classifier import features_in, square_size, squares_shape
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.tissue import mask_of

#: Width of a stroke drawn as a line; project default.
STROKE_UM = 20.0


@dataclass(frozen=True, slots=True)
class Stroke:
    """A painted example: the name of its class, and where it lies in µm."""

    name: str
    region: MultiPolygon


class Samples(NamedTuple):
    """Squares under strokes: (n, features), and for each the class, the stroke and the slide it is from."""

    features: NDArray[np.int16]
    class_index: NDArray[np.intp]
    stroke: NDArray[np.intp]
    slide: NDArray[np.intp]


def stroke_along(name: str, xy_um: ArrayLike, width_um: float = STROKE_UM) -> Stroke:
    """Return the stroke of a brush of some width along a line (n, 2) of x, y in µm."""
    points = np.asarray(xy_um, dtype=np.float64).reshape(-1, 2)
    line = shapely.LineString(points) if len(points) > 1 else shapely.Point(*points[0])
    return painted(name, line.buffer(width_um / 2))


def painted(name: str, region: BaseGeometry) -> Stroke:
    """Return an area painted as an example."""
    parts = shapely.get_parts(shapely.make_valid(region))
    return Stroke(name, MultiPolygon([p for p in parts if p.geom_type == "Polygon" and p.area > 0]))


def samples_under(
    planes: StainPlanes,
    strokes: Sequence[Stroke],
    classes: Sequence[str],
    channels: tuple[str, ...],
    references: tuple[float, ...],
    *,
    slide: int = 0,
    first_stroke: int = 0,
) -> tuple[Samples, int]:
    """Return the squares whose middle lies under a stroke, and how many were left out as claimed by two classes.

    A square under two strokes of one class belongs to the later.
    """
    shape, square = squares_shape(planes), square_size(planes.pixel_size)
    owner = np.full(shape, -1, dtype=np.int64)
    twice = np.zeros(shape, dtype=np.bool_)
    of = np.array([classes.index(stroke.name) for stroke in strokes], dtype=np.intp)
    for k, stroke in enumerate(strokes):
        under = mask_of(stroke.region, shape, square)
        before = owner[under]
        twice[under] |= (before >= 0) & (of[before] != of[k])
        owner[under] = k
    owner[twice] = -1
    parts = [_under_one(planes, owner == k, channels, references) for k in range(len(strokes))]
    stroke_of = np.repeat(np.arange(len(strokes)), [len(part) for part in parts])
    features = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.int16)
    samples = Samples(features, of[stroke_of], stroke_of + first_stroke, np.full(len(stroke_of), slide))
    return samples, int(twice.sum())


def _under_one(
    planes: StainPlanes, under: NDArray[np.bool_], channels: tuple[str, ...], references: tuple[float, ...]
) -> NDArray[np.int16]:
    """Return the features (n, features) of some squares, from the smallest box around them."""
    rows, cols = np.flatnonzero(under.any(axis=1)), np.flatnonzero(under.any(axis=0))
    if not len(rows):
        rows, cols = np.array([0]), np.array([0])
    box = (int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)
    found = features_in(planes, channels, references, box)
    return np.ascontiguousarray(found[:, under[box[0] : box[1], box[2] : box[3]]].T)


def joined(parts: Sequence[Samples]) -> Samples:
    """Return the samples of several slides as one."""
    return Samples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
