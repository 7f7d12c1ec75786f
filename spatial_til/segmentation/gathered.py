"""Cells of the tiles of a slide, put aside while they come and joined column by column."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, NamedTuple

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
    """The cells of all tiles so far, in a file: while there are tiles to work on, they take no memory.

    Nothing that a tile made is kept: small arrays left among the large ones of the next tiles would keep their memory
    from being used again, and a slide would take the more of it the more tiles it has.

    Parameters
    ----------
    file
        Open for writing and reading, and empty; nobody else uses it meanwhile.

    Examples
    --------
    >>> cells = Gathered(io.BytesIO())
    >>> for row in ([2.0, 1.0], [0.0]):
    ...     others = [np.zeros(len(row))] * 6
    ...     cells.add(Part(np.array(row), *others))
    >>> cells.counts, cells.column("row").tolist()
    ([2, 1], [2.0, 1.0, 0.0])
    """

    def __init__(self, file: BinaryIO) -> None:
        self.counts: list[int] = []  # cells of each tile
        self._file = file
        self._blocks: dict[str, list[tuple[int, int]]] = {name: [] for name in Part._fields}  # start, cells
        self._dtype: dict[str, np.dtype[Any]] = {}

    def add(self, part: Part) -> None:
        """Put the cells of one more tile aside."""
        self.counts.append(len(part.row))
        for name, array in part._asdict().items():
            self._dtype[name] = array.dtype
            self._blocks[name].append((self._file.seek(0, io.SEEK_END), array.shape[-1]))
            self._file.write(array.tobytes())

    def column(self, name: str, k: int = 0) -> NDArray[Any]:
        """Return line `k` of an array of `Part`, tile after tile."""
        size, data = self._dtype[name].itemsize, bytearray()
        for start, n in self._blocks[name]:
            self._file.seek(start + k * n * size)
            data += self._file.read(n * size)
        return np.frombuffer(data, self._dtype[name])
