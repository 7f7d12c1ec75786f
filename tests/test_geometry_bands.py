"""Depth: areas of distance bands, its distribution over the tumour, sectors of the border."""

from __future__ import annotations

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point, box

from spatial_til.geometry.bands import band_areas, band_of
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.place import place_cells
from spatial_til.geometry.sectors import border_sectors, n_sectors, sample_depths
from spatial_til.geometry.widths import adaptive_width, inscribed_radius
from spatial_til.model import Compartments

R = 1500.0


def divide(tumor: list[object], tissue: list[object] | None = None, **options: object) -> Compartments:
    tissue = [box(0, 0, 6000, 6000)] if tissue is None else tissue
    widths = {"inner_um": 500, "outer_um": 500, "edge_tolerance_um": 30, "image_box": None, **options}
    return build_compartments(tissue=MultiPolygon(tissue), tumor=MultiPolygon(tumor), **widths)


@pytest.fixture(scope="module")
def disk() -> Compartments:
    return divide([Point(3000, 2600).buffer(R, quad_segs=400)])


def test_bands_of_a_disk_are_rings(disk: Compartments) -> None:
    edges = np.arange(-R, 501, 50)
    rings = np.pi * np.diff((R + edges) ** 2) / 1e6
    # a chord for an arc of the width at each outline of the band
    chords = (1 - np.cos(np.pi / 128)) * np.abs(edges) * 2 * np.pi * (R + edges) / 1e6
    assert (np.abs(band_areas(disk, edges_um=edges) - rings) <= chords[1:] + chords[:-1] + 2e-5).all()


def test_bands_leave_out_tissue_without_distance() -> None:
    # a hole that is no border, and a second piece full of tumour
    ring = Point(3000, 2600).buffer(R, quad_segs=400).difference(Point(3000, 2600).buffer(400, quad_segs=400))
    alone = box(7000, 0, 8000, 1000)
    c = divide([ring, alone], [box(0, 0, 6000, 6000), alone])
    inside, outside = band_areas(c, edges_um=[-1e4, 0, 1e4])
    assert inside == pytest.approx(np.pi * (R**2 - 400**2) / 1e6, rel=1e-5)
    assert outside == pytest.approx(36 - np.pi * R**2 / 1e6, rel=1e-5)


def test_bands_hold_the_cells_of_their_area(disk: Compartments) -> None:
    edges = [-1500, -700, -500, -250, 0, 125, 500]
    x, y = np.meshgrid(np.arange(5, 6000, 10.0), np.arange(5, 6000, 10.0))
    distance = place_cells(np.c_[x.ravel(), y.ravel()], disk).border_distance_um
    band = band_of(distance, edges)
    counts = np.bincount(band[band >= 0], minlength=6) * 1e-4
    # a lattice misses a circle's area by about the square root of the squares it cuts
    circles = 2 * np.pi * (R + np.maximum(np.abs(edges[:-1]), np.abs(edges[1:])))
    np.testing.assert_allclose(counts, band_areas(disk, edges_um=edges), atol=3e-4 * np.sqrt(circles.max() / 10))


def test_a_distance_on_an_edge_lies_in_the_band_nearer_the_border_by_it() -> None:
    edges = [-2.0, -0.5, 0.0, 0.5, 2.0]  # -2 <= d < -0.5, -0.5 <= d <= 0, 0 < d <= 0.5, 0.5 < d <= 2
    distance = np.array([-2.1, -2.0, -0.6, -0.5, -0.4, 0.0, 0.4, 0.5, 0.6, 2.0, 2.1, np.nan])
    assert band_of(distance, edges).tolist() == [-1, 0, 0, 1, 1, 1, 2, 2, 3, 3, -1, -1]


def test_depth_of_a_disk_is_distributed_as_it_must(disk: Compartments) -> None:
    """P(depth > d) = (1 - d / R)², with median 0.2929 R and mean R / 3."""
    depth = np.sort(sample_depths(disk, arc_um=200, n_samples=200_000).depth_um)
    at = np.linspace(0, R, 301)
    found = np.searchsorted(depth, at, side="right") / len(depth)
    assert np.abs(found - (1 - (1 - at / R) ** 2)).max() < 2e-4
    assert np.median(depth) == pytest.approx(0.29289 * R, rel=1e-3)
    assert depth.mean() == pytest.approx(R / 3, rel=1e-3)


