"""Cells and stain planes -> measurements.

Two families. Pixel statistics of nucleus, cytoplasm, membrane ring and whole cell. And rim statistics: rays
from the centre of the nucleus read the strongest stain across the membrane in each direction, which sees
partial staining (some rays high) and tells a neighbour's membrane (only the rays that face it).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

COMPARTMENTS = ("nucleus", "cytoplasm", "membrane", "cell")
STATISTICS = ("mean", "median", "p70", "p90")
#: Level reached by at least 30 % of the rim: as measured, and without what belongs to a neighbour.
RIM_STATISTICS = ("membrane_arc", "membrane_own_arc")
RAYS = 24
#: Share of the rim that makes a cell positive (partial membrane staining counts); project default.
ARC_SHARE = 0.3

_ANGLES = 2 * np.pi * np.arange(RAYS) / RAYS
#: Ray directions in 1/256 pixel: whole numbers, so that a ray reads the same pixels in every tile.
_DROW = np.round(256 * np.sin(_ANGLES)).astype(np.int32)
_DCOL = np.round(256 * np.cos(_ANGLES)).astype(np.int32)


def column_names(marker: str) -> tuple[str, ...]:
    """Return the measurement columns of one marker, in the order of `measure_cells`."""
    pixels = tuple(f"{marker}_{c}_{s}" for c in COMPARTMENTS for s in STATISTICS)
    return pixels + tuple(f"{marker}_{s}" for s in RIM_STATISTICS)


def measure_cells(
    cells: NDArray[np.int32],
    nuclei: NDArray[np.int32],
    centre_16: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[Any],
    *,
    ring_px: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Measure markers in cells.

    Parameters
    ----------
    cells, nuclei
        (rows, cols) labels 1..n of the same cells.
    centre_16
        (n, 2) row and column of the nuclear centroid in 1/16 pixel.
    wanted
        (n,) cells to measure; the others only serve as neighbours.
    planes
        (markers, rows, cols) stain amounts.
    ring_px
        Width of the membrane ring inside the cell's border.

    Returns
    -------
    values
        (n, markers, 18) float32 in the order of `column_names`, in the unit of `planes`; NaN where a
        compartment is empty or the cell is not wanted.
    area_px
        (n,) pixels of each cell.
    """
    n = len(centre_16)
    box, area = _boxes(cells, n)
    values = np.full((n, len(planes), 18), np.nan, dtype=np.float32)
    rays, facing = _read_rays(cells, nuclei, centre_16, planes)
    _own_arcs(rays, facing, wanted, values)
    _pixel_statistics(cells, nuclei, box, wanted, planes, ring_px, values)
    return values, area


@njit(cache=True, nogil=True)
def _boxes(labels: Any, n: int) -> Any:
    """Return row0, row1, col0, col1 of each label, and its pixels."""
    box = np.zeros((n, 4), dtype=np.int32)
    area = np.zeros(n, dtype=np.int64)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            k = labels[i, j] - 1
            if k < 0:
                continue
            if area[k] == 0:
                box[k, 0], box[k, 1], box[k, 2], box[k, 3] = i, i + 1, j, j + 1
            else:
                box[k, 1] = i + 1
                box[k, 2] = min(box[k, 2], j)
                box[k, 3] = max(box[k, 3], j + 1)
            area[k] += 1
    return box, area


@njit(cache=True, nogil=True)
def _read_rays(cells: Any, nuclei: Any, centre_16: Any, planes: Any) -> Any:
    """Return the strongest stain across the rim on each ray (n, markers, RAYS), and the cell beyond."""
    n = len(centre_16)
    m, rows, cols = planes.shape
    rays = np.zeros((n, m, RAYS), dtype=np.float32)
    facing = np.zeros((n, RAYS), dtype=np.int32)
    for k in range(n):
        label = k + 1
        r0, c0 = centre_16[k, 0] * 16 + 128, centre_16[k, 1] * 16 + 128
        for t in range(RAYS):
            rim, end = 0, 0
            for s in range(1, 64):
                i = (r0 + s * _DROW[t]) >> 8
                j = (c0 + s * _DCOL[t]) >> 8
                if i < 0 or j < 0 or i >= rows or j >= cols:
                    break
                if nuclei[i, j] == label:
                    rim = s
                if cells[i, j] == label:
                    end = s
                elif s > end + 1:
                    break
            for s in range(max(rim, 1), end + 2):
                i = (r0 + s * _DROW[t]) >> 8
                j = (c0 + s * _DCOL[t]) >> 8
                if i < 0 or j < 0 or i >= rows or j >= cols:
                    break
                for p in range(m):
                    rays[k, p, t] = max(rays[k, p, t], planes[p, i, j])
            for s in range(end + 1, end + 3):
                i = (r0 + s * _DROW[t]) >> 8
                j = (c0 + s * _DCOL[t]) >> 8
                if i < 0 or j < 0 or i >= rows or j >= cols:
                    break
                if cells[i, j] and cells[i, j] != label:
                    facing[k, t] = cells[i, j]
                    break
    return rays, facing


