"""Cells of the tiles of a slide, gathered while they come and joined column by column."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Part(NamedTuple):
    """Cells of one tile, along the last axis of each array; `colour` of those that are stained only."""

    row: NDArray[np.float64]
    col: NDArray[np.float64]
    nucleus_px: NDArray[np.int32]
    cell_px: NDArray[np.int64]
    values: NDArray[np.float32]  # (columns, n)
    stained: NDArray[np.bool_]
    colour: NDArray[np.int64]  # (N_SUMS, stained), see `cell_pigment.colour_sums`


class Gathered:
    """The cells of all tiles so far, each column in one piece that grows.

    Nothing that a tile made is kept: small arrays left among the large ones of the next tiles would keep their memory
    from being used again, and a slide would take the more of it the more tiles it has.

    Examples
    --------
    >>> cells = Gathered()
    >>> for row in ([2.0, 1.0], [0.0]):
    ...     others = [np.zeros(len(row))] * 6
    ...     cells.add(Part(np.array(row), *others))
    >>> cells.counts, cells.column("row").tolist()
    ([2, 1], [2.0, 1.0, 0.0])
    >>> cells.take("row", np.array([2, 1, 0])).tolist()
    [0.0, 1.0, 2.0]
    """

    def __init__(self) -> None:
        self.counts: list[int] = []  # cells of each tile
        self._held: dict[tuple[str, int], bytearray] = {}
        self._dtype: dict[str, np.dtype[Any]] = {}

    def add(self, part: Part) -> None:
        """Copy the cells of one more tile."""
        self.counts.append(len(part.row))
        for name, array in part._asdict().items():
            self._dtype[name] = array.dtype
            for k, line in enumerate(np.atleast_2d(array)):
                self._held.setdefault((name, k), bytearray()).extend(line.tobytes())

    def column(self, name: str, k: int = 0) -> NDArray[Any]:
        """Return line `k` of an array of `Part`, tile after tile; no tile can be added while it is looked at."""
        return np.frombuffer(self._held[name, k], self._dtype[name])

    def take(self, name: str, order: NDArray[np.intp], k: int = 0) -> NDArray[Any]:
        """Return the same in an order, and let go of it."""
        column = np.frombuffer(self._held.pop((name, k)), self._dtype[name])
        return np.asarray(column[order])
