"""Figures of change: one patient over time, and a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from spatial_til.metrics.deltas import usable
from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.levels import NOT_EVALUABLE
from spatial_til.metrics.transitions import activity_site, regressed
from spatial_til.model import Estimate
from spatial_til.report.figure_style import (
    COMPARTMENT_LINES,
    FONT_PT,
    GREY,
    density_axis,
    in_words,
    new_figure,
    text_as_is,
    tidy,
)

_PANEL_IN = (3.6, 2.8)
_TIMEPOINT_IN = 1.15
_THUMBNAIL_IN = 1.3
_APART = 0.07  # core and margin stand side by side, so that intervals do not cover each other


def patient_figure(
    groups: Sequence[Biopsy],
    *,
    timepoints: Sequence[str],
    pattern: str = "",
    populations: Sequence[str] = ("CD8+", "PD-L1+"),
    hot_cd8_per_mm2: float | None = None,
    thumbnails: Mapping[str, Path] | None = None,
) -> Figure:
    """Draw the densities in core and margin of one patient over time, lesion by lesion.

    Parameters
    ----------
    groups
        The patient's biopsies, from `groups.biopsies`; at least one.
    timepoints
        The protocol's, in order.
    pattern
        What happened, in words, for the title.
    populations
        One panel each, where they were counted.
    hot_cd8_per_mm2
        Cut-off to show in the CD8+ panel.
    thumbnails
        Pictures to show under the time points, by slide.

    Notes
    -----
    Hollow markers stand for biopsies that cannot be evaluated. A dotted line leads over a time point
    without a biopsy.
    """
    lesions = sorted({biopsy.lesion for biopsy in groups})
    shown = [p for p in populations if any(usable(b.score, p, "core") for b in groups)] or list(populations[:1])
    pictures = {name: path for name, path in (thumbnails or {}).items() if path.exists()}
    strip = _THUMBNAIL_IN if any(slide in pictures for b in groups for slide in b.slide_ids) else 0.0
    panel = max(_PANEL_IN[0], _TIMEPOINT_IN * len(timepoints))
    figure = new_figure(panel * max(len(shown), 1.4), (_PANEL_IN[1] + strip) * len(lesions) + 0.8)
    title = "\n".join([f"Patient {groups[0].patient_id}", *(pattern.split(" | ") if pattern else [])])
    figure.suptitle(text_as_is(title), fontsize=FONT_PT + 1, wrap=True)
    figure.legend(
        handles=_legend(hot_cd8_per_mm2), loc="outside lower center", ncols=3, fontsize=FONT_PT - 1, frameon=False
    )
    parts = figure.subfigures(len(lesions), 1, squeeze=False)[:, 0]
    for part, lesion in zip(parts, lesions, strict=True):
        of_lesion = {b.timepoint: b for b in groups if b.lesion == lesion}
        if len(lesions) > 1:
            part.suptitle(text_as_is(f"lesion {lesion or 'unspecified'}"), fontsize=FONT_PT, x=0.02, ha="left")
        _lesion(part, of_lesion, timepoints, shown, hot_cd8_per_mm2, pictures, strip)
    return figure


def _lesion(
    part: SubFigure,
    of_lesion: Mapping[str, Biopsy],
    timepoints: Sequence[str],
    populations: Sequence[str],
    hot_cd8_per_mm2: float | None,
    pictures: Mapping[str, Path],
    strip_in: float,
) -> None:
    """Draw one lesion: a panel for each population, pictures below."""
    if strip_in:
        panels, below = part.subfigures(2, 1, height_ratios=(_PANEL_IN[1], strip_in), squeeze=False)[:, 0]
        _pictures(below, of_lesion, timepoints, pictures)
    else:
        panels = part
    row = panels.subplots(1, len(populations), squeeze=False)[0]
    for axes, population in zip(row, populations, strict=True):
        _panel(axes, of_lesion, timepoints, population, hot_cd8_per_mm2 if population == "CD8+" else None)
    labels = [under(of_lesion.get(when), when, timepoints) for when in timepoints]
    row[0].set_xticks(range(len(timepoints)), labels)


def _panel(
    axes: Axes, of_lesion: Mapping[str, Biopsy], timepoints: Sequence[str], population: str, cut: float | None
) -> None:
    """Draw one population of one lesion over time."""
    tidy(axes)
    highest = cut or 0.0
    for compartment, shift in (("core", -_APART), ("margin", _APART)):
        found = {
            i: (estimate, of_lesion[when].score.phenotype.call != NOT_EVALUABLE)
            for i, when in enumerate(timepoints)
            if when in of_lesion
            and (estimate := usable(of_lesion[when].score, population, compartment)) is not None
            and estimate.density_per_mm2 is not None
        }
        _series(axes, found, compartment, shift)
        highest = max([highest, *(e.ci_high or e.density_per_mm2 or 0.0 for e, _ in found.values())])
    density_axis(axes, highest)
    if cut is not None:
        axes.axhline(cut, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(timepoints)), [in_words(when) for when in timepoints])
    axes.set_xlim(-0.5, len(timepoints) - 0.5)
    axes.set_ylabel(f"{population} per mm²", fontsize=FONT_PT)


def _series(axes: Axes, found: Mapping[int, tuple[Estimate, bool]], compartment: str, shift: float) -> None:
    """Draw one compartment over time with intervals."""
    line = COMPARTMENT_LINES[compartment]
    places = sorted(found)
    for here, there in pairwise(places):
        dash = line.dash if there == here + 1 else ":"
        levels = [found[i][0].density_per_mm2 or 0.0 for i in (here, there)]
        axes.plot([here + shift, there + shift], levels, color=line.color, linestyle=dash, linewidth=1.3)
    for i in places:
        estimate, evaluable = found[i]
        density = estimate.density_per_mm2 or 0.0
        if estimate.ci_low is not None and estimate.ci_high is not None:
            axes.plot([i + shift] * 2, [estimate.ci_low, estimate.ci_high], color=line.color, linewidth=1.0, alpha=0.8)
        face = line.color if evaluable else "white"
        axes.plot(
            i + shift,
            density,
            linestyle="",
            marker=line.marker,
            color=line.color,
            markerfacecolor=face,
            markersize=6,
            clip_on=False,
            zorder=4,
        )


def _legend(cut: float | None) -> list[Line2D]:
    """Return what lines and markers mean."""
    handles = [
        Line2D([], [], color=line.color, marker=line.marker, linestyle=line.dash, label=f"{name}, with interval")
        for name, line in COMPARTMENT_LINES.items()
    ]
    if cut is not None:
        handles.append(
            Line2D([], [], color=GREY, linewidth=0.8, linestyle=":", label=f"hot: CD8+ from {cut:g} per mm²")
        )
    return handles


def under(biopsy: Biopsy | None, timepoint: str, timepoints: Sequence[str]) -> str:
    """Return what stands under a time point: its name, date, class and site of activity."""
    if biopsy is None:
        return f"{in_words(timepoint)}\n\nnot sampled\n"
    day = biopsy.score.meta.biopsy_date
    if regressed(biopsy, timepoints):
        return f"{in_words(timepoint)}\n{day or ''}\nno tumour left\n"
    site = activity_site(biopsy)
    activity = "" if site == NOT_EVALUABLE else f"activity: {in_words(site)}"
    return f"{in_words(timepoint)}\n{day or ''}\n{in_words(biopsy.score.phenotype.call)}\n{activity}"


def _pictures(
    part: SubFigure, of_lesion: Mapping[str, Biopsy], timepoints: Sequence[str], pictures: Mapping[str, Path]
) -> None:
    """Show one slide of each time point."""
    from matplotlib.image import imread

    for axes, when in zip(part.subplots(1, len(timepoints), squeeze=False)[0], timepoints, strict=True):
        axes.set_axis_off()
        slides = of_lesion[when].slide_ids if when in of_lesion else ()
        path = next((pictures[slide] for slide in slides if slide in pictures), None)
        if path is not None:
            axes.imshow(imread(path))
            axes.set_title(in_words(when), fontsize=FONT_PT - 2)
