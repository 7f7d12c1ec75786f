"""A compartment as spatial tiles: the sampling units of every interval of a density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely.geometry import MultiPolygon

from spatial_til.metrics.autocorrelation import correlated_neighbours
from spatial_til.metrics.merging import merge_fragments
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.metrics.squares import Squares, divide_into_squares
from spatial_til.model import COMPARTMENTS, XY, BoolArray, Compartments, FloatArray, Placement, TileCounts
from spatial_til.units import UM2_PER_MM2

#: A tile side is halved at most twice (200, 100, 50 µm): smaller tiles hold single cells.
_HALVINGS = 2
#: Squares with less of the region than this share are rounding, not tissue.
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class SlideTiles:
    """Tile counts of a slide by base compartment, and the tile each cell lies in.

    `tile` numbers tiles within the compartment of the cell; -1 for cells in no compartment.
    """

    counts: Mapping[str, TileCounts]
    tile: NDArray[np.intp]  # (n,)


@dataclass(frozen=True, slots=True)
class _Tiling:
    """Tiles of one side: their areas, centres and which tile each point lies in."""

    side_um: float
    area_um2: FloatArray
    centre_um: XY
    tile: NDArray[np.intp]  # (n,) tile of each point


def tile_slide(
    compartments: Compartments,
    placement: Placement,
    xy_um: XY,
    populations: Mapping[str, BoolArray],
    *,
    slide_id: str,
    tile_um: float,
    min_tiles: int,
    correlated: Sequence[str],
    seed: int,
) -> SlideTiles:
    """Divide every base compartment of a slide into tiles and count in them.

    Parameters
    ----------
    compartments, placement
        Regions, and which cell lies in which.
    xy_um
        (n, 2) cells.
    populations
        (n,) members of each population, by name.
    slide_id, tile_um, min_tiles, correlated, seed
        As in `tile_compartment`.
    """
    counts = {}
    tile = np.full(len(xy_um), -1)
    for code, name in enumerate(COMPARTMENTS):
        cells = np.flatnonzero(placement.compartment == code)
        counts[name], tile[cells] = tile_compartment(
            compartments.regions[name],
            xy_um[cells],
            {population: members[cells] for population, members in populations.items()},
            slide_id=slide_id,
            compartment=name,
            tile_um=tile_um,
            min_tiles=min_tiles,
            correlated=correlated,
            seed=seed,
        )
    return SlideTiles(counts, tile)


def tile_compartment(
    region: MultiPolygon,
    xy_um: XY,
    populations: Mapping[str, BoolArray],
    *,
    slide_id: str,
    compartment: str,
    tile_um: float,
    min_tiles: int,
    correlated: Sequence[str],
    seed: int,
) -> tuple[TileCounts, NDArray[np.intp]]:
    """Divide a compartment into tiles and count the cells of each population in them.

    Squares of `tile_um` are clipped to the region. A fragment under a quarter of a square joins the
    neighbour it shares the longest edge with (one that touches none, the nearest), so that no area is
    dropped. The side is halved, twice at most, until there are `min_tiles`; fewer are flagged `few_tiles`.
    Where neighbouring tiles are correlated in one of the named populations, and enough tiles are left,
    the side is doubled once: `tiles_enlarged`.

    Parameters
    ----------
    region
        The compartment in µm; may be empty.
    xy_um
        (n, 2) cells of the compartment. A cell on the region's very edge counts in the nearest tile.
    populations
        (n,) members of each population, by name.
    slide_id, compartment
        Names; the permutation test is seeded by `seed` and these.
    tile_um
        Side of a tile in µm.
    min_tiles
        Tiles wanted at least.
    correlated
        Populations whose neighbour correlation is tested.
    seed
        The protocol's `statistics.seed`.

    Returns
    -------
    TileCounts
        Areas, counts and centres of the tiles.
    NDArray[np.intp]
        (n,) tile of each cell.
    """
    flags: list[str] = []
    tiling = _fine_enough(region, xy_um, tile_um, min_tiles)
    if len(tiling.area_um2) < min_tiles:
        flags.append("few_tiles")
    elif _is_correlated(tiling, [populations[p] for p in correlated if p in populations], seed, slide_id, compartment):
        larger = _tile(region, xy_um, 2 * tiling.side_um)
        if len(larger.area_um2) >= min_tiles:
            tiling = larger
            flags.append("tiles_enlarged")
    counts = TileCounts(
        slide_id=slide_id,
        compartment=compartment,
        tile_um=tiling.side_um,
        area_mm2=tiling.area_um2 / UM2_PER_MM2,
        counts={name: _count(tiling, members) for name, members in populations.items()},
        x_um=tiling.centre_um[:, 0],
        y_um=tiling.centre_um[:, 1],
        flags=tuple(flags),
    )
    return counts, tiling.tile


def untiled_counts(
    populations: Mapping[str, BoolArray], *, slide_id: str, compartment: str, area_mm2: float
) -> TileCounts:
    """Return the counts of a region known by its area alone, as one tile; an area of 0 is an unknown one."""
    return TileCounts(
        slide_id=slide_id,
        compartment=compartment,
        tile_um=float("nan"),
        area_mm2=np.array([area_mm2]),
        counts={name: np.array([members.sum()], dtype=np.int64) for name, members in populations.items()},
        x_um=np.array([np.nan]),
        y_um=np.array([np.nan]),
        flags=("few_tiles",),
    )


def _count(tiling: _Tiling, members: BoolArray) -> NDArray[np.int64]:
    """Return the cells of one population in each tile."""
    return np.bincount(tiling.tile[members], minlength=len(tiling.area_um2)).astype(np.int64)


def _fine_enough(region: MultiPolygon, xy_um: XY, tile_um: float, min_tiles: int) -> _Tiling:
    """Return the tiling of the largest side that gives `min_tiles`, or of the smallest side."""
    tiling = _tile(region, xy_um, tile_um)
    for halving in range(1, _HALVINGS + 1):
        if region.is_empty or len(tiling.area_um2) >= min_tiles:
            break
        tiling = _tile(region, xy_um, tile_um / 2**halving)
    return tiling


def _is_correlated(tiling: _Tiling, populations: Sequence[BoolArray], seed: int, *keys: str) -> bool:
    """Return whether neighbouring tiles are alike in any of the populations."""
    return any(
        correlated_neighbours(
            _count(tiling, members),
            tiling.area_um2,
            tiling.centre_um,
            reach_um=1.5 * tiling.side_um,
            random=seeded_generator(seed, *keys, "moran"),
        )
        for members in populations
    )


def _tile(region: MultiPolygon, xy_um: XY, side_um: float) -> _Tiling:
    """Return the tiles of one side: clipped squares, small fragments joined to their neighbours."""
    if region.is_empty:
        return _Tiling(side_um, np.zeros(0), np.zeros((0, 2)), np.zeros(len(xy_um), dtype=np.intp))
    squares = divide_into_squares(region, side_um)
    area = squares.area_um2.ravel()
    used = np.flatnonzero(area > _NOTHING * side_um**2)
    first, second, shared_um = _neighbours(squares, used)
    label = merge_fragments(area[used], first, second, shared_um, squares.centres_um[used], smallest=side_um**2 / 4)
    merged = np.asarray(np.bincount(label, weights=area[used]), dtype=np.float64)
    centre = np.column_stack([np.bincount(label, weights=area[used] * c) / merged for c in squares.centres_um[used].T])
    return _Tiling(side_um, merged, centre, label[_square_of_points(squares, used, xy_um)])


def _neighbours(squares: Squares, used: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any], FloatArray]:
    """Return pairs of used squares (as positions in `used`) that share an edge, and its length in µm."""
    position = np.full(squares.area_um2.size, -1)
    position[used] = np.arange(len(used))
    grid = position.reshape(squares.area_um2.shape)
    first = np.concatenate((grid[:, :-1].ravel(), grid[:-1].ravel()))
    second = np.concatenate((grid[:, 1:].ravel(), grid[1:].ravel()))
    shared = np.concatenate((squares.left_um[:, 1:].ravel(), squares.top_um[1:].ravel()))
    touch = (first >= 0) & (second >= 0) & (shared > _NOTHING * squares.side_um)
    return first[touch], second[touch], shared[touch]


def _square_of_points(squares: Squares, used: NDArray[np.intp], xy_um: XY) -> NDArray[np.intp]:
    """Return the used square (as a position in `used`) of each point."""
    position = np.full(squares.area_um2.size, -1)
    position[used] = np.arange(len(used))
    found = position[squares.index(xy_um)]
    stray = np.flatnonzero(found < 0)  # on the edge of the region, in a square that holds none of its area
    if len(stray):
        found[stray] = cKDTree(squares.centres_um[used]).query(xy_um[stray])[1]
    return found
