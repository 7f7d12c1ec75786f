"""The pixels of each cell, gathered in pieces of memory that lie together.

An image is gone through row by row, as it lies in memory; a cell is then looked at in one place. Going through the
image cell by cell takes twice the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import CELL_END, NUCLEUS_END, label_of
from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.scratch import Scratch

#: Most pixels in one piece; a cell has as many pieces as it needs.
PIECE_PX = 256
#: Bits of a pixel's code.
NUCLEUS, CYTOPLASM, MEMBRANE = 1, 2, 4


class Pieces(NamedTuple):
    """Pixels of the wanted cells of one array, in raster order."""

    first: NDArray[np.int32]  # (n,) the first piece of each cell; -1 for none
    following: NDArray[np.int32]  # (pieces,) the next piece of the same cell; -1 for none
    held: NDArray[np.int32]  # (pieces,) pixels in each
    code: NDArray[np.uint8]  # (pieces, PIECE_PX) compartments
    value: NDArray[Any]  # (pieces, planes, PIECE_PX)
    area_px: NDArray[np.int64]  # (n,) pixels of each cell, wanted or not


def gather(
    keys: NDArray[np.uint32], wanted: NDArray[np.bool_], planes: NDArray[Any], ring_px: int, scratch: Scratch
) -> Pieces:
    """Gather the pixels of cells.

    Parameters
    ----------
    keys
        (rows, cols) cells of labels 1..n, see `cells.grow_cells`.
    wanted
        (n,) cells to gather.
    planes
        (planes, rows, cols) values.
    ring_px
        A pixel is on the membrane where another cell or none lies within this many pixels straight up, down or
        sideways.
    """
    n, m = len(wanted), len(planes)
    room = keys.size // PIECE_PX + n + 1
    following, held = (scratch.array(name, (room,), np.int32) for name in ("next pieces", "held in pieces"))
    code = scratch.array("codes in pieces", (room, PIECE_PX), np.uint8)
    value = scratch.array("values in pieces", (room, m, PIECE_PX), planes.dtype)
    first, area = np.full(n, -1, dtype=np.int32), np.zeros(n, dtype=np.int64)
    pieces = Pieces(first, following, held, code, value, area)
    _gather(keys, wanted, planes, ring_px, *pieces)
    return pieces


@njit(cache=True, nogil=True)
def _gather(
    keys: Any,
    wanted: Any,
    planes: Any,
    ring: int,
    first: Any,
    following: Any,
    held: Any,
    code: Any,
    value: Any,
    area: Any,
) -> None:
    m, rows, cols = planes.shape
    span = 2 * ring + 1
    lines, edge = np.empty((span, cols), dtype=np.int32), np.empty(cols, dtype=np.int32)
    codes = np.empty(cols, dtype=np.uint8)
    last = np.full(len(first), -1, dtype=np.int32)
    mark, at = mark_room(cols)
    used = 0
    for i in range(min(ring, rows)):
        _write_parts(keys[i], lines[i % span])
    for i in range(rows):
        if i + ring < rows:
            _write_parts(keys[i + ring], lines[(i + ring) % span])
        line = lines[i % span]
        edge[:] = 0
        for d in range(1, ring + 1):
            _differs(edge, line, lines[max(i - d, 0) % span])
            _differs(edge, line, lines[min(i + d, rows - 1) % span])
            _differs(edge[d:], line[d:], line[: cols - d])
            _differs(edge[: cols - d], line[: cols - d], line[d:])
        _finish(line, edge, codes, mark)
        changes = marked(mark, at)
        at[changes] = cols
        for t in range(changes):
            start, stop = at[t], at[t + 1]
            k = (line[start] >> 3) - 1
            if k < 0:
                continue
            area[k] += stop - start
            while wanted[k] and start < stop:
                piece = last[k]
                if piece < 0 or held[piece] == PIECE_PX:
                    if piece < 0:
                        first[k] = used
                    else:
                        following[piece] = used
                    piece = last[k] = np.int32(used)
                    following[piece], held[piece] = -1, 0
                    used += 1
                h = np.int64(held[piece])
                n = min(stop - start, PIECE_PX - h)
                rounded = _rounded_up(n, min(PIECE_PX - h, cols - start))
                _copy(code[piece, h : h + rounded], codes[start : start + rounded])
                for p in range(m):
                    _copy(value[piece, p, h : h + rounded], planes[p, i, start : start + rounded])
                held[piece] = h + n
                start += n


@njit(cache=True, nogil=True)
def _write_parts(keys: Any, line: Any) -> None:
    """Write for each pixel of a row eight times its cell's label, plus 1 in the nucleus or 2 around it; else 0."""
    for j in range(len(line)):
        inside = np.uint32(NUCLEUS) if keys[j] < NUCLEUS_END else np.uint32(CYTOPLASM)
        labelled = np.uint32(label_of(keys[j], CELL_END)) << np.uint32(3)
        line[j] = np.int32(labelled | inside) if keys[j] < CELL_END else np.int32(0)


@njit(cache=True, nogil=True)
def _differs(edge: Any, line: Any, other: Any) -> None:
    """Mark where two lines differ."""
    for j in range(len(edge)):
        edge[j] |= line[j] ^ other[j]


@njit(cache=True, nogil=True)
def _finish(line: Any, edge: Any, codes: Any, mark: Any) -> None:
    """Write the codes of a row, and mark its first pixel and those of another cell than the one before."""
    for j in range(len(line)):
        membrane = np.int32(MEMBRANE) if edge[j] > 7 else np.int32(0)
        codes[j] = np.uint8((line[j] & 3) | membrane)
    mark[0] = 1
    for j in range(1, len(line)):
        mark[j] = (line[j] ^ line[j - 1]) > 7


@njit(cache=True, nogil=True)
def _rounded_up(n: int, room: int) -> int:
    """Return `n` rounded up to whole vectors where there is room: the last few alone take longer than too many."""
    whole = (n + 7) & ~7
    return whole if whole <= room else n


@njit(cache=True, nogil=True)
def _copy(out: Any, values: Any) -> None:
    for j in range(len(out)):
        out[j] = values[j]
