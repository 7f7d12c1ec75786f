"""The one border between our coordinates and napari's.

Ours: x, y in µm, y down, origin at the *corner* of the image's first pixel. napari's: (y, x) world coordinates,
which we make µm too, but an image's data coordinates count pixel *centres* from 0. So vector layers need their
columns swapped and nothing else, and image layers a scale of the pixel size and a shift of half a pixel.
napari's (y, x) occurs in no other file of this project.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from spatial_til.model import XY
from spatial_til.units import PixelSize

YX: TypeAlias = NDArray[np.float64]  # (n, 2): y, x in µm, napari's order


class Placed(NamedTuple):
    """`scale` and `translate` of an image layer, (y, x), so that its world coordinates are our µm."""

    scale: tuple[float, float]
    translate: tuple[float, float]


class Mesh(NamedTuple):
    """A filled region as triangles: vertices (n, 2) as y, x in µm, and faces (m, 3) that index them."""

    vertices: YX
    faces: NDArray[np.int64]


def place_image(px: PixelSize, offset_um: tuple[float, float] = (0.0, 0.0)) -> Placed:
    """Return where an image lies whose first pixel's corner is at `offset_um` (x, y).

    Examples
    --------
    >>> place_image(PixelSize(x_um=0.5, y_um=0.25))
    Placed(scale=(0.25, 0.5), translate=(0.125, 0.25))
    """
    x0, y0 = offset_um
    return Placed((px.y_um, px.x_um), (y0 + px.y_um / 2, x0 + px.x_um / 2))


def to_napari(xy_um: ArrayLike, offset_um: tuple[float, float] = (0.0, 0.0)) -> YX:
    """Return (n, 2) points x, y as napari's y, x, moved by `offset_um` (x, y).

    Examples
    --------
    >>> to_napari([[3.0, 4.0]], offset_um=(10.0, 0.0)).tolist()
    [[4.0, 13.0]]
    """
    xy = np.asarray(xy_um, dtype=np.float64).reshape(-1, 2) + offset_um
    return np.ascontiguousarray(xy[:, ::-1])


def from_napari(yx_um: ArrayLike) -> XY:
    """Return (n, 2) points y, x of napari as x, y: the inverse of `to_napari`."""
    yx = np.asarray(yx_um, dtype=np.float64).reshape(-1, np.shape(yx_um)[-1])
    return np.ascontiguousarray(yx[:, -1:-3:-1])  # the last two axes, should a viewer have more


def fill(region: BaseGeometry, offset_um: tuple[float, float] = (0.0, 0.0)) -> Mesh:
    """Return a region as triangles, holes left out exactly.

    Examples
    --------
    >>> ring = shapely.box(0, 0, 4, 4).difference(shapely.box(1, 1, 2, 3))
    >>> mesh = fill(ring)
    >>> corners = mesh.vertices[mesh.faces]
    >>> a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    >>> float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2) == ring.area
    True
    """
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(region))
    rings = shapely.get_coordinates(shapely.get_exterior_ring(triangles)).reshape(-1, 4, 2)
    vertices, faces = np.unique(rings[:, :3].reshape(-1, 2), axis=0, return_inverse=True)
    return Mesh(to_napari(vertices, offset_um), np.asarray(faces, dtype=np.int64).reshape(-1, 3))
