"""A region as it was drawn: its class name and its outline in pixels, before any meaning is given to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import Polygon

from spatial_til.model import FloatArray

#: Vertices of an ellipse that a file gives by its box: the polygon is 0.04 % smaller than the ellipse.
ELLIPSE_VERTICES = 128
MIN_VERTICES = 3
#: Beyond this the product of two coordinates is no finite number.
FAR = 1e150


@dataclass(frozen=True, slots=True)
class Drawn:
    """One outline in pixel corners; `polygon` is None for points and lines, which have no area.

    `cuts` are outlines to take out of it, drawn on their own.
    """

    name: str  # the class, as the file spells it; "" where it has none
    kind: str  # what it was drawn as, for messages
    polygon: Polygon | None
    cuts: tuple[Polygon, ...] = ()


def outline(rings: Sequence[Sequence[Sequence[float]]]) -> Polygon | None:
    """Return a polygon from its outer ring and holes; None where the outer ring has no three points.

    Rings may be open or closed and may carry a third coordinate.

    Raises
    ------
    ValueError
        A coordinate is not finite.
    """
    closed = [finite([point[:2] for point in ring]) for ring in rings]
    closed = [ring for ring in closed if len(ring) >= MIN_VERTICES]
    return Polygon(closed[0], closed[1:]) if closed and len(rings[0]) >= MIN_VERTICES else None


def finite(points: Sequence[Sequence[float]]) -> FloatArray:
    """Return points as an array (n, 2).

    Raises
    ------
    ValueError
        A coordinate is not finite, or so large that an area of it would not be.
    """
    try:
        array = np.asarray(points, dtype=np.float64)
    except OverflowError:  # a whole number of more than 308 digits
        array = np.full((1, 2), np.inf)
    if not (np.abs(array) < FAR).all():
        msg = "a coordinate is not a finite number, or lies on no slide"
        raise ValueError(msg)
    return array


def rectangle(corners: Sequence[Sequence[float]]) -> Polygon:
    """Return the upright rectangle that spans some points; raise ValueError as `finite` does."""
    points = finite(corners)
    box: Polygon = shapely.box(*points.min(axis=0), *points.max(axis=0))
    return box


def ellipse(corners: Sequence[Sequence[float]]) -> Polygon:
    """Return the upright ellipse in the box that spans some points; raise ValueError as `finite` does."""
    points = finite(corners)
    low, high = points.min(axis=0), points.max(axis=0)
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_VERTICES, endpoint=False)
    return Polygon((low + high) / 2 + (high - low) / 2 * np.column_stack((np.cos(angle), np.sin(angle))))
