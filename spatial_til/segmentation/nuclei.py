"""A plane of nuclear stain -> labelled nuclei.

Every step is exact integer arithmetic with a support in µm, so a nucleus comes out the same in any tile
that holds it with `support_px` pixels around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.smooth import (
    SCALE,
    above_surface,
    block_max,
    block_mean,
    gaussian_weights,
    smooth,
    window_min,
)

#: One step of the distance landscape: 1/16 pixel.
_STEP = 16
_DIAGONAL = 23
_BIG = np.int16(32000)
_NEIGHBOURS = 12


@dataclass(frozen=True, slots=True)
class NucleusSettings:
    """Sizes in µm and shares of contrast that decide what a nucleus is. Project defaults."""

    min_area_um2: float = 10.0
    max_area_um2: float = 400.0
    threshold: float | None = None  # of the nuclear plane above background; None: `typical_share`
    typical_share: float = 0.25  # of the slide's typical contrast
    local_share: float = 0.30  # of the largest contrast nearby
    blur_um: float = 0.45
    block_um: float = 4.0
    background_um: float = 15.0
    local_um: float = 8.0
    max_radius_um: float = 9.0
    landscape_blur_um: float = 0.6
    prominence_um: float = 0.45
    prominence_share: float = 0.12
    max_hole_um2: float = 6.0
    edge_share: float = 0.05  # mean edge gradient per µm, of the typical contrast


class Nuclei(NamedTuple):
    """Nuclei of one array: labels 1..n in raster order of their peaks, and one row each."""

    labels: NDArray[np.int32]
    peak_row: NDArray[np.int32]
    peak_col: NDArray[np.int32]
    area_px: NDArray[np.int32]
    row: NDArray[np.float64]  # centroid in pixel indices, relative to the peak
    col: NDArray[np.float64]


def block_px(settings: NucleusSettings, px_um: float) -> int:
    """Return the side of background blocks in pixels; arrays must start at a multiple of it."""
    return max(2 * round(settings.block_um / px_um / 2), 2)


def support_px(settings: NucleusSettings, px_um: float) -> int:
    """Return how far from its peak a nucleus may depend on pixels."""
    reach_um = settings.background_um + 2 * settings.block_um + 4 * settings.max_radius_um
    return int(np.ceil(reach_um / px_um))


def find_nuclei(signal: NDArray[Any], *, px_um: float, typical: float, settings: NucleusSettings) -> Nuclei:
    """Label nuclei in a plane of nuclear stain.

    Parameters
    ----------
    signal
        (rows, cols) int16 or uint8, stain in any unit, within ±511; membrane stain already subtracted.
    px_um
        Side of a pixel.
    typical
        Contrast of a typical nucleus over its background on this slide, in the plane's unit.

    Notes
    -----
    Foreground above local background; distance landscape; steepest ascent gives one basin a peak; a basin
    whose peak stands little above its saddle to a higher neighbour joins it; objects too small or with too
    weak an edge are dropped.
    """
    contrast = nuclear_contrast(signal, px_um=px_um, settings=settings)
    level = foreground_level(contrast, px_um=px_um, typical=typical, settings=settings)
    above = above_surface(contrast, level, block_px(settings, px_um))
    mask = fill_holes(above, round(settings.max_hole_um2 / px_um**2))
    distance = _distance(above, mask, int(settings.max_radius_um / px_um * _STEP))
    landscape = smooth(distance, gaussian_weights(settings.landscape_blur_um / px_um), 12)
    basins = _basins(landscape, mask, round(settings.max_radius_um / px_um))
    return _nuclei(basins, landscape, contrast, px_um, typical, settings)


def nuclear_contrast(signal: NDArray[Any], *, px_um: float, settings: NucleusSettings) -> NDArray[np.int16]:
    """Return the smoothed stain above its local background, in 1/64 of the plane's unit.

    The background is the lowest 4 µm mean within `background_um`.
    """
    block = block_px(settings, px_um)
    smoothed = smooth(signal, gaussian_weights(settings.blur_um / px_um), 6)
    means = block_mean(signal, block)
    lowest = window_min(means, round(settings.background_um / px_um / block))
    return np.asarray(above_surface(smoothed, np.maximum(lowest, 0), block))


def foreground_level(
    contrast: NDArray[np.int16], *, px_um: float, typical: float, settings: NucleusSettings
) -> NDArray[np.int32]:
    """Return the foreground cut-off at block centres: the larger of slide-wide and local share."""
    block = block_px(settings, px_um)
    floor = settings.typical_share * typical if settings.threshold is None else settings.threshold
    highest = -window_min(-block_max(contrast, block), round(settings.local_um / px_um / block))
    local = highest * round(settings.local_share * 1024) >> 10
    return np.maximum(local, round(floor * SCALE)).astype(np.int32)


def fill_holes(above: NDArray[np.int16], max_hole_px: int) -> NDArray[np.uint8]:
    """Return the foreground (1) with enclosed holes of up to `max_hole_px` pixels filled."""
    import cv2

    background = (above <= 0).astype(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4, ltype=cv2.CV_32S)
    small = stats[:, cv2.CC_STAT_AREA] <= max_hole_px
    rows, cols = above.shape
    touches = (
        (stats[:, 0] == 0) | (stats[:, 1] == 0)
        | (stats[:, 0] + stats[:, 2] == cols) | (stats[:, 1] + stats[:, 3] == rows)
    )  # fmt: skip
    fill = small & ~touches
    fill[0] = True
    return np.asarray(_mask_of(labels, fill))


@njit(cache=True, nogil=True)
def _mask_of(labels: Any, fill: Any) -> Any:
    out = np.empty(labels.shape, dtype=np.uint8)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            out[i, j] = fill[labels[i, j]]
    return out


@njit(cache=True, nogil=True)
def _distance(above: Any, mask: Any, cap: int) -> Any:
    """Chamfer distance into the foreground in 1/16 pixel, from the sub-pixel crossing, capped."""
    rows, cols = mask.shape
    out = np.zeros((rows, cols), dtype=np.int16)
    for i in range(rows):
        for j in range(cols):
            if not mask[i, j]:
                continue
            best = cap
            here = max(np.int32(above[i, j]), 0)
            for t in range(4):
                r = i + (1 if t == 0 else -1 if t == 1 else 0)
                c = j + (1 if t == 2 else -1 if t == 3 else 0)
                if 0 <= r < rows and 0 <= c < cols and not mask[r, c]:
                    there = -np.int32(above[r, c])
                    best = min(best, _STEP * here // (here + there + 1))
            for t in range(4):
                r = i + (1 if t < 2 else -1)
                c = j + (1 if t % 2 == 0 else -1)
                if 0 <= r < rows and 0 <= c < cols and not mask[r, c]:
                    there = -np.int32(above[r, c])
                    best = min(best, _DIAGONAL * here // (here + there + 1))
            out[i, j] = best
    for i in range(rows):
        for j in range(cols):
            if mask[i, j]:
                d = np.int32(out[i, j])
                if i > 0:
                    d = min(d, np.int32(out[i - 1, j]) + _STEP)
                    if j > 0:
                        d = min(d, np.int32(out[i - 1, j - 1]) + _DIAGONAL)
                    if j < cols - 1:
                        d = min(d, np.int32(out[i - 1, j + 1]) + _DIAGONAL)
                if j > 0:
                    d = min(d, np.int32(out[i, j - 1]) + _STEP)
                out[i, j] = d
    for i in range(rows - 1, -1, -1):
        for j in range(cols - 1, -1, -1):
            if mask[i, j]:
                d = np.int32(out[i, j])
                if i < rows - 1:
                    d = min(d, np.int32(out[i + 1, j]) + _STEP)
                    if j > 0:
                        d = min(d, np.int32(out[i + 1, j - 1]) + _DIAGONAL)
                    if j < cols - 1:
                        d = min(d, np.int32(out[i + 1, j + 1]) + _DIAGONAL)
                if j < cols - 1:
                    d = min(d, np.int32(out[i, j + 1]) + _STEP)
                out[i, j] = d
    return out


@njit(cache=True, nogil=True)
def _basins(landscape: Any, mask: Any, reach: int) -> Any:
    """Label each foreground pixel by the peak that steepest ascent leads to (1..n, raster order of peaks).

    Equal heights go to the pixel that comes first in raster order. Pixels further than `reach` from
    their peak are left out, which bounds the support.
    """
    rows, cols = mask.shape
    up = np.full(rows * cols, -1, dtype=np.int32)
    labels = np.zeros((rows, cols), dtype=np.int32)
    peak_row = np.empty(rows * cols // 4 + 1, dtype=np.int32)
    peak_col = np.empty(rows * cols // 4 + 1, dtype=np.int32)
    n = 0
    for i in range(rows):
        for j in range(cols):
            if not mask[i, j]:
                continue
            best = landscape[i, j]
            at = i * cols + j
            target = at
            for r in range(max(i - 1, 0), min(i + 2, rows)):
                for c in range(max(j - 1, 0), min(j + 2, cols)):
                    other = landscape[r, c]
                    if mask[r, c] and (other > best or (other == best and r * cols + c < target)):
                        best = other
                        target = r * cols + c
            up[at] = target
            if target == at:
                peak_row[n] = i
                peak_col[n] = j
                n += 1
                labels[i, j] = n
    flat = labels.reshape(-1)
    for at in range(rows * cols):
        if up[at] < 0 or flat[at]:
            continue
        top = at
        while not flat[top]:
            top = up[top]
        label = flat[top]
        step = at
        while not flat[step]:
            flat[step] = label
            step = up[step]
    for i in range(rows):
        for j in range(cols):
            k = labels[i, j] - 1
            if k >= 0 and (abs(i - peak_row[k]) > reach or abs(j - peak_col[k]) > reach):
                labels[i, j] = 0
    return labels, peak_row[:n].copy(), peak_col[:n].copy()


@njit(cache=True, nogil=True)
def _adjacency(labels: Any, landscape: Any, n: int) -> Any:
    """Return for each basin its neighbours (0: none) and the height of the saddle to each."""
    neighbour = np.zeros((n + 1, _NEIGHBOURS), dtype=np.int32)
    saddle = np.zeros((n + 1, _NEIGHBOURS), dtype=np.int16)
    rows, cols = labels.shape
    for i in range(rows):
        for j in range(cols):
            a = labels[i, j]
            if a == 0:
                continue
            for t in range(4):
                r = i + (t > 0)
                c = j + (1 if t < 2 else 0 if t == 2 else -1)
                if r >= rows or c < 0 or c >= cols:
                    continue
                b = labels[r, c]
                if b == 0 or b == a:
                    continue
                height = min(landscape[i, j], landscape[r, c])
                for one, two in ((a, b), (b, a)):
                    for k in range(_NEIGHBOURS):
                        if neighbour[one, k] == two or neighbour[one, k] == 0:
                            if neighbour[one, k] == 0 or height > saddle[one, k]:
                                saddle[one, k] = height
                            neighbour[one, k] = two
                            break
    return neighbour, saddle


@njit(cache=True, nogil=True)
def _merge(peaks: Any, rows: Any, cols: Any, neighbour: Any, saddle: Any, flat: int, share: int, reach: int) -> Any:
    """Return the root of each basin: the higher neighbour it joins, followed within `reach` of its peak.

    A basin joins its highest saddle's neighbour when its peak stands at most `flat` or `share`/256 of its
    own height above that saddle.
    """
    n = len(peaks) - 1
    parent = np.zeros(n + 1, dtype=np.int32)
    for a in range(1, n + 1):
        parent[a] = a
        best = -1
        for k in range(_NEIGHBOURS):
            b = neighbour[a, k]
            if b == 0:
                break
            higher = peaks[b] > peaks[a] or (peaks[b] == peaks[a] and b < a)
            if higher and saddle[a, k] > best:
                best = saddle[a, k]
                parent[a] = b
        if parent[a] != a and peaks[a] - best > max(flat, (share * np.int32(peaks[a])) >> 8):
            parent[a] = a
    root = np.zeros(n + 1, dtype=np.int32)
    for a in range(1, n + 1):
        b = a
        while parent[b] != b:
            c = parent[b]
            if abs(rows[c - 1] - rows[a - 1]) > reach or abs(cols[c - 1] - cols[a - 1]) > reach:
                break
            b = c
        root[a] = b
    return root


@njit(cache=True, nogil=True)
def _tally(labels: Any, contrast: Any, root: Any, rows: Any, cols: Any) -> Any:
    """Relabel to roots; return per root: pixels, row and column sums from the peak, edge pixels, edge sum."""
    height, width = labels.shape
    tally = np.zeros((len(root), 5), dtype=np.int64)
    for i in range(height):
        for j in range(width):
            a = labels[i, j]
            if a == 0:
                continue
            b = root[a]
            labels[i, j] = b
            tally[b, 0] += 1
            tally[b, 1] += i - rows[b - 1]
            tally[b, 2] += j - cols[b - 1]
            if i == 0 or j == 0 or i == height - 1 or j == width - 1:
                continue
            if labels[i - 1, j] and labels[i, j - 1] and labels[i + 1, j] and labels[i, j + 1]:
                continue
            across = np.int64(contrast[i, j + 1]) - contrast[i, j - 1]
            down = np.int64(contrast[i + 1, j]) - contrast[i - 1, j]
            tally[b, 3] += 1
            tally[b, 4] += np.int64(np.sqrt(across * across + down * down))
    return tally


@njit(cache=True, nogil=True)
def _relabel(labels: Any, new: Any) -> None:
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            labels[i, j] = new[labels[i, j]]


def _nuclei(
    basins: Any,
    landscape: NDArray[np.int16],
    contrast: NDArray[np.int16],
    px_um: float,
    typical: float,
    settings: NucleusSettings,
) -> Nuclei:
    """Join basins, measure and filter the nuclei."""
    labels, peak_row, peak_col = basins
    n = len(peak_row)
    peaks = np.concatenate((np.zeros(1, np.int16), landscape[peak_row, peak_col]))
    neighbour, saddle = _adjacency(labels, landscape, n)
    root = _merge(
        peaks,
        peak_row,
        peak_col,
        neighbour,
        saddle,
        round(settings.prominence_um / px_um * _STEP),
        round(settings.prominence_share * 256),
        round(settings.max_radius_um / px_um),
    )
    tally = _tally(labels, contrast, root, peak_row, peak_col)
    area_um2 = tally[:, 0] * px_um**2
    edge = tally[:, 4] / np.maximum(tally[:, 3], 1) / (2 * px_um) / (SCALE * typical)
    keep = (area_um2 >= settings.min_area_um2) & (area_um2 <= settings.max_area_um2)
    keep &= (edge >= settings.edge_share) | (tally[:, 3] == 0)
    new = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    _relabel(labels, new)
    kept = np.flatnonzero(keep)
    area = tally[kept, 0]
    return Nuclei(
        labels=labels,
        peak_row=peak_row[kept - 1],
        peak_col=peak_col[kept - 1],
        area_px=area.astype(np.int32),
        row=tally[kept, 1] / area,
        col=tally[kept, 2] / area,
    )


def given_nuclei(labels: NDArray[Any]) -> Nuclei:
    """Return nuclei given as a label image (rows, cols), 0 background."""
    ids, inverse = np.unique(labels, return_inverse=True)
    compact = inverse.reshape(labels.shape).astype(np.int32)
    if ids[0] != 0:
        compact += 1
    return Nuclei(compact, *_outline(compact, int(compact.max(initial=0))))


@njit(cache=True, nogil=True)
def _outline(labels: Any, n: int) -> Any:
    """Return the first pixel of each label, its pixels, and its centroid relative to that pixel."""
    row0, col0 = np.full(n, -1, dtype=np.int32), np.zeros(n, dtype=np.int32)
    area = np.zeros(n, dtype=np.int32)
    row, col = np.zeros(n), np.zeros(n)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            k = labels[i, j] - 1
            if k < 0:
                continue
            if row0[k] < 0:
                row0[k], col0[k] = i, j
            area[k] += 1
            row[k] += i - row0[k]
            col[k] += j - col0[k]
    return row0, col0, area, row / area, col / area
