"""Where the few interesting pixels of a row lie: a pass that marks them is vectorised, the work on them is not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def mark_room(cols: int) -> Any:
    """Return cleared marks of a row, whole words of them, and room for their positions."""
    size = (cols // 8 + 1) * 8
    return np.zeros(size, dtype=np.uint8), np.empty(size, dtype=np.int64)


@njit(cache=True, nogil=True)
def marked(mark: Any, at: Any) -> Any:
    """Write the positions of marks other than 0, and return how many; eight empty ones cost one step."""
    words = mark.view(np.uint64)
    n, one = np.uint64(0), np.uint64(1)  # unsigned: no place is asked whether it is negative
    for w in range(len(words)):
        if words[w]:
            j = np.uint64(8 * w)
            for _ in range(8):
                at[n] = j
                n += np.uint64(mark[j] != 0)
                j += one
    return np.int64(n)
