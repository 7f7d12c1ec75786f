"""Everything about a pair of populations that random labelling leaves as it is, found once.

The first population stays where it is; the label of the second is shuffled over a pool of cells. So for
every cell of the pool, its distance and its pairs to the first population are the same in every draw, and
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
#: Distances to the boundary are known up to this multiple of the upper quartile of nearest distances.
_BOUNDARY_REACH = 3.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The fixed side of a pair in one window; k radii, f drawn reference cells, n cells in the pool."""

    radii_um: FloatArray  # (k,)
    area_um2: float
    overlap: Overlap
    n_first: int  # all of them, drawn or not
    first_pairs: IntArray  # (k,) ordered pairs within the first
    first_um: XY  # (f, 2) drawn
    first_cell: IntArray  # (f,) identities
    first_own: IntArray  # (f, k) others of the first within each radius
    first_boundary_um: FloatArray  # (f,)
    pool_um: XY  # (n, 2)
    pool_cell: IntArray  # (n,)
    pool_boundary_um: FloatArray  # (n,)
    pool_distance_um: FloatArray  # (n,) to the nearest of the first
    pool_first: IntArray  # (n, k) of the first within each radius
    pool_weight: FloatArray  # (n, k) translation weights to them
    pool_is_first: BoolArray  # (n,)


def find_parts(
    xy_um: XY,
    first: BoolArray,
    second: BoolArray,
    pool: BoolArray,
    window: Polygon | MultiPolygon,
    radii_um: FloatArray,
    random: np.random.Generator,
) -> Parts:
    """Return the fixed side of a pair.

    Parameters
    ----------
    xy_um
        (n, 2) cells of the window.
    first, second, pool
        (n,) members; they may share cells. The second only tells how far to look for the boundary.
    window
        Region in µm that the cells lie in.
    radii_um
        (k,) ascending.
    random
        Draws the reference cells where there are more than `MOST_REFERENCES`.
    """
    everyone, cells = np.flatnonzero(first), np.flatnonzero(pool)
    drawn = thinned(everyone, random)
    grid = build_grid(xy_um[everyone], everyone)
    pool_um = xy_um[cells]
    own = count_within(xy_um[everyone], grid, radii_um, everyone)
    pool_distance = nearest_um(pool_um, grid, cells)
    second_grid = build_grid(xy_um[second], np.flatnonzero(second))
    forward = nearest_um(xy_um[drawn], second_grid, drawn)
    limit = _boundary_limit(float(radii_um[-1]), forward, pool_distance[second[cells]])
    overlap = overlap_with_itself(window, float(radii_um[-1]))
    return Parts(
        radii_um=radii_um,
        area_um2=float(window.area),
        overlap=overlap,
        n_first=len(everyone),
        first_pairs=own.sum(axis=0),
        first_um=xy_um[drawn],
        first_cell=drawn,
        first_own=own[np.searchsorted(everyone, drawn)],
        first_boundary_um=boundary_distance_um(window, xy_um[drawn], limit),
        pool_um=pool_um,
        pool_cell=cells,
        pool_boundary_um=boundary_distance_um(window, pool_um, limit),
        pool_distance_um=pool_distance,
        pool_first=count_within(pool_um, grid, radii_um, cells),
        pool_weight=pair_weights(pool_um, cells, grid, radii_um, overlap),
        pool_is_first=first[cells],
    )


def _boundary_limit(longest_radius_um: float, *distances_um: FloatArray) -> float:
    """Return how far from a cell its boundary still matters: beyond the radii and the quartiles asked for."""
    finite = [distance[np.isfinite(distance)] for distance in distances_um]
    quartiles = [float(np.quantile(distance, 0.75)) for distance in finite if len(distance)]
    return max([longest_radius_um, *(_BOUNDARY_REACH * quartile for quartile in quartiles)])


def thinned(cells: IntArray, random: np.random.Generator) -> IntArray:
    """Return at most `MOST_REFERENCES` of the cells, in their order."""
    if len(cells) <= MOST_REFERENCES:
        return cells
    return np.sort(random.choice(cells, MOST_REFERENCES, replace=False, shuffle=False))
