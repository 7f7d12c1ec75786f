"""Transparency: a picture with alpha is seen on white, as a slide is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def over_white(image: NDArray[Any], *, premultiplied: bool) -> NDArray[Any]:
    """Return the colours of (rows, cols, 3 or 4) uint8 over a white ground.

    Transparent pixels often hold black, which would be read as dark stain.

    Parameters
    ----------
    image
        RGB, returned as it is, or RGBA.
    premultiplied
        The colours were already multiplied by alpha.

    Examples
    --------
    >>> over_white(np.array([[[0, 0, 0, 0], [10, 20, 30, 255]]], np.uint8), premultiplied=False).tolist()
    [[[255, 255, 255], [10, 20, 30]]]
    """
    if image.shape[-1] == 3:
        return image
    colours, alpha = image[..., :3], image[..., 3:].astype(np.uint32)
    if alpha.size and alpha.min() == 255:
        return colours
    lit = colours.astype(np.uint32) * (255 if premultiplied else alpha)
    shown: NDArray[np.uint8] = np.minimum((lit + (255 - alpha) * 255 + 127) // 255, 255).astype(np.uint8)
    return shown
