"""Pieces: the connected components of tissue. Borders, bands and distances never jump glass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiLineString, MultiPolygon

from spatial_til.geometry.nearest import neighbour_order
from spatial_til.geometry.polygons import fill_holes, polygonal, shared, without


class Piece(NamedTuple):
    """One connected component of tissue, in µm."""

    tissue: MultiPolygon  # evaluable tissue: the three below
    tumor: MultiPolygon  # evaluable tumour
    open_rest: MultiPolygon  # evaluable tissue outside the filled tumour
    holes: MultiPolygon  # evaluable tissue in tumour holes that are not counted as tumour
    filled: MultiPolygon  # tumour before exclusions, its holes filled where they are ignored


def split_pieces(tissue: MultiPolygon, tumor: MultiPolygon, exclude: MultiPolygon, *, fill: bool) -> tuple[Piece, ...]:
    """Return the pieces of tissue with what they hold, in the order of `tissue.geoms`.

    Parameters
    ----------
    tissue, tumor, exclude
        Valid regions in µm, the last two clipped to the first.
    fill
        Whether holes of the tumour are filled before its outline is taken. Holes are filled within
        a piece, so that tissue lying apart inside a ring of tumour keeps its own border.
    """
    evaluable = polygonal(without(tissue, exclude))
    regions = (
        tumor,
        evaluable,
        polygonal(without(tumor, exclude)),
        polygonal(without(evaluable, tumor)),
    )
    shares = zip(*(group_parts(region, tissue) for region in regions), strict=True)
    return tuple(_make_piece(*share, fill=fill) for share in shares)


def _make_piece(
    whole: MultiPolygon, evaluable: MultiPolygon, tumor: MultiPolygon, rest: MultiPolygon, *, fill: bool
) -> Piece:
    filled = fill_holes(whole) if fill else whole
    gaps = polygonal(without(filled, whole)) if fill else MultiPolygon()
    if gaps.is_empty:
        return Piece(evaluable, tumor, rest, MultiPolygon(), filled)
    holes = polygonal(shared(rest, gaps))
    return Piece(evaluable, tumor, polygonal(without(rest, gaps)), holes, filled)


def group_parts(region: MultiPolygon, tissue: MultiPolygon) -> list[MultiPolygon]:
    """Return for each piece of tissue the polygons of a region that lie in it."""
    parts = shapely.get_parts(region)
    owner = nearest_piece(shapely.point_on_surface(parts), tissue)
    return [MultiPolygon(parts[owner == k].tolist()) for k in range(len(tissue.geoms))]


def group_lines(lines: MultiLineString, tissue: MultiPolygon) -> list[MultiLineString]:
    """Return for each piece of tissue the lines that lie in it, neighbours after each other."""
    parts = shapely.get_parts(lines)
    middle = shapely.line_interpolate_point(parts, 0.5, normalized=True)
    order = neighbour_order(shapely.get_coordinates(middle))
    owner = nearest_piece(middle, tissue)[order]
    return [MultiLineString(parts[order[owner == k]].tolist()) for k in range(len(tissue.geoms))]


def nearest_piece(points: NDArray[np.object_], tissue: MultiPolygon) -> NDArray[np.intp]:
    """Return the index of the piece that holds each point (rounding may put it just outside)."""
    if len(points) == 0:
        return np.empty(0, dtype=np.intp)
    pairs = shapely.STRtree(shapely.get_parts(tissue)).query_nearest(points, all_matches=False)
    return np.asarray(pairs[1], dtype=np.intp)
