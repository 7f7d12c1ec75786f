"""Memory that is used again for every tile and slide: asking for it anew costs as much as the work."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Buffers begin at whole lines of a cache.
_LINE_BYTES = 64


class Scratch:
    """Named buffers. An array is valid until the same name is asked for again, or the end of what it lies `aside` in.

    Parameters
    ----------
    room_bytes
        Size of a stretch of memory that buffers are cut from; what it has no room for gets pages of its own. What is
        never written to takes no memory.
    """

    def __init__(self, room_bytes: int = 0) -> None:
        self.room_bytes = room_bytes
        self._stretch, self._used = _pages(room_bytes), 0
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of any content."""
        size = prod(shape) * np.dtype(dtype).itemsize
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers[name] = self._cut(size)
        return self._buffers[name][:size].view(dtype).reshape(shape)

    def _cut(self, size: int) -> NDArray[np.uint8]:
        """Return bytes of the stretch, or an eighth more in pages of their own: the next may ask for a little more."""
        part = self._stretch[self._used : self._used + size]
        if part.size < size:
            return _pages(size + size // 8)
        self._used += -(-size // _LINE_BYTES) * _LINE_BYTES
        return part

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Forget, at the end, the names asked for within: their memory serves what is asked for next."""
        buffers, used = dict(self._buffers), self._used
        try:
            yield
        finally:
            self._buffers, self._used = buffers, used


def _pages(size: int) -> NDArray[np.uint8]:
    """Return bytes in pages of their own, out of the allocator's way, large ones where the system has them."""
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    pages = mmap.mmap(-1, max(size, 1), **private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, dtype=np.uint8)


_FREE: list[Scratch] = []


@contextmanager
def lent_scratch(room_bytes: int = 0) -> Iterator[Scratch]:
    """Lend buffers that nobody else uses meanwhile, with room for so much at least.

    A process keeps as many as were ever lent at once.
    """
    try:
        scratch = _FREE.pop()
    except IndexError:
        scratch = Scratch(room_bytes)
    if scratch.room_bytes < room_bytes:
        scratch = Scratch(room_bytes)
    try:
        with scratch.aside():
            yield scratch
    finally:
        _FREE.append(scratch)


def give_back(*, buffers: bool = False) -> None:
    """Give memory that is free back to the system (Linux), which the allocator would keep; `buffers`: these too."""
    if buffers:
        _FREE.clear()
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl keeps nothing
            ctypes.CDLL(None).malloc_trim(0)
