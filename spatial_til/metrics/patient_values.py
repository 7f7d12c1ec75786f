"""What a patient contributes to the cohort: one number a metric and time point, the mean over lesions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from spatial_til.metrics.changes import log2_contrast
from spatial_til.metrics.deltas import POPULATIONS, column_name, usable
from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.levels import NOT_EVALUABLE
from spatial_til.metrics.transitions import TransitionRow


class Metric(NamedTuple):
    """A metric of a biopsy, and the column of longitudinal.csv that holds its change."""

    name: str
    change: str


class PatientMean(NamedTuple):
    """Mean over the lesions of one patient, and how many there are."""

    mean: float
    n_lesions: int


#: Patient -> mean.
ByPatient: TypeAlias = Mapping[str, PatientMean]


def cohort_metrics(populations: Sequence[str], values: Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics that a cohort is compared by.

    Parameters
    ----------
    populations
        In addition to CD8+, PD-L1+ and PD-L1+ tumour cells.
    values
        Other values with a change, as from `deltas.listed_values`.
    """
    metrics = []
    for population in dict.fromkeys((*POPULATIONS, *populations)):
        p = column_name(population)
        metrics += [
            Metric(f"{p}_core_per_mm2", f"log2_fold_core_{p}"),
            Metric(f"{p}_margin_per_mm2", f"log2_fold_margin_{p}"),
            Metric(f"log2_core_margin_{p}", f"delta_log2_core_margin_{p}"),
            Metric(f"pdi_{p}", f"delta_pdi_{p}"),
        ]
    return (*metrics, *(Metric(name, f"delta_{name}") for name in values))


def biopsy_values(biopsy: Biopsy, populations: Sequence[str], confidence: float) -> dict[str, float]:
    """Return the metrics of one biopsy that are available; none where it cannot be evaluated."""
    score = biopsy.score
    if score.phenotype.call == NOT_EVALUABLE:
        return {}
    found = {name: value.value for name, value in score.values.items()}
    for population in dict.fromkeys((*POPULATIONS, *populations)):
        core, margin = usable(score, population, "core"), usable(score, population, "margin")
        if core is None or margin is None:
            continue
        p = column_name(population)
        found[f"{p}_core_per_mm2"] = core.density_per_mm2
        found[f"{p}_margin_per_mm2"] = margin.density_per_mm2
        if core.n_cells + margin.n_cells > 0:  # without any cell the ratio tells only of the areas
            found[f"log2_core_margin_{p}"] = log2_contrast([core], [margin], confidence).value
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def levels(groups: Sequence[Biopsy], populations: Sequence[str], confidence: float) -> dict[tuple[str, str], ByPatient]:
    """Return the metrics of every patient by (time point, metric)."""
    items = (
        ((biopsy.timepoint, name), biopsy.patient_id, value)
        for biopsy in groups
        for name, value in biopsy_values(biopsy, populations, confidence).items()
    )
    return _means(items)


def changes(rows: Sequence[TransitionRow]) -> dict[tuple[str, str], ByPatient]:
    """Return the changes of every patient by (transition, column); of comparable biopsies only."""
    items = (
        ((row.transition, name), row.patient_id, change.value)
        for row in rows
        if row.comparable
        for name, change in row.deltas.items()
        if change.value is not None
    )
    return _means(items)


def labels_at(groups: Sequence[Biopsy], read: Callable[[Biopsy], str], timepoints: Iterable[str]) -> dict[str, str]:
    """Return the label of every patient whose biopsies at the time points agree on one."""
    found: dict[str, set[str]] = defaultdict(set)
    wanted = set(timepoints)
    for biopsy in groups:
        if biopsy.timepoint in wanted and read(biopsy):
            found[biopsy.patient_id].add(read(biopsy))
    return {patient: labels.pop() for patient, labels in found.items() if len(labels) == 1}


def numbers_at(groups: Sequence[Biopsy], read: Callable[[Biopsy], str], timepoints: Iterable[str]) -> dict[str, float]:
    """Return the mean number of every patient over the biopsies at the time points that have one."""
    found: dict[str, list[float]] = defaultdict(list)
    wanted = set(timepoints)
    for biopsy in groups:
        if biopsy.timepoint in wanted and read(biopsy):
            found[biopsy.patient_id].append(float(read(biopsy)))
    return {patient: sum(values) / len(values) for patient, values in found.items()}


def _means(items: Iterable[tuple[tuple[str, str], str, float]]) -> dict[tuple[str, str], ByPatient]:
    """Return the mean of each patient's numbers by key."""
    collected: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for key, patient, value in items:
        collected[key][patient].append(value)
    return {
        key: {patient: PatientMean(sum(v) / len(v), len(v)) for patient, v in by_patient.items()}
        for key, by_patient in collected.items()
    }
