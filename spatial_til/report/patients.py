"""One patient as the report shows it: the course in words, its figures, and every transition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from spatial_til.metrics.changes import minimum_detectable_change
from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.patients import PatientRow
from spatial_til.metrics.records import MAIN_CHANGE
from spatial_til.metrics.transitions import TransitionRow
from spatial_til.model import Value
from spatial_til.pipeline.compare import Courses
from spatial_til.protocol import Protocol
from spatial_til.report.figures_depth import depth_figure
from spatial_til.report.figures_longitudinal import patient_figure
from spatial_til.report.pictures import figure_png, png_uri
from spatial_til.report.slides import Explained, explain
from spatial_til.report.words import in_words, level

_CHANGES = {
    "log2_fold_core_cd8": "core",
    "log2_fold_margin_cd8": "margin",
    MAIN_CHANGE: "core : margin",
}


class Transition(NamedTuple):
    """One line of the table of transitions."""

    row: TransitionRow
    changes: tuple[str, ...]
    detectable: str
    flags: tuple[Explained, ...]


class Picture(NamedTuple):
    """A picture and what it shows, in words."""

    uri: str
    words: str


@dataclass(frozen=True, slots=True)
class PatientView:
    """Everything that the template shows of one patient."""

    anchor: str
    row: PatientRow
    course: Picture | None
    depths: tuple[Picture, ...]
    transitions: tuple[Transition, ...]
    flags: tuple[Explained, ...]

    @property
    def verdict(self) -> str:
        """The call that decides, lesion by lesion, in words."""
        calls = {lesion: in_words(text.rpartition(": ")[2]) for lesion, text in self.row.decisive.items()}
        if len(calls) == 1:
            return next(iter(calls.values()))
        return "; ".join(f"{lesion or 'unspecified'}: {call}" for lesion, call in calls.items())


def patient_views(
    courses: Courses, profiles: Mapping[str, Sequence[Mapping[str, Any]]], protocol: Protocol
) -> list[PatientView]:
    """Return a view of every patient.

    Parameters
    ----------
    courses
        Biopsies, transitions and rows of the patients.
    profiles
        Rows of depth_profile.csv by slide.
    """
    views = []
    for i, row in enumerate(courses.patients):
        groups = [b for b in courses.biopsies if b.patient_id == row.patient_id]
        rows = [t for t in courses.transitions if t.patient_id == row.patient_id]
        views.append(
            PatientView(
                anchor=f"patient-{i + 1}",
                row=row,
                course=_course(row, groups, protocol),
                depths=tuple(_depths(groups, profiles, protocol)),
                transitions=tuple(_transition(t) for t in rows),
                flags=explain(tuple(dict.fromkeys(flag for t in rows for flag in t.flags))),
            )
        )
    return views


def changes_shown() -> tuple[str, ...]:
    """Return the names of the changes in the table of transitions."""
    return tuple(_CHANGES.values())


def _transition(row: TransitionRow) -> Transition:
    main = row.deltas.get(MAIN_CHANGE)
    return Transition(
        row,
        tuple(_change(row.deltas.get(name)) for name in _CHANGES),
        level(None if main is None else minimum_detectable_change(main)),
        explain(row.flags),
    )


def _change(value: Value | None) -> str:
    return level(None) if value is None else level(value.value, value.ci_low, value.ci_high)


def _course(row: PatientRow, groups: Sequence[Biopsy], protocol: Protocol) -> Picture | None:
    if not groups:
        return None
    figure = patient_figure(
        groups, timepoints=protocol.longitudinal.timepoints, hot_cd8_per_mm2=protocol.scores.hot_cd8_per_mm2
    )
    words = f"Densities of patient {row.patient_id} in core and margin over time: {row.pattern}"
    return Picture(png_uri(figure_png(figure)), words)


def _depths(
    groups: Sequence[Biopsy], profiles: Mapping[str, Sequence[Mapping[str, Any]]], protocol: Protocol
) -> list[Picture]:
    """Return one picture a lesion with profiles at two time points or more; a biopsy's first slide stands for it."""
    pictures = []
    widths = protocol.compartments
    for lesion in dict.fromkeys(b.lesion for b in groups):
        of = {b.timepoint: profiles.get(b.slide_ids[0], ()) for b in groups if b.lesion == lesion}
        of = {when: rows for when, rows in of.items() if rows}
        if len(of) > 1:
            title = f"lesion {lesion}" if lesion else ""
            figure = depth_figure(of, inner_um=widths.inner_um, outer_um=widths.outer_um, title=title)
            words = f"CD8+ density against distance to the tumour border, {', '.join(in_words(w) for w in of)}"
            pictures.append(Picture(png_uri(figure_png(figure)), words))
    return pictures
