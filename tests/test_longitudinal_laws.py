"""Laws of the call and of the changes: symmetry, cut-offs that belong to one side, coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spatial_til.metrics.changes import HALF_COUNT, difference, interval, log2_contrast, minimum_detectable_change
from spatial_til.metrics.comparability import comparability
from spatial_til.metrics.density import estimate
from spatial_til.metrics.longitudinal import CALLS, CutOffs, Infiltrate, Shift, longitudinal_call
from spatial_til.metrics.simulate import negative_binomial
from spatial_til.metrics.transitions import timepoint_pairs
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore, TileCounts, Value

CUT = CutOffs(hot_cd8_per_mm2=295, excluded_log2_ratio=-1.0, min_margin_cd8_per_mm2=100)
FEW = settings(max_examples=60, derandomize=True, deadline=None)
estimates = st.builds(
    lambda n, area, sigma, dof: Estimate(n, area, n / area, None, None, sigma, dof),
    st.integers(0, 5000),
    st.floats(0.1, 20),
    st.floats(0.01, 2),
    st.integers(1, 200),
)


def changed(value, half=0.2):
    return Value(value, value - half, value + half, half / 2, 50)


def site(core, margin, ratio=None, name="excluded"):
    return Infiltrate(core, margin, math.log2(core / margin) if ratio is None else ratio, Call(name, name, {name: 1.0}))


FALL = Shift(core=changed(-2.0), margin=changed(0.0), ratio=changed(-2.0))
HELD = Shift(core=changed(0.0), margin=changed(0.0), ratio=changed(0.0))


@FEW
@given(estimates, estimates, estimates, estimates)
def test_changes_turn_round_with_the_order(a, b, c, d):
    one, other = log2_contrast([a, b], [c, d], 0.95), log2_contrast([c, d], [a, b], 0.95)
    assert one.value == pytest.approx(-other.value)
    assert (one.ci_low, one.ci_high) == pytest.approx((-other.ci_high, -other.ci_low))


@FEW
@given(estimates, estimates)
def test_change_is_welchs_closed_form(a, b):
    change = log2_contrast([a], [b], 0.95)
    value = math.log2((a.n_cells + HALF_COUNT) / a.area_mm2) - math.log2((b.n_cells + HALF_COUNT) / b.area_mm2)
    v_a, v_b = a.sigma_ln**2, b.sigma_ln**2
    dof = (v_a + v_b) ** 2 / (v_a**2 / a.dof + v_b**2 / b.dof)
    half = stats.t.ppf(0.975, dof) * math.sqrt(v_a + v_b) / math.log(2)
    assert change.value == pytest.approx(value)
    assert (change.ci_low, change.ci_high) == pytest.approx((value - half, value + half))
    assert minimum_detectable_change(change) == pytest.approx(half)


def test_oracle_of_two_ratios():
    change = interval(-2.3 - 0.2, [(0.35, 10**6), (0.35, 10**6)], 0.95)
    assert (change.ci_low, change.ci_high) == pytest.approx((-3.47, -1.53), abs=0.005)


def test_no_area_has_no_change():
    nothing = Estimate(0, 0.0, None, None, None, None, 0)
    some = Estimate(10, 1.0, 10.0, 5.0, 18.0, 0.3, 20)
    assert log2_contrast([nothing], [some], 0.95).value is None
    assert difference(Value(1.0), Value(None, reason="12 tumour cells"), 0.95).reason == "12 tumour cells"
    assert difference(None, Value(1.0), 0.95).value is None


@FEW
@given(*(st.floats(0, 2000) for _ in range(4)), *(st.floats(-6, 6) for _ in range(3)), st.floats(0.01, 3))
def test_there_is_always_one_call_and_a_reversion_needs_a_fall(c0, m0, c1, m1, core, margin, ratio, half):
    before, after = (site(c, m, math.log2((c + 1) / (m + 1)), "inflamed") for c, m in ((c0, m0), (c1, m1)))
    change = Shift(changed(core, half), changed(margin, half), changed(ratio, half))
    call = longitudinal_call(before, after, change, CUT)
    assert call in CALLS
    if call == "reversion_to_excluded":
        assert core + half < 0
        assert ratio + half < 0
        assert after.core < 295
        assert after.margin >= 100
    backwards = Shift(*(Value(-v.value, -v.ci_high, -v.ci_low, v.sigma, v.dof) for v in change))
    both = {call, longitudinal_call(after, before, backwards, CUT)}
    assert both != {"reversion_to_excluded"}


@pytest.mark.parametrize(
    ("after", "call"),
    [
        pytest.param(site(50, 100, -1.0), "reversion_to_excluded", id="ratio and margin on their cut-offs"),
        pytest.param(site(50, 99.9, -1.0), "global_loss", id="margin just under its floor"),
        pytest.param(site(50, 100, -0.99), "indeterminate", id="ratio just above its cut-off"),
        pytest.param(site(294.9, 900), "reversion_to_excluded", id="core just cold"),
        pytest.param(site(295, 900), "indeterminate", id="core on the cut-off for hot"),
    ],
)
def test_cut_offs_belong_to_one_side(after, call):
    assert longitudinal_call(site(600, 600, name="inflamed"), after, FALL, CUT) == call


@pytest.mark.parametrize(
    ("core", "ratio", "call"),
    [
        pytest.param(changed(-0.5, 0.4), changed(-1.0, 0.9), "reversion_to_excluded", id="just enough"),
        pytest.param(changed(-0.49, 0.4), changed(-1.0, 0.9), "indeterminate", id="core fell too little"),
        pytest.param(changed(-0.5, 0.4), changed(-0.99, 0.9), "indeterminate", id="ratio fell too little"),
        pytest.param(changed(-0.5, 0.5), changed(-1.0, 0.9), "indeterminate", id="core's interval touches 0"),
        pytest.param(changed(-0.5, 0.4), changed(-1.0, 1.0), "indeterminate", id="ratio's interval touches 0"),
    ],
)
def test_a_fall_needs_size_and_certainty(core, ratio, call):
    before, after = site(500, 400, name="inflamed"), site(100, 400)
    assert longitudinal_call(before, after, Shift(core, changed(0.0, 1.5), ratio), CUT) == call


def test_order_of_the_rules():
    excluded, hot = site(50, 400), site(600, 600, name="inflamed")
    assert longitudinal_call(excluded, excluded, FALL, CUT) == "already_excluded"  # before reversion and loss
    risen = Shift(changed(1.0), changed(0.0), changed(1.0))
    assert longitudinal_call(excluded, excluded, risen, CUT) == "infiltration_gain"
    assert longitudinal_call(hot, hot, HELD, CUT) == "sustained_infiltration"  # before stable
    both_rose = Shift(changed(1.0), changed(2.0), changed(-1.0))
    assert longitudinal_call(hot, hot, both_rose, CUT) == "infiltration_gain"  # before margin gain
    both_fell = Shift(changed(-2.0), changed(-2.0), changed(0.0))
    assert longitudinal_call(hot, site(150, 150, name="desert"), both_fell, CUT) == "global_loss"


def test_stable_needs_every_interval_within_two_fold():
    middle = site(200, 250, name="intermediate")
    assert longitudinal_call(middle, middle, HELD, CUT) == "stable"
    for wide in ("core", "margin", "ratio"):
        assert longitudinal_call(middle, middle, HELD._replace(**{wide: changed(0.0, 1.01)}), CUT) == "indeterminate"


def test_comparability_is_symmetric_and_reflexive():
    def score(**settings_of):
        call = Call("", "", {})
        return SlideScore(SlideMeta("s", "P", "t", batch="r"), {}, {}, {}, call, {}, {}, settings_of)

    one, other = score(width="500", segmenter="watershed"), score(width="250")
    assert comparability(one, one, allow_cross_batch=False) == ((), ())
    there, back = (comparability(*pair, allow_cross_batch=False) for pair in ((one, other), (other, one)))
    assert there.flags == back.flags == ("not_comparable",)
    assert len(there.differences) == len(back.differences) == 2
    assert there.differences[1] == "width differs (500 against 250)"


def test_time_points_pair_consecutively_then_first_to_last():
    assert timepoint_pairs(["a", "b"]) == [("a", "b")]
    assert timepoint_pairs(["a", "b", "c", "d"]) == [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")]
    assert timepoint_pairs(["a"]) == []


@pytest.mark.parametrize("vmr", [1.0, 3.0, 10.0])
def test_intervals_of_changes_cover_the_truth(vmr):
    random, draws = np.random.default_rng(int(vmr)), 500

    def drawn(per_mm2, i):
        area = np.full(25, 0.04)
        counts = {"CD8+": negative_binomial(per_mm2 * area, vmr, random)}
        tiles = TileCounts(str(i), "core", 200.0, area, counts, np.zeros(25), np.zeros(25))
        return estimate([tiles], "CD8+", confidence=0.95, bootstrap=200, min_tiles=8, seed=0)

    covered = 0
    for i in range(draws):
        change = log2_contrast([drawn(200, i)], [drawn(600, i)], 0.95)
        covered += change.ci_low <= math.log2(1 / 3) <= change.ci_high
    assert 0.92 <= covered / draws <= 0.99
