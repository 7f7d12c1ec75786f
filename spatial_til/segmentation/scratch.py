"""Memory that is used again for every tile and slide: asking for it anew costs as much as the work."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Named buffers that grow to the largest tile. An array is valid until the same name is asked for again.

    An eighth more is set aside than asked for, since tiles inside the slide have a wider rim than the first, in its
    corner; what is never written to takes no memory.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of any content."""
        size = prod(shape) * np.dtype(dtype).itemsize
        if name not in self._buffers or self._buffers[name].size < size:
            self._buffers[name] = _pages(size + size // 8)
        return self._buffers[name][:size].view(dtype).reshape(shape)


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
def lent_scratch() -> Iterator[Scratch]:
    """Lend buffers that nobody else uses meanwhile. A process keeps as many as were ever lent at once."""
    try:
        scratch = _FREE.pop()
    except IndexError:
        scratch = Scratch()
    try:
        yield scratch
    finally:
        _FREE.append(scratch)


def give_back(*, buffers: bool = False) -> None:
    """Give memory that is free back to the system (Linux), which the allocator would keep; `buffers`: these too."""
    if buffers:
        _FREE.clear()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
