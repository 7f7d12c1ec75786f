"""Immunophenotype and site of activity: the oracles of the rules, probabilities, gates and reuse for groups."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.activity import activity_site, combine_sites
from spatial_til.metrics.levels import Failure, draw_levels, point_levels
from spatial_til.metrics.phenotype import check_gates, phenotype
from spatial_til.model import Call, Estimate

SCORES = {"hot_cd8_per_mm2": 295, "excluded_log2_ratio": -1.0, "min_class_probability": 0.8}
DRAWS = {"draws": 2000, "seed": 0, "key": "S1"}
AREAS = (3.1416, 3.9270, 5.4978)  # the disk of 1500 µm with widths of 500


def estimates(core, inner, outer, areas=(2.0, 1.0, 1.0), sigma=0.02, dof=40):
    names = ("core", "inner_margin", "outer_margin")
    return {
        name: Estimate(round(d * a), a, round(d * a) / a, 0.0, np.inf, sigma, dof)
        for name, d, a in zip(names, (core, inner, outer), areas, strict=True)
    }


def call(core, inner, outer=None, rule="density_ratio", failures=(), **changes):
    e = estimates(core, inner, inner if outer is None else outer, **changes)
    return phenotype(e, rule=rule, failures=failures, **SCORES, **DRAWS)


def site(core, inner, outer=None, **changes):
    e = estimates(core, inner, inner if outer is None else outer, **changes)
    return activity_site(e, floor_per_mm2=100, min_class_probability=0.8, **DRAWS)


@pytest.mark.parametrize(
    ("core", "margin", "expected"),
    [(500, 500, "inflamed"), (50, 600, "excluded"), (50, 60, "desert"), (200, 350, "intermediate")],
)
def test_density_ratio_oracles(core, margin, expected):
    result = call(core, margin)
    assert (result.point, result.call) == (expected, expected)
    assert result.probabilities[expected] > 0.8
    assert sum(result.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("core", "inner", "outer", "expected", "log_ratio"),
    [
        (20, 200, 800, "excluded", -4.78),
        (20, 40, 60, "desert", -1.37),
        (150, 300, 500, "excluded", -1.474),
        (600, 500, 400, "inflamed", 0.442),
        (30, 200, 700, "excluded", -4.035),
        (300, 300, 300, "inflamed", 0.0),
    ],
)
def test_end_to_end_oracles(core, inner, outer, expected, log_ratio):
    """methods O, slide S0; the margin is inner and outer together, by area."""
    e = estimates(core, inner, outer, AREAS, sigma=0.005)
    assert point_levels(e).log2_ratio[0] == pytest.approx(log_ratio, abs=0.02)
    assert call(core, inner, outer, areas=AREAS, sigma=0.005).point == expected


def test_inflamed_stays_inflamed_with_a_denser_margin():
    assert call(400, 2000).call == "inflamed"


def test_a_cut_off_is_reached_by_equality():
    assert call(295, 900).point == "inflamed"
    assert call(100, 295).point == "excluded"
    assert call(294, 294).point == "desert"


def test_kather_rule_uses_the_outer_margin_alone():
    assert call(100, 2000, 100, rule="kather2018").point == "desert"
    assert call(100, 2000, 100).point == "excluded"
    assert call(100, 100, 400, rule="kather2018").call == "excluded"
    assert call(296, 0, 0, rule="kather2018").point == "inflamed"
    assert call(295, 0, 0, rule="kather2018").point == "desert"  # more than the cut-off, not as much
    assert [call(0, 0, outer, rule="kather2018").point for outer in (295, 296)] == ["desert", "excluded"]


def test_a_call_near_the_cut_off_is_indeterminate():
    result = call(300, 900, sigma=0.3)
    assert result.point == "inflamed"
    assert result.call == "indeterminate"
    assert "needed" in result.reason


def test_probabilities_agree_with_the_interval():
    """P(core >= c) is the t tail beyond the cut-off, on the logarithmic scale of (n + 0.5) / A."""
    result = call(400, 100, sigma=0.25, dof=9)
    expected = stats.t.sf(np.log(295 / 400.25) / 0.25, 9)
    assert result.probabilities["inflamed"] == pytest.approx(expected, abs=0.03)


def test_replicates_rebuild_the_margin_by_area():
    e = estimates(100, 100, 400, areas=(2.0, 3.0, 1.0), sigma=0.1, dof=30)
    drawn = draw_levels(e, draws=20_000, seed=0, key="S1")
    assert np.median(drawn.margin) == pytest.approx(175, rel=0.01)
    inner_share, outer_share = 300 * 0.1, 400 * 0.1
    t_sd = np.sqrt(30 / 28)
    assert drawn.margin.std() == pytest.approx(np.hypot(inner_share, outer_share) / 4 * t_sd, rel=0.05)


def test_failures_give_no_class_and_say_why():
    result = call(500, 500, failures=[Failure("stain_unverified", "no positive control")])
    assert (result.point, result.call, result.probabilities) == ("not_evaluable", "not_evaluable", {})
    assert result.flags == ("stain_unverified",)
    assert "no positive control" in result.reason


def test_an_empty_core_is_not_a_desert():
    e = estimates(0, 300, 300)
    e["core"] = Estimate(0, 0.0, None, None, None, None, 0)
    result = phenotype(e, rule="density_ratio", **SCORES, **DRAWS)
    assert (result.call, result.flags) == ("not_evaluable", ("core_too_small",))


def test_too_few_tiles_give_no_call():
    e = estimates(400, 300, 300, sigma=None, dof=0)
    assert phenotype(e, rule="density_ratio", **SCORES, **DRAWS).flags == ("few_tiles",)
    e = estimates(400, 300, 300)
    e["outer_margin"] = replace(e["outer_margin"], dof=6, flags=("few_tiles",))  # 7 tiles, 8 wanted
    assert phenotype(e, rule="density_ratio", **SCORES, **DRAWS).call == "not_evaluable"
    assert activity_site(e, floor_per_mm2=100, min_class_probability=0.8, **DRAWS).call == "not_evaluable"


def test_no_cells_at_all_is_a_desert():
    """Zero cells are a finding: the exact upper limit is far below the cut-off."""
    sigma = np.log(3.689 / 0.5) / stats.t.ppf(0.975, 40)
    assert call(0, 0, sigma=sigma).call == "desert"


GATES = {
    "tumor_mm2": 7.0,
    "border_um": 9424.0,
    "core_mm2": 3.1,
    "inner_margin_mm2": 3.9,
    "outer_margin_mm2": 5.5,
    "artefact_fraction": 0.1,
}
LIMITS = {"min_core_mm2": 0.25, "min_margin_mm2": 0.1, "min_border_um": 1000, "max_artefact_fraction": 0.3}


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        ({}, []),
        ({"artefact_fraction": None}, []),
        ({"tumor_mm2": 0.0, "border_um": 0.0}, ["no_tumor_region"]),
        ({"tumor_mm2": None}, ["no_tumor_region"]),
        ({"border_um": 0.0, "core_mm2": 0.0, "inner_margin_mm2": 0.0}, ["no_border"]),
        ({"border_um": 1000.0, "core_mm2": 0.25, "inner_margin_mm2": 0.1, "outer_margin_mm2": 0.1}, []),
        ({"artefact_fraction": 0.3}, []),
        ({"border_um": 999.0}, ["short_border"]),
        ({"core_mm2": 0.24}, ["core_too_small"]),
        ({"inner_margin_mm2": 0.05, "outer_margin_mm2": 0.05}, ["margin_too_small", "margin_too_small"]),
        ({"artefact_fraction": 0.31}, ["high_artefact"]),
        ({"border_um": 10.0, "core_mm2": 0.0}, ["short_border", "core_too_small"]),
    ],
)
def test_gates(change, flags):
    assert [f.flag for f in check_gates(GATES | change, **LIMITS)] == flags


@pytest.mark.parametrize(
    ("core", "margin", "expected"),
    [
        (300, 300, "both"),
        (20, 550, "margin"),
        (20, 52, "none"),
        (150, 417, "margin"),
        (600, 442, "both"),
        (30, 492, "margin"),
        (900, 300, "core"),
    ],
)
def test_activity_oracles(core, margin, expected):
    result = site(core, margin)
    assert (result.point, result.call) == (expected, expected)


def test_activity_near_a_boundary_is_indeterminate():
    assert site(150, 300, sigma=0.2).call == "indeterminate"


def marker(name):
    return Call(name, name, {}, "because")


@pytest.mark.parametrize(
    ("cd8", "pdl1", "expected"),
    [
        ("core", "margin", "both"),
        ("margin", "margin", "margin"),
        ("none", "core", "core"),
        ("none", "none", "none"),
        ("both", "none", "both"),
        ("indeterminate", "both", "both"),
        ("indeterminate", "margin", "indeterminate"),
        ("none", "indeterminate", "indeterminate"),
        ("not_evaluable", "margin", "not_evaluable"),
    ],
)
def test_combined_site(cd8, pdl1, expected):
    assert combine_sites(marker(cd8), marker(pdl1)).call == expected


def test_combined_site_without_pdl1_says_so():
    for pdl1 in (None, marker("not_evaluable")):
        result = combine_sites(marker("margin"), pdl1)
        assert (result.call, result.flags) == ("margin", ("activity_cd8_only",))


def test_calls_do_not_depend_on_the_order_of_work():
    assert call(300, 900, sigma=0.3) == call(300, 900, sigma=0.3)
    other = phenotype(estimates(300, 900, 900, sigma=0.3), rule="density_ratio", **SCORES, **(DRAWS | {"key": "S2"}))
    assert other.probabilities != call(300, 900, sigma=0.3).probabilities
