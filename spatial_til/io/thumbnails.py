"""Thumbnails: the slide with its tumour border, margin band and CD8+ cells."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon
from shapely.geometry.base import BaseGeometry

from spatial_til.io.atomic import write_bytes
from spatial_til.io.drawn import drawn
from spatial_til.model import XY, Compartments
from spatial_til.region_colors import BORDER_COLORS, COMPARTMENT_COLORS, TUMOR_COLOR, as_hex

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

_WIDTH_PX, _DPI = 1200, 100
# The tumour's outline is dashed, beside the full line of the border: lines are told apart without colour, too.
_MARGIN_COLORS = {name: as_hex(COMPARTMENT_COLORS[name]) for name in ("inner_margin", "outer_margin")}
_TUMOR_COLOR, _BORDER_COLOR = as_hex(TUMOR_COLOR), as_hex(BORDER_COLORS["stroma"])
_BAND_ALPHA = 0.25
_NICE = (1, 2, 5)
_DOT_PX, _MANY_CELLS = 3.0, 20_000
_PNG_LEVEL = 2  # of zlib: its usual level 6 takes three times as long, a fifth of scoring a slide, and saves a twelfth


def write_thumbnail(
    path: Path,
    picture: NDArray[np.uint8] | None,
    extent_um: tuple[float, float, float, float],
    compartments: Compartments | None,
    cd8_xy_um: XY,
) -> None:
    """Draw one slide as PNG, the same bytes for the same input, whole or not at all.

    Parameters
    ----------
    path
        The PNG file.
    picture
        (rows, cols, 3); None where there is no image, which leaves the ground white.
    extent_um
        x0, y0, x1, y1 that the picture covers, in µm.
    compartments
        What to outline: tumour, margins and evaluable border; None where the slide has none.
    cd8_xy_um
        (n, 2) positions of CD8+ cells.
    """
    from matplotlib.figure import Figure

    x0, y0, x1, y1 = extent_um
    height = max(200, round(_WIDTH_PX * (y1 - y0) / (x1 - x0)))
    figure = Figure(figsize=(_WIDTH_PX / _DPI, min(height, 3 * _WIDTH_PX) / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(x0, x1), ylim=(y1, y0), aspect="equal")
    axes.set_axis_off()
    figure.patch.set_alpha(0)
    if compartments is not None:
        _draw_regions(axes, compartments)
    if len(cd8_xy_um):
        size = _DOT_PX if len(cd8_xy_um) < _MANY_CELLS else _DOT_PX / 2
        style: dict[str, Any] = {
            "color": "#ffe600",
            "markersize": size,
            "markeredgecolor": "black",
            "markeredgewidth": size / 12,
        }
        axes.plot(*cd8_xy_um.T, linestyle="none", marker="o", label="CD8+ cells", **style)
    _draw_scale(axes, x0, y1, x1 - x0)
    axes.set(xlim=(x0, x1), ylim=(y1, y0))
    buffer = io.BytesIO()
    drawn(figure, _ground(axes, picture)).save(buffer, format="PNG", compress_level=_PNG_LEVEL)
    write_bytes(path, buffer.getvalue())


def _ground(axes: Axes, picture: NDArray[np.uint8] | None) -> Image:
    """Return what is drawn over: the picture where the axes lie, and white around it.

    Drawn by the axes themselves, it would take 130 MiB.
    """
    from PIL import Image

    axes.apply_aspect()
    wide, high = axes.figure.canvas.get_width_height()
    ground = Image.new("RGB", (wide, high), "white")
    if picture is not None:
        box = axes.get_window_extent()
        size = (max(1, round(box.width)), max(1, round(box.height)))
        ground.paste(
            Image.fromarray(picture).resize(size, Image.Resampling.HAMMING), (round(box.x0), round(high - box.y1))
        )
    return ground


def _draw_regions(axes: Axes, compartments: Compartments) -> None:
    for name, color in _MARGIN_COLORS.items():
        _fill(axes, compartments.regions[name], color, name.replace("_", " "))
    _lines(axes, compartments.tumor.boundary, _TUMOR_COLOR, "tumour", linewidths=1.5, linestyles="dashed")
    _lines(axes, compartments.border.evaluable, _BORDER_COLOR, "evaluable border", linewidths=2.5)


def _fill(axes: Axes, region: MultiPolygon, color: str, label: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(shapely.get_parts(region))]
    if rings:
        outline = Outline.make_compound_path(*(Outline(ring, closed=True) for ring in rings))
        axes.add_patch(PathPatch(outline, facecolor=color, alpha=_BAND_ALPHA, linewidth=0, label=label))


def _lines(axes: Axes, lines: BaseGeometry, color: str, label: str, **style: Any) -> None:
    from matplotlib.collections import LineCollection

    parts = [shapely.get_coordinates(part) for part in shapely.get_parts(lines)]
    if parts:
        axes.add_collection(LineCollection(parts, colors=color, label=label, **style))


def _draw_scale(axes: Axes, x0: float, y1: float, width_um: float) -> None:
    """Draw a bar of a round length, about a fifth of the width, and the legend."""
    power = 10.0 ** np.floor(np.log10(width_um / 5))
    length = max(n * power for n in _NICE if n * power <= width_um / 5)
    left, low = x0 + 0.03 * width_um, y1 - 0.03 * width_um
    for color, width in (("white", 8), ("black", 4)):  # fluorescence is dark: a black bar alone would not be seen
        axes.plot([left, left + length], [low, low], color=color, linewidth=width, solid_capstyle="butt")
    box = {"facecolor": "white", "alpha": 0.9, "edgecolor": "none", "pad": 1}
    axes.text(left, low - 0.01 * width_um, f"{length:g} µm", va="bottom", fontsize=9, bbox=box)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(loc="upper right", fontsize=8, framealpha=0.9, markerscale=2)
