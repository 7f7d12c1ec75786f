"""Corners of the geometry that sampled wrong changes showed nobody to watch (`make mutants`)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import ncx2
from shapely.geometry import MultiPolygon, box

from spatial_til.geometry.coverage import grid_over
from spatial_til.geometry.density import density_grid
from spatial_til.geometry.mapped import likely_region
from spatial_til.units import PixelSize


def test_a_grid_covers_a_region_and_its_rim_and_no_more() -> None:
    grid = grid_over(MultiPolygon([box(10, 20, 110, 80)]), pitch_um=10, pad_um=20)
    assert (grid.x0_um, grid.y0_um, grid.pitch_um) == (-10, 0, 10)
    assert (grid.n_cols, grid.n_rows) == (15, 11)  # 140 and 100 µm, and one square for what ends on a line


def test_a_convex_border_of_a_probability_is_drawn_in_as_the_gaussian_says() -> None:
    """Where a blurred disk is one half (about bandwidth² / 2R = 2.25 µm inside). A kernel cut short draws in less."""
    x, y = np.meshgrid(np.arange(400) * 2.0 + 1, np.arange(400) * 2.0 + 1)
    probability = (np.hypot(x - 400, y - 400) < 200).astype(np.float32)
    found = likely_region(
        probability, PixelSize(2.0, 2.0), MultiPolygon([box(0, 0, 800, 800)]), bandwidth_um=30.0,
        min_area_mm2=0.0, max_hole_mm2=0.0,
    )  # fmt: skip
    radius = np.sqrt(probability.sum() * 4 / np.pi)  # of the squares that make up the disk
    half = brentq(lambda r: ncx2.cdf((radius / 30) ** 2, 2, (r / 30) ** 2) - 0.5, 100, 200)
    assert np.sqrt(found.region.area / np.pi) == pytest.approx(half, abs=0.1)


def test_the_grid_of_a_huge_slide_has_a_hundred_million_squares_at_most() -> None:
    side, pad = 200_000.0, 4 * 20.0
    grid = density_grid(MultiPolygon([box(0, 0, side, side)]), bandwidth_um=20.0)
    assert grid.pitch_um == pytest.approx((side + 2 * pad) / 10_000)  # coarser than a fifth of the bandwidth
    assert grid.n_rows * grid.n_cols == 10_001**2
    assert density_grid(MultiPolygon([box(0, 0, 2000, 2000)]), bandwidth_um=20.0).pitch_um == 4.0
