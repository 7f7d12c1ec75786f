"""Margin widths for lesions too small for the usual ones: the same at all time points."""

from __future__ import annotations

from collections.abc import Sequence

import shapely
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.geometry.polygons import fill_holes

#: No circle is asked for more exactly than this.
_FINEST_UM = 0.01


def inscribed_radius(tumor: MultiPolygon) -> float:
    """Return the radius of the largest circle inside the hole-filled tumour, in µm; 0 without tumour.

    Right to 1 % from below.
    """
    radius = 0.0
    for part in sorted(fill_holes(tumor).geoms, key=lambda part: -part.area):
        if part.area <= shapely.Point(0, 0).buffer(radius).area:
            break
        radius = max(radius, _widest(part))
    return radius


def _widest(part: Polygon) -> float:
    """Return the radius of the largest circle: as exact as a compact part asks for, and a slender one again."""
    tolerance = part.area**0.5 * 0.005
    radius = float(shapely.maximum_inscribed_circle(part, tolerance).length)
    if tolerance > 0.01 * radius:
        radius = float(shapely.maximum_inscribed_circle(part, max(0.005 * radius, _FINEST_UM)).length)
    return radius


def adaptive_width(width_um: float, radii_um: Sequence[float]) -> float:
    """Return the margin width that leaves a core at every time point of a lesion.

    Parameters
    ----------
    width_um
        The width of the protocol.
    radii_um
        Inscribed radius of the tumour at each time point; those without tumour (0) have no say.

    Returns
    -------
    width_um
        The smaller of the width and half the smallest radius.

    Examples
    --------
    >>> adaptive_width(500.0, [1500.0, 600.0, 0.0])
    300.0
    """
    return min([width_um, *(radius / 2 for radius in radii_um if radius > 0)])