@njit(cache=True, nogil=True)
def _own_arcs(rays: Any, facing: Any, wanted: Any, values: Any) -> None:
    """Write both arc levels: on a ray that faces a cell with the stronger rim, only the own low level counts."""
    n, m, _ = rays.shape
    half, low = RAYS // 2, RAYS // 10
    at = RAYS - 1 - int(np.ceil(ARC_SHARE * RAYS) - 1)
    middle = np.zeros((n, m), dtype=np.float32)
    own = np.empty(RAYS, dtype=np.float32)
    for k in range(n):
        for p in range(m):
            middle[k, p] = np.sort(rays[k, p])[half]
    for k in range(n):
        if not wanted[k]:
            continue
        for p in range(m):
            ordered = np.sort(rays[k, p])
            base = ordered[low]
            for t in range(RAYS):
                own[t] = rays[k, p, t]
                f = facing[k, t]
                if f and middle[f - 1, p] > middle[k, p]:
                    own[t] = min(own[t], base)
            values[k, p, 16] = ordered[at]
            values[k, p, 17] = np.sort(own)[at]


@njit(cache=True, nogil=True)
def _summarise(sample: Any, count: int, out: Any, at: int) -> None:
    """Write mean, median, 70th and 90th percentile (nearest rank) of the first `count` values."""
    if count == 0:
        return
    total = 0.0
    for t in range(count):
        total += sample[t]
    ordered = np.sort(sample[:count])
    out[at] = total / count
    out[at + 1] = ordered[(count - 1) // 2]
    out[at + 2] = ordered[(7 * (count - 1)) // 10]
    out[at + 3] = ordered[(9 * (count - 1)) // 10]


@njit(cache=True, nogil=True)
def _on_ring(cells: Any, i: int, j: int, ring: int) -> bool:
    label = cells[i, j]
    rows, cols = cells.shape
    for d in range(1, ring + 1):
        if i - d < 0 or j - d < 0 or i + d >= rows or j + d >= cols:
            continue
        if cells[i - d, j] != label or cells[i + d, j] != label:
            return True
        if cells[i, j - d] != label or cells[i, j + d] != label:
            return True
    return False


@njit(cache=True, nogil=True)
def _pixel_statistics(cells: Any, nuclei: Any, box: Any, wanted: Any, planes: Any, ring: int, values: Any) -> None:
    m = planes.shape[0]
    for k in range(len(box)):
        if not wanted[k]:
            continue
        room = (box[k, 1] - box[k, 0]) * (box[k, 3] - box[k, 2])
        part = np.empty(room, dtype=np.uint8)
        rows = np.empty(room, dtype=np.int32)
        cols = np.empty(room, dtype=np.int32)
        count = 0
        for i in range(box[k, 0], box[k, 1]):
            for j in range(box[k, 2], box[k, 3]):
                if cells[i, j] == k + 1:
                    part[count] = 1 if nuclei[i, j] == k + 1 else 2
                    if _on_ring(cells, i, j, ring):
                        part[count] |= 4
                    rows[count] = i
                    cols[count] = j
                    count += 1
        sample = np.empty(count, dtype=planes.dtype)
        for p in range(m):
            for c in range(4):
                bit = 7 if c == 3 else 1 << c
                size = 0
                for t in range(count):
                    if part[t] & bit:
                        sample[size] = planes[p, rows[t], cols[t]]
                        size += 1
                _summarise(sample, size, values[k, p], 4 * c)
