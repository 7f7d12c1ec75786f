"""Every flag a result may carry: one closed table, printed by the report and the README."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Flag(NamedTuple):
    """What a flag is about, what it means, and what to do."""

    group: str
    meaning: str
    remedy: str


FLAGS: dict[str, Flag] = {
    "no_tumor_region": Flag(
        "geometry",
        "No tumour region was given or found, or exclusions and the end of the tissue leave nothing of it.",
        "Draw a Tumor annotation, or set tumor.method to marker or classifier; of one drawn, see what excludes it.",
    ),
    "no_border": Flag(
        "geometry",
        "No stretch of the tumour boundary faces stroma, so no invasive margin exists in this section.",
        "Read the whole-tumour density only; core and margin are not available.",
    ),
    "short_border": Flag(
        "geometry",
        "The evaluable border is shorter than gates.min_border_um.",
        "Treat margin figures as unreliable; take a larger section if there is one.",
    ),
    "core_too_small": Flag(
        "geometry",
        "The tumour core is smaller than gates.min_core_mm2.",
        "The class is not evaluable; see the depth profile, or use a narrower width for all time points of the lesion.",
    ),
    "margin_too_small": Flag(
        "geometry",
        "Inner or outer margin is smaller than gates.min_margin_mm2.",
        "The class is not evaluable; look for stroma that was cut away or excluded.",
    ),
    "thin_rim": Flag(
        "geometry",
        "Part of the border has less than 100 µm of tissue on its outer side: "
        "a tumour drawn just inside a cut edge looks like a border.",
        "Look at the marked stretches; draw the tumour to the tissue edge, or mark them `No margin`.",
    ),
    "piece_without_border": Flag(
        "geometry",
        "A separate piece of tissue has no evaluable border; its tumour is unresolved.",
        "Its cells count in tumour and tissue totals only.",
    ),
    "core_censored": Flag(
        "geometry",
        "Part of the core lies nearer than the inner width to a cut edge, "
        "where the true border may be closer than it seems.",
        "Read the core density together with core_censored_fraction.",
    ),
    "tumor_holes": Flag(
        "geometry",
        "The tumour has holes that were not counted as tumour.",
        "Check hole_area_mm2; set compartments.holes to border if these are stroma.",
    ),
    "small_islands": Flag(
        "geometry",
        "Tumour islands below the size limit were dropped.",
        "See the list in run.json; lower tumor.min_area_mm2 to keep them.",
    ),
    "tissue_unlike_examples": Flag(
        "geometry",
        "A tenth or more of the tissue is unlike anything the model of tissue by example has learned from.",
        "Look at the tumour on this slide; paint examples on it too and train the model again.",
    ),
    "adaptive_width": Flag(
        "geometry",
        "Margin widths were narrowed to fit a small lesion.",
        "Compare only with time points scored at the same width.",
    ),
    "annotation_repaired": Flag(
        "geometry",
        "An invalid annotation was repaired.",
        "Check the outline; the area change is in run.json.",
    ),
    "few_tiles": Flag(
        "statistics",
        "Fewer spatial tiles than gates.min_tiles: the interval would not be reliable.",
        "No interval-based call is made here.",
    ),
    "low_count": Flag(
        "statistics",
        "Few cells for how clustered they lie (fewer than 15 times the variance-to-mean ratio): "
        "the interval may be too narrow.",
        "Read the interval as optimistic.",
    ),
    "zero_count": Flag(
        "statistics",
        "No cell of this population was found; density is 0 with an upper limit.",
        "Use the upper limit, not the 0, in ratios.",
    ),
    "tiles_enlarged": Flag(
        "statistics",
        "Neighbouring tiles were correlated, so the tile side was doubled.",
        "Nothing needs to be done.",
    ),
    "threshold_single_slide": Flag(
        "staining",
        "The cut-off was found on this slide alone, not on its staining batch.",
        "Score all time points of a batch together before comparing.",
    ),
    "threshold_weak": Flag(
        "staining",
        "Positive and negative cells are poorly separated.",
        "Look at the histogram; stain a control or freeze a cut-off.",
    ),
    "no_positive_population": Flag(
        "staining",
        "The batch shows one population only; no cell is called positive.",
        "Add a positive control slide to show that the stain worked.",
    ),
    "stain_unverified": Flag(
        "staining",
        "No positive cells and no positive control: absent cells and a failed stain look the same.",
        "Add a positive control slide of this batch.",
    ),
    "stain_vector_fallback": Flag(
        "staining",
        "Estimated stain vectors did not explain the slide better than the preset; the preset was used.",
        "Give vectors from single-stained control slides.",
    ),
    "melanin_suspected": Flag(
        "staining",
        "Brown pigment without a membrane pattern was found.",
        "Prefer a red chromogen or fluorescence; check CD8+ cells near pigment.",
    ),
    "saturated": Flag(
        "staining",
        "More than 1 % of tissue pixels are saturated.",
        "Rescan with a shorter exposure or dilute the chromogen.",
    ),
    "blurred": Flag(
        "staining",
        "Part of the tissue is out of focus.",
        "Rescan, or exclude the blurred part.",
    ),
    "high_residual": Flag(
        "staining",
        "The stain vectors leave much colour unexplained.",
        "Check that the panel names every stain of the slide, the stain vectors and the white point.",
    ),
    "high_artefact": Flag(
        "staining",
        "Artefacts cover more tissue than gates.max_artefact_fraction.",
        "The class is not evaluable; exclude the artefacts or restain.",
    ),
    "pixel_size_conflict": Flag(
        "pixels",
        "Two sources of pixel size in the file differ by more than 5 %, or the size lies outside 0.05 to 5 µm.",
        "Check the scanner's value; set pixel_size_um in the sheet.",
    ),
    "pixel_size_override": Flag(
        "pixels",
        "The sheet's pixel size replaced the file's.",
        "Make sure it belongs to the full-resolution image.",
    ),
    "anisotropic_pixels": Flag(
        "pixels",
        "Pixels are not square.",
        "Nothing needs to be done: areas and distances use both sides.",
    ),
    "pixel_size_coarse": Flag(
        "pixels",
        "Pixels are larger than 0.6 µm: membranes cannot be resolved.",
        "Use a finer scan for membrane markers.",
    ),
    "tumor_cells_unknown": Flag(
        "tumour cells",
        "The panel has no tumour marker, so tumour cells are not known.",
        "TPS, CPS, IC, loss and induction stay empty.",
    ),
    "few_tumor_cells": Flag(
        "tumour cells",
        "Fewer tumour cells than gates.min_tumor_cells.",
        "TPS, CPS, IC, loss and induction are not evaluable.",
    ),
    "activity_cd8_only": Flag(
        "tumour cells",
        "The panel has no PD-L1, so the site of activity rests on CD8 alone.",
        "Read it as such.",
    ),
    "area_unknown": Flag(
        "tumour cells",
        "The area of tissue is not known; counts are given, densities are not.",
        "Add a Tissue annotation or tissue_area_mm2.",
    ),
    "cross_batch": Flag(
        "longitudinal",
        "The time points were stained in different batches.",
        "Numbers are shown, no call is made unless longitudinal.allow_cross_batch is set.",
    ),
    "not_comparable": Flag(
        "longitudinal",
        "The time points were not scored the same way.",
        "The differing setting is named in reason; score them alike.",
    ),
    "different_lesion": Flag(
        "longitudinal",
        "The time points show different lesions.",
        "Numbers only; a change cannot be told from a difference between lesions.",
    ),
    "lesion_unspecified": Flag(
        "longitudinal",
        "No lesion is named for this slide.",
        "Fill the lesion column so that time points are known to match.",
    ),
    "between_slide_unknown": Flag(
        "longitudinal",
        "Two slides were pooled; their difference cannot be estimated from two.",
        "The interval may be too narrow.",
    ),
    "extra_biopsy": Flag(
        "longitudinal",
        "More than one biopsy at a time point; this one is not used.",
        "The used one is nearest treatment start (baseline) or earliest (others).",
    ),
    "missing_timepoint": Flag(
        "longitudinal",
        "A time point has no slide.",
        "The transition is not evaluable.",
    ),
    "baseline_early": Flag(
        "longitudinal",
        "The baseline biopsy is older than longitudinal.max_baseline_days before treatment.",
        "The tumour may have changed before treatment.",
    ),
    "late_on_treatment": Flag(
        "longitudinal",
        "The on-treatment biopsy is later than longitudinal.early_on_treatment_days.",
        "Do not read it as an early change.",
    ),
    "dates_unknown": Flag(
        "longitudinal",
        "Biopsy or treatment dates are missing.",
        "Timing was not checked.",
    ),
    "interval_therapy": Flag(
        "longitudinal",
        "Another treatment was given between this biopsy and treatment start, or between biopsies.",
        "A change may come from that treatment.",
    ),
    "lymph_node": Flag(
        "longitudinal",
        "The biopsy is from a lymph node, where CD8+ cells reside anyway.",
        "The outer margin is not stroma here.",
    ),
    "regressed": Flag(
        "longitudinal",
        "No viable tumour was left in this biopsy.",
        "This is missing tumour, not zero infiltration.",
    ),
    "pdl1_absent_despite_contact": Flag(
        "biology",
        "At least 100 tumour cells lie near CD8+ cells and under 1 % of them are PD-L1+, in a batch with PD-L1+ cells.",
        "An observation, not a mechanism.",
    ),
    "pdl1_gradient_lost": Flag(
        "biology",
        "PD-L1 was raised near CD8+ cells at the reference and is not now.",
        "An observation, not a mechanism.",
    ),
    "marker_loss": Flag(
        "biology",
        "Tumour cells lack the named marker while neighbouring cells carry it.",
        "An observation, not a mechanism.",
    ),
    "reviewed": Flag(
        "review",
        "A reader corrected this slide.",
        "The journal says what and why.",
    ),
    "call_overridden": Flag(
        "review",
        "A reader replaced the computed class.",
        "The computed class stays in immunophenotype_point.",
    ),
    "stale_edit": Flag(
        "review",
        "A correction names a cell that no longer exists; it was not applied.",
        "Review the slide again.",
    ),
}


def flag_of(code: str) -> Flag:
    """Return the table's entry for a code; ``marker_loss:HLA-I`` is an instance of ``marker_loss``."""
    return FLAGS[code.partition(":")[0]]


def join_flags(*groups: Iterable[str]) -> str:
    """Return codes joined by ``;`` in the order of the table, each once.

    Examples
    --------
    >>> join_flags(["few_tiles"], ["no_border", "few_tiles"])
    'no_border;few_tiles'
    """
    order = {code: i for i, code in enumerate(FLAGS)}
    codes = {code for group in groups for code in group}
    return ";".join(sorted(codes, key=lambda code: (order[code.partition(":")[0]], code)))
