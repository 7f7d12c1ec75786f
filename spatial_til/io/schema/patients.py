"""Tables of patients, their changes over time, and the cohort."""

from __future__ import annotations

from spatial_til.io.schema.columns import (
    FLAGS,
    LESION,
    PATIENT,
    Column,
    Table,
    columns,
    with_interval,
)

_DELTA = "changes, each with _ci_low, _ci_high and _minimum_detectable_change, in log2 or the value's own unit"

LONGITUDINAL = Table(
    "longitudinal",
    "patient x lesion x transition",
    (
        PATIENT,
        LESION,
        *columns(
            ("transition", "text", "reference and target time point, as baseline->on_treatment"),
            ("immunophenotype_reference", "class", "call at the reference; not_sampled where there is no slide"),
            ("immunophenotype_target", "class", "call at the target"),
            ("activity_site_reference", "site", "site of immune activity at the reference"),
            ("activity_site_target", "site", "site of immune activity at the target"),
            ("call", "call", "what happened, by the first rule that holds"),
            ("reason", "words", "why"),
            (
                "minimum_detectable_change",
                "log2",
                "smallest change of the core:margin ratio of CD8+ cells to be seen here",
            ),
        ),
        *(
            column
            for word in ("cd8", "pdl1", "pdl1_tumor")
            for name in (
                f"delta_log2_core_margin_{word}",
                f"log2_fold_core_{word}",
                f"log2_fold_margin_{word}",
                f"delta_pdi_{word}",
            )
            for column in (
                *with_interval(name, "change", f"change from reference to target; {_DELTA}"),
                Column(f"{name}_minimum_detectable_change", "change", f"t x standard error of {name}"),
            )
        ),
        FLAGS,
    ),
)

PATIENTS = Table(
    "patients",
    "patient",
    (
        PATIENT,
        *columns(
            ("n_slides", "slides", "scored slides of the patient"),
            ("n_lesions", "lesions", "lesions with a scored slide"),
            ("immunophenotype_trajectory", "words", "class at each time point, lesion by lesion"),
            ("activity_site_trajectory", "words", "site of immune activity at each time point"),
            ("calls", "words", "call of every transition, lesion by lesion"),
            ("decisive_call", "words", "the transition that decides each lesion, and its call"),
            ("resistance", "acquired/innate/unknown", "from response and its duration"),
            ("resistance_reason", "words", "why"),
            ("pattern", "words", "what happened, in words"),
        ),
        FLAGS,
    ),
)

COHORT = Table(
    "cohort",
    "comparison x groups x time point x metric",
    columns(
        ("comparison", "text", "what divides the patients: a column of the sheet, or time"),
        ("group_a", "text", "first group"),
        ("group_b", "text", "second group"),
        ("timepoint", "text", "time point, or transition"),
        ("metric", "text", "what is compared"),
        ("n_a", "patients", "patients in the first group"),
        ("n_b", "patients", "patients in the second group"),
        ("median_a", "", "median of the first group"),
        ("median_b", "", "median of the second group"),
        ("effect", "", "Hodges-Lehmann shift, second less first; Spearman's correlation for covariates"),
        ("ci_low", "", "lower end of the interval of the effect"),
        ("ci_high", "", "upper end"),
        ("test", "text", "the test"),
        ("p_value", "0-1", "two-sided; empty where it could not have reached 0.05"),
        ("q_value", "0-1", "p adjusted over metrics and time points of the comparison (Benjamini-Hochberg)"),
        ("reason", "words", "why a value is missing"),
    ),
)
