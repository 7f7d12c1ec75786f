"""Who is compared with whom, and by which number: corners of biopsies, patients, transitions and cohorts."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from spatial_til.metrics.cohort import CohortRow, _tested, _with_q
from spatial_til.metrics.density import Stratum, combine_strata
from spatial_til.metrics.groups import Biopsy, biopsies, unused_slides
from spatial_til.metrics.patient_values import PatientMean, _means, biopsy_values, labels_at, numbers_at
from spatial_til.metrics.pooled_estimates import _counted_together, _only
from spatial_til.metrics.rank_correlation import cluster_spearman
from spatial_til.metrics.rank_tests import Significance
from spatial_til.metrics.sheet_columns import number_columns
from spatial_til.metrics.transitions import _pairs
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore, Value

TIMES = ("zero", "on_treatment", "at_last")  # in another order than the alphabet's


def counted(n, area=1.0, **changes):
    return replace(Estimate(n, area, n / area, None, None, 0.1, 9), **changes)


def slide(
    name="s", patient="P", timepoint="zero", lesion="A", *, core=None, margin=None, values=None, call="x", **meta
):
    estimates = {("CD8+", part): e for part, e in (("core", core), ("margin", margin)) if e is not None}
    return SlideScore(
        SlideMeta(name, patient, timepoint, lesion, **meta), tiles={}, estimates=estimates, values=values or {},
        phenotype=Call(call, call, {}), activity={}, gates={}, settings={},
    )  # fmt: skip


def biopsy(*args, **changes):
    return Biopsy(slide(*args, **changes), ("s",))


def test_biopsies_come_by_patient_then_lesion_then_the_protocols_time_points():
    scores = [
        slide(f"{p}{lesion}{t}", p, t, lesion) for t in reversed(TIMES) for lesion in "BA" for p in ("Q", "P")
    ]  # fmt: skip
    found = biopsies([*scores, slide("x", ""), slide("y", "P", "other")], timepoints=TIMES, pool=lambda s: s[0])
    expected = [(p, lesion, t) for p in "PQ" for lesion in "AB" for t in TIMES]
    assert [(b.patient_id, b.lesion, b.timepoint) for b in found] == expected
    assert unused_slides(found) == frozenset()


def test_of_several_days_one_biopsy_is_used_and_the_others_are_named():
    days = [slide(f"d{k}", biopsy_date=date(2024, 1, k), treatment_start=date(2024, 1, 5)) for k in (1, 3, 9)]
    (found,) = biopsies([*days, slide("u")], timepoints=TIMES, pool=lambda s: s[0])
    assert (found.slide_ids, found.unused) == (("d3",), ("d1", "d9", "u"))
    assert found.flags == ("extra_biopsy",)
    later = [replace(s, meta=replace(s.meta, timepoint="at_last")) for s in days]
    (first,) = biopsies(later, timepoints=TIMES, pool=lambda s: s[0])
    assert first.slide_ids == ("d1",)
    no_start = [replace(s, meta=replace(s.meta, treatment_start=None)) for s in days]
    (last,) = biopsies(no_start, timepoints=TIMES, pool=lambda s: s[0])
    assert last.slide_ids == ("d9",)
    two = [slide("a"), slide("b")]
    (pooled,) = biopsies(two, timepoints=TIMES, pool=lambda s: replace(s[1], flags=(str(len(s)),)))
    assert (pooled.slide_ids, pooled.unused, pooled.flags) == (("a", "b"), (), ("2",))


def test_without_a_lesion_in_common_the_largest_stand_for_the_time_points():
    def of(timepoint, lesion, core, margin):
        return biopsy("s", "P", timepoint, lesion, core=counted(1, core), margin=counted(1, margin))

    before = [of("zero", "A", 1.0, 1.0), of("zero", "B", 2.0, 0.5), of("zero", "C", 0.1, 0.1)]
    after = [of("on_treatment", "D", 0.1, 0.2), of("on_treatment", "E", 0.3, 0.4)]
    (pair,) = _pairs([*before, *after], ("zero", "on_treatment"))
    assert (pair.patient_id, pair.lesion, pair.same_lesion) == ("P", "B -> E", False)
    assert (pair.reference, pair.target) == (before[1], after[1])
    shared = [*before, of("on_treatment", "B", 1, 1)]
    found = list(_pairs(shared, ("zero", "on_treatment")))
    assert [(p.lesion, p.target is None, p.same_lesion) for p in found] == [
        ("A", True, True), ("B", False, True), ("C", True, True),
    ]  # fmt: skip
    (unnamed,) = _pairs([of("zero", "", 1, 1), of("on_treatment", "E", 1, 1)], ("zero", "on_treatment"))
    assert unnamed.lesion == "unspecified -> E"


def test_a_patient_has_a_label_where_its_biopsies_agree_and_the_mean_of_its_numbers():
    groups = [
        biopsy("s", "P", "zero", site="skin", extra={"age": "40"}), biopsy("s", "P", "on_treatment", site="skin"),
        biopsy("s", "Q", "zero", site="skin", extra={"age": "50"}),
        biopsy("s", "Q", "on_treatment", site="node", extra={"age": "61"}), biopsy("s", "R", "at_last", site="liver"),
        biopsy("s", "S", "zero", site="", extra={"age": "70"}),
    ]  # fmt: skip

    def read(b):
        return b.score.meta.site

    assert labels_at(groups, read, ("zero", "on_treatment")) == {"P": "skin"}
    assert labels_at(groups, read, ("zero",)) == {"P": "skin", "Q": "skin"}
    (age,) = number_columns(groups)
    assert age.name == "age"
    assert numbers_at(groups, age.read, ("zero", "on_treatment")) == {"P": 40.0, "Q": 55.5, "S": 70.0}
    assert numbers_at(groups, age.read, ("on_treatment",)) == {"Q": 61.0}
    assert number_columns(groups[:3]) == []  # two numbers are a label
    means = _means([(("t", "m"), "P", 1.0), (("t", "m"), "P", 4.0), (("t", "m"), "Q", 7.0)])
    assert means == {("t", "m"): {"P": PatientMean(2.5, 2), "Q": PatientMean(7.0, 1)}}


def test_what_a_biopsy_brings_to_a_cohort():
    both = biopsy(core=counted(10), margin=counted(40, 2.0), values={"tps_percent": Value(5.0), "cps": Value(None)})
    found = biopsy_values(both, (), 0.9)
    assert found == {
        "tps_percent": 5.0, "cd8_core_per_mm2": 10.0, "cd8_margin_per_mm2": 20.0,
        "log2_core_margin_cd8": pytest.approx(np.log2(10.5 / (40.5 / 2))),
    }  # fmt: skip
    assert biopsy_values(biopsy(core=counted(10), margin=counted(1), call="not_evaluable"), (), 0.9) == {}
    assert biopsy_values(biopsy(core=counted(10)), (), 0.9) == {}
    none = biopsy_values(biopsy(core=counted(0), margin=counted(0)), (), 0.9)
    assert none == {"cd8_core_per_mm2": 0.0, "cd8_margin_per_mm2": 0.0}
    one = biopsy_values(biopsy(core=counted(1), margin=counted(0)), (), 0.9)
    assert "log2_core_margin_cd8" in one


def row(p=None, **changes):
    names = {"comparison": "c", "group_a": "a", "group_b": "b", "timepoint": "t", "metric": "m"} | changes
    return CohortRow(**names, n_a=3, n_b=3, median_a=1.0, median_b=2.0, effect=Value(1.0, reason="why"), test="",
                     p_value=p)  # fmt: skip


def test_a_p_is_given_where_one_of_a_twentieth_could_be_reached():
    found = _tested(row(), "sign-flip", Significance(0.2, 0.05, exact=True))
    assert (found.test, found.p_value, found.reason) == ("sign-flip, exact", 0.2, "why")
    none = _tested(row(), "sign-flip", Significance(0.2, 0.0501, exact=False))
    reason = "no p: with these numbers of patients none below 0.0501 is possible"
    assert (none.test, none.p_value, none.reason) == ("sign-flip, asymptotic", None, reason)


def test_q_is_over_each_comparison_of_two_groups_and_a_p_of_nothing_counts():
    rows = [row(0.01), row(0.0), row(None), row(0.02, group_b="c"), row(0.04, comparison="d"), row(0.5)]
    assert [r.q_value for r in _with_q(rows)] == [pytest.approx(0.015), 0.0, None, 0.02, 0.04, pytest.approx(0.5)]
    paired = [row(0.01, comparison="time point", group_a=a) for a in "xy"]
    assert [r.q_value for r in _with_q(paired)] == [0.01, 0.01]
    assert [r.q_value for r in _with_q([row(0.01, comparison="time point"), row(0.03, comparison="time point")])] == [
        0.02, 0.03,
    ]  # fmt: skip


def test_strata_are_cut_down_to_populations_in_the_order_asked_for():
    whole = Stratum(("a", "b", "c"), 1.0, 5, *(np.array([1.0, 2, 3]) * k for k in (1, 10, 100)), enlarged=True)
    found = _only(whole, ("c", "a"))
    assert (found.populations, found.n_cells.tolist(), found.quasi.tolist(), found.bootstrap.tolist()) == (
        ("c", "a"), [3, 1], [30, 10], [300, 100],
    )  # fmt: skip
    assert (found.area_mm2, found.n_tiles, found.enlarged) == (1.0, 5, True)
    other = replace(whole, populations=("b", "d", "e"))
    assert _counted_together([{"core": whole}, {"core": other}]) == {
        (0,): ("a", "c"), (0, 1): ("b",), (1,): ("d", "e"),
    }  # fmt: skip


def test_a_single_tile_takes_the_ratio_of_each_population_from_the_others():
    many = Stratum(("a", "b"), 1.0, 9, *(np.array(v) for v in ([100.0, 50], [400.0, 60], [300.0, 90])), enlarged=False)
    more = Stratum(("a", "b"), 1.0, 5, *(np.array(v) for v in ([100.0, 0], [200.0, 0], [100.0, 0])), enlarged=False)
    none = np.full(2, np.nan)
    single = Stratum(("a", "b"), 0.5, 1, np.array([20.0, 10]), none, none, enlarged=False)
    found = combine_strata([many, more, single], confidence=0.9, min_tiles=8)
    # a: 600 / 200 = 3 of the quasi variance, so 600 + 60; b: 90 / 50 of the bootstrap's, so 90 + 18
    # Welch's, over those that have a variance of their own
    assert {name: found[name].dof for name in "ab"} == {"a": int(600**2 / (400**2 / 8 + 200**2 / 4)), "b": 8}
    for name, n, variance in (("a", 220, 660), ("b", 60, 108)):
        assert found[name].n_cells == n
        assert found[name].sigma_ln == pytest.approx(np.sqrt(variance) / n, rel=0.02)


def test_draws_that_are_one_patient_over_and_over_say_nothing_of_the_error():
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    value, _ = cluster_spearman(x, y, confidence=0.9, bootstrap=400, random=np.random.default_rng(3))
    z = []
    for chosen in np.random.default_rng(3).integers(4, size=(400, 4)):
        a, b = (np.searchsorted(np.sort(v[chosen]), v[chosen]) + np.searchsorted(np.sort(v[chosen]), v[chosen], "right")
                for v in (x, y))  # fmt: skip
        if len(set(chosen)) > 1:
            z.append(np.arctanh(np.clip(np.corrcoef(a, b)[0, 1], -0.999, 0.999)))
    assert len(z) < 400
    half = np.arctanh(value.ci_high) - np.arctanh(value.value)
    assert half == pytest.approx(2.919986 * np.std(z, ddof=1), rel=1e-5)
