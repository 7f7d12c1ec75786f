"""Cells and stain planes -> measurements of every marker in every compartment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.pieces import CYTOPLASM, MEMBRANE, NUCLEUS, gather
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
    pieces = gather(keys, wanted, planes, max(round(membrane_um / px_um), 1), scratch)
    (_level_statistics if planes.dtype == np.uint8 else _value_statistics)(pieces, pixels)
    rims = rim_stain(keys, centre, wanted, membrane_planes, px_um=px_um, leak=leak)
    return pixels, rims, pieces.area_px


@njit(cache=True, nogil=True)
def _level_statistics(pieces: Any, out: Any) -> None:
    """Write the statistics of 8-bit planes from one histogram a compartment."""
    m = out.shape[1]
    histogram = np.zeros((m, 8 * 256), dtype=np.int32)
    top = np.zeros(m, dtype=np.uint8)
    for k in range(len(out)):
        piece = pieces.first[k]
        if piece < 0:
            continue
        top[:] = 0
        while piece >= 0:
            code, n = pieces.code[piece], np.uint64(pieces.held[piece])
            for p in range(m):
                level, counts = pieces.value[piece, p], histogram[p]
                top[p] = max(top[p], _highest(level[: np.int64(n)]))
                for j in range(n):
                    counts[(np.uint64(code[j]) << np.uint64(8)) | np.uint64(level[j])] += np.int32(1)
            piece = pieces.following[piece]
        for p in range(m):
            _from_histograms(histogram[p].reshape(8, 256)[:, : np.int64(top[p]) + 1], out[k, p])


@njit(cache=True, nogil=True)
def _highest(levels: Any) -> Any:
    """Return the highest of some levels; vectorised, which `max` is not."""
    highest = np.uint8(0)
    for j in range(len(levels)):
        highest = levels[j] if levels[j] > highest else highest
    return highest


@njit(cache=True, nogil=True)
def _from_histograms(histogram: Any, out: Any) -> None:
    """Write the statistics of the compartments from histograms by code of a pixel, and clear them."""
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
def _value_statistics(pieces: Any, out: Any) -> None:
    """Write the statistics of planes of any type from sorted values."""
    codes = (NUCLEUS, CYTOPLASM, MEMBRANE, NUCLEUS | CYTOPLASM)
    m = out.shape[1]
    for k in range(len(out)):
        piece = pieces.first[k]
        if piece < 0:
            continue
        sample = np.empty((m, 4, pieces.area_px[k]), dtype=pieces.value.dtype)
        size = np.zeros(4, dtype=np.int64)
        while piece >= 0:
            for j in range(pieces.held[piece]):
                for c in range(4):
                    if pieces.code[piece, j] & codes[c]:
                        for p in range(m):
                            sample[p, c, size[c]] = pieces.value[piece, p, j]
                        size[c] += 1
            piece = pieces.following[piece]
        for p in range(m):
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
