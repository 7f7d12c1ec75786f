"""A plane of nuclear stain -> labelled nuclei.

Every step is exact integer arithmetic with a support in µm, so a nucleus comes out the same in any tile
that holds it with `support_px` pixels around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.segmentation.basins import find_basins
from spatial_til.segmentation.clefts import open_clefts
from spatial_til.segmentation.foreground import SCALE, STEP, above_level, depth_in, fill_holes
from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.merge import join_basins
from spatial_til.segmentation.overlaps import part_overlaps
from spatial_til.segmentation.rejoin import rejoin_parts
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import BRIGHTFIELD, NucleusSettings, Shares
from spatial_til.segmentation.smooth import smooth

#: µm. Blurs, growth, and cells that those faced are compared with (see `rim`).
_FURTHER_UM = 12.0
#: µm. The edge of a nucleus with a larger radius may be softer in proportion: large nuclei are paler at their rim.
_SOFT_FROM_UM = 4.0


class Nuclei(NamedTuple):
    """Nuclei of one array: labels 1..n in raster order of their peaks, and one row each."""

    labels: NDArray[np.int32]
    peak_row: NDArray[np.int32]
    peak_col: NDArray[np.int32]
    area_px: NDArray[np.int32]
    row: NDArray[np.float64]  # centroid in pixel indices, relative to the peak
    col: NDArray[np.float64]


def support_px(settings: NucleusSettings, px_um: float, guided_um: float = 0.0) -> int:
    """Return how far from a cell's centre its nucleus, and those it touches, may depend on pixels.

    Cells that grow along a guide by up to `guided_um` reach further, and so do those they face.
    """
    touching_um = 3 * settings.max_radius_um  # a nucleus, one it touches, and one that this may rather join
    level_um = settings.local_um + 2 * settings.block_um + settings.packed_um + settings.cleft_um
    return int(np.ceil((touching_um + settings.max_depth_um + level_um + _FURTHER_UM + 3 * guided_um) / px_um))


def find_nuclei(
    contrast: NDArray[np.int16],
    *,
    px_um: float,
    typical: float,
    settings: NucleusSettings,
    scratch: Scratch,
    shares: Shares = BRIGHTFIELD,
    guide: NDArray[np.int16] | None = None,
) -> Nuclei:
    """Label nuclei in a plane of nuclear stain.

    Parameters
    ----------
    contrast
        (rows, cols) stain above local background, see `foreground.nuclear_contrast`.
    px_um
        Side of a pixel.
    typical
        Contrast of a typical nucleus over its background on this slide, in the plane's unit.
    shares
        Shares of contrast that decide what a nucleus is in this modality.
    guide
        Stain of cytoplasm, see `clefts.open_clefts`.

    Notes
    -----
    Foreground above local background, parted at clefts where it is packed; depth in it as a landscape; steepest
    ascent gives one basin a peak; basins that together look like one nucleus join, and so do those on both sides of
    a cleft; each nucleus grows to a share of its own level; objects too small, too large or with too weak an edge are
    dropped.
    """
    above = above_level(contrast, px_um=px_um, typical=typical, settings=settings, shares=shares, scratch=scratch)
    fill_holes(above, max(round(settings.max_hole_um / px_um), 1))
    clefts = np.empty(0, dtype=np.int64)
    if shares.cleft is not None:
        clefts = open_clefts(contrast, above, px_um=px_um, share=shares.cleft, settings=settings, guide=guide)
    depth = scratch.array("surface", above.shape, np.int16)
    depth_in(above, int(settings.max_depth_um / px_um * STEP), depth)
    landscape = scratch.array("landscape", above.shape, np.int16)
    smooth(depth, settings.landscape_blur_um / px_um, 1, out=landscape)
    basins = find_basins(landscape, above, contrast, round(settings.max_radius_um / px_um), scratch)
    root, sums = join_basins(basins, px_um=px_um, step=STEP, max_area_um2=settings.max_area_um2)
    rejoin_parts(basins, root, sums, clefts, px_um=px_um, max_area_um2=settings.max_area_um2)
    labels = basins.labels
    relabel(labels, root)
    root, sums, peak = part_overlaps(basins, root, sums, contrast, px_um=px_um, typical=typical)
    cut = np.round(shares.grown * sums[:, 6] / np.maximum(sums[:, 0], 1)).astype(np.int32)
    tally = np.column_stack((sums[:, :3], np.zeros((len(sums), 2), dtype=np.int64)))
    room = (labels.size // 2 + 1,)  # for all: only what is used costs
    rim = scratch.array("grown", room, np.int64), scratch.array("owners", room, np.int32)
    grown, owner = _settle(labels, contrast, cut, peak, tally, *rim)
    area_um2 = tally[:, 0] * px_um**2
    edge = tally[:, 4] / np.maximum(tally[:, 3], 1) / (2 * px_um) / (SCALE * typical)
    edge *= np.maximum(np.sqrt(area_um2 / np.pi) / _SOFT_FROM_UM, 1.0)
    keep = (root == np.arange(len(root))) & (area_um2 >= settings.min_area_um2)
    keep &= (area_um2 <= settings.max_area_um2) & ((edge >= shares.edge) | (tally[:, 3] == 0))
    keep[0] = False
    kept = np.flatnonzero(keep)
    kept = kept[np.lexsort((peak[kept, 1], peak[kept, 0]))]
    number = np.zeros(len(root), dtype=np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    relabel(labels, number)
    labels[[0, -1]] = 0
    labels[:, [0, -1]] = 0
    labels.reshape(-1)[grown] = number[owner]
    area = tally[kept, 0]
    return Nuclei(
        labels=labels,
        peak_row=peak[kept, 0],
        peak_col=peak[kept, 1],
        area_px=area.astype(np.int32),
        row=tally[kept, 1] / area,
        col=tally[kept, 2] / area,
    )


@njit(cache=True, nogil=True)
def _settle(labels: Any, contrast: Any, cut: Any, peak: Any, tally: Any, grown: Any, owner: Any) -> Any:
    """Return the free pixels (flat) by which nuclei grow, and whose they are: with at least the contrast `cut` of it.

    `tally` holds per label: pixels, row and column sums from the peak, edge pixels, sum of edge gradients. What
    is grown and the edge before growth are added to it.
    """
    rows, cols = labels.shape
    mark, at = mark_room(cols)
    n = 0
    for i in range(1, rows - 1):
        up, here, down = labels[i - 1], labels[i], labels[i + 1]
        _mark_edges(up, here, down, mark)
        for t in range(marked(mark, at)):
            j = at[t]
            k = here[j]
            if k == 0:
                for b in (up[j], here[j - 1], here[j + 1], down[j]):
                    if b and contrast[i, j] >= cut[b] and (k == 0 or cut[b] > cut[k]):
                        k = b
                if k:
                    grown[n], owner[n] = i * cols + j, k
                    n += 1
                    tally[k, 0] += 1
                    tally[k, 1] += i - peak[k, 0]
                    tally[k, 2] += j - peak[k, 1]
            else:
                across = np.int64(contrast[i, j + 1]) - contrast[i, j - 1]
                descent = np.int64(contrast[i + 1, j]) - contrast[i - 1, j]
                tally[k, 3] += 1
                tally[k, 4] += np.int64(np.sqrt(across * across + descent * descent))
    return grown[:n].copy(), owner[:n].copy()


@njit(cache=True, nogil=True)
def _mark_edges(up: Any, here: Any, down: Any, mark: Any) -> None:
    """Mark pixels of basins beside free ones and free ones beside basins, but for the ends of the row."""
    for j in range(1, len(here) - 1):
        full = (up[j] != 0) & (down[j] != 0) & (here[j - 1] != 0) & (here[j + 1] != 0)
        empty = (up[j] | down[j] | here[j - 1] | here[j + 1]) == 0
        mark[j] = ~full & 1 if here[j] != 0 else ~empty & 1


@njit(cache=True, nogil=True)
def relabel(labels: Any, number: Any) -> None:
    """Write the number of each label in its place."""
    flat = labels.reshape(-1)
    for j in range(len(flat)):
        flat[j] = number[flat[j]]


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
