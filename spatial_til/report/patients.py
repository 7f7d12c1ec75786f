"""One patient as the report shows it: the course in words, its figures, and every transition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
from spatial_til.report.course_svg import CourseDrawing, draw_course
from spatial_til.report.depth_svg import DepthDrawing, draw_depth
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
    why: str
    changes: tuple[str, ...]
    detectable: str
    flags: tuple[Explained, ...]


@dataclass(frozen=True, slots=True)
class PatientView:
    """Everything that the template shows of one patient."""

    anchor: str
    row: PatientRow
    courses: tuple[CourseDrawing, ...]  # one a lesion
    depths: Mapping[str, DepthDrawing]  # by lesion
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
                courses=tuple(_courses(groups, protocol)),
                depths=_depths(groups, profiles, protocol),
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
        _why(row),
        tuple(_change(row.deltas.get(name)) for name in _CHANGES),
        level(None if main is None else minimum_detectable_change(main)),
        explain(row.flags),
    )


def _why(row: TransitionRow) -> str:
    """Return the reason with time points in words, as the rest of the page has them."""
    text = row.reason
    for timepoint in row.transition.split("->"):
        text = re.sub(rf"\b{re.escape(timepoint)}\b", lambda name: in_words(name[0]), text)
    return text


def _change(value: Value | None) -> str:
    return level(None) if value is None else level(value.value, value.ci_low, value.ci_high)


def _courses(groups: Sequence[Biopsy], protocol: Protocol) -> Iterator[CourseDrawing]:
    for lesion in sorted({b.lesion for b in groups}):
        yield draw_course(
            [b for b in groups if b.lesion == lesion],
            timepoints=protocol.longitudinal.timepoints,
            hot_cd8_per_mm2=protocol.scores.hot_cd8_per_mm2,
        )


def _depths(
    groups: Sequence[Biopsy], profiles: Mapping[str, Sequence[Mapping[str, Any]]], protocol: Protocol
) -> dict[str, DepthDrawing]:
    """Return each lesion with profiles at two time points or more; a biopsy's first slide stands for it."""
    drawings = {}
    widths = protocol.compartments
    for lesion in sorted({b.lesion for b in groups}):
        of: dict[str, list[Mapping[str, Any]]] = {in_words(when): [] for when in protocol.longitudinal.timepoints}
        for b in groups:
            if b.lesion == lesion:
                rows = profiles.get(b.slide_ids[0], ())
                of[in_words(b.timepoint)] = [r for r in rows if r["population"] == "CD8+"]
        drawing = draw_depth(of, inner_um=widths.inner_um, outer_um=widths.outer_um)
        if drawing is not None and len(drawing.curves) > 1:
            drawings[lesion] = drawing
    return drawings
