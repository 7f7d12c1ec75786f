"""Windows and points of the tests of point patterns."""

import numpy as np
import shapely

RADII = np.array([20.0, 30.0, 50.0])
L_SHAPE = shapely.box(0, 0, 900, 300).union(shapely.box(0, 0, 250, 700))


def points_in(window, n, seed):
    """Return n uniform points (n, 2) in a window."""
    random = np.random.default_rng(seed)
    x0, y0, x1, y1 = window.bounds
    xy = random.uniform((x0, y0), (x1, y1), (8 * n, 2))
    return xy[shapely.contains_xy(window, *xy.T)][:n]
