"""A scene's truth: what it says of positions, densities and areas can be worked out by other means."""

import numpy as np
import pytest
import shapely
from scipy.spatial import cKDTree
from shapely.geometry import MultiPolygon, Point, box

from spatial_til.phantoms import compartments, fields
from spatial_til.phantoms.layout import KINDS, Crowding, Population, Scene, populate
from spatial_til.phantoms.tissue import scene_from_outlines, tissue_scene

FRAME = MultiPolygon([box(-100, -100, 1100, 1100)])
HALF = MultiPolygon([box(-1000, -1000, 500, 2000)])
NOBODY = populate(10, 10, FRAME, HALF, [Population("tumor", (0.0,) * 4, 4.0)], seed=0).cells


def disc_scene(tissue: shapely.Polygon) -> Scene:
    """Slide S0: 6 x 6 mm, a tumour of radius 1500 µm at (3000, 2600), cut where the tissue ends."""
    tumor = Point(3000, 2600).buffer(1500, quad_segs=256).intersection(tissue)
    return Scene(6000, 6000, MultiPolygon([tissue]), MultiPolygon([tumor]), NOBODY, 0)


def test_signed_distance_agrees_with_shapely_holes_included():
    region = Point(50, 50).buffer(40).difference(Point(60, 50).buffer(15))
    xy = np.random.default_rng(0).uniform(0, 100, (500, 2))
    points = shapely.points(xy)
    expected = shapely.distance(points, region.boundary) * np.where(shapely.contains(region, points), -1, 1)
    np.testing.assert_allclose(fields.signed_distance(xy, region), expected, atol=1e-9)


def test_areas_of_a_disc_are_the_closed_forms():
    areas = compartments.areas_mm2(disc_scene(box(0, 0, 6000, 6000)), 500, 30)
    assert areas["core"] == pytest.approx(np.pi, rel=2e-4)
    assert areas["inner_margin"] == pytest.approx(np.pi * (1.5**2 - 1), rel=2e-4)
    assert areas["outer_margin"] == pytest.approx(np.pi * (2**2 - 1.5**2), rel=2e-4)
    assert sum(areas.values()) == pytest.approx(36, rel=1e-9)


def test_a_cut_edge_is_no_margin():
    areas = compartments.areas_mm2(disc_scene(box(0, 0, 6000, 2600)), 500, 0.5)
    assert areas["core"] == pytest.approx(np.pi / 2, rel=1e-3)
    assert areas["inner_margin"] == pytest.approx(np.pi * (1.5**2 - 1) / 2, rel=1e-3)


def test_each_zone_holds_the_stated_density():
    stated = (400.0, 100.0, 800.0, 200.0)
    cells = [Population("lymphocyte", stated, 3.0, cd8=True)]
    scene = populate(1000, 1000, FRAME, HALF, cells, seed=1, width_of_bands_um=150)
    x = scene.cells.x_um
    counts = np.histogram(x, (0, 350, 500, 650, 1000))[0]
    expected = np.array(stated) * (0.35, 0.15, 0.15, 0.35)
    one_grid_column = np.array(stated) * 0.004
    assert (np.abs(counts - expected) <= one_grid_column + 0.5).all()
    assert scene.cells.cd8.all()


def test_no_two_cells_lie_nearer_than_the_hard_core_allows():
    crowding = Crowding(usual=1.0, tight=0.7, tight_share=0.3)
    populations = [Population("tumor", (4000.0, 4000.0, 0, 0), 4.0), Population("lymphocyte", (800.0,) * 4, 3.0)]
    cells = populate(400, 400, FRAME, HALF, populations, seed=2, crowding=crowding).cells
    assert len(cells) > 500
    xy = np.column_stack((cells.x_um, cells.y_um))
    size = np.sqrt(cells.nucleus_area_um2 / np.pi)  # irregular outlines keep their area within some percent
    pairs = cKDTree(xy).query_pairs(12.0, output_type="ndarray")
    apart = np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T)
    share = apart / size[pairs].sum(axis=1)
    assert share.min() > 0.7 * 0.95
    assert (share < 0.9).any()


def test_the_same_seed_gives_the_same_scene_and_another_seed_another():
    one, two, three = (tissue_scene((300, 300), seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.cells.radii_um, two.cells.radii_um)
    assert len(one.cells) != len(three.cells) or not np.allclose(one.cells.x_um, three.cells.x_um)


def test_adaptive_pdl1_lies_near_cd8_and_some_cd8_cells_carry_it():
    cells = tissue_scene((900, 900), seed=8, pdl1_near_cd8=0.5).cells
    tumor = cells.kind == KINDS.index("tumor")
    away, _ = cKDTree(cells.centroids_um[cells.cd8]).query(cells.centroids_um)
    near = cells.pdl1[tumor & (away <= 20)].mean()
    far = cells.pdl1[tumor & (away > 25)].mean()
    assert near == pytest.approx(0.5, abs=0.12)
    assert far < 0.04
    assert cells.pdl1[cells.cd8].mean() == pytest.approx(0.1, abs=0.06)


def test_outlines_drawn_by_others_keep_place_area_and_kind():
    drawn = [Point(30, 40).buffer(4), box(60, 60, 70, 66), shapely.affinity.scale(Point(90, 20).buffer(3), 3, 1)]
    kinds = ["lymphocyte", "tumor", "fibroblast"]
    cells = scene_from_outlines(drawn, kinds, (120, 100), seed=0, cd8=1.0).cells
    by_y = np.argsort([g.centroid.y for g in drawn], kind="stable")
    np.testing.assert_allclose(cells.centroids_um, [drawn[i].centroid.coords[0] for i in by_y], atol=0.1)
    np.testing.assert_allclose(cells.nucleus_area_um2, [drawn[i].area for i in by_y], rtol=0.05)
    assert list(cells.kinds()) == [kinds[i] for i in by_y]
    assert list(cells.cd8) == [kinds[i] == "lymphocyte" for i in by_y]
