"""What each reference cell saw around it: the marks that are drawn again, tile by tile, for an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.pointpatterns.kcross import pair_weights
from spatial_til.metrics.pointpatterns.neighbours import Grid, IntArray, count_within, nearest_um
from spatial_til.metrics.pointpatterns.parts import Parts
from spatial_til.model import FloatArray


@dataclass(frozen=True, slots=True)
class Marks:
    """What each of n reference cells saw: its tile, distances, and counts within k radii."""

    tile: NDArray[np.integer[Any]]  # (n,) index into all tiles of the region
    target_tile: NDArray[np.integer[Any]]  # (m,) the same of every target cell
    distance_um: FloatArray  # (n,) to the nearest target
    boundary_um: FloatArray  # (n,)
    targets: IntArray  # (n, k)
    own: IntArray  # (n, k) of its own population
    weights: FloatArray  # (n, k) translation weights to the targets


def first_marks(parts: Parts, labelled: IntArray, second: Grid, tile: NDArray[np.integer[Any]]) -> Marks:
    """Return what the drawn cells of the first population saw of the second (positions in the pool, and grid)."""
    cell = parts.first_cell
    return Marks(
        tile=tile[cell],
        target_tile=tile[parts.pool_cell[labelled]],
        distance_um=nearest_um(parts.first_um, second, cell),
        boundary_um=parts.first_boundary_um,
        targets=count_within(parts.first_um, second, parts.radii_um, cell),
        own=parts.first_own,
        weights=pair_weights(parts.first_um, cell, second, parts.radii_um, parts.overlap),
    )


def second_marks(parts: Parts, references: IntArray, second: Grid, tile: NDArray[np.integer[Any]]) -> Marks:
    """Return what the reference cells of the second population (positions in the pool) saw of the first."""
    cell = parts.pool_cell[references]
    return Marks(
        tile=tile[cell],
        target_tile=tile[parts.first_cell],
        distance_um=parts.pool_distance_um[references],
        boundary_um=parts.pool_boundary_um[references],
        targets=parts.pool_first[references],
        own=count_within(parts.pool_um[references], second, parts.radii_um, cell),
        weights=parts.pool_weight[references],
    )
