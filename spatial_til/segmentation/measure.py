"""Cells and stain planes -> measurements of every marker in every compartment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.cells import write_parts
from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.rim import rim_stain
from spatial_til.segmentation.scratch import Scratch

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
    centre: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[Any],
    membrane_planes: NDArray[np.int16],
    *,
    px_um: float,
    membrane_um: float,
    scratch: Scratch,
    leak: NDArray[np.floating[Any]] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Measure markers in cells.

    Parameters
    ----------
    keys
        (rows, cols) cells of labels 1..n, see `cells.grow_cells`.
    centre
        (n, 2) row and column of the nuclear centroid from the array's corner, in 1/256 pixel.
    wanted
        (n,) cells to measure; the others serve as neighbours only.
    planes
        (markers, rows, cols) stain amounts.
    membrane_planes
        (markers, rows, cols) the same smoothed for membranes, in any unit.
    membrane_um
        Width of the membrane ring inside the cell's border.
    leak
        Share of one marker that shows up as another, see `rim.rim_stain`.

    Returns
    -------
    pixels
        (n, markers, 16) statistics in the unit of `planes`; NaN where a compartment is empty or the cell
        is not wanted.
    rims
        (n, markers, 2) in the unit of `membrane_planes`. With `pixels` the order of `column_names`.
    area_px
        (n,) pixels of each cell.
    """
    pixels = np.full((len(centre), len(planes), _N_PIXEL), np.nan, dtype=np.float32)
    part = scratch.array("parts", keys.shape, np.int32)
    write_parts(keys, max(round(membrane_um / px_um), 1), part)
    runs, first, area = _runs(part, len(centre))
    if planes.dtype == np.uint8:
        _level_statistics(part, runs, first, wanted, planes, pixels)
    else:
        _value_statistics(part, runs, first, area, wanted, planes, pixels)
    return pixels, rim_stain(keys, centre, wanted, membrane_planes, px_um=px_um, leak=leak), area


@njit(cache=True, nogil=True)
def _runs(part: Any, n: int) -> Any:
    """Return the runs of each cell along rows (m, 4): row, first and last column and one, next run of the cell.

    With them the first run of each cell, and its pixels; -1 ends the runs of a cell.
    """
    rows, cols = part.shape
    runs = np.empty((rows * ((cols + 1) // 2), 4), dtype=np.int32)  # room for all: only what is used costs
    first, last = np.full(n, -1, dtype=np.int32), np.empty(n, dtype=np.int32)
    area = np.zeros(n, dtype=np.int64)
    mark, at = mark_room(cols)
    m = 0
    for i in range(rows):
        line = part[i]
        _mark_changes(line, mark)
        changes = marked(mark, at)
        at[changes] = cols
        for t in range(changes):
            start, stop = at[t], at[t + 1]
            k = (line[start] >> 3) - 1
            if k < 0:
                continue
            runs[m, 0], runs[m, 1], runs[m, 2], runs[m, 3] = i, start, stop, -1
            if first[k] < 0:
                first[k] = m
            else:
                runs[last[k], 3] = m
            last[k] = m
            area[k] += stop - start
            m += 1
    return runs[:m], first, area


@njit(cache=True, nogil=True)
def _mark_changes(line: Any, mark: Any) -> None:
    """Mark the first pixel of a row and those of another cell than the one before."""
    mark[0] = 1
    for j in range(1, len(line)):
        mark[j] = (line[j] ^ line[j - 1]) > 7


@njit(cache=True, nogil=True)
def _level_statistics(part: Any, runs: Any, first: Any, wanted: Any, planes: Any, out: Any) -> None:
    """Write the statistics of 8-bit planes from one histogram a compartment."""
    m, cols = len(planes), part.shape[1]
    code, level = part.reshape(-1), planes.reshape(m, -1)
    histogram = np.zeros((m, 8 * 256), dtype=np.int32)
    top = np.zeros(m, dtype=np.uint8)
    for k in range(len(first)):
        if not wanted[k]:
            continue
        top[:] = 0
        at = first[k]
        while at >= 0:
            start = np.uint64(runs[at, 0] * cols + runs[at, 1])
            stop = start + np.uint64(runs[at, 2] - runs[at, 1])
            for p in range(np.uint64(m)):
                most = top[p]
                for j in range(start, stop):
                    here = level[p, j]
                    most = max(most, here)
                    histogram[p, np.uint64((code[j] & 7) << 8) | np.uint64(here)] += 1
                top[p] = most
            at = runs[at, 3]
        for p in range(m):
            _from_histograms(histogram[p].reshape(8, 256)[:, : np.int64(top[p]) + 1], out[k, p])


@njit(cache=True, nogil=True)
def _from_histograms(histogram: Any, out: Any) -> None:
    """Write the statistics of the compartments from histograms by code of `cells.write_parts`, and clear them."""
    for level in range(histogram.shape[1]):
        nucleus = histogram[1, level] + histogram[5, level]
        cytoplasm = histogram[2, level] + histogram[6, level]
        membrane = histogram[5, level] + histogram[6, level]
        histogram[1, level], histogram[2, level] = nucleus, cytoplasm
        histogram[3, level], histogram[4, level] = membrane, nucleus + cytoplasm
    for c in range(4):
        _from_histogram(histogram[c + 1], out[4 * c : 4 * c + 4])
    histogram[1:7] = 0


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
def _value_statistics(part: Any, runs: Any, first: Any, area: Any, wanted: Any, planes: Any, out: Any) -> None:
    """Write the statistics of planes of any type from sorted values."""
    codes = (1, 2, 4, 7)
    for k in range(len(first)):
        if not wanted[k]:
            continue
        sample = np.empty((planes.shape[0], 4, area[k]), dtype=planes.dtype)
        size = np.zeros(4, dtype=np.int64)
        at = first[k]
        while at >= 0:
            i = runs[at, 0]
            for j in range(runs[at, 1], runs[at, 2]):
                for c in range(4):
                    if part[i, j] & codes[c]:
                        for p in range(planes.shape[0]):
                            sample[p, c, size[c]] = planes[p, i, j]
                        size[c] += 1
            at = runs[at, 3]
        for p in range(planes.shape[0]):
            for c in range(4):
                _from_values(sample[p, c, : size[c]], out[k, p, 4 * c : 4 * c + 4])


@njit(cache=True, nogil=True)
def _from_values(values: Any, out: Any) -> None:
    """Write mean, median, 70th and 90th percentile (nearest rank from below)."""
    size = len(values)
    if size == 0:
        return
    total = 0.0
    for value in values:
        total += value
    out[0] = total / size
    ordered = np.sort(values)
    for s, tenths in ((1, 5), (2, 7), (3, 9)):
        out[s] = ordered[tenths * (size - 1) // 10]
