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
from spatial_til.units import PixelSize

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
    of = np.array([classes.index(stroke.name) for stroke in strokes], dtype=np.intp)
    under = [_squares_under(stroke.region, shape, square) for stroke in strokes]
    claim = np.repeat(np.arange(len(strokes)), [len(found) for found in under])
    place, at = np.unique(np.concatenate([np.empty(0, np.int64), *under]), return_inverse=True)
    owner, lowest, highest = (np.full(len(place), first) for first in (-1, len(classes), -1))
    np.maximum.at(owner, at, claim)
    np.minimum.at(lowest, at, of[claim])
    np.maximum.at(highest, at, of[claim])
    once = lowest == highest
    parts = [_under_one(planes, place[once & (owner == k)], shape, channels, references) for k in range(len(strokes))]
    stroke_of = np.repeat(np.arange(len(strokes)), [len(part) for part in parts])
    features = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.int16)
    samples = Samples(features, of[stroke_of], stroke_of + first_stroke, np.full(len(stroke_of), slide))
    return samples, int((~once).sum())


def _squares_under(region: MultiPolygon, shape: tuple[int, int], square: PixelSize) -> NDArray[np.int64]:
    """Return the numbers, row by row, of the squares whose middle lies in a region; looks no further than its box."""
    if region.is_empty:
        return np.empty(0, dtype=np.int64)
    ends = np.array(region.bounds).reshape(2, 2)[:, ::-1] / (square.y_um, square.x_um)
    first, last = np.clip([np.floor(ends[0]), np.ceil(ends[1])], 0, shape).astype(np.int64)
    rows, cols = (int(n) for n in np.maximum(last - first, 0))
    moved = shapely.transform(region, lambda xy: xy - first[::-1] * (square.x_um, square.y_um))
    row, col = np.nonzero(mask_of(moved, (rows, cols), square))
    return np.asarray((row + first[0]) * shape[1] + col + first[1], dtype=np.int64)


def _under_one(
    planes: StainPlanes,
    place: NDArray[np.int64],
    shape: tuple[int, int],
    channels: tuple[str, ...],
    references: tuple[float, ...],
) -> NDArray[np.int16]:
    """Return the features (n, features) of some squares, from the smallest box around them."""
    rows, cols = np.divmod(place, shape[1]) if len(place) else (np.zeros(1, np.int64), np.zeros(1, np.int64))
    box = (int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    found = features_in(planes, channels, references, box)[:, rows - box[0], cols - box[2]]
    return np.ascontiguousarray(found[:, : len(place)].T)


def joined(parts: Sequence[Samples]) -> Samples:
    """Return the samples of several slides as one."""
    return Samples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
