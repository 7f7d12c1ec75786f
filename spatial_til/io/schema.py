"""What every table holds: the one list of columns that writes the CSV files and their dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Column(NamedTuple):
    """One column: its name, its unit or kind, and what it means."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what a row is, and its columns in order."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


def _columns(*specs: tuple[str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*spec) for spec in specs)


def _with_interval(name: str, unit: str, meaning: str) -> tuple[Column, ...]:
    return _columns(
        (name, unit, meaning),
        (f"{name}_ci_low", unit, f"lower end of the interval of {name}"),
        (f"{name}_ci_high", unit, f"upper end of the interval of {name}"),
    )


SLIDE = Column("slide_id", "text", "the slide, as named in the study sheet")
PATIENT = Column("patient_id", "text", "the patient, as named in the study sheet")
TIMEPOINT = Column("timepoint", "text", "the time point, as named in the protocol")
LESION = Column("lesion", "text", "the lesion, constant over time; empty: one unspecified lesion")
FLAGS = Column("flags", "codes", "codes separated by `;`, explained in the report and the README")

DENSITY = Table(
    "density",
    "slide x compartment x population",
    (
        SLIDE,
        PATIENT,
        TIMEPOINT,
        LESION,
        *_columns(
            (
                "compartment",
                "text",
                "core, inner_margin, outer_margin, outside, tumor_unresolved; margin, tumor, tissue",
            ),
            ("population", "text", "which cells are counted"),
            ("n_cells", "cells", "numerator of the density"),
            ("area_mm2", "mm²", "denominator of the density; empty where it is not known"),
            ("density_per_mm2", "per mm²", "n_cells / area_mm2; empty where there is no area"),
            ("ci_low", "per mm²", "lower end of the interval"),
            ("ci_high", "per mm²", "upper end of the interval"),
            ("evaluable", "true/false", "the density exists and the marker's cut-off is evaluable"),
        ),
        FLAGS,
    ),
)


def _marker_scores(key: str, label: str) -> tuple[Column, ...]:
    columns: list[Column] = []
    for part, words in (("core", "core"), ("inner", "inner margin"), ("outer", "outer margin"), ("margin", "margin")):
        columns += _with_interval(f"{key}_{part}_per_mm2", "per mm²", f"{label} in the {words}")
    for a, b in (("core", "margin"), ("core", "outer"), ("inner", "outer")):
        columns += _with_interval(f"log2_{a}_{b}_{key}", "log2", f"log2 of the {a}:{b} density ratio, {label}")
    return tuple(columns)


PHENOTYPES = ("inflamed", "excluded", "desert", "intermediate")
SITES = ("core", "margin", "both", "none")

