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
def marked(mark: Any, at: Any) -> int:
    """Write the positions of marks other than 0, and return how many; eight empty ones cost one step."""
    words = mark.view(np.uint64)
    n = 0
    for w in range(len(words)):
        if words[w]:
            for j in range(8 * w, 8 * w + 8):
                at[n] = j
                n += mark[j] != 0
    return n
