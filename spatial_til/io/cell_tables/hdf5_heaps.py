"""Heaps of HDF5 that its library would read for ever."""

from __future__ import annotations

import mmap
from pathlib import Path

from spatial_til.errors import CellTableError

_HEAP, _HEAD_BYTES, _OBJECT_BYTES = b"GCOL\x01\0\0\0", 16, 16


def check_heaps(path: Path) -> None:
    """Refuse a file in which free space of a global heap has no size: the library's walk along it would never end.

    Raises
    ------
    CellTableError
        There is such a heap.

    Notes
    -----
    Global heaps hold text of variable length. Each begins with its signature and size, and then each object with its
    number (0: free space) and size (HDF5 File Format Specification 3.0, III.E).
    """
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_HEAP)
        while at >= 0:
            end = min(at + int.from_bytes(data[at + 8 : at + 16], "little"), len(data))
            if _runs_in_place(data, at + _HEAD_BYTES, end):
                msg = f"{path}: it cannot be read as AnnData (a heap of text is damaged). Write it again."
                raise CellTableError(msg)
            at = data.find(_HEAP, at + len(_HEAP))


def _runs_in_place(data: mmap.mmap, at: int, end: int) -> bool:
    while at + _OBJECT_BYTES <= end:
        number, size = (int.from_bytes(data[at + a : at + b], "little") for a, b in ((0, 2), (8, 16)))
        if number == 0 and size == 0:
            return True
        at += size if number == 0 else _OBJECT_BYTES + -(-size // 8) * 8
    return False