SLIDE_SCORES = Table(
    "slide_scores",
    "slide",
    (
        SLIDE,
        PATIENT,
        TIMEPOINT,
        LESION,
        *_columns(
            ("site", "text", "organ or tissue of the biopsy"),
            ("batch", "text", "staining run"),
            ("response", "text", "the patient's response label"),
            ("protocol", "hash", "fingerprint of the protocol the slide was scored with"),
        ),
        *_columns(
            ("immunophenotype", "class", "the call: a class, indeterminate, or not_evaluable"),
            ("immunophenotype_point", "class", "the class by the point rule, without regard to uncertainty"),
            *((f"p_{c}", "0-1", f"probability of {c}") for c in PHENOTYPES),
            ("immunophenotype_reason", "words", "why the class is as it is, or is missing"),
            ("activity_site_cd8", "site", "core, margin, both, none, indeterminate, not_evaluable"),
            ("activity_site_pdl1", "site", "the same for PD-L1+ cells"),
            ("activity_site", "site", "both markers together"),
        ),
        *_marker_scores("cd8", "CD8+ cells"),
        *_marker_scores("pdl1", "PD-L1+ cells"),
        *_marker_scores("pdl1_tumor", "PD-L1+ tumour cells"),
        *_with_interval("pdi_cd8", "0-1", "penetration depth index of CD8+ cells: 0.5 uniform, 0 at the border"),
        *_with_interval("pdi_pdl1", "0-1", "penetration depth index of PD-L1+ cells"),
        *_with_interval("tps_percent", "%", "computer-estimated TPS: PD-L1+ tumour cells / tumour cells"),
        *_columns(
            ("tps_numerator", "cells", "PD-L1+ tumour cells"),
            ("tps_denominator", "cells", "tumour cells"),
            ("cps", "0-100", "computer-estimated CPS, capped at 100"),
            ("cps_raw", "", "CPS before the cap"),
            ("cps_numerator", "cells", "PD-L1+ tumour cells and PD-L1+ immune cells"),
            ("cps_denominator", "cells", "tumour cells"),
            ("ic_percent", "%", "computer-estimated IC: area of PD-L1+ immune cells / area of tumour"),
            ("ic_numerator_mm2", "mm²", "area of PD-L1+ immune cells"),
            ("ic_denominator_mm2", "mm²", "area of tumour"),
        ),
        *_with_interval("pdl1_induction_log2", "log2", "PD-L1+ odds of tumour cells near CD8+ cells against far ones"),
        *_columns(
            (
                "pdl1_induction_log2_sensitivity",
                "log2",
                "the same without tumour cells beside a PD-L1+ non-tumour cell",
            ),
            ("core_mm2", "mm²", "area of the core"),
            ("inner_margin_mm2", "mm²", "area of the inner margin"),
            ("outer_margin_mm2", "mm²", "area of the outer margin"),
            ("outside_mm2", "mm²", "area of tissue farther out"),
            ("tumor_unresolved_mm2", "mm²", "area of tumour in pieces without evaluable border"),
            ("excluded_mm2", "mm²", "area taken out of everything"),
            ("tissue_mm2", "mm²", "area of tissue before exclusions: the six above sum to it"),
            ("tumor_mm2", "mm²", "area of evaluable tumour"),
            ("hole_area_mm2", "mm²", "area of tissue in holes of the tumour"),
            ("core_censored_fraction", "0-1", "share of the core nearer than the inner width to a cut edge"),
            ("inner_um", "µm", "inner width used"),
            ("outer_um", "µm", "outer width used"),
            ("border_stroma_um", "µm", "border that faces stroma: the evaluable invasive margin"),
            ("border_tissue_edge_um", "µm", "tumour boundary at a tissue edge"),
            ("border_image_edge_um", "µm", "tumour boundary at the image edge"),
            ("border_exclusion_um", "µm", "tumour boundary at an exclusion"),
            ("border_no_margin_um", "µm", "tumour boundary in a `No margin` region"),
            ("border_thin_rim_um", "µm", "evaluable border with less than 100 µm of tissue outward"),
            ("border_evaluable_fraction", "0-1", "evaluable share of the tumour boundary"),
            ("n_cells", "cells", "all cells in tissue"),
            ("n_cd8", "cells", "CD8+ cells in tissue"),
            ("n_pdl1", "cells", "PD-L1+ cells in tissue"),
            ("n_tumor_cells", "cells", "tumour cells in tissue; empty where not known"),
            ("artefact_fraction", "0-1", "share of tissue lost to artefacts"),
            ("pixel_size_um", "µm", "mean side of a full-resolution pixel"),
        ),
        FLAGS,
    ),
)

DEPTH_PROFILE = Table(
    "depth_profile",
    "slide x population x band of signed distance",
    (
        SLIDE,
        *_columns(
            ("population", "text", "which cells are counted"),
            ("from_um", "µm", "near end of the band; signed distance to the border, negative inside the tumour"),
            ("to_um", "µm", "far end of the band"),
            ("n_cells", "cells", "cells in the band"),
            ("area_mm2", "mm²", "area of the band"),
            ("density_per_mm2", "per mm²", "n_cells / area_mm2"),
            ("ci_low", "per mm²", "lower end of the interval"),
            ("ci_high", "per mm²", "upper end of the interval"),
        ),
    ),
)

SPATIAL = Table(
    "spatial",
    "slide x metric x pair of populations x compartment x radius",
    (
        SLIDE,
        *_columns(
            ("metric", "text", "what is measured; docs/spatial_metrics.md explains each"),
            ("population_from", "text", "reference cells"),
            ("population_to", "text", "target cells"),
            ("compartment", "text", "where"),
            ("radius_um", "µm", "radius, where the metric has one"),
            ("value", "", "the metric, in its own unit"),
            ("ci_low", "", "lower end of the interval, where there is one"),
            ("ci_high", "", "upper end of the interval"),
            ("null_mean", "", "mean under random labelling"),
            ("p_value", "0-1", "two-sided permutation p, never 0"),
            ("n_from", "cells", "reference cells, or the denominator of a score"),
            ("n_to", "cells", "target cells, or the numerator of a score"),
            ("reason", "words", "why a value is missing"),
        ),
        FLAGS,
    ),
)

