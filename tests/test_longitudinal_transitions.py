"""The call, its order and its words, on densities given by hand: the oracles of the definition."""

import math
from dataclasses import replace

import pytest
from scipy import stats

from spatial_til.metrics.records import patient_record, transition_record
from spatial_til.model import Call, Value
from tests.transitions_by_hand import (
    TIMEPOINTS,
    by_transition,
    compare,
    density,
    not_evaluable,
    one,
    patient_of,
    slide,
)


@pytest.mark.parametrize(
    ("before", "after", "call"),
    [
        pytest.param((400, 400), (40, 400), "reversion_to_excluded", id="reversion"),
        pytest.param((400, 400), (40, 40), "global_loss", id="global loss"),
        pytest.param((400, 400), (400, 1600), "margin_gain", id="margin gain"),
        pytest.param((1200, 1200), (400, 1600), "indeterminate", id="core still hot is no reversion"),
        pytest.param((60, 400), (600, 400), "infiltration_gain", id="infiltration gain"),
        pytest.param((60, 400), (50, 500), "already_excluded", id="already excluded"),
        pytest.param((600, 600), (650, 600), "sustained_infiltration", id="sustained"),
        pytest.param((200, 200), (200, 200), "stable", id="stable"),
        pytest.param((30, 60), (30, 60), "indeterminate", id="too few cells to say stable"),
    ],
)
def test_the_oracles_of_the_definition(before, after, call):
    assert one(slide("baseline", *before), slide("progression", *after)).call == call


def test_o4_baseline_on_treatment_progression():
    scores = [slide("baseline", 150, 416.7), slide("on_treatment", 600, 441.7), slide("progression", 30, 491.7)]
    rows = by_transition(compare(scores))
    assert {name: row.call for name, row in rows.items()} == {
        "baseline->on_treatment": "infiltration_gain",
        "on_treatment->progression": "reversion_to_excluded",
        "baseline->progression": "already_excluded",
    }
    delta = rows["on_treatment->progression"].deltas["delta_log2_core_margin_cd8"]
    assert delta.value == pytest.approx(-4.477, abs=0.02)  # half a cell is added to each count
    row = patient_of(scores)
    assert row.phenotypes == {"A": "excluded → inflamed → excluded"}
    assert row.pattern == "excluded → inflamed → excluded; reversion to excluded (on treatment to progression)"


def test_a_sparse_margin_is_said():
    row = one(slide("baseline", 400, 400), slide("progression", 10, 200))
    assert row.call == "reversion_to_excluded"
    assert "margin-restricted, sparse" in row.reason
    dense = one(slide("baseline", 400, 400), slide("progression", 10, 400))
    assert "sparse" not in dense.reason


def test_reason_gives_numbers_and_factors():
    reason = one(slide("baseline", 400, 400), slide("progression", 40, 400)).reason
    assert reason.startswith("CD8+ cells left the tumour core and stay at the margin: core 400 → 40 CD8+ per mm² (fell")
    assert "margin 400 → 400 CD8+ per mm² (no clear change" in reason


def test_a_fall_that_chance_could_make_is_no_reversion():
    few = one(slide("baseline", 300, 400, area=0.05), slide("progression", 100, 400, area=0.05))
    assert few.call == "indeterminate"
    assert few.deltas["log2_fold_core_cd8"].ci_high > 0


def test_no_cells_left_in_the_core_is_a_fall_to_at_most():
    row = one(slide("baseline", 400, 400), slide("progression", 0, 400))
    assert row.call == "reversion_to_excluded"
    assert "core 400 → 0 CD8+ per mm² (fell, at most × 0.0" in row.reason


@pytest.mark.parametrize(
    ("before", "after", "area", "words"),
    [
        ((1200, 1200), (400, 1600), 2.0, "which is still hot"),
        ((600, 600), (280, 450), 2.0, "not so far below the margin"),
        ((250, 600), (250, 300), 2.0, "fell at the margin, not clearly in the core"),
        ((30, 60), (30, 60), 2.0, "no change is certain"),
    ],
)
def test_no_call_says_what_stands_against_one(before, after, area, words):
    row = one(slide("baseline", *before, area=area), slide("progression", *after, area=area))
    assert row.call == "indeterminate"
    assert words in row.reason


def test_delta_is_welchs():
    row = one(slide("baseline", 400, 400), slide("progression", 40, 400))
    change, sigmas = row.deltas["log2_fold_core_cd8"], [math.sqrt(3 / 800), math.sqrt(3 / 80)]
    dof = sum(s**2 for s in sigmas) ** 2 / sum(s**4 / 49 for s in sigmas)
    half = stats.t.ppf(0.975, dof) * math.hypot(*sigmas) / math.log(2)
    assert change.value == pytest.approx(math.log2(80.5 / 800.5))
    assert (change.ci_low, change.ci_high) == pytest.approx((change.value - half, change.value + half))
    assert transition_record(row)["log2_fold_core_cd8_minimum_detectable_change"] == pytest.approx(half)


