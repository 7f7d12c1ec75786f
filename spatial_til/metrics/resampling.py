"""Spatial tiles as the unit of sampling: sums per tile, their bootstrap, and the spread of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import FloatArray

_DRAWS_AT_ONCE = 256  # bounds the weights held in memory: 256 draws x 10,000 tiles = 20 MB


@dataclass(frozen=True, slots=True)
class TileSums:
    """Sums of k columns over the cells of each spatial tile, and the stratum of each tile."""

    sums: FloatArray  # (T, k)
    stratum: NDArray[np.int64]  # (T,)

    @property
    def totals(self) -> FloatArray:
        """Sums over all tiles, (k,)."""
        totals: FloatArray = self.sums.sum(axis=0)
        return totals

    @property
    def n_tiles(self) -> int:
        """Number of tiles that hold at least one of the cells."""
        return len(self.stratum)

    @property
    def dof(self) -> int:
        """Degrees of freedom: tiles less strata."""
        return self.n_tiles - len(np.unique(self.stratum))


def sum_by_tile(columns: NDArray[Any], tile: NDArray[np.integer[Any]], stratum: NDArray[np.integer[Any]]) -> TileSums:
    """Return the sums of each column over the cells of each tile.

    Parameters
    ----------
    columns
        (n, k) numbers or booleans, one row a cell.
    tile
        (n,) tile of each cell, numbered within its stratum.
    stratum
        (n,) stratum of each cell: its compartment code.

    Examples
    --------
    >>> sums = sum_by_tile(np.array([[1.0], [2.0], [4.0]]), np.array([0, 0, 7]), np.array([0, 0, 1]))
    >>> sums.sums.tolist(), sums.stratum.tolist()
    ([[3.0], [4.0]], [0, 1])
    """
    position, strata = tile_positions(tile, stratum)
    return TileSums(column_sums(columns, position, len(strata)), strata)


def column_sums(columns: NDArray[Any], position: NDArray[np.integer[Any]], n_tiles: int) -> FloatArray:
    """Return the (T, k) sums of (n, k) columns by the position of each row's tile."""
    return np.column_stack([np.bincount(position, weights=column, minlength=n_tiles) for column in columns.T])


def tile_positions(
    tile: NDArray[np.integer[Any]], stratum: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return which of the tiles that hold a cell each cell is in, and the stratum of each of those tiles.

    Examples
    --------
    >>> position, strata = tile_positions(np.array([5, 2, 5]), np.array([0, 0, 1]))
    >>> position.tolist(), strata.tolist()
    ([1, 0, 2], [0, 0, 1])
    """
    if len(tile) == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int64)
    width = int(tile.max()) - int(tile.min()) + 1
    key = stratum.astype(np.int64) * width + (tile.astype(np.int64) - int(tile.min()))
    keys, position = np.unique(key, return_inverse=True)
    return position, keys // width


def bootstrap_totals(tiles: TileSums, draws: int, random: np.random.Generator) -> FloatArray:
    """Return (draws, k) totals over tiles drawn with replacement within each stratum."""
    totals = np.zeros((draws, tiles.sums.shape[1]))
    for code in np.unique(tiles.stratum):
        part = tiles.sums[tiles.stratum == code]
        n = len(part)
        for start in range(0, draws, _DRAWS_AT_ONCE):
            rows = min(_DRAWS_AT_ONCE, draws - start)
            chosen = random.integers(n, size=(rows, n)) + np.arange(rows)[:, None] * n
            weights = np.bincount(chosen.ravel(), minlength=rows * n).reshape(rows, n)
            totals[start : start + rows] += weights.astype(np.float64) @ part
    return totals
