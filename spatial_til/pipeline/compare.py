"""Compare: slide scores to transitions, patients and cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from spatial_til.metrics.cohort import cohort
from spatial_til.metrics.groups import Biopsy, biopsies, unused_slides
from spatial_til.metrics.patients import PatientRow, patients
from spatial_til.metrics.pooling import pool_slides
from spatial_til.metrics.records import cohort_record, patient_record, transition_record
from spatial_til.metrics.transitions import TransitionRow, transitions
from spatial_til.model import SlideScore
from spatial_til.pipeline.settings import pooling_keys
from spatial_til.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of longitudinal.csv, patients.csv and cohort.csv; and slides that no comparison uses."""

    transitions: list[dict[str, Any]]
    patients: list[dict[str, Any]]
    cohort: list[dict[str, Any]]
    extra_biopsies: frozenset[str]  # slides of a biopsy that another one at the same time point stands for


@dataclass(frozen=True, slots=True)
class Courses:
    """What happened to each lesion and patient: biopsies, transitions, and a row for each patient."""

    biopsies: tuple[Biopsy, ...]
    transitions: list[TransitionRow]
    patients: list[PatientRow]


def follow(scores: Sequence[SlideScore], protocol: Protocol) -> Courses:
    """Return the course of every patient, by the study's protocol."""
    keys = protocol.longitudinal
    timepoints = keys.timepoints
    groups = biopsies(scores, timepoints=timepoints, pool=partial(pool_slides, keys=pooling_keys(protocol)))
    rows = transitions(
        groups,
        timepoints=timepoints,
        allow_cross_batch=keys.allow_cross_batch,
        max_baseline_days=keys.max_baseline_days,
        early_on_treatment_days=keys.early_on_treatment_days,
        min_margin_cd8_per_mm2=keys.min_margin_cd8_per_mm2,
        hot_cd8_per_mm2=protocol.scores.hot_cd8_per_mm2,
        excluded_log2_ratio=protocol.scores.excluded_log2_ratio,
        confidence=protocol.statistics.confidence,
        populations=keys.changes_of,
    )
    return Courses(groups, rows, patients(scores, groups, rows, timepoints=timepoints))


def compare(scores: Sequence[SlideScore], protocol: Protocol) -> Comparison:
    """Return what changed between time points, by the study's protocol."""
    courses = follow(scores, protocol)
    compared = cohort(
        courses.biopsies,
        courses.transitions,
        timepoints=protocol.longitudinal.timepoints,
        confidence=protocol.statistics.confidence,
        bootstrap=protocol.statistics.bootstrap,
        seed=protocol.statistics.seed,
        populations=protocol.longitudinal.changes_of,
    )
    return Comparison(
        [transition_record(row) for row in courses.transitions],
        [patient_record(row) for row in courses.patients],
        [cohort_record(row) for row in compared],
        unused_slides(courses.biopsies),
    )
