"""Corners of the metrics that sampled wrong changes showed nobody to watch (`make mutants`)."""

import math

import numpy as np
import pytest
from scipy import stats
from shapely.geometry import box

from spatial_til.metrics.changes import log2_density
from spatial_til.metrics.penetration import depth_fraction
from spatial_til.metrics.pointpatterns.spread import _binned_quartiles
from spatial_til.metrics.pooled_values import pooled_values
from spatial_til.metrics.rank_correlation import cluster_spearman, spearman
from spatial_til.metrics.ratios import Gates, ratio_percent
from spatial_til.metrics.resampling import TileSums
from spatial_til.metrics.simulate import simulate_slide
from spatial_til.metrics.squares import divide_into_squares
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore, Value
from tests.longitudinal_keys import KEYS

GATES = Gates(min_tumor_cells=100, min_tiles=8, confidence=0.95)


def test_between_the_border_and_the_shallowest_sample_the_share_rises_from_zero():
    assert depth_fraction(np.array([0.0, 0.5, 12.5]), np.array([25.0, 75.0])).tolist() == [0.0, 0.005, 0.125]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_compartment_of_few_tiles_adds_its_variance_and_one_tile_none_and_no_nan(n):
    random = np.random.default_rng(0)
    sums = np.column_stack((random.poisson(5, 10 + n), np.full(10 + n, 50), np.zeros(10 + n))).astype(float)
    tiles = TileSums(sums, np.array([0] * 10 + [1] * n))
    found = ratio_percent(tiles, GATES, one=1)
    residual = sums[:, 0] - tiles.totals[0] / tiles.totals[1] * sums[:, 1]
    variance = 10 * residual[:10].var(ddof=1) + (n * residual[10:].var(ddof=1) if n > 1 else 0.0)
    assert found.sigma == pytest.approx(100 * math.sqrt(variance) / tiles.totals[1])
    assert found.dof == 10 + n - 2


def test_error_of_a_clustered_correlation_is_the_spread_of_fishers_z_over_draws_of_patients():
    random = np.random.default_rng(3)
    x = random.normal(size=20)
    y = x + random.normal(size=20)
    value, _ = cluster_spearman(x, y, confidence=0.95, bootstrap=40, random=np.random.default_rng(8))
    chosen = np.random.default_rng(8).integers(20, size=(40, 20))
    z = np.arctanh([stats.spearmanr(x[c], y[c]).statistic for c in chosen])
    half = stats.t.ppf(0.975, 18) * np.std(z, ddof=1)
    assert math.atanh(value.ci_high) - math.atanh(value.value) == pytest.approx(half)
    assert math.atanh(value.value) - math.atanh(value.ci_low) == pytest.approx(half)


def test_a_perfect_rank_correlation_of_many_is_one_order_of_all_each_way():
    x = np.arange(12.0)
    _, test = spearman(x, 2 * x, confidence=0.95)
    assert test.p_value == test.smallest == pytest.approx(2 / math.factorial(12))
    x[1] = 0.0  # a tie: two orders look the same
    assert spearman(x, -x, confidence=0.95)[1].p_value == pytest.approx(4 / math.factorial(12))


def test_a_simulated_slide_has_the_border_of_its_outer_margin():
    slide = simulate_slide(
        SlideMeta("s", "P", "baseline", "A"),
        {"CD8+": (100.0, 100.0, 100.0)},
        core_mm2=2.0,
        margin_mm2=6.0,
        vmr=1,
        random=np.random.default_rng(0),
        keys=KEYS,
    )
    assert slide.gates["border_um"] == pytest.approx(6000)  # 3 mm² of outer margin, 500 µm wide
    assert slide.gates["tumor_mm2"] == pytest.approx(5)
    assert slide.tiles["core"].tile_um == pytest.approx(200)


def test_a_density_without_area_or_tiles_has_no_error_and_no_degrees_of_freedom():
    nothing = Estimate(0, 0.0, None, None, None, None, 0)
    level, error, dof = log2_density(nothing)
    assert math.isnan(level)
    assert (error, dof) == (None, 0)
    few = Estimate(7, 0.5, 14.0, None, None, None, 3, ("few_tiles",))
    assert log2_density(few) == (pytest.approx(math.log2(15)), None, 0)


def test_shares_of_three_slides_that_differ_have_the_error_between_slides():
    """Weights 1/4, 1/2, 1/4 of 10, 30 and 80 %: mean 37.5, 3/2 of the sum of (weight x distance)²."""
    slides = [
        SlideScore(
            SlideMeta(name, "P", "baseline", "A"),
            estimates={("tumor", "tumor"): Estimate(cells, 1.0, float(cells), None, None, 0.1, 9)},
            values={"tps_percent": Value(share, sigma=0.1, dof=9)},
            tiles={},
            phenotype=Call("", "", {}),
            activity={},
            gates={},
            settings={},
        )
        for name, cells, share in (("a", 100, 10.0), ("b", 200, 30.0), ("c", 100, 80.0))
    ]
    found = pooled_values(slides, confidence=0.95)["tps_percent"]
    sigma = math.sqrt(1.5 * ((0.25 * 27.5) ** 2 + (0.5 * 7.5) ** 2 + (0.25 * 42.5) ** 2))
    assert (found.value, found.dof) == (37.5, 2)
    assert found.sigma == pytest.approx(sigma)
    assert found.ci_high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * sigma)
    two = pooled_values(slides[:2], confidence=0.95)["tps_percent"]
    assert two.sigma == pytest.approx(math.hypot(0.1 / 3, 0.2 / 3))


def test_a_quartile_that_is_just_reached_is_one():
    share, edges = np.array([[0.25, 0.5, 0.75]]), np.array([0.0, 1.0, 2.0, 3.0])
    assert _binned_quartiles(share, edges).tolist() == [[1.0, 2.0, 3.0]]
    assert np.isnan(_binned_quartiles(share - 0.01, edges)[0]).tolist() == [False, False, True]


def test_points_in_the_last_squares_and_beyond_belong_to_them():
    squares = divide_into_squares(box(0, 0, 250, 150), 100.0)
    last = squares.area_um2.size - 1
    assert squares.index(np.array([[249.0, 149.0], [1e4, 1e4], [-1e4, -1e4], [249.0, 1.0]])).tolist() == [
        last,
        last,
        0,
        squares.area_um2.shape[1] - 1,
    ]
