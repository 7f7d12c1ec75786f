"""The depth profile of one slide as a small drawing, the one the report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from spatial_til.plugin.colors import population_colors
from spatial_til.report.depth_svg import DepthDrawing, draw_depth


def depth_svg(
    rows: Sequence[Mapping[str, Any]], populations: Sequence[str], *, inner_um: float, outer_um: float
) -> tuple[str, str]:
    """Return the drawing as SVG and what it shows in words; an empty one where there is no border.

    Parameters
    ----------
    rows
        Of depth_profile.csv.
    populations
        Which to draw.
    inner_um, outer_um
        Widths of the margin.
    """
    profiles = {name: [row for row in rows if row["population"] == name] for name in populations}
    drawing = draw_depth(profiles, inner_um=inner_um, outer_um=outer_um)
    if drawing is None:
        return _EMPTY, "No profile: there is no border to measure from, or too little tissue beside it."
    return _svg(drawing), drawing.words


#: The legend stands above the drawing, where no curve can run through it: so high, and an entry so wide.
_LEGEND, _LEGEND_STEP = 18, 110
_EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" width="560" height="250"></svg>'


def _svg(drawing: DepthDrawing) -> str:
    colors = {name: f"rgb{color}" for name, color in population_colors([c.label for c in drawing.curves]).items()}
    left, right, top, bottom = drawing.left, drawing.right, drawing.top, drawing.bottom
    margin = max(drawing.margin[1] - drawing.margin[0], 0)
    parts = [
        f'<rect y="{-_LEGEND}" width="{drawing.width}" height="{drawing.height + _LEGEND}" fill="white"/>',
        f'<rect x="{drawing.margin[0]}" y="{top}" width="{margin}" height="{bottom - top}" fill="#eef2f7"/>',
        f'<line x1="{drawing.border_x}" x2="{drawing.border_x}" y1="{top}" y2="{bottom}" stroke="#009e73"/>',
        f'<path d="M{left},{top}V{bottom}H{right}" fill="none" stroke="#888"/>',
    ]
    for y, name in drawing.y_ticks:
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end" font-size="11">{escape(name)}</text>')
    for x, name in drawing.x_ticks:
        parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle" font-size="11">{escape(name)}</text>')
    middle = (left + right) / 2
    label = "µm from the border: tumour on the left, stroma on the right; cells per mm²"
    parts.append(f'<text x="{middle}" y="{bottom + 32}" text-anchor="middle" font-size="11">{label}</text>')
    for i, curve in enumerate(drawing.curves):
        color = colors[curve.label]
        parts.append(f'<path d="{curve.band}" fill="{color}" fill-opacity="0.18"/>')
        parts.append(f'<path d="{curve.line}" fill="none" stroke="{color}" stroke-width="2"/>')
        x = left + 8 + _LEGEND_STEP * i
        parts.append(f'<rect x="{x}" y="-11" width="10" height="10" fill="{color}"/>')
        parts.append(f'<text x="{x + 15}" y="-2" font-size="12">{escape(curve.label)}</text>')
    height = drawing.height + _LEGEND
    size = f'width="{drawing.width}" height="{height}" viewBox="0 {-_LEGEND} {drawing.width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">{"".join(parts)}</svg>'
