"""The rule `grid`, and where calls flip."""

import numpy as np
import pytest

from spatial_til.metrics.grid import GridCounts, grid_phenotype
from spatial_til.metrics.levels import Failure
from spatial_til.metrics.phenotype import phenotype
from spatial_til.metrics.sensitivity import HOT_CD8_PER_MM2, flips, vary
from spatial_til.model import Estimate

OPTIONS = {"min_squares": 8, "min_class_probability": 0.8, "draws": 2000, "seed": 0, "key": "S1"}


def squares(inflamed=0, excluded=0, desert=0, small=0):
    """Squares of 0.6 mm² of nests and 0.4 of stroma: 60 and 140 cells lie below the cut-offs, 65 and 145 above."""
    nest = [65] * inflamed + [60] * (excluded + desert) + [500] * small
    stroma = [10] * inflamed + [145] * excluded + [140] * desert + [500] * small
    tumor = [1.0] * (inflamed + excluded + desert) + [0.09] * small
    return GridCounts(np.array(nest), 0.6 * np.array(tumor), np.array(stroma), 0.4 * np.array(tumor))


def call(failures=(), **kinds):
    return grid_phenotype(squares(**kinds), failures=failures, **OPTIONS)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"inflamed": 12, "excluded": 12}, "inflamed"),
        ({"inflamed": 1, "excluded": 16, "desert": 7}, "excluded"),
        ({"inflamed": 1, "excluded": 1, "desert": 22}, "desert"),
        ({"desert": 20, "small": 30}, "desert"),
    ],
)
def test_classes(kinds, expected):
    result = call(**kinds)
    assert (result.point, result.call) == (expected, expected)


def test_a_third_is_not_more_than_a_third():
    assert call(inflamed=3, excluded=3, desert=3).point == "desert"
    assert call(inflamed=4, excluded=4, desert=3).point == "inflamed"


def test_near_the_share_it_is_indeterminate():
    assert call(inflamed=10, desert=18).call == "indeterminate"


def test_small_slides_and_failures_give_no_class():
    assert call(inflamed=7).flags == ("few_tiles",)
    assert call(inflamed=20, failures=[Failure("no_border", "none")]).call == "not_evaluable"


@pytest.mark.parametrize(
    ("nest", "stroma", "expected"),
    [(107, 0, "inflamed"), (106, 358, "excluded"), (106, 357, "desert")],
)
def test_squares_have_more_than_the_cut_off_not_as_much(nest, stroma, expected):
    eight = GridCounts(np.full(8, nest), np.ones(8), np.full(8, stroma), np.ones(8))
    assert grid_phenotype(eight, **OPTIONS).call == expected


def test_a_square_of_just_enough_tumour_is_judged():
    eight = GridCounts(np.zeros(8, int), np.full(8, 0.1), np.zeros(8, int), np.zeros(8))
    assert grid_phenotype(eight, **OPTIONS).call == "desert"


def test_squares_without_nests_are_judged_by_stroma():
    nothing = GridCounts(np.zeros(10, int), np.zeros(10), np.full(10, 400), np.ones(10))
    assert grid_phenotype(nothing, **OPTIONS).call == "excluded"


def test_the_class_flips_at_the_densities_themselves():
    """Core 180 and margin 330 per mm²: inflamed up to 180, intermediate up to 330, desert above."""
    estimates = {
        name: Estimate(round(d * 2), 2.0, d, None, None, 0.01, 50)
        for name, d in (("core", 180.0), ("inner_margin", 330.0), ("outer_margin", 330.0))
    }

    def score(hot):
        return phenotype(
            estimates,
            rule="density_ratio",
            hot_cd8_per_mm2=hot,
            excluded_log2_ratio=-1.0,
            min_class_probability=0.8,
            draws=200,
            seed=0,
            key="S1",
        )

    variants = vary("hot_cd8_per_mm2", HOT_CD8_PER_MM2, score)
    assert [v.call.point for v in variants] == ["inflamed"] * 2 + ["intermediate"] * 4 + ["desert"] * 2
    assert flips(variants) == {"hot_cd8_per_mm2": ((150.0, 200.0), (300.0, 350.0))}
    others = vary("inner_um", (100.0, 500.0), lambda _: score(295))
    assert flips([*variants, *others])["inner_um"] == ()
