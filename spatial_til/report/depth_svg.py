"""Depth profiles as a small vector drawing: densities against distance to the border."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spatial_til.report.svg_scale import WIDTH, DensityScale
from spatial_til.report.words import number

HEIGHT = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 40
#: Bands with less tissue than this are not drawn: one cell there is a spike.
_LEAST_MM2 = 0.01


@dataclass(frozen=True, slots=True)
class Curve:
    """One profile: its line, its interval as a closed path, and where its markers stand."""

    label: str
    look: int  # which of the colours, dashes and markers: the place among the profiles asked for
    line: str
    band: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class DepthDrawing:
    """Curves and axes in pixels of the drawing."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    border_x: float
    margin: tuple[float, float]
    words: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    top: int = _TOP
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def draw_depth(
    profiles: Mapping[str, Sequence[Mapping[str, Any]]], *, inner_um: float, outer_um: float
) -> DepthDrawing | None:
    """Return the drawing of some profiles, or None where no band has tissue enough.

    Parameters
    ----------
    profiles
        Label -> rows of depth_profile.csv, as numbers, of one slide and population. One without rows is not drawn, and
        keeps its colour for itself: a time point looks alike in every drawing.
    inner_um, outer_um
        Widths of the margin, to shade it.
    """
    bands = {label: [row for row in rows if _usable(row)] for label, rows in profiles.items()}
    drawn = {label: sorted(of, key=lambda row: float(row["from_um"])) for label, of in bands.items() if of}
    if not drawn:
        return None
    look = {label: i for i, label in enumerate(profiles)}
    everything = [row for of in drawn.values() for row in of]
    low, high = min(float(r["from_um"]) for r in everything), max(float(r["to_um"]) for r in everything)
    scale = DensityScale(max(float(r["ci_high"] or r["density_per_mm2"]) for r in everything), _TOP, HEIGHT - _BOTTOM)

    def x(um: float) -> float:
        return round(_LEFT + (um - low) / (high - low) * (WIDTH - _LEFT - _RIGHT), 1)

    step = next(s for s in (50, 100, 200, 250, 500, 1000, 2000, 5000, math.inf) if (high - low) / s <= 8)
    ticks = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)] if step < math.inf else [0]
    return DepthDrawing(
        curves=tuple(_curve(label, look[label], of, x, scale.y) for label, of in drawn.items()),
        x_ticks=tuple((x(t), number(float(t))) for t in ticks),
        y_ticks=scale.ticks(),
        border_x=x(min(max(0.0, low), high)),
        margin=(x(max(low, -inner_um)), x(min(high, outer_um))),
        words=_words(drawn),
    )


def _usable(row: Mapping[str, Any]) -> bool:
    return row["density_per_mm2"] is not None and float(row["area_mm2"]) >= _LEAST_MM2


def _curve(label: str, look: int, rows: Sequence[Mapping[str, Any]], x: Any, y: Any) -> Curve:
    middles = [x((row["from_um"] + row["to_um"]) / 2) for row in rows]
    levels = [y(row["density_per_mm2"]) for row in rows]
    ends = [
        [y(row["density_per_mm2"] if row[end] is None else row[end]) for row in rows] for end in ("ci_low", "ci_high")
    ]
    there = [f"{a},{b}" for a, b in zip(middles, ends[1], strict=True)]
    back = [f"{a},{b}" for a, b in zip(middles, ends[0], strict=True)]
    points = tuple(zip(middles, levels, strict=True))
    line = "M" + "L".join(f"{a},{b}" for a, b in points)
    return Curve(label, look, line, "M" + "L".join([*there, *reversed(back)]) + "Z", points)


def _words(drawn: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return what the drawing shows, for readers who do not see it."""
    parts = []
    for label, rows in drawn.items():
        peak = max(rows, key=lambda row: float(row["density_per_mm2"]))
        side = "inside the tumour" if peak["to_um"] <= 0 else "outside the tumour"
        near, far = sorted((abs(peak["from_um"]), abs(peak["to_um"])))
        where = f"{number(float(near))} to {number(float(far))} µm {side}"
        parts.append(f"{label} densest {where}: {number(float(peak['density_per_mm2']))} per mm²")
    return "; ".join(parts)
