"""Depth profile and penetration index against closed forms of a disk, and coverage of their intervals."""

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.density import dispersion
from spatial_til.metrics.depth import band_edges, depth_profile
from spatial_til.metrics.penetration import depth_fraction, penetration_index
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import TileCounts

R = 1500.0
PDI = {"confidence": 0.95, "bootstrap": 1000, "seed": 0, "key": "S1"}


def tile_counts(compartment, counts, area=0.04):
    counts = np.asarray(counts, dtype=np.int64)
    nowhere = np.zeros(len(counts))
    return TileCounts("S1", compartment, 200.0, np.full(len(counts), area), {"CD8+": counts}, nowhere, nowhere)


def even_tiles():
    names = ("core", "inner_margin", "outer_margin", "outside")
    return {name: tile_counts(name, [10] * 20) for name in names}


def in_disk(n, random):
    """Depth and sector (48 arcs) of n points spread evenly over a disk of radius R."""
    radius = R * np.sqrt(random.random(n))
    return R - radius, random.integers(0, 48, n)


def profile(distance, edges, area, tiles=None, members=None):
    band = np.digitize(distance, edges, right=True) - 1
    band[(band < 0) | (band >= len(edges) - 1)] = -1
    members = np.ones(len(distance), bool) if members is None else members
    return depth_profile(
        edges,
        np.asarray(area, dtype=float),
        band,
        {"CD8+": members},
        even_tiles() if tiles is None else tiles,
        inner_um=500,
        outer_um=500,
        confidence=0.95,
    )


class TestProfile:
    def test_edges_hold_all_distances(self):
        assert band_edges(-1480.0, 500.0, 50.0)[[0, -1]].tolist() == [-1500, 500]
        assert 0.0 in band_edges(-1480.0, 500.0, 50.0)
        assert band_edges(10.0, 60.0, 50.0).tolist() == [0, 50, 100]

    def test_counts_areas_and_densities_by_hand(self):
        distance = np.array([-75.0, -60.0, -10.0, 30.0, np.nan])
        rows = profile(distance, [-100.0, -50.0, 0.0, 50.0], [0.1, 0.2, 0.4])
        assert [(r.from_um, r.to_um, r.estimate.n_cells) for r in rows] == [(-100, -50, 2), (-50, 0, 1), (0, 50, 1)]
        assert [r.estimate.density_per_mm2 for r in rows] == pytest.approx([20, 5, 2.5])

    def test_only_members_count(self):
        rows = profile(np.array([-10.0, -20.0]), [-50.0, 0.0], [1.0], members=np.array([True, False]))
        assert rows[0].estimate.n_cells == 1

    def test_a_band_without_tissue_has_no_density(self):
        rows = profile(np.array([-10.0]), [-100.0, -50.0, 0.0], [1e-12, 1.0])
        assert rows[0].estimate.density_per_mm2 is None
        assert rows[1].estimate.density_per_mm2 == 1

    def test_exponential_gradient(self):
        """methods H6: density L0 exp(-depth / 100) has a mean of 0.1987 L0 over 500 µm of a straight border."""
        random = np.random.default_rng(3)
        depth = random.random(400_000) * 500
        kept = depth[random.random(400_000) < np.exp(-depth / 100)]
        (row,) = profile(-kept, [-500.0, 0.0], [1.0])
        assert row.estimate.n_cells / 400_000 == pytest.approx(0.1987, abs=0.002)

    def test_clustering_is_that_of_the_compartment(self):
        tiles = even_tiles() | {"core": tile_counts("core", [2, 18] * 10)}
        assert dispersion(tiles["core"])["CD8+"] == pytest.approx(20 / 19 * 6.4)
        distance = np.repeat([-650.0, -50.0, 50.0], 100)
        core, inner, outer = profile(distance, [-700.0, -600.0, 0.0, 100.0], [1.0, 1.0, 1.0], tiles)
        assert inner.estimate.ci_high == pytest.approx(121.627, abs=1e-3)  # even tiles: exact Poisson
        assert outer.estimate.ci_high == inner.estimate.ci_high
        half = np.log(core.estimate.ci_high / 100)
        assert half == pytest.approx(2.093 * np.sqrt(20 / 19 * 6.4 / 100), rel=1e-3)

    def test_without_tiles_the_interval_is_exact_poisson_and_says_so(self):
        tiles = even_tiles() | {"inner_margin": tile_counts("inner_margin", [5])}
        (row,) = profile(np.full(20, -5.0), [-50.0, 0.0], [1.0], tiles)
        assert "few_tiles" in row.estimate.flags
        assert row.estimate.ci_high == pytest.approx(30.888, abs=1e-3)


