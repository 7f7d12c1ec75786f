"""Stain along rays from the nucleus of each cell: how far a membrane stands above what lies before and beyond it.

A ray leaves the nucleus in each of 24 directions and looks, in the cell's territory, for a band of stain that
stands above bands of the same width beyond and before it: a membrane, where diffuse brown, autofluorescence or
the edge of a dark nucleus give none. Bands, not single pixels: faint stain is told from noise by its mean, where
the highest and lowest pixels are noise. The membrane of a small cell lies close around its nucleus: there the fall of
stain just outside the nucleus counts as well, which needs no search and so finds fainter stain, and cells that are
full of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import LABEL_MASK, NUCLEUS_END, TERRITORY_END, label_of
from spatial_til.segmentation.settings import COARSEST_UM

RAYS = 24
#: µm. Where a membrane may lie outside the nuclear rim, and past the territory.
_OFF_RIM_UM, _PAST_END_UM = 0.25, 1.2
#: µm. Width of the band of stain and of its surroundings, and how far beyond and before it their middles lie.
_BAND_UM, _BEYOND_UM, _BEFORE_UM = 1.5, 2.0, 3.0
#: µm. Where the membrane of a small cell lies outside its nuclear rim; at most _PAST_END_UM.
_NEAR_UM = 1.0
#: Share of what the fall of stain there has above the ridge that is added to a ray: all of it up to the lesser mean
#: nuclear radius in µm, none from the other.
_NEAR_SHARE, _SMALL_UM, _LARGE_UM = 0.6, 3.25, 4.75
#: µm. How far past the territory another cell is faced, and the longest way from the nuclear rim.
_FACING_UM, _LONGEST_UM = 1.5, 11.0
#: Positions on rays are reckoned in whole fractions of a pixel, so that a ray reads the same pixels in every tile.
FRACTION = 256
#: Side of the blocks in which cells are looked at.
_BLOCK_PX = 64
_LABEL_BITS = np.uint32(LABEL_MASK << np.uint32(1))
_ANGLES = 2 * np.pi * np.arange(RAYS) / RAYS
_WAY = np.round(FRACTION * np.stack((np.sin(_ANGLES), np.cos(_ANGLES)))).astype(np.int32)


def look_along_rays(
    keys: NDArray[np.uint32],
    centre: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[np.int16],
    *,
    px_um: float,
    leak: NDArray[np.floating[Any]] | None,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return eight times the stain of each marker on each ray (n, markers, RAYS), and the cell beyond it (n, RAYS).

    Cells are numbered from 1, 0 is none; those that are neither wanted nor faced by a wanted one have no stain. For
    the parameters see `rim.rim_stain`.
    """
    steps = _steps(px_um)
    n, m = len(centre), len(planes)
    rays = np.zeros((n, m, RAYS), dtype=np.int32)
    facing = np.zeros((n, RAYS), dtype=np.int32)
    shares = np.zeros((m, m)) if leak is None else leak
    leaked = np.round(FRACTION * shares).astype(np.int32)
    _ridges(keys, centre, by_block(centre, wanted), planes, steps, leaked, rays, facing, fetch=True)
    faced = np.zeros(n + 1, dtype=np.bool_)
    faced[facing[wanted]] = True
    _ridges(keys, centre, by_block(centre, faced[1:] & ~wanted), planes, steps, leaked, rays, facing, fetch=False)
    return rays, facing


def _steps(px_um: float) -> NDArray[np.int64]:
    """Return the distances on rays in steps of a pixel, in the order that the kernels know them by."""
    reach = (_PAST_END_UM, _BEYOND_UM, _BEFORE_UM, _FACING_UM, _LONGEST_UM)
    half = max(round((_BAND_UM / px_um - 1) / 2), int(px_um <= COARSEST_UM))  # a single pixel is mostly noise there
    whole = [int(np.ceil(_OFF_RIM_UM / px_um)), *(max(round(um / px_um), 1) for um in reach), half]
    radii = (_SMALL_UM, _LARGE_UM)
    whole += [max(round(_NEAR_UM / px_um), 1), *(round(RAYS * um / px_um) for um in radii)]
    return np.array(whole, dtype=np.int64)


