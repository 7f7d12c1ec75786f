"""One lesion over time as a small vector drawing: densities in core and margin at each time point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from spatial_til.metrics.deltas import usable
from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.levels import NOT_EVALUABLE
from spatial_til.model import Estimate
from spatial_til.report.figures_longitudinal import under
from spatial_til.report.svg_scale import WIDTH, DensityScale
from spatial_til.report.words import number

POPULATIONS = ("CD8+", "PD-L1+")
_LEFT, _RIGHT, _TOP, _PANEL, _GAP, _LINE = 52, 10, 14, 150, 26, 15
_APART = 7.0  # core and margin stand side by side, so that intervals do not cover each other


@dataclass(frozen=True, slots=True)
class Series:
    """One compartment over time: lines between neighbours, over gaps, intervals, and marks with their being solid."""

    lines: str
    gaps: str
    whiskers: str
    marks: tuple[tuple[float, float, bool], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One population: its axis and, where it has one, the height of the cut-off."""

    population: str
    top: float
    bottom: float
    y_ticks: tuple[tuple[float, str], ...]
    cut_y: float | None
    core: Series
    margin: Series


@dataclass(frozen=True, slots=True)
class CourseDrawing:
    """Panels one below the other over the same time points, and what stands under these, line by line."""

    title: str
    panels: tuple[Panel, ...]
    under: tuple[tuple[float, tuple[tuple[float, str], ...]], ...]  # x; y and text of each line
    cut: str
    words: str
    height: float
    width: int = WIDTH
    left: int = _LEFT
    right: int = WIDTH - _RIGHT


def draw_course(groups: Sequence[Biopsy], *, timepoints: Sequence[str], hot_cd8_per_mm2: float) -> CourseDrawing:
    """Return the drawing of one lesion.

    Parameters
    ----------
    groups
        Its biopsies, one a time point; at least one.
    timepoints
        The protocol's, in order.
    hot_cd8_per_mm2
        Cut-off to show in the CD8+ panel.
    """
    of = {biopsy.timepoint: biopsy for biopsy in groups}
    shown = [p for p in POPULATIONS if any(usable(b.score, p, "core") for b in groups)] or list(POPULATIONS[:1])
    step = (WIDTH - _LEFT - _RIGHT) / len(timepoints)
    x = [_LEFT + (i + 0.5) * step for i in range(len(timepoints))]
    panels, top = [], float(_TOP)
    for population in shown:
        cut = hot_cd8_per_mm2 if population == "CD8+" else None
        panels.append(_panel([of.get(when) for when in timepoints], population, x, top, cut))
        top += _PANEL + _GAP
    below = top - _GAP + _LINE
    texts = [under(of.get(when), when, timepoints).split("\n") for when in timepoints]
    lines = [tuple((below + k * _LINE, text) for k, text in enumerate(filter(None, of_one))) for of_one in texts]
    return CourseDrawing(
        title=groups[0].lesion,
        panels=tuple(panels),
        under=tuple((round(at, 1), of_one) for at, of_one in zip(x, lines, strict=True)),
        cut=f"hot: CD8+ from {number(hot_cd8_per_mm2)} per mm²",
        words="; ".join(_words(of, when, shown) for when in timepoints if when in of),
        height=below + max(map(len, lines)) * _LINE - _LINE / 2,
    )


def _panel(
    biopsies: Sequence[Biopsy | None], population: str, x: Sequence[float], top: float, cut: float | None
) -> Panel:
    found = {
        part: {
            i: (estimate, biopsy.score.phenotype.call != NOT_EVALUABLE)
            for i, biopsy in enumerate(biopsies)
            if biopsy is not None
            and (estimate := usable(biopsy.score, population, part)) is not None
            and estimate.density_per_mm2 is not None
        }
        for part in ("core", "margin")
    }
    levels = [e.ci_high or e.density_per_mm2 or 0.0 for of in found.values() for e, _ in of.values()]
    scale = DensityScale(max([cut or 0.0, *levels]), top, top + _PANEL)
    return Panel(
        population,
        top,
        top + _PANEL,
        scale.ticks(),
        None if cut is None else scale.y(cut),
        _series(found["core"], [at - _APART for at in x], scale),
        _series(found["margin"], [at + _APART for at in x], scale),
    )


def _series(found: Mapping[int, tuple[Estimate, bool]], x: Sequence[float], scale: DensityScale) -> Series:
    marks = {i: (round(x[i], 1), scale.y(e.density_per_mm2 or 0.0), evaluable) for i, (e, evaluable) in found.items()}
    lines: list[str] = []
    gaps: list[str] = []
    for here, there in pairwise(sorted(marks)):
        path = f"M{marks[here][0]},{marks[here][1]}L{marks[there][0]},{marks[there][1]}"
        (lines if there == here + 1 else gaps).append(path)
    whiskers = [
        f"M{marks[i][0]},{scale.y(e.ci_low)}V{scale.y(e.ci_high)}"
        for i, (e, _) in found.items()
        if e.ci_low is not None and e.ci_high is not None
    ]
    return Series("".join(lines), "".join(gaps), "".join(whiskers), tuple(marks[i] for i in sorted(marks)))


def _words(of: Mapping[str, Biopsy], when: str, populations: Sequence[str]) -> str:
    """Return what the drawing shows of one time point, for readers who do not see it."""
    parts = []
    for population in populations:
        densities = [usable(of[when].score, population, part) for part in ("core", "margin")]
        levels = ["not known" if e is None else number(e.density_per_mm2) for e in densities]
        parts.append(f"{population} per mm² core {levels[0]}, margin {levels[1]}")
    return f"{when.replace('_', ' ')}: {', '.join(parts)}"
