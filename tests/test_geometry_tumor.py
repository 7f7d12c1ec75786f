"""The tumour found from its cells, against the closed forms of the kernel contour."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy.stats import norm
from shapely.geometry import LineString, MultiPolygon, Point, box

from spatial_til.geometry.tumor import clean_region, dense_region, find_nests, find_tumor

H = 50.0


def lattice(x0: float, y0: float, x1: float, y1: float, step: float) -> np.ndarray:
    """Cells at the centres of squares of a side: a uniform density that ends exactly at the box."""
    x, y = np.meshgrid(np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step))
    return np.c_[x.ravel(), y.ravel()]


def tissue(*parts: object) -> MultiPolygon:
    return MultiPolygon(list(parts))


@pytest.mark.parametrize("level", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("edge", [1500.0, 1503.7])
def test_straight_edge_lies_where_the_normal_quantile_says(level: float, edge: float) -> None:
    """+h Φ⁻¹(1 - τ), also where the edge meets a cut: without correction it would be drawn in there."""
    cells = lattice(0, 0, 1500, 2000, 5) + np.array([edge - 1500, 0])
    region, density = dense_region(cells, tissue(box(0, 0, 3000, 2000)), bandwidth_um=H, level=level)
    assert density == pytest.approx(0.04, rel=1e-3)
    for y in (10, 400, 1000, 1990):
        end = shapely.intersection(region, LineString([(1000, y), (3000, y)])).bounds[2]
        z = norm.ppf(1 - level)
        # between grid points of pitch h / 5 the tail bends away from the straight line by z p² / 8h
        assert end - edge == pytest.approx(H * z, abs=0.1 + z * H / 200)


def test_convex_edge_is_drawn_in_by_h_squared_over_two_r() -> None:
    r = 500.0
    cells = lattice(-600, -600, 600, 600, 2)
    cells = cells[np.hypot(*cells.T) < r]
    found = find_tumor(cells, tissue(box(-900, -900, 900, 900)), bandwidth_um=H, min_area_mm2=0.01, max_hole_mm2=0.005)
    assert np.sqrt(found.region.area / np.pi) == pytest.approx(r - H**2 / (2 * r), abs=0.3)


def test_tumor_up_to_the_cut_stays_up_to_the_cut() -> None:
    found = find_tumor(
        lattice(0, 0, 2000, 2000, 20),
        tissue(box(0, 0, 4000, 2000)),
        bandwidth_um=H,
        min_area_mm2=0.01,
        max_hole_mm2=0.005,
    )
    assert found.region.area == pytest.approx(4e6, rel=1e-3)
    assert found.region.bounds[:2] == (0, 0)
    assert found.area_change == pytest.approx(0, abs=1e-12)


def test_area_of_random_cells_is_unbiased() -> None:
    """A rectangle of Poisson cells, x != y and off centre; each corner is rounded by 0.864 h².

    0.864 is the integral over y > 0 of Φ⁻¹(1 / 2Φ(y)): where Φ(x) Φ(y) is below one half.
    """
    rng = np.random.default_rng(4)
    errors = []
    for _ in range(5):
        cells = rng.uniform((500, 900), (3500, 2900), ((2500 * 6), 2))
        found = find_tumor(cells, tissue(box(0, 0, 5000, 5000)), bandwidth_um=H, min_area_mm2=0.01, max_hole_mm2=0.005)
        errors.append(found.region.area / 6e6 - 1)
        overlap = found.region.intersection(box(500, 900, 3500, 2900)).area
        assert overlap > 0.985 * 6e6
    assert np.mean(errors) == pytest.approx(-4 * 0.864 * H**2 / 6e6, abs=0.003)


def test_islands_and_holes_go_by_their_sizes_and_are_listed() -> None:
    glass = Point(1700, 1000).buffer(20)
    region = tissue(
        box(0, 0, 2000, 2000).difference(shapely.union_all([box(100, 100, 160, 160), box(500, 500, 600, 600), glass])),
        box(2500, 0, 2600, 90),
        box(2500, 500, 2600, 620),
    )
    field = MultiPolygon([box(-100, -100, 3000, 3000).difference(glass)])
    found = clean_region(region, field, min_area_mm2=0.01, max_hole_mm2=0.005)
    assert found.dropped_islands_mm2 == pytest.approx((0.009,))
    assert found.filled_holes_mm2 == pytest.approx((0.0036, glass.area / 1e6))
    assert found.region.area == pytest.approx(4e6 - 1e4 - glass.area + 1.2e4)  # glass is not tissue
    before = 4e6 - 3600 - 1e4 - glass.area + 9000 + 12000
    assert found.area_change == pytest.approx((9000 - 3600) / before)


def test_island_in_a_small_hole_is_swallowed_with_it() -> None:
    region = tissue(box(0, 0, 500, 500).difference(box(100, 100, 160, 160)), box(120, 120, 140, 140))
    found = clean_region(region, tissue(box(0, 0, 500, 500)), min_area_mm2=0.01, max_hole_mm2=0.005)
    assert found.region.equals(box(0, 0, 500, 500))


def test_nothing_is_found_where_nothing_is() -> None:
    sizes = {"bandwidth_um": H, "min_area_mm2": 0.01, "max_hole_mm2": 0.005}
    field = tissue(box(0, 0, 3000, 3000))
    assert find_tumor(np.empty((0, 2)), field, **sizes).region.is_empty
    assert find_tumor(np.array([[9000.0, 9000.0]]), field, **sizes).region.is_empty
    assert find_tumor(np.array([[900.0, 900.0]]), MultiPolygon(), **sizes).region.is_empty
    # 20 scattered false positives a mm² are not a tumour; each alone would make a spot above min_area_mm2
    sparse = np.random.default_rng(0).uniform(0, 3000, (180, 2))
    found = find_tumor(sparse, field, **sizes)
    assert found.region.is_empty
    assert found.reference_per_mm2 is not None


@pytest.mark.parametrize(("seen", "found"), [(4.8, False), (5.2, True)])
def test_a_tumour_has_five_cells_within_the_kernel(seen: float, found: bool) -> None:
    """A Gaussian of bandwidth h weighs as much as a disk of 4πh² of one height."""
    step = np.sqrt(4 * np.pi * H**2 / seen)
    side = 30 * step
    sizes = {"bandwidth_um": H, "min_area_mm2": 0.01, "max_hole_mm2": 0.005}
    region = find_tumor(lattice(0, 0, side, side, step), tissue(box(0, 0, side, side)), **sizes).region
    assert region.is_empty is not found


def test_the_density_that_the_bound_is_half_of_is_told_per_mm2() -> None:
    field = tissue(box(0, 0, 600, 600))
    found = find_tumor(lattice(0, 0, 600, 600, 10), field, bandwidth_um=H, min_area_mm2=0.01, max_hole_mm2=0.005)
    assert found.reference_per_mm2 == pytest.approx(10_000, rel=1e-3)
    assert clean_region(field, field, min_area_mm2=0.01, max_hole_mm2=0.005).reference_per_mm2 is None


def test_nests_and_the_stroma_between_them() -> None:
    """Stripes 100 µm wide of 6,400 cells/mm² in a tumour: half of it is nest."""
    stripes = [lattice(x, 0, x + 100, 1000, 12.5) for x in range(0, 1000, 200)]
    nests = find_nests(np.vstack(stripes), tissue(box(0, 0, 1000, 1000)), bandwidth_um=18.0)
    assert len(nests.geoms) == 5
    assert nests.area == pytest.approx(0.5e6, rel=0.03)
    whole = find_tumor(
        np.vstack(stripes), tissue(box(-500, -500, 1500, 1500)), bandwidth_um=H, min_area_mm2=0.01, max_hole_mm2=0.005
    )
    assert len(whole.region.geoms) <= 5