def by_block(centre: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the chosen cells block by block: what one reads of the planes is still at hand for the next."""
    cells = np.flatnonzero(chosen)
    row, col = (centre[cells] // (FRACTION * _BLOCK_PX)).T
    return cells[np.lexsort((col, row))]


@njit(cache=True, nogil=True)
def _ridges(
    keys: Any, centre: Any, chosen: Any, planes: Any, steps: Any, leaked: Any, rays: Any, facing: Any, fetch: bool
) -> Any:
    """Write eight times the ridge of each marker on each ray (n, markers, RAYS), and the cell beyond (n, RAYS).

    What is known of each step on each ray lies in one row of numbers, step after step. With `fetch` rows are
    fetched before the cells of a row of blocks look at them; what is returned is of no use (see `_fetch`).
    """
    m, rows, cols = planes.shape
    beyond, frame, half = steps[2], 4 * steps[5], steps[6]
    flat_keys = keys.reshape(-1), rows, cols
    ahead = steps[3] + half
    room = (ahead + steps[5] + beyond + half + steps[1] + 2) * RAYS
    at, stain, line = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    rim, last = np.zeros(RAYS, dtype=np.int32), np.zeros(RAYS, dtype=np.int32)
    falls = np.zeros((m, RAYS), dtype=np.int32)
    fetched, seen = 0, np.uint32(0)
    for k in chosen:
        r, c = centre[k, 0], centre[k, 1]
        needed = min(((r >> 8) // _BLOCK_PX + 1) * _BLOCK_PX + steps[5] + beyond, rows) if fetch else 0
        if needed > fetched:
            seen += _fetch(keys, planes, fetched, needed)
            fetched = needed
        inside = frame <= r >> 8 < rows - frame and frame <= c >> 8 < cols - frame
        _extents(flat_keys, np.uint32((k + 1) << 1), r, c, steps, inside, rim, last, facing[k])
        furthest = last.max()
        used = (ahead + furthest + beyond + half + 1) * RAYS
        share = _share_of_falls(rim.sum(), steps)
        _positions(at[:used], r, c, rim, ahead, rows, cols, inside)
        for p in range(m):
            _look_up(planes[p].reshape(-1), at[:used], stain)
            _across(stain[:used], line)
            _ridge(line[:used], stain, ahead, last, furthest, steps, rays[k, p])
            if share > 0:
                _fall(stain[(ahead + steps[7]) * RAYS :], beyond, falls[p])
        if share > 0:
            _raise_to_falls(rays[k], falls, share, 1 / (2 * half + 1))
        if m > 1:
            _without_leaks(rays[k], leaked)
    return seen


@njit(cache=True, nogil=True)
def _fetch(keys: Any, planes: Any, row0: int, row1: int) -> Any:
    """Read rows in the order of memory, so that rays, which jump about, find them in the cache.

    Their sum is returned, since reading what nobody asks for is left out by compilers.
    """
    total = np.uint32(0)
    for i in range(row0, row1):
        for j in range(0, keys.shape[1], 16):  # one in each line of a cache
            total += keys[i, j]
        for p in range(len(planes)):
            for j in range(0, planes.shape[2], 32):
                total += np.uint32(planes[p, i, j])
    return total


@njit(cache=True, nogil=True)
def _extents(keys: Any, own: Any, r: int, c: int, steps: Any, inside: bool, rim: Any, last: Any, facing: Any) -> None:
    """Write of each ray the last step in the nucleus, the last that is looked at from there, and the cell beyond.

    That is the first other cell past the end of the territory. `keys`: flat, rows and columns; `own`: the cell's label
    where keys have it.
    """
    flat, rows, cols = keys
    reach, longest = steps[4], steps[5]
    for t in range(RAYS):
        down, right = _WAY[0, t], _WAY[1, t]
        y, x = r, c
        nucleus, end, faced, s, until = 0, 0, np.uint32(0), 0, min(1 + reach, longest)
        while s < until:
            s += 1
            y += down
            x += right
            i, j = y >> 8, x >> 8
            if not inside and (i < 0 or j < 0 or i >= rows or j >= cols):
                break
            key = flat[np.uint64(i * cols + j)]
            if key >= TERRITORY_END:
                continue
            if (key ^ own) & _LABEL_BITS == 0:
                end = s
                if key < NUCLEUS_END:
                    nucleus = s
                until = min(s + reach, nucleus + longest, 2 * longest - 1)
            elif s > nucleus and key & _LABEL_BITS:
                faced = label_of(key, TERRITORY_END)
                break
        rim[t], last[t], facing[t] = nucleus, max(end, nucleus) - nucleus + steps[1], faced


@njit(cache=True, nogil=True)
def _positions(at: Any, r: Any, c: Any, rim: Any, before: Any, rows: int, cols: int, inside: bool) -> None:
    """Write the place in a flat plane of each step from `before` steps ahead of the rim on each ray.

    In numbers of 32 bits, which vectors multiply: a plane has fewer than 2**31 pixels.
    """
    down, right, bits, zero = _WAY[0], _WAY[1], np.int32(8), np.int32(0)
    r, c, wide, before = np.int32(r), np.int32(c), np.int32(cols), np.int32(before)
    last_row, last_col = np.int32(rows - 1), np.int32(cols - 1)
    for s in range(len(at) // RAYS):
        line, ahead = at[s * RAYS : (s + 1) * RAYS], np.int32(s) - before
        for t in range(RAYS):
            u = max(rim[t] + ahead, zero)
            i, j = (r + u * down[t]) >> bits, (c + u * right[t]) >> bits
            if not inside:
                i, j = min(max(i, zero), last_row), min(max(j, zero), last_col)
            line[t] = i * wide + j


@njit(cache=True, nogil=True)
def _look_up(plane: Any, at: Any, stain: Any) -> None:
    for j in range(len(at)):
        stain[j] = plane[np.uint64(at[j])]


@njit(cache=True, nogil=True)
def _across(stain: Any, line: Any) -> None:
    """Write each ray's stain twice plus that of the rays on both sides, step by step; the last is beside the first."""
    left, here, right, out = stain[:-2], stain[1:-1], stain[2:], line[1:]
    for j in range(len(here)):
        out[j] = left[j] + 2 * here[j] + right[j]
    for first in range(0, len(stain), RAYS):
        last = first + RAYS - 1
        line[first] = stain[last] + 2 * stain[first] + stain[first + 1]
        line[last] = stain[last - 1] + 2 * stain[last] + stain[first]


@njit(cache=True, nogil=True)
def _ridge(line: Any, band: Any, rim: int, last: Any, furthest: int, steps: Any, out: Any) -> None:
    """Write eight times the highest ridge on each ray; `line` holds four times the stain, `band` is overwritten.

    Half how far a band of stain stands above the band beyond, half the same or how far above the band before,
    whichever is less: a cell full of stain still counts by half.
    """
    off, beyond, before, half = steps[0], steps[2] * RAYS, steps[3] * RAYS, steps[6]
    _bands(line, band, half)
    out[:] = 0
    for s in range(off, furthest + 1):
        here = (rim + s) * RAYS
        _raise(out, band, here, here + beyond, here - before, last, np.int32(s))
    for t in range(RAYS):
        out[t] = np.int32(out[t] / (2.0 * half + 1.0))  # never negative, and exact


@njit(cache=True, nogil=True)
def _raise(out: Any, band: Any, here: int, outer: int, inner: int, last: Any, s: Any) -> None:
    """Raise each ray's ridge to that of one step, where the ray is that long; apart so that it is vectorised.

    In numbers of 32 bits: twice as many at once.
    """
    for t in range(RAYS):
        u = np.uint64(t)
        level = band[np.uint64(here) + u]
        drop, rise = np.int32(level - band[np.uint64(outer) + u]), np.int32(level - band[np.uint64(inner) + u])
        ridge = np.int32(drop + min(drop, rise))
        ridge = ridge if s <= last[u] else np.int32(0)
        out[u] = ridge if ridge > out[u] else out[u]


@njit(cache=True, nogil=True)
def _bands(line: Any, band: Any, half: int) -> None:
    """Write the sums of 2 * half + 1 steps around each step that has them, on every ray at once."""
    size = len(line) - 2 * half * RAYS
    middle = band[half * RAYS :]
    _set(middle, line[:size])
    for d in range(1, 2 * half + 1):
        _add(middle, line[d * RAYS : d * RAYS + size])


@njit(cache=True, nogil=True)
def _set(out: Any, values: Any) -> None:
    for j in range(len(values)):
        out[j] = values[j]


@njit(cache=True, nogil=True)
def _add(out: Any, values: Any) -> None:
    for j in range(len(values)):
        out[j] += values[j]


@njit(cache=True, nogil=True)
def _without_leaks(rays: Any, leaked: Any) -> None:
    """Take off each marker (row) its share, in 1/FRACTION, of every other marker on the same ray."""
    seen = rays.copy()
    for p in range(len(rays)):
        for q in range(len(rays)):
            for t in range(RAYS):
                rays[p, t] -= leaked[p, q] * seen[q, t] >> 8
        for t in range(RAYS):
            rays[p, t] = max(rays[p, t], np.int32(0))


@njit(cache=True, nogil=True)
def _share_of_falls(rims: int, steps: Any) -> float:
    """Return the share of the fall near a nucleus that counts; `rims`: the last steps of its rays in it added up."""
    small, large, radii = steps[8], steps[9], rims + RAYS // 2  # a nucleus ends half a step past its last one
    return _NEAR_SHARE * (large - min(max(radii, small), large)) / (large - small)


@njit(cache=True, nogil=True)
def _fall(band: Any, beyond: int, out: Any) -> None:
    """Write twice how far stain falls from a step to the one beyond, on each ray; `band` begins at the step."""
    for t in range(RAYS):
        out[t] = 2 * (band[t] - band[beyond * RAYS + t])


@njit(cache=True, nogil=True)
def _raise_to_falls(rays: Any, falls: Any, share: float, unit: float) -> None:
    """Raise each ray by a share of what the fall near the nucleus, in this unit, has above it: never lower it."""
    for p in range(len(rays)):
        for t in range(RAYS):
            rays[p, t] += np.int32(share * max(unit * falls[p, t] - rays[p, t], 0.0))
