"""Cells whose brown is melanin and no chromogen: one substance of one colour, where a stained cell has two.

Hematoxylin lies in the nucleus and a chromogen on the membrane, so that red and blue light are taken away in
different places; granules of pigment take both away together. Real stained cells are often blurred enough to do so
too, so either the colour must also be one that no mix of the slide's own hematoxylin and brown has (see `pigment`), or
red and blue must go together far more than in the slide's other cells, as they do not where all are blurred alike. The
latter is true of a few stained cells of every slide: it is taken as pigment only on a slide that has melanin. Where
much of what is brown on a slide is pigment, the slide has no usual cells; and where few cells are stained, those with
pigment stand apart from them as a second population: there, less is evidence enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray
from spatial_til.segmentation.parted import parted
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
#: Where pigment is much of what is brown (more than the first share show it, or the second are like it, and so many
#: cells): least correlation and red over blue in detail; then, of cells that show it and of those like it, sines of
#: detail and of the brown itself and least red over blue of the brown itself (real DAB with the hematoxylin around
#: 0.75, seldom above 0.9); and how many median absolute deviations below their median red and blue of pigment may go
#: together, and how little at all. Project defaults.
_MUCH, _MOST, _LEAST_CELLS = 0.25, 0.5, 5
_LIKE_TOGETHER, _LIKE_RED, _NEAR, _LEAST_NEAR = 0.88, (_CELL_RED[0], _FAR_RED), 4.0, 0.84
_SHOWS, _LIKE = (0.02, 0.0, 0.9), (0.0, -0.02, 0.9)
#: The same of cells that may be pigment on a slide where it is much or stands apart: there, less is evidence enough,
#: and the slide's own stains are known to some hundredths. Project default.
_MAY_BE = (-0.03, -0.05, 0.87)
#: Where cells like pigment stand apart: least Ashman's D of the two populations of correlations (one population cut in
#: two has 2.65 where it is normal, more in few cells), how much further together red and blue go in them (Fisher's
#: z), how far they go together at least, and more cells per mm² of tissue than may be called wrongly. Project defaults.
_APART_D, _APART_Z, _APART_TOGETHER, _APART_PER_MM2 = 3.0, 0.6, 0.8, 5.0
#: Beyond this a correlation says no more: one cell of a single colour is no population.
_MOST_TOGETHER = 0.99
#: Of the median of correlations, so that a finite one is left where all are 1.
_ALL_BUT_ONE = 1 - 1e-9
#: A cell with pigment whose colour lies further off the slide's stains than this (sine of an angle); project default.
MOST_PIGMENT = 0.05
#: The same on a slide where the colour of more than this share of the cells looked at lies beyond: there, less is
#: evidence enough.
_COMMON, _MOST_WHERE_COMMON = 0.02, 0.02
#: More cells per mm² of tissue, and a larger share of those with a rim as of positive cells, are pigment on a slide
#: that is flagged. Project defaults.
_MANY_PER_MM2, _MANY_SHARE = 10.0, 0.03


class Colours(NamedTuple):
    """How the colours of cells vary, (n,) each: see `colours_of`."""

    together: FloatArray  # correlation of red and blue in fine detail
    red: FloatArray  # red over blue in detail
    off: FloatArray  # how far detail lies off the slide's stains, a sine
    red_itself: FloatArray  # red over blue of the brown itself
    off_itself: FloatArray


def colours_of(sums: NDArray[np.int64], normal: Sequence[float]) -> Colours:
    """Return how the colours of cells vary, from their sums (see `cell_pigment.colour_sums`)."""
    red, both, blue, rb, gb, bb, *brown = sums.T.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        direction, itself = np.column_stack((rb, gb, bb)) / bb[:, None], np.column_stack(brown)
        return Colours(
            both / np.sqrt(red * blue),
            direction[:, 0],
            off_plane(direction, np.array(normal)),
            itself[:, 0] / itself[:, 2],
            off_plane(itself, np.array(normal)),
        )


def pigment_of(
    sums: NDArray[np.int64], normal: Sequence[float] | None, usual: BoolArray | None, *, together: float | None = None
) -> NDArray[np.float32]:
    """Return (n,) how far the colour of a cell's pigment lies off every mix of the slide's stains: a sine.

    0 where the brown is stain, 1 where red and blue go together far more than in the slide's other cells or as they do
    in its pigment, NaN where it was not looked at or the slide's own colours are not known.

    Parameters
    ----------
    sums
        Of all of a slide's cells that were looked at, see `colour_sums`.
    normal
        Direction across the slide's hematoxylin and brown, see `pigment.own_normal`.
    usual
        (n,) cells that say how red and blue go together on this slide, where there are enough of them, else all do.
        None: no cell is 1 by comparison with them, for a slide without melanin.
    together
        Least correlation of cells like the slide's pigment, where that is much of what is brown or stands apart: see
        `likeness`.
    """
    if normal is None:
        return np.full(len(sums), np.nan, dtype=np.float32)
    colours = colours_of(sums, normal)
    as_one = (colours.together > _TOGETHER) & (colours.red > _CELL_RED[0]) & (colours.red < _CELL_RED[1])
    pigment = np.where(as_one & _no_mix(colours), colours.off, 0.0)
    if usual is not None:
        pigment[as_one & (colours.red < _FAR_RED) & _far_above(colours.together, usual)] = 1.0
    if together is not None:
        like = _of_its_colour(colours, *_MAY_BE) & (colours.together > together)
        pigment[like & (pigment <= MOST_PIGMENT)] = 1.0  # colour alone tells the others, and counts in `most_pigment`
    return np.where(sums[:, 5] > 0, pigment, np.nan).astype(np.float32)


def _no_mix(of: Colours) -> BoolArray:
    """Return (n,) which cells have a colour that no mix of the slide's stains has."""
    itself = (of.off_itself > _LEAST_ITSELF) | ((of.together > _AS_ONE) & (of.off_itself > 0))
    return np.asarray((of.off > _LEAST_OFF) & itself)


