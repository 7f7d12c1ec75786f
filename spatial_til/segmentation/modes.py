"""Where a histogram of scores stops being one population: a valley, or a tail too long for its slope."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spatial_til.model import FloatArray

#: Smoothing of the histogram, in units of the transformed score.
_BANDWIDTH = 0.12
#: Least number of cells above a cut.
MIN_POSITIVE = 10
#: The valley may hold this share of the density of the lower of its two peaks; the cells behind it must exceed
#: the valley's own level by this many standard deviations of their count. The cut lies where the density
#: comes within a share of the upper peak of the valley's level: negatives end more sharply than positives begin.
_VALLEY_SHARE = 0.8
_VALLEY_FLOOR = 0.01
_VALLEY_SIGMA = 2.0
#: The floor of a valley is at most so many times as dense as its lowest place. Where that many cells lie above, its
#: flanks tell where on it to cut: the negatives' from where they are so many times as dense as the lowest place, by
#: their slope over a stretch of the transformed score.
_FLOOR_TIMES, _LEAST_ABOVE = 1.25, 200
_FLANK_TIMES, _FLANK_OVER = 2.0, 0.25
#: A tail is too long where it holds this many times what the slope before it allows, and more by so many
#: standard deviations. The slope is taken over a stretch of the transformed score; a tail is at most a fifth of
#: all. The cut lies where what the slope allows is this share of what is seen.
_TAIL_TIMES, _TAIL_SIGMA = 2.5, 2.0
_SLOPE_OVER = 0.5
_LONGEST_TAIL = 0.2
_TAIL_LEFT = 0.5


def smoothed(counts: FloatArray, centres: FloatArray) -> FloatArray:
    """Return the counts of bins smoothed by a Gaussian."""
    width = float(centres[1] - centres[0])
    bandwidth = max(_BANDWIDTH / width, 1.5)
    at = np.arange(-int(4 * bandwidth), int(4 * bandwidth) + 1)
    kernel = np.exp(-0.5 * (at / bandwidth) ** 2)
    return np.convolve(counts, kernel / kernel.sum(), mode="same")


def valleys(counts: FloatArray, centres: FloatArray, effective: float) -> list[tuple[float, int]]:
    """Return (valley density / lower peak density, bin) of each valley with a real mode behind it.

    Parameters
    ----------
    counts, centres
        Weights and middles of evenly spaced bins.
    effective
        Number of independent cells that a weight of 1 stands for.
    """
    density = smoothed(counts, centres)
    rise = np.concatenate(([1.0], np.sign(np.diff(density)), [-1.0]))
    rise[rise == 0] = -1.0
    peaks = np.flatnonzero((rise[:-1] > 0) & (rise[1:] < 0))
    found = []
    for k in range(len(peaks) - 1):
        a, b = int(peaks[k]), int(peaks[k + 1])
        lowest = density[a : b + 1].min()
        index = a + int(np.flatnonzero(density[a : b + 1] <= lowest + _VALLEY_FLOOR * density[b:].max())[0])
        lower_peak = min(density[: a + 1].max(), density[b:].max())
        if lower_peak <= 0:
            continue
        share = float(lowest / lower_peak)
        behind = density[a + int(np.argmin(density[a : b + 1])) :]
        higher = behind[behind > lowest]
        excess, noise = (higher - lowest).sum() * effective, np.sqrt(higher.sum() * effective)
        enough = counts[index:].sum() * effective >= MIN_POSITIVE and excess >= _VALLEY_SIGMA * noise
        if share <= _VALLEY_SHARE and enough:
            found.append((share, index))
    return found


def held_by(counts: FloatArray, centres: FloatArray, index: int) -> float:
    """Return the weight of the cells that make the density at a bin."""
    density, width = smoothed(counts, centres), float(centres[1] - centres[0])
    return float(density[index] * 2 * np.sqrt(np.pi) * max(_BANDWIDTH / width, 1.5))


def first_of_the_deepest(held: Sequence[float]) -> int:
    """Return the first of valleys, given how many cells each holds, that is no more than chance above the deepest.

    Where positives are few, gaps among them are as deep as the valley before them.
    """
    deepest = min(held)
    return next(k for k, n in enumerate(held) if n - deepest <= _VALLEY_SIGMA * np.sqrt(n + deepest))


def flanks_cross(counts: FloatArray, centres: FloatArray, effective: float, index: int) -> int:
    """Return the bin of a valley's floor from which on more cells are positive than negative.

    Parameters
    ----------
    counts, centres, effective
        As for `valleys`.
    index
        A bin of the valley; returned where fewer than 200 cells lie above it, it has no flanks, or a deeper place
        lies behind another mode.

    Notes
    -----
    On a wide floor a few cells decide which place is the lowest. So both populations are carried on into it, as
    exponentials with the slopes of their flanks: the negatives' own, and the positives' as a Gaussian has it at half
    its height (where the valley is shallow, midway between it and the top). The cut lies where they cross, or where
    the floor ends.
    """
    density = smoothed(counts, centres)
    top = index + int(density[index:].argmax())
    bottom = index + int(density[index : top + 1].argmin())
    lowest, highest = density[bottom], density[top]
    steep = np.flatnonzero(density[:bottom] >= _FLANK_TIMES * lowest)
    half = bottom + int(np.argmax(density[bottom : top + 1] >= max(highest / 2, np.sqrt(lowest * highest))))
    back = max(round(_FLANK_OVER / float(centres[1] - centres[0])), 1)
    few = counts[bottom:].sum() * effective < _LEAST_ABOVE
    beyond_a_mode = density[index : bottom + 1].max() > _FLOOR_TIMES * density[index]
    if few or beyond_a_mode or lowest == 0 or len(steep) == 0 or steep[-1] < back or half in {bottom, top}:
        return index
    foot = int(steep[-1])
    falls = np.log(density[foot - back] / density[foot]) / back
    rises = 2 * np.log(highest / density[half]) / (top - half)
    between = np.arange(foot + 1, half)
    floor = between[density[between] <= _FLOOR_TIMES * lowest]
    negative = np.log(density[foot]) - falls * (floor - foot)
    positive = np.log(density[half]) - rises * (half - floor)
    return int(floor[min(int((positive < negative).sum()), len(floor) - 1)])


def shoulder(counts: FloatArray, centres: FloatArray, effective: float) -> int | None:
    """Return the bin where a few cells part from a tail that cannot be theirs, None where there are none.

    Parameters
    ----------
    counts, centres, effective
        As for `valleys`.

    Notes
    -----
    Rare positives, spread over a wide range, make no peak of their own. But the tail of one population falls
    ever more steeply (its density is log-concave), so that beyond any place it holds at most the density there
    over the slope there. Where it holds several times that, the rest is another population; the cut lies
    where the tail, carried on with that slope, falls to half of what is seen.
    """
    density = smoothed(counts, centres) * effective
    beyond = np.cumsum((counts * effective)[::-1])[::-1]
    back = max(round(_SLOPE_OVER / float(centres[1] - centres[0])), 1)
    start = int(density.argmax()) + back
    tail = np.arange(start, max(int(np.searchsorted(-beyond, -MIN_POSITIVE, side="right")), start))
    before, here = density[tail - back], density[tail]
    falling = (here > 0) & (before > here) & (beyond[tail] <= _LONGEST_TAIL * beyond[0])
    tail, slope = tail[falling], np.log(before[falling] / here[falling]) / back
    allowed = density[tail] / slope
    held = beyond[tail]
    long = (held >= _TAIL_TIMES * allowed) & (held - allowed >= _TAIL_SIGMA * np.sqrt(held + allowed))
    for at, rate in zip(tail[long], slope[long], strict=True):
        rest = np.arange(at, len(density))
        below_half = density[at] * np.exp(-rate * (rest - at)) <= _TAIL_LEFT * density[rest]
        cut = int(rest[int(np.argmax(below_half))])
        if below_half.any() and beyond[cut] >= MIN_POSITIVE:
            return cut
    return None
