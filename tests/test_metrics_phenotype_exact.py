"""Levels, classes, gates and depth of penetration, worked out by hand: every field, and values at the limits."""

import math

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.levels import Failure, Levels, call_class, draw_levels, missing_levels, point_levels
from spatial_til.metrics.penetration import penetration_index
from spatial_til.metrics.phenotype import _density_ratio, _kather2018, check_gates
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import Estimate, Value


def estimate_of(n, area=2.0, sigma=0.2, dof=9, flags=()):
    return Estimate(n, area, n / area, None, None, sigma, dof, flags)


def three(core=20, inner=30, outer=50):
    return {
        "core": estimate_of(core, 2.0, 0.2, 9),
        "inner_margin": estimate_of(inner, 1.0, 0.3, 5),
        "outer_margin": estimate_of(outer, 3.0, 0.1, 7),
    }


def test_levels_are_counts_over_areas_and_their_replicates_draws_of_t():
    found = point_levels(three())
    assert (found.core[0], found.margin[0], found.outer[0]) == (10.0, 20.0, pytest.approx(50 / 3))
    assert found.log2_ratio[0] == pytest.approx(math.log2(20.5 / 2 / (80.5 / 4)))
    assert str(found) == "core 10/mm², margin 20/mm², log2 core/margin -0.97"
    assert str(Levels(*[np.zeros(2)] * 3, np.array([0.5, 1]))) == "core 0/mm², margin 0/mm²"
    only = Levels(np.array([1.0]), np.array([0.0]), np.array([0.0]), np.array([1.25]))
    assert str(only) == "core 1/mm², margin 0/mm², log2 core/margin 1.25"
    drawn = draw_levels(three(), draws=40, seed=3, key="s")
    levels = {}
    for name, e in three().items():
        t = seeded_generator(3, "s", name, "replicates").standard_t(e.dof, 40)
        levels[name] = (e.n_cells + 0.5) / e.area_mm2 * np.exp(e.sigma_ln * t)
    margin = (levels["inner_margin"] + 3 * levels["outer_margin"]) / 4
    assert drawn.core == pytest.approx(levels["core"])
    sure = draw_levels(three() | {"core": estimate_of(20, 2.0, 0.0)}, draws=9, seed=3, key="s")
    assert sure.core.tolist() == [10.25] * 9
    assert drawn.margin == pytest.approx(margin)
    assert drawn.outer == pytest.approx(levels["outer_margin"])
    assert drawn.log2_ratio == pytest.approx(np.log2(levels["core"] / margin))


def test_replicates_of_hardly_any_tiles_stay_numbers():
    """With one degree of freedom a draw lies thousands of standard errors away."""
    wide = {name: estimate_of(1, 1.0, 5.0, 1) for name in three()}
    drawn = draw_levels(wide, draws=2000, seed=3, key="s")
    t = seeded_generator(3, "s", "core", "replicates").standard_t(1, 2000)
    assert np.abs(5 * t).max() > 745  # exp underflows
    assert all((values > 0).all() and np.isfinite(values).all() for values in (drawn.core, drawn.margin, drawn.outer))
    assert np.isfinite(drawn.log2_ratio).all()
    assert (np.sign(np.log(drawn.core / 1.5)) == np.sign(t)).all()


def test_what_stands_against_replicates_is_named():
    assert missing_levels(three()) == ()
    assert missing_levels({}) == (
        Failure("core_too_small", "core has no tissue"),
        Failure("margin_too_small", "inner_margin has no tissue"),
        Failure("margin_too_small", "outer_margin has no tissue"),
    )
    few = Failure("few_tiles", "core has too few spatial tiles for a call")
    for bad in (estimate_of(9, sigma=None), estimate_of(9, dof=0), estimate_of(9, flags=("few_tiles",))):
        assert missing_levels(three() | {"core": bad}) == (few,)
    assert missing_levels(three() | {"core": estimate_of(9, dof=1)}) == ()


def test_a_class_that_is_probable_enough_is_called():
    def call(least):
        return call_class("abc", np.array([2]), np.array([1, 1, 1, 2, 0]), min_class_probability=least, reason="core 1")

    assert call(0.6).call == "b"
    assert (call(0.6).point, call(0.6).reason) == ("c", "core 1")
    assert call(0.6).probabilities == {"a": 0.2, "b": 0.6, "c": 0.2}
    assert (call(0.61).call, call(0.61).point) == ("indeterminate", "c")
    assert call(0.61).reason == "core 1; b has probability 0.60, 0.61 needed"


