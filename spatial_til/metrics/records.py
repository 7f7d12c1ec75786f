"""Rows of longitudinal.csv, patients.csv and cohort.csv as plain columns."""

from __future__ import annotations

from collections.abc import Mapping

from spatial_til.flags import join_flags
from spatial_til.metrics.changes import minimum_detectable_change
from spatial_til.metrics.cohort import CohortRow
from spatial_til.metrics.patients import PatientRow
from spatial_til.metrics.transitions import TransitionRow

#: The change whose minimum detectable size stands for the row.
MAIN_CHANGE = "delta_log2_core_margin_cd8"
UNSPECIFIED = "unspecified"


def transition_record(row: TransitionRow) -> dict[str, object]:
    """Return a transition by column: each change with interval and minimum detectable change."""
    record: dict[str, object] = {
        "patient_id": row.patient_id,
        "lesion": row.lesion,
        "transition": row.transition,
        "immunophenotype_reference": row.immunophenotype_reference,
        "immunophenotype_target": row.immunophenotype_target,
        "activity_site_reference": row.activity_site_reference,
        "activity_site_target": row.activity_site_target,
    }
    for name, change in row.deltas.items():
        record[name] = change.value
        record[f"{name}_ci_low"] = change.ci_low
        record[f"{name}_ci_high"] = change.ci_high
        record[f"{name}_minimum_detectable_change"] = minimum_detectable_change(change)
    record["minimum_detectable_change"] = minimum_detectable_change(row.deltas[MAIN_CHANGE])
    return record | {"call": row.call, "reason": row.reason, "flags": join_flags(row.flags)}


def patient_record(row: PatientRow) -> dict[str, object]:
    """Return a patient by column; with several lesions each is named before its statement."""
    return {
        "patient_id": row.patient_id,
        "n_slides": row.n_slides,
        "n_lesions": len(row.phenotypes),
        "immunophenotype_trajectory": _by_lesion(row.phenotypes),
        "activity_site_trajectory": _by_lesion(row.activity_sites),
        "calls": _by_lesion(row.calls),
        "decisive_call": _by_lesion(row.decisive),
        "resistance": row.resistance,
        "resistance_reason": row.resistance_reason,
        "pattern": row.pattern,
        "flags": join_flags(row.flags),
    }


def _by_lesion(statements: Mapping[str, str]) -> str:
    """Return statements, each after its lesion's name where there is more than one."""
    if len(statements) == 1:
        return next(iter(statements.values()))
    return " | ".join(f"{lesion or UNSPECIFIED}: {text}" for lesion, text in statements.items())


def cohort_record(row: CohortRow) -> dict[str, object]:
    """Return a comparison by column."""
    return {
        "comparison": row.comparison,
        "group_a": row.group_a,
        "group_b": row.group_b,
        "timepoint": row.timepoint,
        "metric": row.metric,
        "n_a": row.n_a,
        "n_b": row.n_b,
        "median_a": row.median_a,
        "median_b": row.median_b,
        "effect": row.effect.value,
        "ci_low": row.effect.ci_low,
        "ci_high": row.effect.ci_high,
        "test": row.test,
        "p_value": row.p_value,
        "q_value": row.q_value,
        "reason": row.reason,
    }
