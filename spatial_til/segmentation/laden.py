"""Cells whose brown is melanin and no chromogen: one substance of one colour, where a stained cell has two.

Hematoxylin lies in the nucleus and a chromogen on the membrane, so that red and blue light are taken away in
different places; granules of pigment take both away together. Real stained cells are often blurred enough to do so
too, so either the colour must also be one that no mix of the slide's own hematoxylin and brown has (see `pigment`), or
red and blue must go together far more than in the slide's other cells, as they do not where all are blurred alike. The
latter is true of a few stained cells of every slide: it is taken as pigment only on a slide that has melanin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray
from spatial_til.segmentation.pigment import off_plane
from spatial_til.segmentation.thresholds import OD_FLOORS

#: Least correlation of red and blue in fine detail, and red over blue of pigment: DAB 0.35, melanin 0.6 to 1.2,
#: hematoxylin 2.2. Wider than for a window of 2 µm (`pigment`): a whole cell has other colours beside its granules,
#: and the correlation has told most of them already. Project defaults.
_TOGETHER, _CELL_RED = 0.9, (0.5, 1.4)
#: Least sine of the angle by which the colour of detail lies off the slide's stains, and that of the brown itself:
#: beside a red chromogen brown stands out less green than it is. Where red and blue vary together as no stains do, it
#: is enough that the brown itself is no greener than the stains. Project defaults.
_LEAST_OFF, _LEAST_ITSELF, _AS_ONE = 0.02, 0.02, 0.955
#: Median absolute deviations above the slide's median, with this many cells looked at (doi:10.1016/j.jesp.2013.03.013),
#: and most red over blue, as for a window of 2 µm: nuclei with a trace of brown are of one colour, too, but redder.
_FAR, _ENOUGH, _FAR_RED = 2.5, 50, 1.2
#: A cell with pigment whose colour lies further off the slide's stains than this (sine of an angle); project default.
MOST_PIGMENT = 0.05
#: The same on a slide where the colour of more than this share of the cells looked at lies beyond: there, less is
#: evidence enough.
_COMMON, _MOST_WHERE_COMMON = 0.02, 0.02
#: More cells per mm² of tissue, and a larger share of those with a rim as of positive cells, are pigment on a slide
#: that is flagged. Project defaults.
_MANY_PER_MM2, _MANY_SHARE = 10.0, 0.03


def pigment_of(sums: NDArray[np.int64], normal: Sequence[float] | None, usual: BoolArray | None) -> NDArray[np.float32]:
    """Return (n,) how far the colour of a cell's pigment lies off every mix of the slide's stains: a sine.

    0 where the brown is stain, 1 where red and blue go together far more than in the slide's other cells, NaN where it
    was not looked at or the slide's own colours are not known.

    Parameters
    ----------
    sums
        Of all of a slide's cells that were looked at, see `colour_sums`.
    normal
        Direction across the slide's hematoxylin and brown, see `pigment.own_normal`.
    usual
        (n,) cells that say how red and blue go together on this slide, where there are enough of them, else all do.
        None: no cell is 1, for a slide without melanin.
    """
    red, both, blue, rb, gb, bb, *brown = sums.T.astype(np.float64)
    if normal is None:
        return np.full(len(sums), np.nan, dtype=np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        together = both / np.sqrt(red * blue)
        direction = np.column_stack((rb, gb, bb)) / bb[:, None]
        off = off_plane(direction, np.array(normal))
        itself = off_plane(np.column_stack(brown), np.array(normal))
    low, high = _CELL_RED
    like_pigment = (together > _TOGETHER) & (direction[:, 0] > low) & (direction[:, 0] < high)
    no_mix = (off > _LEAST_OFF) & ((itself > _LEAST_ITSELF) | ((together > _AS_ONE) & (itself > 0)))
    pigment = np.where(like_pigment & no_mix, off, 0.0)
    if usual is not None:
        pigment[like_pigment & (direction[:, 0] < _FAR_RED) & _far_above(together, usual)] = 1.0
    return np.where(bb > 0, pigment, np.nan).astype(np.float32)


def _far_above(correlation: FloatArray, usual: BoolArray) -> BoolArray:
    """Return (n,) which correlations lie far above the usual, on the scale where their error is alike (Fisher's z)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.arctanh(correlation)
    for others in (z[usual], z):
        if np.isfinite(others).sum() >= _ENOUGH:
            middle = np.nanmedian(others)
            return np.asarray(z > middle + _FAR * 1.4826 * np.nanmedian(np.abs(others - middle)))
    return np.zeros(len(z), dtype=np.bool_)


def has_rim(rim: NDArray[np.floating[Any]]) -> BoolArray:
    """Return (n,) which cells have a rim as positive ones; `rim`: their ridges of a brown marker, in OD.

    On a slide with melanin these are the usual cells: beside a red chromogen there may be many with a trace of brown,
    whose red and blue go together as those of pigment do. They do not raise the flag: JPEG of low quality makes the
    colours of a few stained cells go together as well.
    """
    return np.asarray(rim >= OD_FLOORS["robust"].population)


def most_pigment(pigment: NDArray[np.floating[Any]]) -> float:
    """Return how far off the slide's stains a cell may lie; `pigment`: of all its cells, NaN where not looked at."""
    by_colour, looked_at = (pigment > MOST_PIGMENT) & (pigment < 1), np.isfinite(pigment).sum()
    return _MOST_WHERE_COMMON if by_colour.sum() > _COMMON * looked_at else MOST_PIGMENT


def many_laden(pigment: NDArray[np.floating[Any]], rim: NDArray[np.floating[Any]], tissue_mm2: float) -> bool:
    """Return whether so many cells are pigment that a slide has melanin.

    Parameters
    ----------
    pigment, rim
        (n,) of all cells of a slide: see `pigment_of`, and the ridge of the same marker.
    """
    seen = has_rim(rim)
    laden = seen & (pigment > most_pigment(pigment))
    return bool(laden.sum() > max(_MANY_PER_MM2 * tissue_mm2, _MANY_SHARE * seen.sum()))
