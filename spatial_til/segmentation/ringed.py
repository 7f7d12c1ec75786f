"""Lymphocytes without a nucleus of their own: a closed ring of membrane stain off the centre of a large nucleus.

A lymphocyte at a tumour cell may share so much of its outline with it, or lie so deep under stain, that neither shape
nor darkness parts the two. Its stained membrane still shows where it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.nuclei import Nuclei
from spatial_til.segmentation.settings import NucleusSettings

#: Directions that are looked in, and the order: neighbours late, so that most places are done after a few. All but two
#: of them must see a membrane.
_RAYS, _STRIDE = 16, 5
#: µm. Where the membrane of a lymphocyte lies seen from its centre, how far it may lie where a nucleus has one of its
#: own, and how far beyond it stain has fallen.
_NEAREST_UM, _FURTHEST_UM, _LARGEST_UM, _BEYOND_UM = 2.5, 5.0, 7.0, 2.0
#: µm. Steps along rays, and between the places that are tried.
_STEP_UM, _PLACE_UM = 0.5, 1.0
#: µm. Stain falls most so far outside a nucleus.
_OUTSIDE_UM = 1.0
#: µm. A ring around a place nearer to the centre of a nucleus than this is that nucleus's own.
_LEAST_APART_UM = 3.0
#: A nucleus whose own ring has this share of the other's strength is one cell.
_OWN_SHARE = 0.6
#: µm². A nucleus is looked into where as much of it has twice the stain by which a membrane stands out.
_LEAST_STAINED_UM2 = 6.0
#: Share of the disc within a ring that lies in the nucleus, or in none; less is another's that is known already.
_LEAST_SHARE = 0.75


class _Reach(NamedTuple):
    """Lengths in pixels."""

    box: int  # from a nucleus's peak to its furthest pixel
    place: int
    edge: int  # from a place to the furthest pixel that is looked at
    apart: float
    stained: float  # pixels in one row of `place`
    step: float
    inner: float  # radius of a nucleus whose membrane is found at the first step


class _Rays(NamedTuple):
    """Steps of every ray as distances in a flat plane, and how many of them there are to a membrane."""

    way: NDArray[np.int64]
    few: int
    many: int
    beyond: int


def part_ringed(
    found: Nuclei,
    planes: Sequence[NDArray[np.int16]],
    *,
    px_um: float,
    least: int,
    large_nucleus_um2: float,
    settings: NucleusSettings,
) -> Nuclei:
    """Return nuclei, and one more for each ring of membrane stain off the centre of a large one.

    Parameters
    ----------
    found
        Its labels are changed in place.
    planes
        (rows, cols) membrane stain of each marker, smoothed.
    least
        How far stain falls outside a membrane, in the planes' unit.
    large_nucleus_um2
        Smaller nuclei are not looked into.

    Notes
    -----
    Every place in a large nucleus is asked how far stain falls outside a ring around it, on the third weakest of 16
    rays. The strongest is a cell's centre where it is no nucleus's; the new nucleus is a disc within the ring.
    """
    if not planes:
        return found
    reach, rays = _reach(px_um, settings), _rays(px_um, found.labels.shape[1])
    centre = np.column_stack((found.peak_row + found.row, found.peak_col + found.col))
    peak = np.column_stack((found.peak_row, found.peak_col))
    large = found.area_px * px_um**2 > large_nucleus_um2
    each = [_find(found.labels, plane, centre, peak, large, rays, reach, least) for plane in planes]
    rings = np.concatenate(each)
    if not len(rings):
        return found
    rings = rings[_strongest(rings, reach.apart)]
    rings = rings[np.lexsort((rings[:, 1], rings[:, 0]))]
    return _with_discs(found, rings, peak, int(settings.min_area_um2 / px_um**2))


def _reach(px_um: float, settings: NucleusSettings) -> _Reach:
    place = max(2 ** round(float(np.log2(_PLACE_UM / px_um))), 1)
    return _Reach(
        box=int(np.ceil(settings.max_radius_um / px_um)) + 1,
        place=place,
        edge=int(np.ceil((_LARGEST_UM + _BEYOND_UM) / px_um)) + 1,
        apart=_LEAST_APART_UM / px_um,
        stained=_LEAST_STAINED_UM2 / (place * px_um**2),
        step=_STEP_UM / px_um,
        inner=(_NEAREST_UM - _OUTSIDE_UM) / px_um,
    )


def _rays(px_um: float, cols: int) -> _Rays:
    few, many, end = (
        round((um - _NEAREST_UM) / _STEP_UM) + 1 for um in (_FURTHEST_UM, _LARGEST_UM, _LARGEST_UM + _BEYOND_UM)
    )
    steps = _NEAREST_UM + _STEP_UM * np.arange(end)
    turn = 2 * np.pi * (np.arange(_RAYS) * _STRIDE % _RAYS) / _RAYS
    down, right = (np.round(np.outer(along, steps) / px_um).astype(np.int64) for along in (np.sin(turn), np.cos(turn)))
    return _Rays(down * cols + right, few, many, round(_BEYOND_UM / _STEP_UM))


def _strongest(rings: NDArray[np.float64], apart: float) -> NDArray[np.bool_]:
    """Return which rings are the strongest of all that lie as near; of equals the first in raster order."""
    from scipy.spatial import cKDTree

    keep = np.ones(len(rings), dtype=np.bool_)
    for pair in cKDTree(rings[:, :2]).query_pairs(apart):
        _, weaker = sorted(pair, key=lambda k: (-rings[k, 3], rings[k, 0], rings[k, 1]))
        keep[weaker] = False
    return keep


def _with_discs(found: Nuclei, rings: NDArray[np.float64], peak: NDArray[np.int32], min_px: int) -> Nuclei:
    """Return nuclei and those in rings; the pixels of these change hands."""
    sums = np.zeros((len(peak) + len(rings), 3))
    sums[: len(peak)] = np.column_stack((found.area_px, found.row * found.area_px, found.col * found.area_px))
    kept = _claim(found.labels, rings, peak, sums, min_px)
    rings, sums = rings[kept], sums[: len(peak) + kept.sum()]
    return Nuclei(
        found.labels,
        np.append(found.peak_row, rings[:, 0]).astype(np.int32),
        np.append(found.peak_col, rings[:, 1]).astype(np.int32),
        sums[:, 0].astype(np.int32),
        sums[:, 1] / sums[:, 0],
        sums[:, 2] / sums[:, 0],
    )


@njit(cache=True, nogil=True)
def _find(labels: Any, plane: Any, centre: Any, peak: Any, large: Any, rays: Any, reach: Any, least: int) -> Any:
    """Return row, column, radius, strength and nucleus (numbered from 0) of the strongest ring of each nucleus."""
    flat, cols = plane.reshape(-1), labels.shape[1]
    own = np.empty((2 * reach.box + 1) ** 2, dtype=np.int64)
    rings = [(0.0, 0.0, 0.0, 0.0, 0.0)]  # typed by its first, which is left out below
    stained = _count_stained(labels, plane, len(large), reach.place, 2 * least)
    for k in range(len(large)):
        if not large[k] or stained[k + 1] < reach.stained:
            continue
        n = _places(labels, peak[k], k + 1, reach, own)
        at, strength, step = _best_ring(flat, cols, own[:n], centre[k], rays, reach, least)
        radius = reach.inner + reach.step * step
        if at >= 0 and not _taken(labels, centre, at // cols, at % cols, radius, reach.apart):
            rings.append((float(at // cols), float(at % cols), radius, float(strength), float(k)))
    return np.array(rings)[1:]


@njit(cache=True, nogil=True)
def _count_stained(labels: Any, plane: Any, n: int, place: int, strong: int) -> Any:
    """Return how many pixels of each label have strong stain, in one row of `place`."""
    count = np.zeros(n + 1, dtype=np.int32)
    mark, at = mark_room(labels.shape[1])
    for i in range(0, labels.shape[0], place):
        _mark(labels[i], plane[i], np.int16(strong), mark)
        for t in range(marked(mark, at)):
            count[labels[i, at[t]]] += 1
    return count


@njit(cache=True, nogil=True)
def _mark(labels: Any, stain: Any, strong: Any, mark: Any) -> None:
    """Mark stained pixels of nuclei; apart so that it is vectorised."""
    for j in range(len(labels)):
        mark[j] = (stain[j] >= strong) & (labels[j] != 0)


@njit(cache=True, nogil=True)
def _places(labels: Any, peak: Any, label: int, reach: Any, own: Any) -> int:
    """List the places (flat) of a nucleus that are tried: on the slide's grid, which no tile cuts otherwise."""
    rows, cols = labels.shape
    low, high = max(peak[0] - reach.box, reach.edge), min(peak[0] + reach.box + 1, rows - reach.edge)
    left, right = max(peak[1] - reach.box, reach.edge), min(peak[1] + reach.box + 1, cols - reach.edge)
    n = 0
    for i in range(-(-low // reach.place) * reach.place, high, reach.place):
        for j in range(-(-left // reach.place) * reach.place, right, reach.place):
            if labels[i, j] == label:
                own[n] = i * cols + j
                n += 1
    return n


@njit(cache=True, nogil=True)
def _best_ring(flat: Any, cols: int, own: Any, centre: Any, rays: Any, reach: Any, least: int) -> Any:
    """Return the place (flat) of the strongest ring, its strength and mean step; -1 where it is the nucleus's own."""
    best, at, step = least, -1, 0.0
    for own_centre in (False, True):
        for place in own:
            away = (place // cols - centre[0]) ** 2 + (place % cols - centre[1]) ** 2
            if (away < reach.apart**2) != own_centre:
                continue
            strength, mean = _ring(flat, place, rays.way, rays.few, rays.beyond, best)
            if strength > best and own_centre:
                return -1, 0, 0.0
            if strength > best:
                best, at, step = strength, place, mean
        if at < 0:
            return -1, 0, 0.0
    middle = round(centre[0]) * cols + round(centre[1])
    whole, _ = _ring(flat, middle, rays.way, rays.many, rays.beyond, int(_OWN_SHARE * best))
    return (at, best, step) if whole <= int(_OWN_SHARE * best) else (-1, 0, 0.0)


@njit(cache=True, nogil=True)
def _ring(flat: Any, at: int, way: Any, last: int, beyond: int, best: int) -> Any:
    """Return the ring around a place and its mean step; `best` where it is no stronger than that.

    How far stain falls on the third weakest ray, each where it falls most.
    """
    weakest, second, third = np.int32(1 << 30), np.int32(1 << 30), np.int32(1 << 30)
    steps = 0
    for t in range(len(way)):
        line = way[t]
        most, where = np.int32(-(1 << 30)), 0
        for s in range(last):
            here, outside = flat[np.uint64(at + line[s])], flat[np.uint64(at + line[s + beyond])]
            fall = np.int32(here) - np.int32(outside)
            where = s if fall > most else where
            most = max(most, fall)
        steps += where
        third = min(third, max(second, most))
        second = min(second, max(weakest, most))
        weakest = min(weakest, most)
        if third <= best:
            return best, 0.0
    return np.int64(third), steps / len(way)


@njit(cache=True, nogil=True)
def _taken(labels: Any, centre: Any, i: int, j: int, radius: float, apart: float) -> bool:
    """Return whether a nucleus within the ring has its centre near a place."""
    r = int(radius)
    for y in range(i - r, i + r + 1):
        for x in range(j - r, j + r + 1):
            k = labels[y, x] - 1
            if k >= 0 and (centre[k, 0] - i) ** 2 + (centre[k, 1] - j) ** 2 < apart**2:
                return True
    return False


@njit(cache=True, nogil=True)
def _claim(labels: Any, rings: Any, peak: Any, sums: Any, min_px: int) -> Any:
    """Give discs within rings labels of their own, where both they and what is left are large enough; return which.

    `sums`: pixels, rows and columns from its peak of each nucleus, with room for those of the discs behind them.
    """
    new = len(peak)
    kept = np.zeros(len(rings), dtype=np.bool_)
    own, free = np.zeros(3), np.zeros(3)
    for t in range(len(rings)):
        i, j, radius, k = int(rings[t, 0]), int(rings[t, 1]), rings[t, 2], int(rings[t, 4])
        _sum_disc(labels, i, j, radius, k + 1, own)
        _sum_disc(labels, i, j, radius, 0, free)
        held = own[0] + free[0]
        if held < max(_LEAST_SHARE * np.pi * radius**2, min_px) or sums[k, 0] - own[0] < min_px:
            continue
        sums[new] = own + free
        own[1] += own[0] * (i - peak[k, 0])
        own[2] += own[0] * (j - peak[k, 1])
        sums[k] -= own
        new += 1
        kept[t] = True
        _write_disc(labels, i, j, radius, k + 1, new)
    return kept


@njit(cache=True, nogil=True)
def _write_disc(labels: Any, i: int, j: int, radius: float, label: int, new: int) -> None:
    """Give the free pixels of a disc and those of a label to another."""
    r = int(radius)
    for y in range(-r, r + 1):
        for x in range(-r, r + 1):
            if y * y + x * x <= radius * radius and labels[i + y, j + x] in (0, label):
                labels[i + y, j + x] = new


@njit(cache=True, nogil=True)
def _sum_disc(labels: Any, i: int, j: int, radius: float, label: int, out: Any) -> None:
    """Write the pixels of a label in a disc: their number, and the sums of their rows and columns from its centre."""
    out[:] = 0.0
    r = int(radius)
    for y in range(-r, r + 1):
        for x in range(-r, r + 1):
            if y * y + x * x <= radius * radius and labels[i + y, j + x] == label:
                out[0] += 1
                out[1] += y
                out[2] += x
