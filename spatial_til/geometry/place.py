"""The compartment and the signed distance of every cell, from one definition.

Membership of tumour, hole and piece is decided by the polygons, the band by the exact distance to
the border of the cell's own piece; so distance and compartment cannot contradict each other. The
polygons of the bands have chords for arcs (32 a quarter), which lie at most 3e-4 of the width inside
the exact band, 0.15 µm at 500 µm: that is all by which areas and counts can differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import CellTableError
from spatial_til.geometry.locate import locate
from spatial_til.geometry.nearest import nearest_on_lines
from spatial_til.geometry.pieces import group_lines
from spatial_til.model import COMPARTMENTS, EXCLUDED, UNPLACED, XY, BoolArray, Compartments, FloatArray, Placement

_CODE = {name: code for code, name in enumerate(COMPARTMENTS)}


class Measured(NamedTuple):
    """Where points lie with respect to tissue, tumour and border, (n,) each."""

    on_tissue: BoolArray  # on evaluable tissue
    in_tumor: BoolArray
    distance_um: FloatArray  # signed; NaN where there is none
    position_um: FloatArray  # of the nearest border point, along all of the border laid end to end


def measure_points(xy_um: XY, compartments: Compartments) -> Measured:
    """Return membership, signed distance and the nearest place along the border, for every point.

    Parameters
    ----------
    xy_um
        (n, 2) x, y in µm, finite.
    compartments
        The divided tissue.
    """
    piece = locate(xy_um, compartments.pieces)
    in_tumor = (piece >= 0) & (locate(xy_um, [compartments.tumor]) == 0)
    in_hole = ~in_tumor & (locate(xy_um, [compartments.hole_tissue]) == 0)
    distance = np.full(len(xy_um), np.nan)
    position = np.full(len(xy_um), np.nan)
    laid_um = 0.0
    for points, border in zip(
        _by_piece(np.where(in_hole, -1, piece), len(compartments.pieces)),
        group_lines(compartments.border.evaluable, compartments.tissue),
        strict=True,
    ):
        if not border.is_empty:
            nearest = nearest_on_lines(xy_um[points], border)
            distance[points] = nearest.distance_um
            position[points] = nearest.position_um + laid_um
            laid_um += border.length
    distance[in_tumor] = 0.0 - distance[in_tumor]
    return Measured(piece >= 0, in_tumor, distance, position)


def _by_piece(piece: NDArray[np.int64], n_pieces: int) -> list[NDArray[np.intp]]:
    """Return the indices of the points of each piece."""
    order = np.argsort(piece, kind="stable")
    return np.split(order, np.searchsorted(piece[order], np.arange(n_pieces + 1)))[1:-1]


def unplaced(n: int) -> Placement:
    """Return the placement of n cells of a slide whose regions are not known."""
    return Placement(np.full(n, UNPLACED, dtype=np.int8), np.full(n, np.nan))


def place_cells(xy_um: XY, compartments: Compartments) -> Placement:
    """Return compartment and signed distance to the evaluable border for every cell.

    Parameters
    ----------
    xy_um
        (n, 2) x, y of the cells, in µm.
    compartments
        The divided tissue.

    Returns
    -------
    Placement
        Distance is <= 0 in the tumour (0 on its outline), NaN where the cell is excluded, in a hole
        that is no border, or in a piece without evaluable border.

    Raises
    ------
    CellTableError
        If a position is not finite.
    """
    xy = np.asarray(xy_um, dtype=np.float64).reshape(-1, 2)
    lost = int((~np.isfinite(xy)).any(axis=1).sum())
    if lost:
        msg = f"Cells must have finite positions; {lost} of {len(xy)} have not. Remove them from the table."
        raise CellTableError(msg)
    on_tissue, in_tumor, distance, _ = measure_points(xy, compartments)
    first_that_holds = {
        EXCLUDED: ~on_tissue,
        _CODE["tumor_unresolved"]: in_tumor & np.isnan(distance),
        _CODE["core"]: in_tumor & (distance < -compartments.inner_um),
        _CODE["inner_margin"]: in_tumor,
        _CODE["outer_margin"]: distance <= compartments.outer_um,
    }
    compartment = np.select(list(first_that_holds.values()), list(first_that_holds), _CODE["outside"])
    return Placement(compartment=compartment.astype(np.int8), border_distance_um=distance)
