"""Cells and stain planes -> measurements of every marker in every compartment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.rim import rim_stain
from spatial_til.segmentation.smooth import SCALE, gaussian_weights, smooth, smooth_float

COMPARTMENTS = ("nucleus", "cytoplasm", "membrane", "cell")
STATISTICS = ("mean", "median", "p70", "p90")
#: Membrane stain above its surroundings: as seen, and without what belongs to a neighbour (see `rim`).
RIM_STATISTICS = ("membrane_ridge", "membrane_own_ridge")

#: Membrane planes are smoothed with a Gaussian of this standard deviation; project default.
MEMBRANE_BLUR_UM = 0.5

_N_PIXEL = len(COMPARTMENTS) * len(STATISTICS)


def column_names(marker: str) -> tuple[str, ...]:
    """Return the measurement columns of one marker, in the order of `measure_cells`."""
    pixels = tuple(f"{marker}_{c}_{s}" for c in COMPARTMENTS for s in STATISTICS)
    return pixels + tuple(f"{marker}_{s}" for s in RIM_STATISTICS)


def measure_cells(
    cells: NDArray[np.int32],
    territory: NDArray[np.int32],
    nuclei: NDArray[np.int32],
    centre_16: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    planes: NDArray[Any],
    smooth_planes: NDArray[Any],
    *,
    px_um: float,
    membrane_um: float,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Measure markers in cells.

    Parameters
    ----------
    cells, territory, nuclei
        (rows, cols) labels 1..n of the same cells.
    centre_16
        (n, 2) row and column of the nuclear centroid in 1/16 pixel.
    wanted
        (n,) cells to measure; the others only serve as neighbours.
    planes, smooth_planes
        (markers, rows, cols) stain amounts, and the same smoothed for membranes, in one unit.
    membrane_um
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
    values = np.full((n, len(planes), _N_PIXEL + len(RIM_STATISTICS)), np.nan, dtype=np.float32)
    box, area = _boxes(cells, n)
    ring = max(round(membrane_um / px_um), 1)
    levels = 256 if planes.dtype == np.uint8 else 0
    _pixel_statistics(cells, nuclei, box, wanted, planes, ring, levels, values)
    values[:, :, _N_PIXEL:] = rim_stain(territory, nuclei, centre_16, smooth_planes, px_um=px_um)
    return values, area


def smooth_markers(planes: NDArray[Any], px_um: float) -> NDArray[Any]:
    """Return marker planes (markers, rows, cols) smoothed over 0.5 µm, in the same unit, float32."""
    weights = gaussian_weights(MEMBRANE_BLUR_UM / px_um)
    if planes.dtype == np.uint8:
        return np.stack([smooth(plane, weights, 6) for plane in planes]).astype(np.float32) / np.float32(SCALE)
    return np.stack([smooth_float(plane, weights) for plane in planes])


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
def _pixel_statistics(
    cells: Any, nuclei: Any, box: Any, wanted: Any, planes: Any, ring: int, levels: int, values: Any
) -> None:
    histogram = np.zeros(levels, dtype=np.int32)
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
        for p in range(planes.shape[0]):
            for c in range(4):
                bit = 7 if c == 3 else 1 << c
                size = 0
                for t in range(count):
                    if part[t] & bit:
                        sample[size] = planes[p, rows[t], cols[t]]
                        size += 1
                if size:
                    _summarise(sample[:size], histogram, values[k, p, 4 * c : 4 * c + 4])


@njit(cache=True, nogil=True)
def _on_ring(cells: Any, i: int, j: int, ring: int) -> bool:
    """Return whether another cell or none lies within `ring` pixels, straight up, down or sideways."""
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
def _summarise(sample: Any, histogram: Any, out: Any) -> None:
    """Write mean, median, 70th and 90th percentile (nearest rank from below)."""
    size = len(sample)
    total = 0.0
    for t in range(size):
        total += sample[t]
    out[0] = total / size
    ranks = ((size - 1) // 2, (7 * (size - 1)) // 10, (9 * (size - 1)) // 10)
    if len(histogram) == 0:
        ordered = np.sort(sample)
        for s in range(3):
            out[s + 1] = ordered[ranks[s]]
        return
    histogram[:] = 0
    for t in range(size):
        histogram[int(sample[t])] += 1
    seen, s = 0, 0
    for level in range(len(histogram)):
        seen += histogram[level]
        while s < 3 and seen > ranks[s]:
            out[s + 1] = level
            s += 1
        if s == 3:
            break