def _of_its_colour(of: Colours, off: float, off_itself: float, red_itself: float) -> BoolArray:
    """Return (n,) which cells have a colour like pigment: off the slide's stains by more than these sines, and red."""
    low, high = _LIKE_RED
    colour = (of.red > low) & (of.red < high) & (of.red_itself > red_itself)
    return np.asarray(colour & (of.off > off) & (of.off_itself > off_itself))


def likeness(
    sums: NDArray[np.int64], normal: Sequence[float] | None, rim: BoolArray, tissue_mm2: float
) -> float | None:
    """Return the least correlation of red and blue of cells that are pigment by being like it; None where no cell is.

    Cells are on a slide where pigment stands apart from the stained cells (`laden_apart`: the cut between the two is
    the better limit where both hold), or is much of what is brown (`much_laden`).

    Parameters
    ----------
    sums, normal
        As of `pigment_of`.
    rim
        (n,) cells with a rim as of positive ones, see `has_rim`.
    """
    if normal is None:
        return None
    colours = colours_of(sums, normal)
    apart = laden_apart(colours, rim, tissue_mm2)
    return much_laden(colours, rim) if apart is None else apart


def much_laden(colours: Colours, rim: BoolArray) -> float | None:
    """Return the least correlation of red and blue of cells like a slide's pigment; None where that is not much.

    It is where more than a quarter of the cells with a rim show it by colour, too, or more than half are like it: then
    there are too few stained cells to compare with, or pigment is too common among them. Of cells of two real fields
    without pigment, blurred all alike, up to 7 % and 16 % do, in JPEG of quality 20 up to 19 % and 25 %; elsewhere
    hardly any.
    """
    together = rim & (colours.together > _LIKE_TOGETHER)
    shown, like = (together & _of_its_colour(colours, *least) for least in (_SHOWS, _LIKE))
    much = shown.sum() > _MUCH * rim.sum() or like.sum() > _MOST * rim.sum()
    if not much or like.sum() < _LEAST_CELLS:
        return None
    z = np.arctanh(np.minimum(colours.together[like], _ALL_BUT_ONE))
    middle = np.median(z)
    return max(float(np.tanh(middle - _NEAR * 1.4826 * np.median(np.abs(z - middle)))), _LEAST_NEAR)


def laden_apart(colours: Colours, rim: BoolArray, tissue_mm2: float) -> float | None:
    """Return the least correlation of red and blue of cells like pigment; None where they do not stand apart.

    They do where the correlations of a slide's cells with a rim are two populations, of which the upper one has the
    colour of pigment often enough. Where stain is blurred, all go together alike; JPEG spreads them about one middle.
    """
    seen = rim & np.isfinite(colours.together)
    z = np.arctanh(np.clip(colours.together, 0.0, _MOST_TOGETHER))
    two = parted(z[seen])
    if two is None or two.ashman_d <= _APART_D:
        return None
    others = seen & (z <= two.cut)
    like = seen & (z > two.cut) & _of_its_colour(colours, *_MAY_BE)
    if min(like.sum(), others.sum()) < _LEAST_CELLS or like.sum() <= _APART_PER_MM2 * tissue_mm2:
        return None
    middle = np.median(z[like])
    apart = middle - np.median(z[others]) > _APART_Z and np.tanh(middle) > _APART_TOGETHER
    return float(np.tanh(two.cut)) if apart else None


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