def test_few_tiles_make_no_call():
    scarce = slide("progression", 40, 400)
    scarce = replace(
        scarce, estimates=scarce.estimates | {("CD8+", "core"): density(40, 2, dof=3, flags=("few_tiles",))}
    )
    row = one(slide("baseline", 400, 400), scarce)
    assert row.call == "indeterminate"
    assert "too few tiles" in row.reason
    assert row.deltas["log2_fold_core_cd8"].value is not None
    assert row.deltas["log2_fold_core_cd8"].ci_low is None


def test_missing_time_point_is_named_and_baseline_to_progression_decides():
    scores = [slide("baseline", 400, 400), slide("progression", 40, 400)]
    rows = by_transition(compare(scores))
    missing = rows["baseline->on_treatment"]
    assert (missing.call, missing.reason) == ("not_evaluable", "no scored slide at on_treatment")
    assert "missing_timepoint" in missing.flags
    assert missing.immunophenotype_target == "not_sampled"
    assert all(change.value is None for change in missing.deltas.values())
    row = patient_of(scores)
    assert row.decisive == {"A": "baseline->progression: reversion_to_excluded"}
    assert row.pattern == "inflamed → not sampled → excluded; reversion to excluded (baseline to progression)"


def test_regressed_tumour_is_missing_not_zero():
    scores = [
        slide("baseline", 400, 400),
        not_evaluable("on_treatment", "no_tumor_region"),
        slide("progression", 40, 400),
    ]
    rows = by_transition(compare(scores))
    assert rows["baseline->on_treatment"].call == "not_evaluable"
    assert "not zero infiltration" in rows["baseline->on_treatment"].reason
    assert "regressed" in rows["baseline->on_treatment"].flags
    assert "regressed" not in rows["baseline->progression"].flags
    row = patient_of(scores)
    assert row.phenotypes == {"A": "inflamed → regressed → excluded"}
    assert row.decisive == {"A": "baseline->progression: reversion_to_excluded"}


def test_cells_without_regions_are_not_regressed():
    row = one(slide("baseline", 400, 400), not_evaluable("progression", "no_tumor_region", gates={"tumor_mm2": None}))
    assert row.call == "not_evaluable"
    assert "regressed" not in row.flags


def test_no_tumour_before_treatment_is_not_regressed():
    row = one(not_evaluable("baseline", "no_tumor_region"), slide("progression", 40, 400))
    assert row.call == "not_evaluable"
    assert "regressed" not in row.flags


def test_gate_is_named():
    row = one(slide("baseline", 400, 400), not_evaluable("progression", "core_too_small"))
    assert row.call == "not_evaluable"
    assert "progression: The tumour core is smaller than" in row.reason


@pytest.mark.parametrize(
    ("change", "flag", "words"),
    [
        pytest.param({"batch": "run2"}, "cross_batch", "staining batches differ (run1 against run2)", id="batch"),
        pytest.param(
            {"settings": {"modality": "fluorescence", "inner_um": "500"}},
            "not_comparable",
            "modality differs (brightfield against fluorescence)",
            id="modality",
        ),
        pytest.param(
            {"settings": {"modality": "brightfield", "inner_um": "250"}},
            "not_comparable",
            "inner_um differs (500 against 250)",
            id="width",
        ),
        pytest.param(
            {"settings": {"modality": "brightfield"}}, "not_comparable", "500 against not recorded", id="not recorded"
        ),
    ],
)
def test_what_differs_is_named_and_no_call_is_made(change, flag, words):
    row = one(slide("baseline", 400, 400), slide("progression", 40, 400, **change))
    assert row.call == "indeterminate"
    assert words in row.reason
    assert flag in row.flags
    assert row.deltas["log2_fold_core_cd8"].value < -3


def test_allowed_batches_are_called_and_flagged():
    later = slide("progression", 40, 400, batch="run2")
    row = one(slide("baseline", 400, 400), later, allow_cross_batch=True)
    assert row.call == "reversion_to_excluded"
    assert "cross_batch" in row.flags


def test_thresholds_may_differ_only_between_allowed_batches():
    settings = {"modality": "brightfield", "threshold CD8": "0.20"}
    before = slide("baseline", 400, 400, settings=settings)
    after = slide("progression", 40, 400, settings=settings | {"threshold CD8": "0.25"})
    assert one(before, after, allow_cross_batch=True).call == "indeterminate"
    other_batch = replace(after, meta=replace(after.meta, batch="run2"))
    assert one(before, other_batch, allow_cross_batch=True).call == "reversion_to_excluded"


