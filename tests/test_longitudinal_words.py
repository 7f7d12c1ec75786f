"""The longitudinal call at its limits, and its words to the letter; what pooled slides add up."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spatial_til.metrics.activity import combine_sites
from spatial_til.metrics.levels import Failure
from spatial_til.metrics.longitudinal import (
    CutOffs,
    Infiltrate,
    Shift,
    fell,
    infiltrate,
    is_excluded,
    longitudinal_call,
    rose,
    shift,
)
from spatial_til.metrics.pooling import _agreed, _failures, _gates, _meta, _settings, _sum_of_known
from spatial_til.metrics.reasons import call_reason, not_evaluable_reason, numbers
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore, TileCounts, Value
from tests.longitudinal_keys import KEYS

CUT = CutOffs(300.0, -1.0, 100.0)
SAME = Value(0.0, -0.5, 0.5)


def site(core, margin, call="x", ratio=None):
    known = core > 0 and margin > 0
    ratio = ratio if ratio is not None else math.log2(core / margin) if known else 0.0
    return Infiltrate(core, margin, ratio, Call(call, call, {}))


def call(before, now, core=SAME, margin=SAME, ratio=SAME):
    return longitudinal_call(before, now, Shift(core, margin, ratio), CUT)


@pytest.mark.parametrize(
    ("value", "low", "high", "is_fall", "is_rise"),
    [
        (-0.5, -1.0, -0.01, True, False), (-0.49, -1.0, -0.01, False, False), (-0.5, -1.0, 0.0, False, False),
        (0.5, 0.01, 1.0, False, True), (0.49, 0.01, 1.0, False, False), (0.5, 0.0, 1.0, False, False),
        (-2.0, None, None, False, False), (2.0, None, None, False, False), (None, None, None, False, False),
    ],
)  # fmt: skip
def test_a_change_is_one_from_its_step_on_and_where_its_interval_excludes_none(value, low, high, is_fall, is_rise):
    change = Value(value, low, high)
    assert (fell(change, 0.5), rose(change, 0.5)) == (is_fall, is_rise)


@pytest.mark.parametrize(
    ("place", "excluded"),
    [
        (site(299, 1000, ratio=-1.0), True), (site(300, 1000, ratio=-1.7), False),
        (site(299, 1000, ratio=-0.99), False),
        (site(10, 100), True), (site(10, 99.9), False),
    ],
)  # fmt: skip
def test_excluded_is_a_poor_core_beside_a_margin_that_has_them(place, excluded):
    assert is_excluded(place, CUT) is excluded


FALL, RISE = Value(-2.0, -2.5, -1.5), Value(2.0, 1.5, 2.5)
HOT, POOR, LOW = site(400, 400, "inflamed"), site(40, 400, "excluded"), site(40, 40, "desert")


@pytest.mark.parametrize(
    ("before", "now", "changes", "expected"),
    [
        (POOR, POOR, {}, "already_excluded"),
        (POOR, POOR, {"core": RISE}, "infiltration_gain"),
        (HOT, POOR, {"core": FALL, "ratio": FALL}, "reversion_to_excluded"),
        (HOT, POOR, {"core": FALL, "ratio": Value(-1.0, -1.5, -0.1)}, "reversion_to_excluded"),
        (HOT, POOR, {"core": FALL, "ratio": Value(-0.99, -1.5, -0.1)}, "indeterminate"),
        (HOT, POOR, {"ratio": FALL}, "indeterminate"),
        (site(300, 2000), POOR, {"core": FALL, "ratio": FALL}, "reversion_to_excluded"),  # a hot core, whatever beside
        (site(299, 598), POOR, {"core": FALL, "ratio": FALL}, "already_excluded"),
        (site(40, 79), POOR, {"core": FALL, "ratio": FALL}, "reversion_to_excluded"),
        (site(40, 80), POOR, {"core": FALL, "ratio": FALL}, "indeterminate"),  # was excluded, but for a poor margin
        (HOT, LOW, {"core": FALL}, "global_loss"),
        (HOT, site(40, 100, "desert", ratio=-0.5), {"core": FALL}, "indeterminate"),
        (HOT, site(40, 100, "desert", ratio=-0.5), {"core": FALL, "margin": FALL}, "global_loss"),
        (HOT, HOT, {"margin": RISE}, "margin_gain"),
        (HOT, LOW, {"margin": RISE, "core": FALL}, "global_loss"),
        (HOT, HOT, {}, "sustained_infiltration"),
        (HOT, LOW, {}, "stable"),
        (HOT, HOT, {"core": FALL}, "indeterminate"),
        (LOW, HOT, {"core": Value(0.3, -1.0, 1.0)}, "stable"),
        (LOW, HOT, {"core": Value(0.3, -1.01, 1.0)}, "indeterminate"),
        (LOW, HOT, {"margin": Value(0.3, -1.0, 1.01)}, "indeterminate"),
        (LOW, HOT, {"ratio": Value(0.3)}, "indeterminate"),
    ],
)
def test_the_first_rule_that_holds_is_the_call(before, now, changes, expected):
    assert call(before, now, **changes) == expected


def score(core, margin, **changes):
    return SlideScore(
        SlideMeta("s", "P", "baseline", "A"), tiles={}, values={}, activity={}, gates={}, settings={},
        estimates={("CD8+", "core"): core, ("CD8+", "margin"): margin}, phenotype=Call("x", "x", {}), **changes,
    )  # fmt: skip


def test_the_infiltrate_and_its_shift_are_densities_and_their_logarithms():
    def of(n, area, sigma):
        return Estimate(n, area, n / area, None, None, sigma, 9)

    before, now = score(of(80, 2.0, 0.1), of(40, 1.0, 0.2)), score(of(10, 1.0, 0.3), of(60, 0.5, 0.4))
    found = infiltrate(before)
    assert (found.core, found.margin) == (40.0, 40.0)
    assert found.log2_ratio == pytest.approx(math.log2(80.5 / 2) - math.log2(40.5))
    nothing = Estimate(0, 0.0, None, None, None, None, 0)
    assert infiltrate(score(nothing, of(1, 1, 1))) is None
    assert infiltrate(score(of(1, 1, 1), nothing)) is None
    assert infiltrate(replace(before, estimates={})) is None
    moved = shift(before, now, 0.9)
    core, margin = math.log2(10.5 / (80.5 / 2)), math.log2(60.5 / 0.5 / 40.5)
    assert [v.value for v in moved] == pytest.approx([core, margin, core - margin])
    squares = [0.1**2 + 0.3**2, 0.2**2 + 0.4**2]
    assert [v.sigma * math.log(2) for v in moved] == pytest.approx([math.sqrt(x) for x in (*squares, sum(squares))])


# --- words


def test_a_call_is_explained_with_all_its_numbers():
    before, now = site(400, 200), site(8.25, 0)
    change = Shift(Value(-5.6, -6.6, -4.6), Value(-1.0, -3.0, -0.5), Value(0.2, -1, 1))
    assert numbers(before, now, change) == (
        "core 400 → 8.2 CD8+ per mm² (fell, × 0.021, interval 0.01 to 0.041); "
        "margin 200 → 0 CD8+ per mm² (fell, at most × 0.71); "
        "core:margin ratio 2 → 1 (× 1.1, interval 0.5 to 2)"
    )
    up = Shift(Value(7.0, 6.7, 8.0), Value(1.0, 0.5, 2.0), Value(None))
    assert numbers(site(0, 10), site(1280, 20.4), up) == (
        "core 0 → 1280 CD8+ per mm² (rose, at least × 104); margin 10 → 20 CD8+ per mm² "
        "(rose, × 2, interval 1.4 to 4); core:margin ratio 1 → 63 (not available)"
    )
    quiet = Shift(SAME, Value(0.1), SAME)
    assert numbers(site(9.96, 10.04), site(0.04, 11), quiet).startswith(
        "core 10.0 → 0.0 CD8+ per mm² (no clear change, × 1, interval 0.71 to 1.4); margin 10 → 11 CD8+ per mm² "
        "(no interval); core:margin ratio 0.99 → 0.0036 "
    )


@pytest.mark.parametrize(
    ("now", "core", "margin", "sentence"),
    [
        (HOT, Value(0.1), SAME, "too few tiles for an interval, so a change cannot be told from chance"),
        (site(300, 400), FALL, SAME, "CD8+ cells fell in the core, which is still hot"),
        (site(299, 400), FALL, SAME,
         "CD8+ cells fell in the core, but not so far below the margin that the tumour is excluded"),
        (HOT, SAME, FALL, "CD8+ cells fell at the margin, not clearly in the core"),
        (HOT, SAME, Value(-0.4, -0.5, -0.3), "no change is certain, and a two-fold change cannot be ruled out"),
    ],
)  # fmt: skip
def test_why_no_call_could_be_made(now, core, margin, sentence):
    change = Shift(core, margin, SAME)
    assert call_reason("indeterminate", HOT, now, change, CUT) == f"{sentence}: {numbers(HOT, now, change)}"


def test_a_sparse_margin_is_said_to_be_one():
    change = Shift(FALL, SAME, FALL)
    told = call_reason("reversion_to_excluded", HOT, site(20, 150, "desert"), change, CUT)
    begin = "CD8+ cells left the tumour core and stay at the margin"
    assert told.startswith(
        f"{begin} (margin-restricted, sparse: the margin is below the cut-off for a hot tumour): core"
    )
    assert call_reason("reversion_to_excluded", HOT, POOR, change, CUT).startswith(f"{begin}: core")
    assert call_reason("global_loss", HOT, site(2, 15, "desert"), change, CUT).startswith(
        "CD8+ cells were lost from the core, and the margin does not hold them: core"
    )


def test_why_a_biopsy_has_no_class():
    bare = score(None, None)
    gone = "no tumour in the biopsy; the tumour is missing, which is not zero infiltration"
    assert not_evaluable_reason(bare, regressed=True) == gone
    assert not_evaluable_reason(bare, regressed=False) == "core or margin has no tissue"
    said = replace(bare, phenotype=Call("", "", {}, "core 0.1 mm², 0.25 needed"))
    assert not_evaluable_reason(said, regressed=False) == "core 0.1 mm², 0.25 needed"
    flagged = replace(bare, phenotype=Call("", "", {}, "", ("few_tiles", "no_border")))
    assert len(not_evaluable_reason(flagged, regressed=False).split("; ")) >= 2


def test_sites_of_two_markers_together():
    def found(cd8, pdl1):
        return combine_sites(Call(cd8, cd8, {"a": 1.0}, "c"), pdl1 and Call(pdl1, pdl1, {}, "p"))

    table = {
        ("core", "core"): "core", ("core", "margin"): "both", ("none", "margin"): "margin", ("none", "none"): "none",
        ("both", "indeterminate"): "both", ("core", "indeterminate"): "indeterminate", ("both", "none"): "both",
        ("none", "indeterminate"): "indeterminate",
    }  # fmt: skip
    for (one, other), expected in table.items():
        assert found(one, other) == Call(expected, expected, {}, f"CD8 {one}, PD-L1 {other}")
        assert found(other, one).call == expected
    alone = Call("core", "core", {"a": 1.0}, "no PD-L1: CD8 alone", ("activity_cd8_only",))
    assert found("core", None) == alone
    assert found("core", "not_evaluable") == replace(alone, reason="CD8 alone; PD-L1: p")
    none = combine_sites(Call("not_evaluable", "x", {"a": 1.0}, "why", ("few_tiles",)), None)
    assert none == Call("not_evaluable", "not_evaluable", {}, "why", ("few_tiles",))


# --- pooled slides


def part(name, *, populations=("CD8+",), area=0.5, gates=None, calls=None, **meta):
    tiles = {"core": TileCounts(name, "core", 200.0, np.array([area]), {p: np.array([1]) for p in populations},
                                np.zeros(1), np.zeros(1))}  # fmt: skip
    full = {"tumor_mm2": 2.0, "border_um": 900.0, "core_mm2": 1.0, "inner_margin_mm2": 0.5, "outer_margin_mm2": 0.25}
    return SlideScore(
        SlideMeta(name, "P", "baseline", "A", **meta), tiles=tiles, estimates={}, values={},
        phenotype=calls or Call("x", "x", {}), activity={}, gates=full | (gates or {}), settings={"a": name, "b": "1"},
    )  # fmt: skip


def test_gates_are_summed_over_the_slides_that_count_a_population():
    slides = [part("a", gates={"artefact_fraction": 0.1}), part("b", area=1.5, gates={"artefact_fraction": 0.5}),
              part("c", populations=("PD-L1+",), gates={"core_mm2": None})]  # fmt: skip
    found = _gates(slides, "CD8+")
    assert found == {
        "tumor_mm2": 4.0, "border_um": 1800.0, "core_mm2": 2.0, "inner_margin_mm2": 1.0, "outer_margin_mm2": 0.5,
        "artefact_fraction": pytest.approx((0.05 + 0.75) / 2.0),
    }  # fmt: skip
    assert _gates(slides, "PD-L1+")["core_mm2"] is None
    assert _gates(slides, "PD-L1+")["artefact_fraction"] is None
    assert _gates(slides, "other")["tumor_mm2"] == 6.0  # counted nowhere: all of them
    assert _sum_of_known([None, 0.0]) == 0.0
    assert _sum_of_known([]) is None
    two = replace(slides[0], tiles={**slides[0].tiles, "outside": slides[2].tiles["core"]})
    assert _gates([two, slides[2]], "CD8+")["tumor_mm2"] == 2.0  # one compartment that counts it is enough


def test_what_no_sum_can_mend_stays_a_failure():
    stain = Call("not_evaluable", "not_evaluable", {}, "no cut-off", ("threshold_not_evaluable", "few_tiles"))
    slides = [part("a"), part("b")]
    assert _failures(slides, "CD8+", [stain, stain], KEYS) == (Failure("threshold_not_evaluable", "no cut-off"),)
    judged = replace(stain, call="x")
    assert _failures(slides, "CD8+", [judged], KEYS) == ()
    small = _failures(slides[:1], "CD8+", [stain], KEYS)
    assert [f.flag for f in small] == ["short_border", "threshold_not_evaluable"]


def test_slides_that_agree_keep_their_class_and_others_have_none():
    a, b, none = Call("a", "a", {}, "1"), Call("b", "b", {}, "2"), Call("not_evaluable", "not_evaluable", {}, "3")
    assert _agreed([none, a, a]) is a
    assert _agreed([none, a]) is a
    assert _agreed([none, none]) is none
    differ = Call("indeterminate", "indeterminate", {}, "the slides of this biopsy differ: a, b")
    assert _agreed([b, none, a]) == differ


def test_what_the_sheet_says_of_several_slides_is_joined_where_it_differs():
    slides = [part("a", batch="2", site="skin", interval_therapy="x"), part("b", batch="1", site="skin"),
              part("c", batch="2", site="skin", interval_therapy="w")]  # fmt: skip
    found = _meta([s.meta for s in slides])
    assert (found.slide_id, found.batch, found.site, found.interval_therapy) == ("a+b+c", "1 | 2", "skin", "w, x")
    assert (found.patient_id, found.timepoint, found.lesion) == ("P", "baseline", "A")
    assert _settings([slides[0], replace(slides[1], settings={"a": "b", "c": "2"})]) == {
        "a": "a | b",
        "b": "1",
        "c": "2",
    }
