"""Which slides are compared: lesions, biopsies that stand for a time point, and circumstances that are flagged."""

from dataclasses import replace
from datetime import date

import pytest

from spatial_til.metrics.groups import biopsies, unused_slides
from spatial_til.metrics.records import UNSPECIFIED, patient_record
from spatial_til.metrics.timing import circumstance_flags
from spatial_til.model import SlideMeta
from tests.transitions_by_hand import (
    TIMEPOINTS,
    by_transition,
    compare,
    no_pooling,
    one,
    patient_of,
    slide,
)


def test_different_lesions_give_numbers_without_a_call():
    row = one(slide("baseline", 400, 400, lesion="liver 1"), slide("progression", 40, 400, lesion="lung 2"))
    assert row.lesion == "liver 1 -> lung 2"
    assert row.call == "indeterminate"
    assert "different lesions" in row.reason
    assert "different_lesion" in row.flags
    assert row.deltas["log2_fold_core_cd8"].value < -3


def test_lesions_are_compared_one_by_one():
    scores = [
        slide(t, *d, lesion=lesion)
        for lesion, course in {
            "A": [(400, 400), (400, 400), (40, 400)],
            "B": [(400, 400), (500, 500), (450, 400)],
        }.items()
        for t, d in zip(TIMEPOINTS, course, strict=True)
    ]
    rows = compare(scores)
    assert by_transition(rows, "A")["on_treatment->progression"].call == "reversion_to_excluded"
    assert by_transition(rows, "B")["on_treatment->progression"].call == "sustained_infiltration"
    row = patient_of(scores)
    assert "A: inflamed → inflamed → excluded; reversion to excluded" in row.pattern
    assert "B: inflamed → inflamed → inflamed; sustained infiltration" in row.pattern


def test_a_lesion_sampled_once_has_no_partner():
    scores = [slide("baseline", 400, 400), slide("progression", 40, 400), slide("progression", 40, 400, lesion="B")]
    row = by_transition(compare(scores), "B")["baseline->progression"]
    assert (row.call, row.reason) == ("not_evaluable", "no scored slide at baseline")


def test_every_lesion_has_a_row_for_every_transition():
    rows = compare([slide("baseline", 400, 400), slide("progression", 40, 400, lesion="B")])
    keys = [(row.lesion, row.transition) for row in rows]
    assert len(keys) == len(set(keys))
    assert ("A -> B", "baseline->progression") in keys
    assert {t for _, t in keys} == {"baseline->on_treatment", "on_treatment->progression", "baseline->progression"}


def test_the_biopsy_nearest_treatment_stands_for_baseline_and_the_earliest_for_others():
    scores = [
        slide("baseline", 400, 400, name="early", biopsy_date=date(2023, 6, 1)),
        slide("baseline", 500, 500, name="near", biopsy_date=date(2024, 1, 20)),
        slide("progression", 40, 400, name="first", biopsy_date=date(2025, 6, 1)),
        slide("progression", 300, 300, name="second", biopsy_date=date(2025, 9, 1)),
    ]
    groups = biopsies(scores, timepoints=TIMEPOINTS, pool=no_pooling)
    assert [b.slide_ids for b in groups] == [("P1-A-baselinenear",), ("P1-A-progressionfirst",)]
    assert unused_slides(groups) == {"P1-A-baselineearly", "P1-A-progressionsecond"}
    row = by_transition(compare(scores))["baseline->progression"]
    assert "extra_biopsy" in row.flags
    assert row.call == "reversion_to_excluded"


def test_an_undated_biopsy_does_not_stand_where_a_dated_one_exists():
    scores = [slide("baseline", 1, 1, name="x", biopsy_date=None), slide("baseline", 400, 400, name="y")]
    (biopsy,) = biopsies(scores, timepoints=TIMEPOINTS, pool=no_pooling)
    assert biopsy.unused == ("P1-A-baselinex",)


@pytest.mark.parametrize(
    ("timepoint", "change", "flag"),
    [
        ("baseline", {"biopsy_date": date(2023, 10, 1)}, "baseline_early"),
        ("on_treatment", {"biopsy_date": date(2024, 6, 1)}, "late_on_treatment"),
        ("baseline", {"biopsy_date": None}, "dates_unknown"),
        ("baseline", {"treatment_start": None}, "dates_unknown"),
        ("on_treatment", {"interval_therapy": "BRAF inhibitor"}, "interval_therapy"),
        ("baseline", {"site": "Lymph node"}, "lymph_node"),
        ("on_treatment", {"site": "lymph_node"}, "lymph_node"),
    ],
)
def test_circumstances_are_flagged(timepoint, change, flag):
    pair = {t: slide(t, 400, 400) for t in ("baseline", "on_treatment")}
    clean = by_transition(compare(list(pair.values())))["baseline->on_treatment"]
    pair[timepoint] = slide(timepoint, 400, 400, **change)
    row = by_transition(compare(list(pair.values())))["baseline->on_treatment"]
    assert flag not in clean.flags
    assert flag in row.flags


@pytest.mark.parametrize(
    ("timepoint", "day", "flags"),
    [
        ("baseline", date(2024, 1, 1), ()),  # 90 days before
        ("baseline", date(2023, 12, 31), ("baseline_early",)),
        ("on_treatment", date(2024, 5, 30), ()),  # 60 days after
        ("on_treatment", date(2024, 5, 31), ("late_on_treatment",)),
        ("progression", date(2025, 5, 31), ()),
    ],
)
def test_the_last_day_allowed_is_allowed(timepoint, day, flags):
    meta = SlideMeta("s", "P", timepoint, "A", biopsy_date=day, treatment_start=date(2024, 3, 31))
    limits = {"max_baseline_days": 90, "early_on_treatment_days": 60}
    assert circumstance_flags(meta, timepoints=TIMEPOINTS, **limits) == flags


def test_progression_is_never_late_on_treatment():
    assert "late_on_treatment" not in one(slide("baseline", 400, 400), slide("progression", 40, 400)).flags


def test_unnamed_lesions_are_one_lesion_and_say_so():
    row = one(slide("baseline", 400, 400, lesion=""), slide("progression", 40, 400, lesion=""))
    assert row.call == "reversion_to_excluded"
    assert "lesion_unspecified" in row.flags


@pytest.mark.parametrize(
    ("courses", "told"),
    [
        ({"A": "inflamed → desert"}, "inflamed → desert"),
        ({"": "desert"}, "desert"),
        ({"": "desert", "A": "inflamed"}, f"{UNSPECIFIED}: desert | A: inflamed"),
        ({}, ""),
    ],
)
def test_lesions_are_named_where_there_are_several(courses, told):
    row = replace(patient_of([slide("baseline", 400, 400)]), phenotypes=courses)
    record = patient_record(row)
    assert (record["immunophenotype_trajectory"], record["n_lesions"]) == (told, len(courses))
