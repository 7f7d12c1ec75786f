"""Where tiles of a network meet: the same tiles whatever is asked for, and no cell twice or lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray

#: What a network is shown does not follow the user's tiles: its answer at a place depends on what it sees around it.
#: Side of the box whose cells are kept, and what is shown around it, in pixels of the working grid.
TILE_PX, HALO_PX = 1024, 128
#: A cell this near beyond a tile's own box is claimed too: the neighbour's answer may lie on this side of the seam.
SLACK_UM = 1.5
#: Two cells of different tiles nearer than this are one (twice the slack).
SAME_UM = 3.0


def claimed_twice(x_um: FloatArray, y_um: FloatArray, area: NDArray[Any], tile: NDArray[np.integer[Any]]) -> BoolArray:
    """Return which cells (n,) another tile has too, larger: those to drop.

    Parameters
    ----------
    x_um, y_um
        (n,) centres.
    area
        (n,) sizes of nuclei in any unit.
    tile
        (n,) number of the tile that claims each cell.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.0, 1.0, 9.0])
    >>> claimed_twice(x, np.zeros(3), np.array([50, 40, 40]), np.array([0, 1, 1])).tolist()
    [False, True, False]
    """
    from scipy.spatial import cKDTree

    dropped = np.zeros(len(x_um), dtype=np.bool_)
    if len(x_um) < 2:
        return dropped
    pairs = cKDTree(np.column_stack((x_um, y_um))).query_pairs(SAME_UM, output_type="ndarray")
    first, second = pairs[tile[pairs[:, 0]] != tile[pairs[:, 1]]].T
    dropped[np.where(area[first] >= area[second], second, first)] = True
    return dropped