THRESHOLDS = Table(
    "thresholds",
    "staining batch x marker",
    _columns(
        ("batch", "text", "staining run, with modality and panel where a batch has several"),
        ("marker", "text", "the marker"),
        ("threshold", "OD or intensity", "at or above it a cell is positive; empty: no second population was found"),
        ("method", "text", "fixed, frozen, negative_control, unsupervised, supplied_calls"),
        ("separation", "", "Ashman's D of the two populations"),
        ("n_cells", "cells", "cells in the pool"),
        ("n_positive", "cells", "of these at or above the threshold"),
        ("evaluable", "true/false", "calls with this threshold may be believed"),
        ("flags", "codes", "codes separated by `;`"),
    ),
)

SENSITIVITY = Table(
    "sensitivity",
    "slide x parameter x value",
    (
        SLIDE,
        *_columns(
            ("parameter", "text", "what was changed, all else as in the protocol"),
            ("value", "", "its value"),
            ("immunophenotype_point", "class", "the class by the point rule"),
            ("immunophenotype", "class", "the call"),
        ),
    ),
)

ERRORS = Table(
    "errors",
    "slide that failed",
    (
        SLIDE,
        *_columns(
            ("stage", "text", "measure, score or compare"), ("message", "words", "what is wrong, and what to do")
        ),
    ),
)

#: What thresholds.csv says besides where a reader moved cut-offs: one more row for each slide and marker.
BY_READER = _columns(
    ("slide_id", "text", "the slide on which a reader moved the cut-off; empty: of the whole batch"),
    ("author", "text", "who moved it"),
)
REVIEWED_THRESHOLDS = Table(
    "thresholds", "batch x marker, and slide x marker where a reader moved it", (*THRESHOLDS.columns, *BY_READER)
)

STALE_EDITS = Table(
    "stale_edits",
    "correction that was not applied",
    (
        SLIDE,
        *_columns(
            ("edit", "word", "flip, remove, add, call, threshold; or any edit made on another image"),
            ("marker", "text", "the marker it is about"),
            ("x_um", "µm", "where the cell was"),
            ("y_um", "µm", "where the cell was"),
            ("when", "time", "when the edit was made, UTC"),
            ("reason", "words", "why it was not applied"),
        ),
    ),
)

AGREEMENT = Table(
    "agreement",
    "pair of readers x measure, where two readers reviewed",
    _columns(
        ("reader_a", "text", "first reader"),
        ("reader_b", "text", "second reader"),
        ("measure", "text", "what is compared"),
        ("unit", "unit", "of value and limits; differences are b - a"),
        ("n", "slides", "slides that both reviewed and that have this measure"),
        ("value", "", "kappa, share, mean difference, or mean over slides of the distance between tumour outlines"),
        ("ci_low", "", "lower end"),
        ("ci_high", "", "upper end"),
        ("limit_low", "", "lower limit of agreement: most differences lie above it"),
        ("limit_high", "", "upper limit of agreement: most differences lie below it"),
        ("reason", "words", "why a value is missing"),
    ),
)

DISAGREEMENTS = Table(
    "disagreements",
    "slide x pair of readers x what they see differently, where two readers reviewed",
    (
        SLIDE,
        *_columns(
            ("reader_a", "text", "first reader"),
            ("reader_b", "text", "second reader"),
            ("what", "word", "class, border, threshold, call, removed, added"),
            ("marker", "text", "the marker it is about"),
            ("value_a", "", "by the first reader; empty: as computed"),
            ("value_b", "", "by the second reader; empty: as computed"),
            ("distance_um", "µm", "how far the tumour outlines lie apart at most"),
            ("x_um", "µm", "where to look"),
            ("y_um", "µm", "where to look"),
        ),
    ),
)


_DELTA = "changes, each with _ci_low, _ci_high and _minimum_detectable_change, in log2 or the value's own unit"

LONGITUDINAL = Table(
    "longitudinal",
    "patient x lesion x transition",
    (
        PATIENT,
        LESION,
        *_columns(
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
                *_with_interval(name, "change", f"change from reference to target; {_DELTA}"),
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
        *_columns(
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
    _columns(
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
