"""Depth profiles of one lesion, one curve a time point, laid over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spatial_til.report.figure_style import (
    BLACK,
    FONT_PT,
    TIMEPOINT_LINES,
    Line,
    density_axis,
    in_words,
    new_figure,
    tidy,
)

#: Bands with less tissue than this are not drawn: one cell there is a spike.
_LEAST_MM2 = 0.01


def depth_figure(
    profiles: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    population: str = "CD8+",
    inner_um: float = 500.0,
    outer_um: float = 500.0,
    title: str = "",
) -> Figure:
    """Draw density against signed distance to the tumour border, one curve for each time point.

    Parameters
    ----------
    profiles
        Time point -> rows of depth_profile.csv of one slide.
    population
        The population to draw.
    inner_um, outer_um
        Widths of the margin, to shade it.
    title
        Shown above.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    tidy(axes)
    axes.axvspan(-inner_um, outer_um, color="#F2F2F2", zorder=0)
    axes.axvline(0, color=BLACK, linewidth=1.0)
    highest = 0.0
    for i, (when, rows) in enumerate(profiles.items()):
        bands = [row for row in rows if row["population"] == population and _drawn(row)]
        if bands:
            _profile(axes, bands, in_words(when), TIMEPOINT_LINES[i % len(TIMEPOINT_LINES)])
            highest = max(highest, *(float(row["ci_high"] or row["density_per_mm2"]) for row in bands))
    density_axis(axes, highest)
    axes.set_xlabel("distance to the tumour border, µm   (tumour < 0 < stroma; margin shaded)", fontsize=FONT_PT)
    axes.set_ylabel(f"{population} per mm²", fontsize=FONT_PT)
    if highest > 0:
        axes.legend(fontsize=FONT_PT - 1, frameon=False)
    if title:
        axes.set_title(title.replace("$", r"\$"), fontsize=FONT_PT + 1)
    return figure


def _drawn(row: Mapping[str, Any]) -> bool:
    """Return whether a band has a density, and tissue enough for it to mean something."""
    return row["density_per_mm2"] is not None and float(row["area_mm2"]) >= _LEAST_MM2


def _profile(axes: Axes, bands: Sequence[Mapping[str, Any]], label: str, line: Line) -> None:
    """Draw one time point with its interval."""
    ordered = sorted(bands, key=lambda row: float(row["from_um"]))
    x = [(float(row["from_um"]) + float(row["to_um"])) / 2 for row in ordered]
    y = [float(row["density_per_mm2"]) for row in ordered]
    low, high = (
        [float(level if row[end] is None else row[end]) for row, level in zip(ordered, y, strict=True)]
        for end in ("ci_low", "ci_high")
    )
    axes.fill_between(x, low, high, color=line.color, alpha=0.15, linewidth=0)
    axes.plot(
        x, y, color=line.color, linestyle=line.dash, marker=line.marker, markersize=3.5, linewidth=1.4, label=label
    )
