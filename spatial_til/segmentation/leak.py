"""How much of one chromogen may show up as another on a slide whose colours are not quite those assumed."""

from __future__ import annotations

import numpy as np

from spatial_til.model import FloatArray

#: How far the colours of a slide lie from the published vectors: 2 to 4 degrees between scanners.
COLOUR_ERROR_DEG = 4.0


def leaked_share(matrix: FloatArray, degrees: float = COLOUR_ERROR_DEG) -> FloatArray:
    """Return (k, k) the most of each other stain (column) that may be seen as a stain (row); zeros on the diagonal.

    Parameters
    ----------
    matrix
        (k, 3) unit stain vectors, one a row.
    degrees
        How far a vector may be off.

    Notes
    -----
    A stain whose vector is off by an angle a adds ``sin(a) * u`` to the optical density, u any direction across
    it. Unmixed, that is at most ``sin(a)`` times the length of the other stain's unmixing weights.

    Examples
    --------
    >>> leaked_share(np.eye(3)[:2], 30.0).round(3).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    weights = np.linalg.norm(np.linalg.pinv(matrix), axis=0)
    shares = np.repeat(np.sin(np.deg2rad(degrees)) * weights[:, None], len(matrix), axis=1)
    np.fill_diagonal(shares, 0.0)
    return np.asarray(shares)