def test_classes_at_their_cut_offs():
    levels = Levels(*(np.array(v) for v in ([300.0, 299, 299, 299, 299], [0.0, 300, 300, 299, 300], [0.0] * 5,
                                           [0.0, -1.0, -0.9, -2.0, -1.1])))  # fmt: skip
    assert _density_ratio(levels, 300.0, -1.0).tolist() == [0, 1, 3, 2, 1]
    outer = Levels(np.array([300.1, 300, 300]), np.zeros(3), np.array([0.0, 300.1, 300]), np.zeros(3))
    assert _kather2018(outer, 300.0, -1.0).tolist() == [0, 1, 2]


GATES = {
    "tumor_mm2": 2.0, "border_um": 1000.0, "core_mm2": 0.25, "inner_margin_mm2": 0.1, "outer_margin_mm2": 0.1,
    "artefact_fraction": 0.3,
}  # fmt: skip
LIMITS = {"min_core_mm2": 0.25, "min_margin_mm2": 0.1, "min_border_um": 1000.0, "max_artefact_fraction": 0.3}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"tumor_mm2": 0.0}, [("no_tumor_region", "no tumour region")]),
        ({"tumor_mm2": None}, [("no_tumor_region", "no tumour region")]),
        ({"border_um": 0.0}, [("no_border", "no stretch of the tumour boundary faces stroma")]),
        ({"border_um": None}, [("no_border", "no stretch of the tumour boundary faces stroma")]),
        ({"border_um": 999.0}, [("short_border", "border 999 µm, 1000 needed")]),
        ({"border_um": 0.5}, [("short_border", "border 0 µm, 1000 needed")]),
        ({"core_mm2": 0.249}, [("core_too_small", "core 0.249 mm², 0.25 needed")]),
        ({"core_mm2": None}, [("core_too_small", "core 0.000 mm², 0.25 needed")]),
        ({"inner_margin_mm2": 0.099}, [("margin_too_small", "inner margin 0.099 mm², 0.1 needed")]),
        ({"outer_margin_mm2": None}, [("margin_too_small", "outer margin 0.000 mm², 0.1 needed")]),
        ({"artefact_fraction": 0.31}, [("high_artefact", "artefacts cover 31%, 30% allowed")]),
        ({"artefact_fraction": None}, []),
    ],
)
def test_a_gate_is_passed_at_its_limit_and_a_failure_has_its_numbers(change, expected):
    assert [tuple(failure) for failure in check_gates(GATES | change, **LIMITS)] == expected


@pytest.mark.parametrize("n_sectors", [7, 8])
def test_the_penetration_index_is_a_mean_with_the_error_of_its_sectors(n_sectors):
    random = np.random.default_rng(2)
    fraction, sector = random.uniform(0.2, 0.7, 60), np.arange(60) % n_sectors
    found = penetration_index(fraction, sector + 5, confidence=0.9, bootstrap=70, seed=1, key="k")
    assert found.value == pytest.approx(fraction.mean())
    if n_sectors == 7:
        reason = "cells near 7 stretches of border, 8 needed for an interval"
        assert found == Value(pytest.approx(fraction.mean()), reason=reason, flags=("few_tiles",))
        return
    sums = np.array([[fraction[sector == s].sum(), (sector == s).sum()] for s in range(8)])
    chosen = seeded_generator(1, "k", "penetration").integers(8, size=(70, 8))
    drawn = sums[chosen].sum(axis=1)
    sigma = np.std(drawn[:, 0] / drawn[:, 1], ddof=1) * math.sqrt(8 / 7)
    half = stats.t.ppf(0.95, 7) * sigma
    middle = fraction.mean()
    assert found == Value(
        pytest.approx(middle), pytest.approx(middle - half), pytest.approx(middle + half), pytest.approx(sigma), 7
    )
    low = penetration_index(np.where(sector == 0, 0.5, 0.0), sector, confidence=0.9, bootstrap=70, seed=1, key="k")
    high = penetration_index(np.where(sector == 0, 0.5, 1.0), sector, confidence=0.9, bootstrap=70, seed=1, key="k")
    assert (low.ci_low, high.ci_high) == (0.0, 1.0)
    reason = "no cells of this population in tumour with a border"
    none = penetration_index(fraction[:0], sector[:0], confidence=0.9, bootstrap=70, seed=1, key="k")
    assert none == Value(None, reason=reason)
