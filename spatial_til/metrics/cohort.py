"""The cohort: groups of patients, pairs of time points and covariates, with the patient as the unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from spatial_til.metrics.deltas import listed_values
from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.location_shifts import (
    cluster_shift_between,
    cluster_shift_paired,
    shift_between,
    shift_paired,
)
from spatial_til.metrics.multiplicity import benjamini_hochberg
from spatial_til.metrics.patient_values import (
    ByPatient,
    Metric,
    changes,
    cohort_metrics,
    labels_at,
    levels,
    numbers_at,
)
from spatial_til.metrics.rank_correlation import cluster_spearman, spearman
from spatial_til.metrics.rank_tests import Significance, rank_sum, sign_flip
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.metrics.sheet_columns import label_columns, number_columns
from spatial_til.metrics.transitions import ARROW, TransitionRow, timepoint_pairs
from spatial_til.model import Value

#: No p is given where the smallest that the numbers allow exceeds this.
REACHABLE = 0.05
#: `comparison` of the same patients at two time points.
PAIRED = "time point"
#: What follows a column's name where changes, not levels, are compared.
OF_CHANGE = " (change)"


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One row of cohort.csv. `effect` is b less a; for covariates Spearman's correlation."""

    comparison: str
    group_a: str
    group_b: str
    timepoint: str
    metric: str
    n_a: int
    n_b: int
    median_a: float | None
    median_b: float | None
    effect: Value
    test: str
    p_value: float | None
    q_value: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Cohort:
    """Everything that comparisons draw on."""

    groups: Sequence[Biopsy]
    metrics: tuple[Metric, ...]
    timepoints: Sequence[str]
    levels: Mapping[tuple[str, str], ByPatient]  # (time point, metric)
    changes: Mapping[tuple[str, str], ByPatient]  # (transition, change)
    confidence: float
    bootstrap: int
    seed: int

    def moments(self) -> list[tuple[str, ...]]:
        """Return every time point, then every pair of them that is compared."""
        return [*((when,) for when in self.timepoints), *timepoint_pairs(self.timepoints)]

    def occasions(self) -> Iterator[tuple[str, str, tuple[str, ...], str, ByPatient]]:
        """Yield suffix of the comparison, occasion, its time points, metric and values, where there are any."""
        for when in self.timepoints:
            for metric in self.metrics:
                if values := self.levels.get((when, metric.name)):
                    yield "", when, (when,), metric.name, values
        for pair in timepoint_pairs(self.timepoints):
            for metric in self.metrics:
                if values := self.changes.get((ARROW.join(pair), metric.change)):
                    yield OF_CHANGE, ARROW.join(pair), pair, metric.change, values


def cohort(
    groups: Sequence[Biopsy],
    rows: Sequence[TransitionRow],
    *,
    timepoints: Sequence[str],
    confidence: float,
    bootstrap: int,
    seed: int,
    populations: Sequence[str] = (),
) -> list[CohortRow]:
    """Compare patients between time points, by every label and with every number of the study sheet.

    Parameters
    ----------
    groups
        The biopsies, from `groups.biopsies`.
    rows
        Their transitions, from `transitions.transitions`.
    timepoints
        The protocol's, in order.
    confidence, bootstrap, seed
        The protocol's ``[statistics]``.
    populations
        Populations beside CD8+, PD-L1+ and PD-L1+ tumour cells.

    Returns
    -------
    list of CohortRow
        `comparison` is ``time point`` (paired), a column of the sheet (levels at each time point), or the
        column with `` (change)`` (changes between time points).

    Notes
    -----
    The patient is the unit: lesions are averaged first. Groups: exact rank-sum test with midranks and
    Hodges–Lehmann shift; pairs: exact sign-flip of midranks and the Hodges–Lehmann centre; more than two
    labels: each against each; numbers: Spearman. Where patients have several lesions, intervals resample
    patients with all their lesions. p is left out where it could not reach 0.05. q (Benjamini–Hochberg)
    is over the metrics and time points of one comparison of two groups.
    """
    study = _Cohort(
        groups,
        cohort_metrics(populations, listed_values(biopsy.score for biopsy in groups)),
        timepoints,
        levels(groups, populations, confidence),
        changes(rows),
        confidence,
        bootstrap,
        seed,
    )
    return _with_q([*_paired(study), *_between_labels(study), *_covariates(study)])