def test_values_and_populations_have_changes():
    def with_more(score, tim3, induction, pdi):
        extra = {("TIM3+", c): density(tim3, 2) for c in ("core", "margin")}
        values = {
            "pdl1_induction_log2": Value(induction, induction - 0.5, induction + 0.5, 0.25, 30),
            "HLA-I_loss_percent": Value(20.0),
            "pdi_cd8": Value(pdi, pdi - 0.1, pdi + 0.1, 0.05, 10),
        }
        return replace(score, estimates=score.estimates | extra, values=values)

    before, after = (
        with_more(slide("baseline", 400, 400), 100, 2.0, 0.5),
        with_more(slide("progression", 40, 400), 200, 0.2, 0.1),
    )
    row = one(before, after, populations=("TIM3+",))
    assert row.deltas["log2_fold_core_tim3"].value == pytest.approx(1, abs=0.01)
    assert row.deltas["delta_pdi_cd8"].value == pytest.approx(-0.4)
    induction = row.deltas["delta_pdl1_induction_log2"]
    half = stats.t.ppf(0.975, 60) * math.hypot(0.25, 0.25)
    assert (induction.ci_low, induction.ci_high) == pytest.approx((-1.8 - half, -1.8 + half))
    loss = row.deltas["delta_HLA-I_loss_percent"]
    assert (loss.value, loss.ci_low) == (0.0, None)
    assert row.deltas["log2_fold_core_pdl1"].value is None
    assert row.deltas["log2_fold_core_pdl1"].reason
    assert "pdl1_gradient_lost" in row.flags


def test_a_stain_that_may_have_failed_is_no_fall():
    def with_pdl1(score, per_mm2, *, by_estimate, verified):
        flags = () if verified or not by_estimate else ("stain_unverified",)
        extra = {("PD-L1+", c): density(per_mm2, 2, flags=flags) for c in ("core", "margin")}
        failed = Call("not_evaluable", "not_evaluable", {}, "no positive control", ("stain_unverified",))
        activity = score.activity if verified or by_estimate else score.activity | {"pdl1": failed}
        return replace(score, estimates=score.estimates | extra, activity=activity)

    before = with_pdl1(slide("baseline", 400, 400), 300, by_estimate=True, verified=True)
    seen = one(before, with_pdl1(slide("progression", 400, 400), 0, by_estimate=True, verified=True))
    assert seen.deltas["log2_fold_core_pdl1"].value < -3
    for by_estimate in (True, False):
        after = with_pdl1(slide("progression", 400, 400), 0, by_estimate=by_estimate, verified=False)
        change = one(before, after).deltas["log2_fold_core_pdl1"]
        assert change.value is None
        assert "not verified" in change.reason


def test_a_gradient_that_never_was_is_not_lost():
    now = {"pdl1_induction_log2": Value(0.0, -0.4, 0.4, 0.2, 30)}
    weak = slide("baseline", 400, 400, values={"pdl1_induction_log2": Value(0.3, -0.2, 0.8, 0.25, 30)})
    assert "pdl1_gradient_lost" not in one(weak, slide("progression", 40, 400, values=now)).flags


def test_records_have_the_columns_of_the_contract():
    row = one(slide("baseline", 400, 400), slide("progression", 40, 400))
    record = transition_record(row)
    for name in ("delta_log2_core_margin_cd8", "log2_fold_core_cd8", "log2_fold_margin_cd8", "delta_pdi_cd8"):
        for column in (name, name.replace("cd8", "pdl1"), name.replace("cd8", "pdl1_tumor")):
            assert {column, f"{column}_ci_low", f"{column}_ci_high"} <= set(record)
    assert {"patient_id", "lesion", "transition", "minimum_detectable_change", "call", "reason", "flags"} <= set(record)
    assert record["transition"] == "baseline->progression"
    patient = patient_record(patient_of([slide("baseline", 400, 400), slide("progression", 40, 400)]))
    assert {"patient_id", "resistance", "pattern"} <= set(patient)


@pytest.mark.parametrize(
    ("response", "months", "timepoints", "kind"),
    [
        ("PR", 14.0, TIMEPOINTS, "acquired"),
        ("CR", 6.0, TIMEPOINTS, "acquired"),
        ("PR", 5.9, TIMEPOINTS, "unknown"),
        ("PR", None, TIMEPOINTS, "unknown"),
        ("PD", None, TIMEPOINTS, "innate"),
        ("PD", None, ("baseline",), "innate"),
        ("PD", 12.0, TIMEPOINTS, "unknown"),
        ("SD", None, TIMEPOINTS, "innate"),
        ("SD", None, ("baseline", "on_treatment"), "unknown"),
        ("", None, TIMEPOINTS, "unknown"),
        ("PR", 14.0, ("baseline", "on_treatment"), "unknown"),
    ],
)
def test_resistance(response, months, timepoints, kind):
    row = patient_of([slide(t, 400, 400, response=response, response_months=months) for t in timepoints])
    assert row.resistance == kind
    assert row.resistance_reason


def test_order_of_slides_does_not_matter():
    scores = [
        slide(t, c, 400, patient=p) for p in ("P1", "P2") for t, c in zip(TIMEPOINTS, (150, 600, 30), strict=True)
    ]
    assert compare(scores) == compare(scores[::-1])


def test_control_slides_are_left_out():
    assert compare([slide("baseline", 400, 400, patient="")]) == []