class TestPenetration:
    def test_area_distribution_of_a_disk(self):
        """P(depth < d) = 1 - (1 - d / R)^2; the median depth is 0.2929 R."""
        samples, _ = in_disk(200_000, np.random.default_rng(0))
        depth = np.array([0.0, 0.2929 * R, 0.5 * R, R])
        np.testing.assert_allclose(depth_fraction(depth, samples), [0, 0.5, 0.75, 1], atol=3e-3)

    def test_uniform_border_and_centre(self):
        random = np.random.default_rng(1)
        samples, _ = in_disk(100_000, random)
        depth, sector = in_disk(5000, random)
        assert penetration_index(depth_fraction(depth, samples), sector, **PDI).value == pytest.approx(0.5, abs=0.015)
        for at, expected in ((0.0, 0.0), (R, 1.0)):
            fraction = depth_fraction(np.full(5000, at), samples)
            assert penetration_index(fraction, sector, **PDI).value == pytest.approx(expected, abs=1e-4)

    def test_standard_error_near_uniformity(self):
        """sqrt(1 / (12 n)) for independent cells."""
        random = np.random.default_rng(2)
        sigma = [
            penetration_index(random.random(400), random.integers(0, 50, 400), **PDI | {"key": str(i)}).sigma
            for i in range(40)
        ]
        assert np.mean(sigma) == pytest.approx(np.sqrt(1 / 12 / 400), rel=0.05)

    def test_cells_of_one_sector_are_one_observation(self):
        """Ten cells at one depth in each of 20 sectors tell as much as 20 cells."""
        depth = np.linspace(0.05, 0.95, 20)
        alone = penetration_index(depth, np.arange(20), **PDI)
        clumped = penetration_index(np.repeat(depth, 10), np.repeat(np.arange(20), 10), **PDI)
        assert clumped.sigma == pytest.approx(alone.sigma)
        assert alone.sigma == pytest.approx(depth.std(ddof=1) / np.sqrt(20), rel=0.05)
        assert clumped.dof == 19

    def test_error_is_that_of_the_ratio_over_drawn_sectors_by_hand(self):
        cells = np.arange(1, 9)  # by sector
        fraction = np.linspace(0.3, 0.7, cells.sum())
        found = penetration_index(fraction, np.repeat(np.arange(8), cells), **PDI | {"bootstrap": 10})
        sums = np.add.reduceat(fraction, np.cumsum(cells) - cells)
        chosen = seeded_generator(0, "S1", "penetration").integers(8, size=(10, 8))
        drawn = sums[chosen].sum(axis=1) / cells[chosen].sum(axis=1)
        assert (found.value, found.dof) == (pytest.approx(0.5), 7)
        assert found.sigma == pytest.approx(drawn.std(ddof=1) * np.sqrt(8 / 7))
        assert found.ci_high - found.value == pytest.approx(stats.t.ppf(0.975, 7) * found.sigma)
        assert found.value - found.ci_low == pytest.approx(stats.t.ppf(0.975, 7) * found.sigma)

    def test_unknown_and_few(self):
        none = penetration_index(np.zeros(0), np.zeros(0, int), **PDI)
        assert (none.value, none.reason) == (None, "no cells of this population in tumour with a border")
        seven = penetration_index(np.full(70, 0.3), np.arange(70) % 7, **PDI)
        assert (seven.value, seven.ci_low, seven.flags) == (pytest.approx(0.3), None, ("few_tiles",))

    @pytest.mark.parametrize("sectors", [8, 40])
    def test_coverage_with_cells_clustered_by_sector(self, sectors):
        """Sectors differ in depth and in number of cells; the truth is the weighted mean of the population."""
        random = np.random.default_rng(sectors)
        truth, repeats, hits = 0.4, 1000, 0
        for i in range(repeats):
            cells = random.negative_binomial(3, 0.2, sectors) + 1
            centre = random.beta(4, 6, sectors)  # mean 0.4
            fraction = np.clip(random.normal(np.repeat(centre, cells), 0.05), 0, 1)
            sector = np.repeat(np.arange(sectors), cells)
            value = penetration_index(fraction, sector, **PDI | {"bootstrap": 200, "key": str(i)})
            hits += value.ci_low <= truth <= value.ci_high
        assert 0.92 <= hits / repeats <= 0.99
