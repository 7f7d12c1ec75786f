"""Nest and stroma: areas and counts by hand on a striped tumour."""

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon

from spatial_til.metrics.nests import NestSettings, nest_densities

SETTINGS = NestSettings("S1", tile_um=200, min_tiles=8, confidence=0.95, bootstrap=500, seed=0)
TUMOR = MultiPolygon([shapely.box(0, 0, 3000, 1000)])
#: Nests are stripes 100 µm wide, 200 µm apart: 15 of them, 1.5 mm² of 3 mm².
NESTS = MultiPolygon([shapely.box(x, 0, x + 100, 1000) for x in range(50, 3000, 200)])


def scatter(nest_per_mm2: float, stroma_per_mm2: float, seed: int = 0):
    """Return cells of two densities, whether each is in a nest, and the densities found."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, (3000, 1000), (6000, 2))
    in_nest = (xy[:, 0] % 200 >= 50) & (xy[:, 0] % 200 < 150)
    cd8 = random.random(6000) < np.where(in_nest, nest_per_mm2, stroma_per_mm2) / 2000
    return (
        nest_densities(TUMOR, NESTS, xy, in_nest, {"CD8+": cd8, "all": np.ones(6000, dtype=bool)}, SETTINGS),
        cd8,
        in_nest,
    )


def test_densities_are_counts_over_the_areas_of_nests_and_of_the_rest():
    (cd8, everything), positive, in_nest = scatter(50, 400)
    assert cd8.nest.area_mm2 == pytest.approx(1.5)
    assert cd8.stroma.area_mm2 == pytest.approx(1.5)
    assert cd8.nest.n_cells == (positive & in_nest).sum()
    assert cd8.stroma.n_cells == (positive & ~in_nest).sum()
    assert everything.nest.n_cells + everything.stroma.n_cells == 6000


def test_exclusion_from_nests_is_seen_where_core_and_margin_would_see_none():
    (cd8, everything), *_ = scatter(50, 400)
    assert cd8.log2_nest_stroma.ci_low < np.log2(50 / 400) < cd8.log2_nest_stroma.ci_high
    assert cd8.log2_nest_stroma.ci_high < -1
    assert everything.log2_nest_stroma.ci_low < 0 < everything.log2_nest_stroma.ci_high


def test_without_nests_there_is_no_ratio():
    nobody = np.zeros(3, dtype=bool)
    xy = np.array([[10.0, 10.0], [500.0, 500.0], [900.0, 20.0]])
    (found,) = nest_densities(TUMOR, MultiPolygon(), xy, nobody, {"CD8+": ~nobody}, SETTINGS)
    assert found.nest.density_per_mm2 is None
    assert found.stroma.density_per_mm2 == pytest.approx(1.0)
    assert found.log2_nest_stroma.value is None
    assert found.log2_nest_stroma.reason


def test_a_tumor_that_is_all_nest_has_no_stroma():
    (found,) = nest_densities(
        TUMOR, TUMOR, np.array([[10.0, 10.0]]), np.array([True]), {"CD8+": np.array([True])}, SETTINGS
    )
    assert found.stroma.density_per_mm2 is None
    assert found.log2_nest_stroma.value is None
