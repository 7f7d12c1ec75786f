"""Everything about a pair of populations that random labelling leaves as it is, found once.

The first population stays where it is; the label of the second is shuffled over a pool of cells. So for
every cell of the pool, its distances and counts to the first population are the same in every draw, and
a draw only adds them up over the cells that carry the label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.metrics.pointpatterns.kcross import pair_weights
from spatial_til.metrics.pointpatterns.neighbours import IntArray, build_grid, count_within, nearest_um
from spatial_til.metrics.pointpatterns.window import Overlap, boundary_distance_um, overlap_with_itself
from spatial_til.model import XY, BoolArray, FloatArray

#: More reference cells than this are thinned to it, at random but the same ones every time.
MOST_REFERENCES = 100_000


@dataclass(frozen=True, slots=True)
class Parts:
    """The fixed side of a pair in one window; k radii, f drawn reference cells, n cells in the pool."""

    radii_um: FloatArray  # (k,)
    area_um2: float
    overlap: Overlap
    n_first: int  # all of them, drawn or not
    first_um: XY  # (f, 2) drawn
    first_cell: IntArray  # (f,) identities
    first_boundary_um: FloatArray  # (f,)
    first_first: IntArray  # (f, k) others of the first within each radius
    pool_um: XY  # (n, 2)
    pool_cell: IntArray  # (n,)
    pool_boundary_um: FloatArray  # (n,)
    pool_distance_um: FloatArray  # (n,) to the nearest of the first
    pool_first: IntArray  # (n, k) of the first within each radius
    pool_drawn: IntArray  # (n, k) of the drawn ones
    pool_weight: FloatArray  # (n, k) translation weights to the drawn ones
    pool_is_drawn: BoolArray  # (n,) itself one of the drawn


def find_parts(
    xy_um: XY,
    first: BoolArray,
    pool: BoolArray,
    window: Polygon | MultiPolygon,
    radii_um: FloatArray,
    random: np.random.Generator,
    *,
    n_threads: int = 1,
) -> Parts:
    """Return the fixed side of a pair.

    Parameters
    ----------
    xy_um
        (n, 2) cells of the window.
    first, pool
        (n,) members; they may share cells.
    window
        Region in µm that the cells lie in.
    radii_um
        (k,) ascending.
    random
        Draws the reference cells where there are more than `MOST_REFERENCES`.
    """
    everyone, cells = np.flatnonzero(first), np.flatnonzero(pool)
    drawn = thinned(everyone, random)
    all_grid, drawn_grid = build_grid(xy_um[everyone], everyone), build_grid(xy_um[drawn], drawn)
    limit = float(radii_um[-1])
    overlap = overlap_with_itself(window, limit)
    pool_um = xy_um[cells]
    return Parts(
        radii_um=radii_um,
        area_um2=float(window.area),
        overlap=overlap,
        n_first=len(everyone),
        first_um=xy_um[drawn],
        first_cell=drawn,
        first_boundary_um=boundary_distance_um(window, xy_um[drawn], limit, n_threads=n_threads),
        first_first=count_within(xy_um[drawn], all_grid, radii_um, drawn, n_threads=n_threads),
        pool_um=pool_um,
        pool_cell=cells,
        pool_boundary_um=boundary_distance_um(window, pool_um, limit, n_threads=n_threads),
        pool_distance_um=nearest_um(pool_um, all_grid, cells, n_threads=n_threads),
        pool_first=count_within(pool_um, all_grid, radii_um, cells, n_threads=n_threads),
        pool_drawn=count_within(pool_um, drawn_grid, radii_um, cells, n_threads=n_threads),
        pool_weight=pair_weights(pool_um, cells, drawn_grid, radii_um, overlap, n_threads=n_threads),
        pool_is_drawn=np.isin(cells, drawn),
    )


def thinned(cells: IntArray, random: np.random.Generator) -> IntArray:
    """Return at most `MOST_REFERENCES` of the cells, in their order."""
    if len(cells) <= MOST_REFERENCES:
        return cells
    return np.sort(random.choice(cells, MOST_REFERENCES, replace=False, shuffle=False))
