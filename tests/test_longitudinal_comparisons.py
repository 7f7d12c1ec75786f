"""What may be compared, what changed and what is said of it: every field and reason, to the letter."""

import math
from datetime import date

import pytest

from spatial_til.metrics.comparability import comparability
from spatial_til.metrics.deltas import column_name, deltas, listed_values, usable
from spatial_til.metrics.observations import gradient_lost
from spatial_til.metrics.patients import PatientRow
from spatial_til.metrics.records import MAIN_CHANGE, patient_record, transition_record
from spatial_til.metrics.resistance import resistance
from spatial_til.metrics.sensitivity import HOT_CD8_PER_MM2, MARGIN_WIDTHS_UM, THRESHOLD_FACTORS
from spatial_til.metrics.timing import circumstance_flags
from spatial_til.metrics.transitions import TransitionRow
from spatial_til.model import Call, SlideMeta, Value
from tests.slides_by_hand import NO_CALL, counted, slide


def test_what_differs_between_two_biopsies_is_named():
    def ask(a, b, *, allow=False, **batches):
        return comparability(
            slide(settings=a, batch=batches.get("one", "x")), slide(settings=b, batch=batches.get("two", "x")),
            allow_cross_batch=allow,
        )  # fmt: skip

    assert ask({"a": "1"}, {"a": "1"}) == ((), ())
    assert ask({"a": "1"}, {"a": "2", "b": "3"}) == (
        ("a differs (1 against 2)", "b differs (not recorded against 3)"), ("not_comparable",),
    )  # fmt: skip
    assert ask({"a": "1 | 2"}, {"a": "1"}) == (("a differs (1 | 2 against 1)",), ("not_comparable",))
    words = "the staining batches differ (x against y)"
    assert ask({}, {}, two="y") == ((words,), ("cross_batch",))
    assert ask({}, {}, two="y", allow=True) == ((), ("cross_batch",))
    threshold = {"threshold_cd8": "1", "x": "1"}, {"threshold_cd8": "2", "x": "1"}
    assert ask(*threshold, two="y", allow=True) == ((), ("cross_batch",))
    assert ask(*threshold, allow=True) == (("threshold_cd8 differs (1 against 2)",), ("not_comparable",))
    assert ask(*threshold, two="y").differences == (words, "threshold_cd8 differs (1 against 2)")


def test_circumstances_begin_after_their_limits():
    def ask(days, timepoint, **changes):
        meta = SlideMeta("s", "P", timepoint, changes.pop("lesion", "A"), biopsy_date=date.fromordinal(738000 + days),
                         treatment_start=date.fromordinal(738000), **changes)  # fmt: skip
        return circumstance_flags(meta, timepoints=("baseline", "on_treatment", "progression"),
                                  max_baseline_days=90, early_on_treatment_days=60)  # fmt: skip

    assert ask(-90, "baseline") == ask(30, "baseline") == ask(60, "on_treatment") == ask(900, "progression") == ()
    assert ask(-91, "baseline") == ("baseline_early",)
    assert ask(61, "on_treatment") == ("late_on_treatment",)
    found = ask(0, "baseline", lesion="", interval_therapy="x", site="skin | Lymph-Node")
    assert found == ("lesion_unspecified", "interval_therapy", "lymph_node")
    assert circumstance_flags(SlideMeta("s", "P", "baseline", "A"), timepoints=("baseline",), max_baseline_days=90,
                              early_on_treatment_days=60) == ("dates_unknown",)  # fmt: skip


@pytest.mark.parametrize(
    ("timepoint", "response", "months", "expected"),
    [
        ("progression", "PR", 6.0, ("acquired", "progression after a response of 6 months")),
        ("progression", "PR", 5.9, ("unknown", "progression after a response of 5.9 months, shorter than 6")),
        ("progression", "PR", None, ("unknown", "progression, but the duration of the response is not known")),
        ("progression", "SD", None, ("innate", "progression without a response")),
        ("baseline", "PD", None, ("innate", "progression without a response")),
        ("baseline", "PD", 7.0, ("unknown", "progressive disease contradicts a response of 7 months")),
        ("baseline", "PR", 9.0, ("unknown", "no biopsy at progression")),
    ],
)
def test_resistance_in_words(timepoint, response, months, expected):
    assert resistance([SlideMeta("s", "P", timepoint, "A", response=response, response_months=months)]) == expected


