"""The cohort: the patient is the unit, p only where it can be reached, and nothing found where nothing is."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from spatial_til.metrics.cohort import cohort
from spatial_til.metrics.groups import biopsies
from spatial_til.metrics.records import cohort_record
from spatial_til.metrics.sheet_columns import label_columns
from spatial_til.metrics.transitions import transitions
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore
from tests.longitudinal_keys import RULES

TIMEPOINTS = ("baseline", "progression")
CONTRACT = (
    *("comparison", "group_a", "group_b", "timepoint", "metric", "n_a", "n_b", "median_a", "median_b"),
    *("effect", "ci_low", "ci_high", "test", "p_value", "q_value"),
)


def density(per_mm2):
    n = round(2 * per_mm2)
    sigma = math.sqrt(3 / max(n, 0.5))
    return Estimate(n, 2.0, n / 2, n / 2 / math.exp(2 * sigma), n / 2 * math.exp(2 * sigma), sigma, 49)


def slide(patient, timepoint, core, margin, *, lesion="A", **meta):
    call = Call("inflamed", "inflamed", {"inflamed": 1.0})
    return SlideScore(
        meta=replace(SlideMeta(f"{patient}-{lesion}-{timepoint}", patient, timepoint, lesion), **meta),
        tiles={},
        estimates={("CD8+", "core"): density(core), ("CD8+", "margin"): density(margin)},
        values={},
        phenotype=call,
        activity={},
        gates={},
        settings={},
    )


def rows_of(scores, *, timepoints=TIMEPOINTS, **keys):
    groups = biopsies(scores, timepoints=timepoints, pool=lambda s: s[0])
    rows = transitions(
        groups,
        timepoints=timepoints,
        **RULES,
    )
    return cohort(groups, rows, timepoints=timepoints, confidence=0.95, bootstrap=500, seed=0, **keys)


def pick(rows, **wanted):
    found = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def falling(n, **meta):
    """n patients whose core falls four-fold, each by a little more than the one before."""
    return [
        slide(f"P{i:02d}", when, core * (1 + i / 50), 400, **meta)
        for i in range(n)
        for when, core in (("baseline", 400), ("progression", 100))
    ]


def test_pairs_of_six_reach_significance_and_of_five_do_not():
    six = pick(rows_of(falling(6)), comparison="time point", metric="log2_fold_core_cd8")
    assert (six.n_a, six.n_b, six.p_value) == (6, 6, pytest.approx(2 / 64))
    assert six.effect.value == pytest.approx(-2, abs=0.02)
    assert (six.median_a, six.median_b) == (pytest.approx(420, abs=1), pytest.approx(105, abs=1))
    assert "exact" in six.test
    five = pick(rows_of(falling(5)), comparison="time point", metric="log2_fold_core_cd8")
    assert (five.p_value, five.q_value) == (None, None)
    assert "0.0625" in five.reason
    assert five.effect.value == pytest.approx(-2, abs=0.02)


def two_arms(n_a, n_b, shift):
    return [
        slide(f"{arm}{i}", "baseline", 100 + 10 * i + extra, 400, response=arm)
        for arm, n, extra in (("CR", n_a, 0), ("PD", n_b, shift))
        for i in range(n)
    ]


def test_groups_by_a_label():
    rows = rows_of(two_arms(5, 5, 1000))
    row = pick(rows, comparison="response", metric="cd8_core_per_mm2")
    assert (row.group_a, row.group_b, row.timepoint) == ("CR", "PD", "baseline")
    assert row.effect.value == pytest.approx(1000)
    assert row.p_value == pytest.approx(2 / math.comb(10, 5))
    assert (row.median_a, row.median_b) == (120, 1120)


def test_a_label_of_three_against_three_has_no_p():
    row = pick(rows_of(two_arms(3, 3, 1000)), comparison="response", metric="cd8_core_per_mm2")
    assert row.p_value is None
    assert "0.1" in row.reason
    assert row.effect.value == pytest.approx(1000)


def test_three_labels_are_compared_two_by_two():
    scores = [slide(f"{arm}{i}", "baseline", 100 + i, 400, therapy=arm) for arm in "XYZ" for i in range(4)]
    pairs = {(r.group_a, r.group_b) for r in rows_of(scores) if r.comparison == "therapy"}
    assert pairs == {("X", "Y"), ("X", "Z"), ("Y", "Z")}


def test_a_label_that_only_one_patient_has_is_left_out():
    scores = [*two_arms(4, 4, 0), slide("Q", "baseline", 100, 100, response="NE")]
    assert {(r.group_a, r.group_b) for r in rows_of(scores) if r.comparison == "response"} == {("CR", "PD")}


@pytest.mark.parametrize(("n", "columns"), [(1, []), (2, ["therapy"]), (8, ["therapy"]), (9, [])])
def test_a_grouping_has_two_to_eight_labels_that_two_patients_share(n, columns):
    scores = [slide(f"P{i}-{k}", "baseline", 100, 400, therapy=f"T{i}") for i in range(n) for k in range(2)]
    scores += [slide(f"Q{i}", "baseline", 100, 400, therapy=f"alone{i}") for i in range(3)]
    groups = biopsies(scores, timepoints=TIMEPOINTS, pool=lambda s: s[0])
    assert [column.name for column in label_columns(groups)] == columns


def test_a_name_for_each_patient_is_no_grouping():
    scores = [slide(f"P{i}", "baseline", 100 + i, 400, extra={"id": f"x{i}"}) for i in range(10)]
    assert not [r for r in rows_of(scores) if r.comparison == "id"]


def test_lesions_are_averaged_and_count_once():
    scores = two_arms(5, 5, 1000)
    more = [slide("CR0", "baseline", 300, 400, lesion=f"L{k}", response="CR") for k in range(30)]
    row = pick(rows_of([*scores, *more]), comparison="response", metric="cd8_core_per_mm2")
    assert (row.n_a, row.n_b) == (5, 5)
    mean = (100 + 30 * 300) / 31
    assert row.median_a == pytest.approx(np.median([mean, 110, 120, 130, 140]))
    assert row.effect.sigma is not None  # the patients were resampled


def test_patients_are_resampled_only_where_one_has_several_lesions():
    one_each = falling(8)
    more = falling(1, lesion="B")
    paired = [
        pick(rows_of(scores), comparison="time point", metric="log2_fold_core_cd8").effect
        for scores in (one_each, [*one_each, *more])
    ]
    assert [effect.sigma is None for effect in paired] == [True, False]
    assert paired[0].ci_low <= paired[0].value <= paired[0].ci_high
    between = pick(rows_of(two_arms(5, 5, 1000)), comparison="response", metric="cd8_core_per_mm2").effect
    assert (between.sigma, between.ci_low, between.ci_high) == (None, 970, 1030)


def test_two_patients_make_a_group_and_three_a_correlation():
    assert pick(rows_of(two_arms(2, 2, 1000)), comparison="response", metric="cd8_core_per_mm2").n_a == 2
    scores = [
        slide(f"P{i}", when, 100 + 20 * i, 400, extra={"tmb": str(i)})
        for i, when in enumerate(["baseline"] * 2 + ["progression"] * 3)
    ]
    row = pick(rows_of(scores), comparison="tmb", metric="cd8_core_per_mm2")
    assert (row.timepoint, row.n_a, row.effect.value) == ("progression", 3, pytest.approx(1.0))
    assert row.p_value is None


def test_numbers_are_correlated():
    scores = [
        slide(f"P{i}", "baseline", 100 + 20 * i, 400, extra={"tmb": str(2 * i + (i == 3) * 3)}) for i in range(12)
    ]
    row = pick(rows_of(scores), comparison="tmb", metric="cd8_core_per_mm2")
    assert row.effect.value > 0.9
    assert row.effect.ci_low > 0.7
    half = 1.959964 * math.sqrt((1 + row.effect.value**2 / 2) / 9)  # one lesion each: no draws
    assert math.atanh(row.effect.ci_high) - math.atanh(row.effect.value) == pytest.approx(half)
    assert row.p_value < 1e-4
    assert row.test.startswith("Spearman")


def test_patients_without_the_number_do_not_count():
    known = [slide(f"P{i}", "baseline", 100 + 20 * i, 400, extra={"tmb": str(i**2)}) for i in range(9)]
    unknown = [slide(f"U{i}", "baseline", 900 - 90 * i, 400, extra={"tmb": ""}) for i in range(5)]
    alone, beside = (pick(rows_of(s), comparison="tmb", metric="cd8_core_per_mm2") for s in (known, known + unknown))
    assert (beside.n_a, beside.n_b) == (9, 9)
    assert beside == alone


def test_numbers_of_patients_with_several_lesions_are_resampled_by_patient():
    random = np.random.default_rng(8)
    scores = [
        slide(f"P{i}", "baseline", 100 + 20 * random.integers(40), 400, lesion=lesion, extra={"tmb": str(i)})
        for i in range(12)
        for lesion in ("A", "B")
    ]
    several = pick(rows_of(scores), comparison="tmb", metric="cd8_core_per_mm2")
    assert several.n_a == 12
    closed = math.sqrt((1 + several.effect.value**2 / 2) / 9)
    width = math.atanh(several.effect.ci_high) - math.atanh(several.effect.ci_low)
    assert width != pytest.approx(2 * 1.959964 * closed, rel=0.001)  # not the formula for single lesions
    assert several == pick(rows_of(scores[::-1]), comparison="tmb", metric="cd8_core_per_mm2")


def test_zeros_and_ones_are_a_label():
    scores = [slide(f"P{i}", "baseline", 100 + 20 * i, 400, extra={"hla_loss": str(i % 2)}) for i in range(12)]
    row = pick(rows_of(scores), comparison="hla_loss", metric="cd8_core_per_mm2")
    assert (row.group_a, row.group_b) == ("0", "1")


def test_changes_are_compared_between_labels():
    scores = [
        *falling(5, response="PD"),
        *(replace(s, meta=replace(s.meta, patient_id=f"R{s.meta.patient_id}", response="CR")) for s in falling(5)),
    ]
    row = pick(rows_of(scores), comparison="response (change)", metric="log2_fold_core_cd8")
    assert row.timepoint == "baseline->progression"
    assert row.effect.value == pytest.approx(0, abs=0.01)


def test_other_lesions_and_other_batches_do_not_pair():
    scores = falling(6)
    scores[1] = replace(scores[1], meta=replace(scores[1].meta, batch="run2"))
    scores[3] = replace(scores[3], meta=replace(scores[3].meta, lesion="B"))
    row = pick(rows_of(scores), comparison="time point", metric="log2_fold_core_cd8")
    assert row.n_a == 4


def test_not_evaluable_slides_are_left_out():
    scores = two_arms(5, 5, 1000)
    scores[0] = replace(scores[0], phenotype=Call("not_evaluable", "not_evaluable", {}))
    assert pick(rows_of(scores), comparison="response", metric="cd8_core_per_mm2").n_a == 4


def test_family_is_the_metrics_and_time_points_of_one_comparison():
    random = np.random.default_rng(3)
    scores = [
        slide(
            f"P{i}",
            when,
            random.integers(50, 900),
            random.integers(50, 900),
            response="CR" if i % 2 else "PD",
            therapy="x" if i < 8 else "y",
        )
        for i in range(16)
        for when in TIMEPOINTS
    ]
    rows = [r for r in rows_of(scores) if r.comparison == "response"]
    p = np.array([r.p_value for r in rows])
    assert len(rows) == 2 * 3  # two time points; core, margin and their ratio
    best = rows[int(p.argmin())]
    assert best.q_value == pytest.approx(min(p.min() * 6, *(np.sort(p) * 6 / np.arange(1, 7))))
    assert all(r.q_value >= r.p_value for r in rows)


def test_order_of_slides_does_not_matter():
    scores = [*falling(6), *two_arms(4, 4, 300)]
    assert rows_of(scores) == rows_of(scores[::-1])


def test_false_discoveries_stay_at_the_level_where_nothing_differs():
    random, hits, tests = np.random.default_rng(7), 0, 0
    for _ in range(60):
        scores = [
            slide(f"P{i}", "baseline", d, 400, response="CR" if i % 2 else "PD")
            for i, d in enumerate(random.lognormal(5, 1, 14))
        ]
        row = pick(rows_of(scores), comparison="response", metric="cd8_core_per_mm2")
        hits, tests = hits + (row.p_value <= 0.05), tests + 1
    assert hits / tests <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / tests)


def test_record_has_the_columns_of_the_contract():
    record = cohort_record(pick(rows_of(two_arms(5, 5, 1000)), comparison="response", metric="cd8_core_per_mm2"))
    assert tuple(record)[: len(CONTRACT)] == CONTRACT


def test_dates_are_not_needed():
    scores = [replace(s, meta=replace(s.meta, biopsy_date=date(2024, 1, 1))) for s in two_arms(4, 4, 0)]
    assert rows_of(scores) == rows_of(two_arms(4, 4, 0))
