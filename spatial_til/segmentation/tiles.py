"""A grid cut into tiles whose cells add up to the same cells, whatever the tile size."""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

from spatial_til.model import Box


class Tile(NamedTuple):
    """One tile: the box it owns (half-open) and the box it reads, in pixels of the grid."""

    row0: int
    row1: int
    col0: int
    col1: int
    read_row0: int
    read_row1: int
    read_col0: int
    read_col1: int

    @property
    def read_box(self) -> Box:
        """The box it reads."""
        return self.read_row0, self.read_row1, self.read_col0, self.read_col1


def even_sides(shape: tuple[int, int], *, most_px: int, least_tiles: int = 1) -> tuple[int, int]:
    """Return rows and columns of tiles, at most `most_px`, that cut a grid evenly into about so many or more.

    Examples
    --------
    >>> even_sides((5000, 3000), most_px=2560), even_sides((1001, 1001), most_px=2560, least_tiles=4)
    ((2500, 1500), (501, 501))
    """
    side = min(most_px, isqrt((shape[0] * shape[1] - 1) // least_tiles) + 1)  # rounded up: not a sliver of a tile more
    rows, cols = (-(-n // max(-(-n // side), 1)) for n in shape)
    return rows, cols


def tile_grid(shape: tuple[int, int], *, tile_px: tuple[int, int], halo_px: int, align_px: int) -> list[Tile]:
    """Return tiles of `tile_px` (rows, columns) that partition a grid, each read with `halo_px` pixels around it.

    Read boxes start at multiples of `align_px`, so that blocks of that size fall on the same pixels in
    every tiling, and end at the edge of the grid or beyond the halo.

    Examples
    --------
    >>> [t.row1 for t in tile_grid((30, 10), tile_px=(16, 16), halo_px=3, align_px=4)]
    [16, 30]
    >>> tile_grid((30, 10), tile_px=(16, 16), halo_px=3, align_px=4)[1].read_row0
    12
    """
    if min(tile_px) <= 0 or align_px <= 0 or halo_px < 0:
        msg = f"Tile and block sides are positive and the halo not negative, found {tile_px}, {align_px}, {halo_px}"
        raise ValueError(msg)
    rows, cols = shape
    tiles = []
    for r in range(0, rows, tile_px[0]):
        r1 = min(r + tile_px[0], rows)
        read_r = _reach(r, r1, rows, halo_px, align_px)
        for c in range(0, cols, tile_px[1]):
            c1 = min(c + tile_px[1], cols)
            tiles.append(Tile(r, r1, c, c1, *read_r, *_reach(c, c1, cols, halo_px, align_px)))
    return tiles


def _reach(start: int, stop: int, size: int, halo: int, align: int) -> tuple[int, int]:
    low = max(start - halo, 0) // align * align
    high = -(-(stop + halo) // align) * align
    return low, min(high, size)
