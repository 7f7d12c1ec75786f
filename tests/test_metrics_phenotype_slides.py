"""Slide S0: a disk of 1500 µm, off-centre on 6 x 6 mm, widths of 500 µm; cells drawn, everything else computed."""

from types import SimpleNamespace

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point, box

from spatial_til.metrics.activity import activity_site
from spatial_til.metrics.density import estimate_table
from spatial_til.metrics.log_ratios import log2_ratios
from spatial_til.metrics.penetration import depth_fraction, penetration_index
from spatial_til.metrics.phenotype import phenotype
from spatial_til.metrics.tiles import tile_slide

X, Y, R = 3000.0, 2600.0, 1500.0
AREAS = {"core": 3.1416, "inner_margin": 3.9270, "outer_margin": 5.4978}
DRAWS = {"min_class_probability": 0.8, "draws": 2000, "seed": 0, "key": "S0"}
STATISTICS = {"confidence": 0.95, "bootstrap": 1000, "min_tiles": 8, "seed": 0}


def disk(radius):
    return Point(X, Y).buffer(radius, quad_segs=256)


REGIONS = {
    "core": disk(1000),
    "inner_margin": disk(1500) - disk(1000),
    "outer_margin": disk(2000) - disk(1500),
    "outside": box(0, 0, 6000, 6000) - disk(2000),
    "tumor_unresolved": MultiPolygon(),
}
COMPARTMENTS = SimpleNamespace(
    regions={k: MultiPolygon([g]) if g.geom_type == "Polygon" else g for k, g in REGIONS.items()}
)


def draw_slide(core, inner, outer, seed):
    """Return positions and compartment codes of Poisson cells with the given densities."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, 6000, (random.poisson(36 * max(core, inner, outer)), 2))
    ring = np.digitize(np.hypot(xy[:, 0] - X, xy[:, 1] - Y), [1000, 1500, 2000])
    keep = random.random(len(xy)) < np.array([core, inner, outer, 0])[ring] / max(core, inner, outer)
    return xy[keep], ring[keep]


def score(core, inner, outer, seed=0):
    xy, code = draw_slide(core, inner, outer, seed)
    tiles = tile_slide(
        COMPARTMENTS,
        SimpleNamespace(compartment=code),
        xy,
        {"CD8+": np.ones(len(xy), bool)},
        slide_id=f"S0-{seed}",
        tile_um=200.0,
        min_tiles=8,
        correlated=("CD8+",),
        seed=0,
    ).counts
    return {c: e for (_, c), e in estimate_table(tiles, **STATISTICS).items()}


@pytest.mark.parametrize(
    ("densities", "class_", "site", "margin", "log_ratio"),
    [
        ((300, 300, 300), None, "both", 300.0, 0.0),
        ((20, 200, 800), "excluded", "margin", 550.0, -4.78),
        ((20, 40, 60), "desert", "none", 51.7, -1.37),
        ((150, 300, 500), "excluded", "margin", 416.7, -1.474),
        ((600, 500, 400), "inflamed", "both", 441.7, 0.442),
        ((30, 200, 700), "excluded", "margin", 491.7, -4.035),
    ],
)
def test_closed_forms(densities, class_, site, margin, log_ratio):
    estimates = score(*densities)
    for name, per_mm2 in zip(AREAS, densities, strict=True):
        e = estimates[name]
        assert e.area_mm2 == pytest.approx(AREAS[name], rel=2e-4)
        assert abs(e.n_cells - per_mm2 * AREAS[name]) < 4 * np.sqrt(per_mm2 * AREAS[name])
    assert abs(np.log(estimates["margin"].density_per_mm2 / margin)) < 4 * estimates["margin"].sigma_ln
    ratio = log2_ratios(estimates, confidence=0.95)["log2_core_margin"]
    assert abs(ratio.value - log_ratio) < 4 * ratio.sigma
    call = phenotype(estimates, rule="density_ratio", hot_cd8_per_mm2=295, excluded_log2_ratio=-1.0, **DRAWS)
    assert class_ is None or (call.point, call.call) == (class_, class_)
    assert activity_site(estimates, floor_per_mm2=100, **DRAWS).call == site


def test_poisson_slides_are_covered_and_the_null_ratio_is_zero():
    """methods O10: over 400 uniform slides intervals hold the truth in at least 93 %, the mean ratio is 0."""
    hits = {"core": 0, "margin": 0, "ratio": 0}
    ratios = []
    for seed in range(400):
        estimates = score(100, 100, 100, seed)
        for name in ("core", "margin"):
            hits[name] += estimates[name].ci_low <= 100 <= estimates[name].ci_high
        value = log2_ratios(estimates, confidence=0.95)["log2_core_margin"]
        hits["ratio"] += value.ci_low <= 0 <= value.ci_high
        ratios.append(value.value)
    assert min(hits.values()) >= 0.93 * 400
    assert np.mean(ratios) == pytest.approx(0, abs=3 * np.std(ratios) / np.sqrt(400))


def test_penetration_of_a_uniform_slide_is_one_half():
    xy, code = draw_slide(300, 300, 300, seed=1)
    tumor = code < 2
    depth = R - np.hypot(xy[tumor, 0] - X, xy[tumor, 1] - Y)
    around = np.arctan2(xy[tumor, 1] - Y, xy[tumor, 0] - X) * R // 200
    steps = np.arange(0, 1500, 5.0) + 2.5
    grid = np.hypot(*np.meshgrid(steps, steps))
    samples = R - grid[grid < R]
    value = penetration_index(
        depth_fraction(depth, samples), around.astype(int), confidence=0.95, bootstrap=1000, seed=0, key="S0"
    )
    assert value.ci_low < 0.5 < value.ci_high
    assert value.sigma == pytest.approx(np.sqrt(1 / 12 / len(depth)), rel=0.25)
    assert value.dof > 40
