"""Figures of a cohort: every patient's course in core, margin and their ratio."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.patient_values import biopsy_values
from spatial_til.metrics.patients import PatientRow
from spatial_til.report.figure_style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    VERMILLION,
    Line,
    density_axis,
    in_words,
    new_figure,
    tidy,
)

#: Courses that stand out; all others are thin and grey.
CALL_LINES = {
    "reversion_to_excluded": Line(VERMILLION, "o", "-"),
    "global_loss": Line(BLUE, "s", "--"),
    "infiltration_gain": Line(GREEN, "^", "-."),
}
_OTHER = Line(GREY, "", "-")


def cohort_figure(
    groups: Sequence[Biopsy],
    patients: Sequence[PatientRow],
    *,
    timepoints: Sequence[str],
    marker: str = "cd8",
    confidence: float = 0.95,
) -> Figure:
    """Draw every lesion's course over time, with the median of patients.

    Parameters
    ----------
    groups
        The biopsies; those that cannot be evaluated are left out.
    patients
        Rows of patients.csv: the deciding call gives a course its colour, marker and dash.
    timepoints
        The protocol's, in order.
    marker
        Part of the metrics' names: `cd8`, `pdl1` or `pdl1_tumor`.
    confidence
        Of the protocol; ratios are computed as elsewhere.
    """
    courses: dict[tuple[str, str], dict[int, dict[str, float]]] = defaultdict(dict)
    for biopsy in groups:
        if biopsy.timepoint in timepoints:
            values = biopsy_values(biopsy, (), confidence)
            courses[biopsy.patient_id, biopsy.lesion][list(timepoints).index(biopsy.timepoint)] = values
    calls = {
        (row.patient_id, lesion): text.rpartition(": ")[2] for row in patients for lesion, text in row.decisive.items()
    }
    panels = {
        f"{marker}_core_per_mm2": "core, per mm²",
        f"{marker}_margin_per_mm2": "margin, per mm²",
        f"log2_core_margin_{marker}": "log2 core : margin",
    }
    figure = new_figure(9.6, 3.6)
    for axes, (metric, title) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        _courses(axes, courses, calls, timepoints, metric)
        axes.set_ylabel(title, fontsize=FONT_PT)
    figure.legend(
        handles=_legend(calls, courses), loc="outside lower center", ncols=5, fontsize=FONT_PT - 1, frameon=False
    )
    return figure


def _courses(
    axes: Axes,
    courses: Mapping[tuple[str, str], Mapping[int, Mapping[str, float]]],
    calls: Mapping[tuple[str, str], str],
    timepoints: Sequence[str],
    metric: str,
) -> None:
    """Draw one metric of all lesions, and the median of patients, whose lesions are averaged first."""
    tidy(axes)
    at: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for lesion, course in sorted(courses.items(), key=lambda item: calls.get(item[0], "") in CALL_LINES):
        points = sorted((i, values[metric]) for i, values in course.items() if metric in values)
        for i, value in points:
            at[i][lesion[0]].append(value)
        if points:
            line = CALL_LINES.get(calls.get(lesion, ""), _OTHER)
            plain = line is _OTHER
            axes.plot(
                *zip(*points, strict=True),
                color=line.color,
                linestyle=line.dash,
                marker=line.marker or ("." if len(points) == 1 else ""),
                markersize=3.5,
                linewidth=0.6 if plain else 1.1,
                alpha=0.55 if plain else 0.85,
            )
    middle = sorted((i, float(np.median([np.mean(v) for v in of.values()]))) for i, of in at.items())
    if middle:
        axes.plot(*zip(*middle, strict=True), color=BLACK, linewidth=2.2, marker="D", markersize=5, zorder=5)
    if metric.endswith("_per_mm2"):
        density_axis(axes, max((x for of in at.values() for v in of.values() for x in v), default=0.0))
    names = [f"{in_words(when)}\nn = {len(at[i])}" for i, when in enumerate(timepoints)]
    axes.set_xticks(range(len(timepoints)), names)
    axes.set_xlim(-0.3, len(timepoints) - 0.7)


def _legend(calls: Mapping[tuple[str, str], str], courses: Mapping[tuple[str, str], object]) -> list[Line2D]:
    """Return what colours mean, with the number of lesions."""
    found = Counter(calls.get(lesion, "") for lesion in courses)
    handles = [
        Line2D(
            [], [], color=line.color, marker=line.marker, linestyle=line.dash, label=f"{in_words(call)} ({found[call]})"
        )
        for call, line in CALL_LINES.items()
        if found[call]
    ]
    others = sum(n for call, n in found.items() if call not in CALL_LINES)
    if others:
        handles.append(Line2D([], [], color=GREY, label=f"other ({others})"))
    return [*handles, Line2D([], [], color=BLACK, linewidth=2.2, marker="D", label="median of patients")]
