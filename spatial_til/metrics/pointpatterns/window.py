"""The window in which cells were seen: distance to its boundary, and its overlap with itself when moved.

Neighbours beyond the boundary are not seen. Both numbers correct for that on a window of any shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from numba import njit
from scipy import fft
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.metrics.pointpatterns.neighbours import sort_into_bins
from spatial_til.metrics.squares import area_by_square
from spatial_til.model import XY, FloatArray

_PIXEL_UM = 5.0
_PIECE_UM = 25.0  # longest piece of boundary, and side of the bins that hold them
_MOST_PIXELS = 16e6  # a larger window gets larger pixels: 10 µm at 40 x 40 mm


class Overlap(NamedTuple):
    """|W ∩ (W + v)| for displacements v up to a limit, in µm², on a grid of pixels."""

    area_um2: FloatArray  # (2k + 1, 2k + 1): row k + i, column k + j for v = (j, i) pixels
    pixel_um: float


def overlap_with_itself(region: Polygon | MultiPolygon, limit_um: float, pixel_um: float | None = None) -> Overlap:
    """Return the set covariance of a window for all displacements up to `limit_um` in x and in y.

    Parameters
    ----------
    region
        The window in µm.
    limit_um
        Longest displacement.
    pixel_um
        Side of the pixels the window is drawn on; by default 5 µm, or as many pixels as fit the memory.

    Notes
    -----
    The autocorrelation of the exact covered area of each pixel, by Fourier transform. At no displacement
    it is the area of the window; elsewhere a pixel's blur is left: beyond 20 µm, for 5 µm pixels, at
    most 0.1 % in a ring 250 µm wide, 0.3 % in an L turned by 33 degrees and 1 % in a ring 50 µm wide.

    Examples
    --------
    >>> overlap = overlap_with_itself(shapely.box(0, 0, 200, 100), 50.0)
    >>> k = len(overlap.area_um2) // 2
    >>> overlap.area_um2[k, k + 10].round().item()  # moved by 50 µm in x: 150 x 100
    15000.0
    """
    x_min, y_min, x_max, y_max = region.bounds
    if pixel_um is None:
        pixel_um = max(_PIXEL_UM, float(np.sqrt((x_max - x_min) * (y_max - y_min) / _MOST_PIXELS)))
    covered = area_by_square(region, pixel_um)
    covered /= pixel_um**2
    k = int(np.ceil(limit_um / pixel_um)) + 1
    shape = [fft.next_fast_len(side + k, real=True) for side in covered.shape]
    spectrum = fft.rfft2(covered, shape)
    del covered  # each takes 32 MiB of a region of 10 x 10 mm
    power = spectrum.real**2 + spectrum.imag**2
    del spectrum
    around = fft.irfft2(power, shape)
    lags = np.arange(-k, k + 1)
    area = around[np.ix_(lags % shape[0], lags % shape[1])] * pixel_um**2
    area[k, k] = region.area
    return Overlap(np.maximum(area, 0.0), pixel_um)


def boundary_distance_um(region: Polygon | MultiPolygon, xy_um: XY, limit_um: float) -> FloatArray:
    """Return the exact distance from points to the boundary of a window, in µm, at most `limit_um`.

    Parameters
    ----------
    region
        The window in µm; its holes have boundaries too.
    xy_um
        (n, 2) points.
    limit_um
        Longest distance of interest: a farther boundary comes back as this.

    Examples
    --------
    >>> boundary_distance_um(shapely.box(0, 0, 10, 4), np.array([[5.0, 1.5], [5.0, 2.0]]), 1.8).tolist()
    [1.5, 1.8]
    """
    pieces = _short_pieces(region, _PIECE_UM)
    middle = (pieces[:, :2] + pieces[:, 2:]) / 2
    x0, y0 = (middle.min(axis=0)).tolist()
    cols, rows = (((middle.max(axis=0) - (x0, y0)) / _PIECE_UM).astype(int) + 1).tolist()
    order, start = sort_into_bins(middle, x0, y0, _PIECE_UM, cols, rows)
    found: FloatArray = _nearest_piece(xy_um, pieces[order], start, x0, y0, _PIECE_UM, cols, rows, float(limit_um))
    return found


def _short_pieces(region: Polygon | MultiPolygon, longest_um: float) -> FloatArray:
    """Return the boundary as (m, 4) pieces x0, y0, x1, y1 of limited length."""
    lines = shapely.segmentize(shapely.get_parts(region.boundary), longest_um)
    xy, line = shapely.get_coordinates(lines, return_index=True)
    same = np.flatnonzero(line[1:] == line[:-1])
    return np.hstack((xy[same], xy[same + 1]))


@njit(cache=True, nogil=True)
def _nearest_in_bins(x, y, pieces, start, base, first, last, best):  # type: ignore[no-untyped-def]
    """Return the least squared distance to pieces of the bins first..last of one row, if below `best`."""
    for k in range(start[base + first], start[base + last + 1]):
        ax, ay = pieces[k, 0], pieces[k, 1]
        ux, uy = pieces[k, 2] - ax, pieces[k, 3] - ay
        squared = ux * ux + uy * uy
        t = 0.0 if squared == 0 else min(1.0, max(0.0, ((x - ax) * ux + (y - ay) * uy) / squared))
        dx, dy = ax + t * ux - x, ay + t * uy - y
        best = min(best, dx * dx + dy * dy)
    return best


@njit(cache=True, nogil=True)
def _nearest_piece(xy_um, pieces, start, x0, y0, side, cols, rows, limit_um):  # type: ignore[no-untyped-def]
    """Search rings of bins outwards; a piece reaches at most half a bin's side from its middle."""
    found = np.empty(len(xy_um))
    for i in range(len(xy_um)):
        x, y = xy_um[i, 0], xy_um[i, 1]
        col, row = int(np.floor((x - x0) / side)), int(np.floor((y - y0) / side))
        best = limit_um * limit_um
        ring = max(0, -col, col - cols + 1, -row, row - rows + 1)
        last_ring = max(col, cols - 1 - col, row, rows - 1 - row)
        # The pieces of a ring lie at least (ring - 1) sides away, less half a side.
        while ring <= last_ring and (ring < 2 or (ring - 1.5) * side < np.sqrt(best)):
            left, right = max(col - ring, 0), min(col + ring, cols - 1)
            for r in range(max(row - ring, 0), min(row + ring, rows - 1) + 1):
                if abs(r - row) == ring:
                    best = _nearest_in_bins(x, y, pieces, start, r * cols, left, right, best)
                else:
                    if col - ring >= 0:
                        best = _nearest_in_bins(x, y, pieces, start, r * cols, col - ring, col - ring, best)
                    if col + ring < cols:
                        best = _nearest_in_bins(x, y, pieces, start, r * cols, col + ring, col + ring, best)
            ring += 1
        found[i] = np.sqrt(best)
    return found
