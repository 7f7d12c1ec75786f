"""Every stretch of tumour boundary, typed: only what faces stroma is an invasive border.

A tumour outline that runs along a cut edge, the image frame, a necrosis or the epidermis says
nothing about where the tumour meets stroma, and must not make a margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, MultiLineString, MultiPolygon, box
from shapely.geometry.base import BaseGeometry

from spatial_til.geometry.polygons import boundary_lines, buffer_lines, joined, linear, shared, without
from spatial_til.geometry.regions import Box
from spatial_til.model import BORDER_TYPES

#: A border must have this much tissue on its outer side, or it is reported as a thin rim.
THIN_RIM_UM = 100.0
#: Boundary is looked at in steps of at most this length when rims are searched.
_STEP_UM = 10.0
#: Outlines meet exactly where one was clipped by the other; rounding is far below this.
_TOUCH_UM = 1e-3


def type_border(
    boundary: MultiLineString,
    *,
    tissue: MultiPolygon,
    exclude: MultiPolygon,
    no_margin: MultiPolygon,
    image_box: Box | None,
    tissue_edge: str,
    edge_tolerance_um: float,
) -> Mapping[str, MultiLineString]:
    """Divide the tumour boundary into image edge, tissue edge, exclusion, no margin and stroma.

    First match wins, in that order.

    Parameters
    ----------
    boundary
        Outline of the tumour, in µm.
    tissue, exclude, no_margin
        Tissue before exclusions, and the regions whose edge or inside is no border.
    image_box
        x0, y0, x1, y1 of the image in µm; its frame is a cut edge.
    tissue_edge
        ``not_margin``, or ``margin`` to be blind to the frame and to cut edges.
    edge_tolerance_um
        How near to an edge the outline counts as lying on it.
    """
    tolerance = max(edge_tolerance_um, _TOUCH_UM)
    edges: dict[str, Sequence[MultiPolygon]] = {"no_margin": (no_margin,)}
    edges["exclusion"] = (exclude, _zone(boundary_lines(exclude), boundary, tolerance))
    if tissue_edge == "not_margin":
        frame = boundary_lines(MultiPolygon([box(*image_box)])) if image_box else MultiLineString()
        edges["image_edge"] = (_zone(frame, boundary, tolerance),)
        edges["tissue_edge"] = (_zone(boundary_lines(tissue), boundary, tolerance),)
    rest: MultiLineString = boundary
    typed = dict.fromkeys(BORDER_TYPES, MultiLineString())
    for name in BORDER_TYPES[:-1]:
        zone = joined(edges.get(name, ()))
        if not (zone.is_empty or rest.is_empty):
            typed[name] = linear(shared(rest, zone))
            rest = linear(without(rest, zone))
    typed["stroma"] = rest
    return typed


def _zone(edge: MultiLineString, boundary: MultiLineString, tolerance_um: float) -> MultiPolygon:
    """Return what lies within a tolerance of an edge, where the boundary comes that near at all."""
    if edge.is_empty or boundary.is_empty:
        return MultiPolygon()
    pieces = short_lines(edge)
    near = shapely.STRtree(short_lines(boundary)).query(pieces, predicate="dwithin", distance=tolerance_um)[0]
    return buffer_lines(linear(pieces[np.unique(near)]), tolerance_um)


def short_lines(lines: BaseGeometry) -> NDArray[np.object_]:
    """Return the single segments of lines, as an array of two-point lines."""
    coords, line = shapely.get_coordinates(shapely.get_parts(lines), return_index=True)
    same = np.flatnonzero(line[1:] == line[:-1])
    return np.asarray(shapely.linestrings(np.stack((coords[same], coords[same + 1]), axis=1)), dtype=object)


def find_thin_rim(border: MultiLineString, filled_tumor: MultiPolygon, tissue: MultiPolygon) -> MultiLineString:
    """Return the stretches of border with less than 100 µm of tissue straight outward.

    Parameters
    ----------
    border
        Evaluable border, in µm.
    filled_tumor
        The tumour whose outline it is: tells which side is outward.
    tissue
        Evaluable tissue.
    """
    if border.is_empty:
        return MultiLineString()
    steps = short_lines(shapely.segmentize(border, _STEP_UM))
    ends = shapely.get_coordinates(steps).reshape(-1, 2, 2)
    middle = ends.mean(axis=1)
    along = ends[:, 1] - ends[:, 0]
    normal = np.stack((along[:, 1], -along[:, 0]), axis=1) / np.hypot(*along.T)[:, None]
    shapely.prepare(filled_tumor)
    inward = shapely.contains_xy(filled_tumor, *(middle + 0.01 * normal).T)
    normal[inward] *= -1
    rays = shapely.linestrings(np.stack((middle, middle + THIN_RIM_UM * normal), axis=1))
    glass = shapely.STRtree(short_lines(boundary_lines(tissue)))
    thin = np.unique(glass.query(rays, predicate="intersects")[0])
    return linear([LineString(ends[i]) for i in thin])