@pytest.mark.parametrize(
    ("before", "now", "lost_it"),
    [
        (Value(1.0, 0.01, 2.0), Value(0.2, -0.5, 0.99), True),
        (Value(1.0, 0.0, 2.0), Value(0.2, -0.5, 0.9), False),
        (Value(1.0, 0.1, 2.0), Value(0.2, -0.5, 1.0), False),
        (Value(1.0, None, 2.0), Value(0.2, -0.5, 0.9), False),
        (Value(1.0, 0.1, 2.0), Value(0.2, -0.5, None), False),
        (None, Value(0.2, -0.5, 0.9), False),
        (Value(1.0, 0.1, 2.0), None, False),
    ],
)
def test_a_gradient_is_lost_only_where_both_intervals_say_so(before, now, lost_it):
    slides = [slide(values={} if v is None else {"pdl1_induction_log2": v}) for v in (before, now)]
    assert gradient_lost(*slides) is lost_it


def test_changes_have_the_same_names_whatever_is_missing():
    part = {("CD8+", "core"): counted(20), ("CD8+", "margin"): counted(40, 2.0)}
    later = {("CD8+", "core"): counted(80), ("CD8+", "margin"): counted(20, 1.0)}
    options = {"populations": ("exhausted",), "values": ("tps_percent",), "confidence": 0.9}
    found = deltas(slide(estimates=part), slide(estimates=later, values={"tps_percent": Value(3.0)}), **options)
    fold = math.log2(80.5 / 20.5)
    assert found["log2_fold_core_cd8"].value == pytest.approx(fold)
    assert found["log2_fold_margin_cd8"].value == pytest.approx(math.log2(20.5 / (40.5 / 2)))
    ratio = fold - math.log2(20.5 / (40.5 / 2))
    assert found["delta_log2_core_margin_cd8"].value == pytest.approx(ratio)
    assert found["delta_log2_core_margin_cd8"].sigma == pytest.approx(0.2 / math.log(2))
    assert found["delta_tps_percent"] == Value(None, reason="not measured at both time points")
    for one, other in ((None, slide(estimates=part)), (slide(estimates=part), None), (slide(), slide())):
        missing = deltas(one, other, **options)
        assert list(missing) == list(found)
        assert {v.value for v in missing.values()} == {None}
        assert all(v.reason for v in missing.values())
    assert {column_name(p) for p in ("CD8+", "exhausted")} <= {name.split("_")[-1] for name in found}
    values = {"tps_percent": Value(1.0), "b2m_loss_percent": Value(1.0), "log2_core_margin_cd8": Value(1.0)}
    assert "log2_core_margin_cd8" not in listed_values([slide(values=values)])
    assert {"tps_percent", "b2m_loss_percent"} <= set(listed_values([slide(values=values)]))


def test_a_density_whose_stain_is_not_shown_to_have_worked_says_nothing():
    doubtful = counted(0, flags=("stain_unverified",))
    assert usable(slide(estimates={("CD8+", "core"): doubtful}), "CD8+", "core") is None
    assert usable(slide(), "CD8+", "core") is None
    known = counted(3)
    site = {"pdl1": Call("", "", {}, "", ("stain_unverified",))}
    both = slide(estimates={("CD8+", "core"): known, ("PD-L1+", "core"): known}, activity=site)
    assert usable(both, "CD8+", "core") is known
    assert usable(both, "PD-L1+", "core") is None
    fine = slide(estimates={("PD-L1+tumor", "core"): known}, activity={"pdl1": NO_CALL})
    assert usable(fine, "PD-L1+tumor", "core") is known


def test_records_have_every_column():
    change = Value(-2.0, -3.0, -1.0)
    row = TransitionRow("P", "A", "baseline", "progression", "a", "b", "c", "d", {MAIN_CHANGE: change}, True, "call",
                        "why", ("low_count",))  # fmt: skip
    assert transition_record(row) == {
        "patient_id": "P", "lesion": "A", "transition": "baseline->progression", "immunophenotype_reference": "a",
        "immunophenotype_target": "b", "activity_site_reference": "c", "activity_site_target": "d",
        MAIN_CHANGE: -2.0, f"{MAIN_CHANGE}_ci_low": -3.0, f"{MAIN_CHANGE}_ci_high": -1.0,
        f"{MAIN_CHANGE}_minimum_detectable_change": 1.0, "minimum_detectable_change": 1.0, "call": "call",
        "reason": "why", "flags": "low_count",
    }  # fmt: skip
    of = {"": "x", "B": "y"}
    two = patient_record(PatientRow("P", 3, of, of, of, {"B": "z"}, "innate", "why", "pattern", ("low_count",)))
    assert two["immunophenotype_trajectory"] == "unspecified: x | B: y"
    assert (two["n_slides"], two["n_lesions"], two["decisive_call"]) == (3, 2, "z")


def test_what_is_varied_are_the_widths_the_cut_offs_and_the_thresholds_of_the_docs():
    assert MARGIN_WIDTHS_UM == (100, 250, 500)
    assert HOT_CD8_PER_MM2 == (100, 150, 200, 250, 295, 300, 350, 400)
    assert THRESHOLD_FACTORS == (0.8, 1, 1.2)
