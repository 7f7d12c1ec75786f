"""Cells and stain planes -> measurements of every marker in every compartment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import CELL_COST, COST_BIT, label_of
from spatial_til.segmentation.rim import rim_stain

COMPARTMENTS = ("nucleus", "cytoplasm", "membrane", "cell")
STATISTICS = ("mean", "median", "p70", "p90")
#: Membrane stain above its surroundings: as seen, and without what belongs to a neighbour (see `rim`).
RIM_STATISTICS = ("membrane_ridge", "membrane_own_ridge")

_N_PIXEL = len(COMPARTMENTS) * len(STATISTICS)


def column_names(marker: str) -> tuple[str, ...]:
    """Return the measurement columns of one marker, in the order of `measure_cells`."""
    pixels = tuple(f"{marker}_{c}_{s}" for c in COMPARTMENTS for s in STATISTICS)
    return pixels + tuple(f"{marker}_{s}" for s in RIM_STATISTICS)


def measure_cells(
    keys: NDArray[np.uint32],
    centre_16: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[Any],
    smooth_planes: NDArray[Any],
    *,
    px_um: float,
    membrane_um: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Measure markers in cells.

    Parameters
    ----------
    keys
        (rows, cols) cells of labels 1..n, see `cells.grow_cells`.
    centre_16
        (n, 2) row and column of the nuclear centroid in 1/16 pixel.
    wanted
        (n,) cells to measure; the others serve as neighbours only.
    planes
        (markers, rows, cols) stain amounts.
    smooth_planes
        The same smoothed for membranes, in any unit.
    membrane_um
        Width of the membrane ring inside the cell's border.

    Returns
    -------
    pixels
        (n, markers, 16) statistics in the unit of `planes`; NaN where a compartment is empty or the cell
        is not wanted.
    rims
        (n, markers, 2) in the unit of `smooth_planes`. With `pixels` the order of `column_names`.
    area_px
        (n,) pixels of each cell.
    """
    pixels = np.full((len(centre_16), len(planes), _N_PIXEL), np.nan, dtype=np.float32)
    box, area = _boxes(keys, len(centre_16))
    ring = max(round(membrane_um / px_um), 1)
    if planes.dtype == np.uint8:
        _level_statistics(keys, box, wanted, planes, ring, pixels)
    else:
        _value_statistics(keys, box, area, wanted, planes, ring, pixels)
    return pixels, rim_stain(keys, centre_16, wanted, smooth_planes, px_um=px_um), area


@njit(cache=True, nogil=True)
def _boxes(keys: Any, n: int) -> Any:
    """Return row0, row1, col0, col1 of each cell, and its pixels, by runs."""
    rows, cols = keys.shape
    box = np.zeros((n, 4), dtype=np.int32)
    area = np.zeros(n, dtype=np.int64)
    for i in range(rows):
        j = 0
        while j < cols:
            label = label_of(keys[i, j], CELL_COST)
            start = j
            j += 1
            if label == 0:
                continue
            while j < cols and label_of(keys[i, j], CELL_COST) == label:
                j += 1
            k = label - 1
            if area[k] == 0:
                box[k, 0], box[k, 2], box[k, 3] = i, start, j
            box[k, 1] = i + 1
            box[k, 2] = min(box[k, 2], start)
            box[k, 3] = max(box[k, 3], j)
            area[k] += j - start
    return box, area


@njit(cache=True, nogil=True, inline="always")
def _part(keys: Any, i: int, j: int, ring: int, label: int) -> int:
    """Return the compartments of a pixel of a cell: 1 nucleus or 2 cytoplasm, and 4 membrane ring.

    On the ring another cell or none lies within `ring` pixels, straight up, down or sideways.
    """
    part = 1 if keys[i, j] >> COST_BIT == 0 else 2
    rows, cols = keys.shape
    for d in range(1, ring + 1):
        if i - d < 0 or j - d < 0 or i + d >= rows or j + d >= cols:
            continue
        if (
            label_of(keys[i - d, j], CELL_COST) != label
            or label_of(keys[i + d, j], CELL_COST) != label
            or label_of(keys[i, j - d], CELL_COST) != label
            or label_of(keys[i, j + d], CELL_COST) != label
        ):
            return part | 4
    return part


@njit(cache=True, nogil=True)
def _level_statistics(keys: Any, box: Any, wanted: Any, planes: Any, ring: int, out: Any) -> None:
    """Write the statistics of 8-bit planes from one histogram a compartment."""
    m = planes.shape[0]
    histogram = np.zeros((m, 4, 256), dtype=np.int32)
    for k in range(len(box)):
        if not wanted[k]:
            continue
        top = 0
        for i in range(box[k, 0], box[k, 1]):
            for j in range(box[k, 2], box[k, 3]):
                if label_of(keys[i, j], CELL_COST) != k + 1:
                    continue
                part = _part(keys, i, j, ring, k + 1)
                for p in range(m):
                    level = planes[p, i, j]
                    top = max(top, np.int64(level))
                    histogram[p, (part & 3) - 1, level] += 1
                    if part & 4:
                        histogram[p, 2, level] += 1
        for p in range(m):
            for level in range(top + 1):
                histogram[p, 3, level] = histogram[p, 0, level] + histogram[p, 1, level]
            for c in range(4):
                _from_histogram(histogram[p, c, : top + 1], out[k, p, 4 * c : 4 * c + 4])
                histogram[p, c, : top + 1] = 0


@njit(cache=True, nogil=True)
def _from_histogram(histogram: Any, out: Any) -> None:
    """Write mean, median, 70th and 90th percentile (nearest rank from below)."""
    size, total = 0, 0
    for level in range(len(histogram)):
        size += histogram[level]
        total += level * histogram[level]
    if size == 0:
        return
    out[0] = total / size
    seen, level = 0, -1
    for s, tenths in ((1, 5), (2, 7), (3, 9)):
        rank = tenths * (size - 1) // 10
        while seen <= rank:
            level += 1
            seen += histogram[level]
        out[s] = level


@njit(cache=True, nogil=True)
def _value_statistics(keys: Any, box: Any, area: Any, wanted: Any, planes: Any, ring: int, out: Any) -> None:
    """Write the statistics of planes of any type from sorted values."""
    for k in range(len(box)):
        if not wanted[k]:
            continue
        sample = np.empty((planes.shape[0], 4, area[k]), dtype=planes.dtype)
        size = np.zeros(4, dtype=np.int64)
        for i in range(box[k, 0], box[k, 1]):
            for j in range(box[k, 2], box[k, 3]):
                if label_of(keys[i, j], CELL_COST) != k + 1:
                    continue
                part = _part(keys, i, j, ring, k + 1)
                for c in range(4):
                    if c == 3 or part & (1 << c):
                        for p in range(planes.shape[0]):
                            sample[p, c, size[c]] = planes[p, i, j]
                        size[c] += 1
        for p in range(planes.shape[0]):
            for c in range(4):
                if size[c]:
                    ordered = np.sort(sample[p, c, : size[c]])
                    total = 0.0
                    for t in range(size[c]):
                        total += sample[p, c, t]
                    out[k, p, 4 * c] = total / size[c]
                    for s, tenths in ((1, 5), (2, 7), (3, 9)):
                        out[k, p, 4 * c + s] = ordered[tenths * (size[c] - 1) // 10]
