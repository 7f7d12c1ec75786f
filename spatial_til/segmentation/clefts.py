"""Clefts between nuclei: thin valleys of nuclear stain with stained ridges on both sides.

In packed tissue nuclei touch over most of their outline, and the shape of the clump no longer tells them apart; the
dark line between them still does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.guided import STAINED
from spatial_til.segmentation.settings import NucleusSettings


def open_clefts(
    contrast: NDArray[np.int16],
    above: NDArray[np.int16],
    *,
    px_um: float,
    share: float,
    settings: NucleusSettings,
    guide: NDArray[np.int16] | None = None,
) -> None:
    """Set `above` to 0 in clefts of packed foreground, in place.

    Parameters
    ----------
    contrast
        (rows, cols) nuclear stain above local background, smoothed.
    above
        (rows, cols) what is foreground (above 0).
    px_um
        Side of a pixel.
    share
        A cleft lies below the lower of its ridges by more than this share of it.
    guide
        (rows, cols) stain of cytoplasm, see `guided.combined_guide`. Where the surroundings are stained on average,
        none is opened: there cytoplasm parts nuclei.

    Notes
    -----
    Only where foreground covers most of the surroundings: elsewhere shape tells nuclei apart, and a cleft is more
    often the chromatin of one large nucleus.
    """
    import cv2

    side = 2 * round(settings.packed_um / px_um) + 1
    foreground = (above > 0).view(np.uint8)
    cover = cv2.boxFilter(foreground, cv2.CV_16U, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    if guide is not None:
        around = cv2.boxFilter(guide, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
        cover[around >= STAINED * side * side] = 0
    packed = round(settings.packed_share * side * side)
    _open(contrast, above, cover, packed, max(round(settings.cleft_um / px_um), 1), round(256 * share))


@njit(cache=True, nogil=True)
def _open(contrast: Any, above: Any, cover: Any, packed: int, reach: int, share: int) -> None:
    """Set `above` to 0 in clefts; only packed pixels are looked at, which are few."""
    rows, cols = contrast.shape
    slant = max(round(reach / 1.4142), 1)
    edge = max(reach, slant) + 1
    for i in range(edge, rows - edge):
        for j in range(edge, cols - edge):
            if cover[i, j] < packed or above[i, j] <= 0:
                continue
            if (
                _valley(contrast, i, j, 0, reach, 1, 0, share)
                or _valley(contrast, i, j, reach, 0, 0, 1, share)
                or _valley(contrast, i, j, slant, slant, -1, 1, share)
                or _valley(contrast, i, j, slant, -slant, 1, 1, share)
            ):
                above[i, j] = 0


@njit(cache=True, nogil=True, inline="always")
def _valley(c: Any, i: int, j: int, down: int, right: int, dy: int, dx: int, share: int) -> bool:
    """Return whether a pixel lies in a valley across (down, right), averaged along (dy, dx)."""
    here = _along(c, i, j, dy, dx)
    ridge = min(_along(c, i - down, j - right, dy, dx), _along(c, i + down, j + right, dy, dx))
    return here * 256 < (256 - share) * ridge


@njit(cache=True, nogil=True, inline="always")
def _along(c: Any, i: int, j: int, dy: int, dx: int) -> Any:
    return np.int64(c[i - dy, j - dx]) + 2 * np.int64(c[i, j]) + np.int64(c[i + dy, j + dx])
