"""The colours of regions and border in GeoJSON, thumbnails, report and viewer: one palette, told apart colour-blind.

Most are Okabe and Ito's (https://jfly.uni-koeln.de/color/). Any two areas, and any two lines, differ by at least 15
(CIE 1976) as eyes without red, green or blue receptors see them (Machado et al. 2009, doi:10.1109/TVCG.2009.113).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

Color: TypeAlias = tuple[int, int, int]

#: Red, green, blue of every compartment.
COMPARTMENT_COLORS: Mapping[str, Color] = MappingProxyType(
    {
        "core": (213, 94, 0),
        "inner_margin": (230, 159, 0),
        "outer_margin": (0, 114, 178),
        "outside": (199, 199, 199),
        "tumor_unresolved": (204, 121, 167),
    }
)
#: … of every type of border, and of stretches with a thin rim.
BORDER_COLORS: Mapping[str, Color] = MappingProxyType(
    {
        "image_edge": (170, 170, 170),
        "tissue_edge": (110, 60, 40),
        "exclusion": (0, 0, 0),
        "no_margin": (86, 180, 233),
        "stroma": (0, 158, 115),
        "thin_rim": (255, 140, 0),
    }
)
TISSUE_COLOR, TUMOR_COLOR, EXCLUDED_COLOR = (100, 100, 100), (200, 0, 0), (60, 60, 60)


def as_hex(color: Color) -> str:
    """Return a colour as web pages write it.

    Examples
    --------
    >>> as_hex((0, 158, 115))
    '#009e73'
    """
    return "#{:02x}{:02x}{:02x}".format(*color)
