"""Tables of slides, compartments, bands and metrics."""

from __future__ import annotations

from spatial_til.io.schema.columns import (
    FLAGS,
    LESION,
    PATIENT,
    SLIDE,
    TIMEPOINT,
    Column,
    Table,
    columns,
    with_interval,
)

DENSITY = Table(
    "density",
    "slide x compartment x population",
    (
        SLIDE,
        PATIENT,
        TIMEPOINT,
        LESION,
        *columns(
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
        columns += with_interval(f"{key}_{part}_per_mm2", "per mm²", f"{label} in the {words}")
    for a, b in (("core", "margin"), ("core", "outer"), ("inner", "outer")):
        columns += with_interval(f"log2_{a}_{b}_{key}", "log2", f"log2 of the {a}:{b} density ratio, {label}")
    return tuple(columns)


PHENOTYPES = ("inflamed", "excluded", "desert", "intermediate")

SLIDE_SCORES = Table(
    "slide_scores",
    "slide",
    (
        SLIDE,
        PATIENT,
        TIMEPOINT,
        LESION,
        *columns(
            ("site", "text", "organ or tissue of the biopsy"),
            ("batch", "text", "staining run"),
            ("response", "text", "the patient's response label"),
            ("protocol", "hash", "fingerprint of the protocol the slide was scored with"),
        ),
        *columns(
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
        *with_interval("pdi_cd8", "0-1", "penetration depth index of CD8+ cells: 0.5 uniform, 0 at the border"),
        *with_interval("pdi_pdl1", "0-1", "penetration depth index of PD-L1+ cells"),
        *with_interval("tps_percent", "%", "computer-estimated TPS: PD-L1+ tumour cells / tumour cells"),
        *columns(
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
        *with_interval("pdl1_induction_log2", "log2", "PD-L1+ odds of tumour cells near CD8+ cells against far ones"),
        *columns(
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
        *columns(
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
        *columns(
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
    columns(
        ("batch", "text", "staining run, with modality and panel where a batch has several"),
        ("marker", "text", "the marker"),
        ("threshold", "OD or intensity", "at or above it a cell is positive; empty: no second population was found"),
        (
            "method",
            "text",
            "valley, tail or unimodal (found in the cells), negative_control, frozen, fixed, none (no cells)",
        ),
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
        *columns(
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
        *columns(("stage", "text", "measure, score or compare"), ("message", "words", "what is wrong, and what to do")),
    ),
)