def test_depth_of_a_square_along_the_axes_is_no_worse() -> None:
    """Median 0.1464 a, mean a / 6: an untilted lattice would be off by its pitch along whole sides."""
    a = 2000.0
    samples = sample_depths(divide([box(1500, 2000, 3500, 4000)]), arc_um=200, n_samples=100_000)
    at = np.linspace(0, a / 2, 101)
    found = np.searchsorted(np.sort(samples.depth_um), at, side="right") / len(samples.depth_um)
    assert np.abs(found - (1 - (1 - 2 * at / a) ** 2)).max() < 5e-4
    assert samples.depth_um.mean() == pytest.approx(a / 6, rel=1e-3)
    assert len(samples.depth_um) * samples.area_mm2 == pytest.approx(4.0, rel=5e-4)


def test_depth_samples_agree_with_exact_bands() -> None:
    """A cut tumour with an exclusion and islands: sampled and exact areas of depth are the same."""
    tumor = [box(0, 0, 2000, 2000), Point(3500, 1000).buffer(200)]
    exclude = MultiPolygon([Point(900, 900).buffer(300)])
    c = divide(tumor, [box(0, 0, 5000, 2000)], exclude=exclude)
    samples = sample_depths(c, arc_um=200, n_samples=200_000)
    edges = [-2000, -1500, -1000, -500, -200, -50, 0]
    band = band_of(-samples.depth_um, edges)
    sampled = np.bincount(band[band >= 0], minlength=6) * samples.area_mm2
    np.testing.assert_allclose(sampled, band_areas(c, edges_um=edges), atol=5e-4)


def test_sectors_of_a_disk_are_equal_slices(disk: Compartments) -> None:
    count = n_sectors(disk, arc_um=200)
    assert count == round(2 * np.pi * R / 200)
    samples = sample_depths(disk, arc_um=200, n_samples=100_000)
    share = np.bincount(samples.sector, minlength=count) / len(samples.sector)
    np.testing.assert_allclose(share * count, 1.0, atol=0.03)
    # a sector reaches from the border to full depth, and beyond it outwards
    angle = 0.3
    ray = np.array([3000, 2600]) + np.outer([100, 700, 1400, 1600, 2400], [np.cos(angle), np.sin(angle)])
    assert len(set(border_sectors(ray, disk, arc_um=200))) == 1


def test_small_islands_share_sectors_and_pieces_do_not_mix() -> None:
    islands = [Point(x, 500).buffer(20) for x in range(500, 5600, 100)]
    c = divide([*islands, box(7000, 1000, 8000, 2000)], [box(0, 0, 6000, 6000), box(7000, 0, 8000, 2000)])
    length = c.border.evaluable.length
    assert n_sectors(c, arc_um=200) == round(length / 200)
    centres = np.array([[x, 500.0] for x in range(500, 5600, 100)])
    sector = border_sectors(centres, c, arc_um=200)
    assert len(set(sector)) == pytest.approx(len(islands) * 125.6 / 200, abs=2)
    other = border_sectors(np.array([[7500.0, 1100.0], [7500.0, 900.0]]), c, arc_um=200)
    assert set(other).isdisjoint(sector[:-2])


def test_no_border_no_sector() -> None:
    c = divide([box(-10, -10, 7000, 7000)])
    assert n_sectors(c, arc_um=200) == 0
    assert border_sectors(np.array([[10.0, 10.0]]), c, arc_um=200).tolist() == [-1]
    assert len(sample_depths(c, arc_um=200, n_samples=1000).depth_um) == 0
    assert band_areas(c, edges_um=[-100, 0, 100]).tolist() == [0, 0]


def test_inscribed_radius() -> None:
    assert inscribed_radius(MultiPolygon([box(0, 0, 1000, 600), Point(5000, 0).buffer(250)])) == pytest.approx(
        300, rel=0.01
    )
    ring = Point(0, 0).buffer(1000).difference(Point(0, 0).buffer(900))
    assert inscribed_radius(MultiPolygon([ring])) == pytest.approx(1000, rel=0.01)
    assert inscribed_radius(MultiPolygon()) == 0


def test_adaptive_width_leaves_a_core_at_every_time_point() -> None:
    baseline, later = (Point(3000, 3000).buffer(r, quad_segs=200) for r in (1500, 400))
    radii = [inscribed_radius(MultiPolygon([tumor])) for tumor in (baseline, later)]
    width = adaptive_width(500.0, radii)
    assert width == pytest.approx(200, rel=0.01)
    c = divide([later], inner_um=width, outer_um=width)
    assert c.regions["core"].area == pytest.approx(np.pi * 200**2, rel=0.03)
    assert adaptive_width(500.0, [1500.0]) == 500.0
    assert adaptive_width(500.0, [0.0, 0.0]) == 500.0
