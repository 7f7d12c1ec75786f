"""Sectors of tissue, each nearest to one short arc of the border, and depths sampled in them.

Cells at one place of the border resemble each other. Sectors that reach from the border to full
depth are what can be resampled to learn how uncertain a depth distribution is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.geometry.locate import locate
from spatial_til.geometry.place import measure_points
from spatial_til.model import XY, Compartments, FloatArray

#: Rows of the sampling lattice climb by 1 / golden ratio: no outline runs along them.
_TILT = np.arctan((np.sqrt(5.0) - 1.0) / 2.0)


class DepthSamples(NamedTuple):
    """Points spread evenly over the tumour that has distances; each stands for the same area."""

    depth_um: FloatArray  # (m,) >= 0, distance to the evaluable border
    sector: NDArray[np.intp]  # (m,)
    area_mm2: float  # area one point stands for


def n_sectors(compartments: Compartments, *, arc_um: float) -> int:
    """Return how many arcs of about a given length the evaluable border has; 0 without border."""
    length = compartments.border.evaluable.length
    return 0 if length == 0 else max(1, round(length / arc_um))


def border_sectors(xy_um: XY, compartments: Compartments, *, arc_um: float) -> NDArray[np.intp]:
    """Return for each point the sector of the border nearest to it, -1 where it has no distance.

    Parameters
    ----------
    xy_um
        (n, 2) x, y in µm.
    compartments
        The divided tissue.
    arc_um
        Length of an arc. The border's lines are laid end to end, neighbours together, and cut
        evenly, so that small islands share a sector.
    """
    return _sector(measure_points(xy_um, compartments).position_um, compartments, arc_um)


def _sector(position_um: FloatArray, compartments: Compartments, arc_um: float) -> NDArray[np.intp]:
    count = n_sectors(compartments, arc_um=arc_um)
    share = position_um / max(compartments.border.evaluable.length, 1e-12)
    share = np.where(np.isnan(share), -1.0, share)
    return np.clip(np.floor(share * count), -1, count - 1).astype(np.intp)


def sample_depths(compartments: Compartments, *, arc_um: float, n_samples: int) -> DepthSamples:
    """Return depths in the tumour at evenly spread points: the area distribution of depth.

    The share of points below a depth is the share of area, off by about
    0.5 · pitch^1.5 · √(length of outline) / area: below 1e-4 for 200,000 points in a compact tumour
    of any size, below 1e-3 in a very ragged one.

    Parameters
    ----------
    compartments
        The divided tissue.
    arc_um
        Length of an arc of border, as for `border_sectors`.
    n_samples
        About how many points to spread.
    """
    tumor = compartments.tumor
    if tumor.is_empty or compartments.border.evaluable.is_empty:
        return DepthSamples(np.empty(0), np.empty(0, dtype=np.intp), 0.0)
    pitch = np.sqrt(tumor.area / n_samples)
    points = _tilted_lattice(tumor.bounds, pitch)
    points = points[locate(points, [tumor]) == 0]
    measured = measure_points(points, compartments)
    has_depth = measured.in_tumor & ~np.isnan(measured.distance_um)
    sector = _sector(measured.position_um[has_depth], compartments, arc_um)
    return DepthSamples(-measured.distance_um[has_depth], sector, float(pitch**2 / 1e6))


def _tilted_lattice(bounds: tuple[float, float, float, float], pitch: float) -> XY:
    x0, y0, x1, y1 = bounds
    reach = np.hypot(x1 - x0, y1 - y0) / 2 + pitch
    steps = np.arange(-reach, reach, pitch)
    u, v = (axis.ravel() for axis in np.meshgrid(steps, steps))
    cos, sin = np.cos(_TILT), np.sin(_TILT)
    xy = np.column_stack((u * cos - v * sin + (x0 + x1) / 2, u * sin + v * cos + (y0 + y1) / 2))
    return xy[(xy[:, 0] >= x0) & (xy[:, 0] <= x1) & (xy[:, 1] >= y0) & (xy[:, 1] <= y1)]