def _paired(study: _Cohort) -> Iterator[CohortRow]:
    """Yield the same patients at two time points."""
    for before, after in timepoint_pairs(study.timepoints):
        transition = f"{before}{ARROW}{after}"
        for metric in study.metrics:
            values = study.changes.get((transition, metric.change), {})
            if not values:
                continue
            differences = np.array([values[patient].mean for patient in sorted(values)])
            key = (PAIRED, transition, metric.name)
            if any(value.n_lesions > 1 for value in values.values()):
                random = seeded_generator(study.seed, *key)
                effect = cluster_shift_paired(
                    differences, confidence=study.confidence, bootstrap=study.bootstrap, random=random
                )
            else:
                effect = shift_paired(differences, confidence=study.confidence)
            first, second = (study.levels.get((when, metric.name), {}) for when in (before, after))
            row = CohortRow(
                comparison=PAIRED,
                group_a=before,
                group_b=after,
                timepoint=transition,
                metric=metric.change,
                n_a=len(values),
                n_b=len(values),
                median_a=_median([first[p].mean for p in values if p in first]),
                median_b=_median([second[p].mean for p in values if p in second]),
                effect=effect,
                test="",
                p_value=None,
            )
            yield _tested(row, "sign-flip of midranks", sign_flip(differences))


def _between_labels(study: _Cohort) -> Iterator[CohortRow]:
    """Yield every two labels of every column, at every time point and for every transition."""
    for column in label_columns(study.groups):
        at_time = {at: labels_at(study.groups, column.read, at) for at in study.moments()}
        for suffix, when, at, metric, values in study.occasions():
            labels = at_time[at]
            members: dict[str, list[str]] = defaultdict(list)
            for patient in sorted(set(values) & set(labels)):
                members[labels[patient]].append(patient)
            for a, b in combinations(sorted(label for label, of in members.items() if len(of) > 1), 2):
                name = f"{column.name}{suffix}"
                yield _two_groups(study, (name, a, b, when, metric), values, members[a], members[b])


def _two_groups(
    study: _Cohort, names: tuple[str, str, str, str, str], values: ByPatient, of_a: Sequence[str], of_b: Sequence[str]
) -> CohortRow:
    """Return the comparison of two groups of patients."""
    a, b = (np.array([values[patient].mean for patient in members]) for members in (of_a, of_b))
    if any(values[patient].n_lesions > 1 for patient in (*of_a, *of_b)):
        random = seeded_generator(study.seed, *names)
        effect = cluster_shift_between(a, b, confidence=study.confidence, bootstrap=study.bootstrap, random=random)
    else:
        effect = shift_between(a, b, confidence=study.confidence)
    row = CohortRow(*names, len(a), len(b), _median(a), _median(b), effect, "", None)
    return _tested(row, "rank-sum with midranks", rank_sum(a, b))


def _covariates(study: _Cohort) -> Iterator[CohortRow]:
    """Yield the correlation with every number of the sheet."""
    for column in number_columns(study.groups):
        at_time = {at: numbers_at(study.groups, column.read, at) for at in study.moments()}
        for suffix, when, at, metric, values in study.occasions():
            numbers = at_time[at]
            patients = sorted(set(values) & set(numbers))
            if len(patients) < 3:
                continue
            x, y = np.array([numbers[p] for p in patients]), np.array([values[p].mean for p in patients])
            names = (f"{column.name}{suffix}", column.name, "", when, metric)
            if any(values[p].n_lesions > 1 for p in patients):
                random = seeded_generator(study.seed, *names)
                effect, test = cluster_spearman(
                    x, y, confidence=study.confidence, bootstrap=study.bootstrap, random=random
                )
            else:
                effect, test = spearman(x, y, confidence=study.confidence)
            n = len(patients)
            yield _tested(CohortRow(*names, n, n, _median(y), _median(x), effect, "", None), "Spearman", test)


def _tested(row: CohortRow, test: str, found: Significance) -> CohortRow:
    """Return the row with its p, unless none could reach 0.05."""
    name = f"{test}, {'exact' if found.exact else 'asymptotic'}"
    if found.smallest > REACHABLE:
        reason = f"no p: with these numbers of patients none below {found.smallest:.3g} is possible"
        return replace(row, test=name, reason=reason)
    return replace(row, test=name, p_value=found.p_value, reason=row.effect.reason)


def _median(values: Sequence[float] | np.ndarray) -> float | None:
    """Return the median, or None of nothing."""
    return float(np.median(values)) if len(values) else None


def _with_q(rows: Sequence[CohortRow]) -> list[CohortRow]:
    """Return the rows with q over the metrics and time points of each comparison of two groups."""
    families: dict[tuple[str, ...], list[tuple[int, float]]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row.p_value is not None:
            family = (PAIRED,) if row.comparison == PAIRED else (row.comparison, row.group_a, row.group_b)
            families[family].append((i, row.p_value))
    result = list(rows)
    for members in families.values():
        for (i, _), q in zip(members, benjamini_hochberg([p for _, p in members]), strict=True):
            result[i] = replace(rows[i], q_value=q)
    return result
