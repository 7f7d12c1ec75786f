"""Corners dragged one by one: what was left alone stays as it was, point for point."""

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon, box

from spatial_til.errors import AnnotationError
from spatial_til.review.corners import MAX_CORNERS, MAX_RINGS, commit_corners, rings_of


def ragged(n=20_000, radius=1500.0, center=(3000.0, 2500.0), by=0.3):
    """An outline as a classifier makes it: thousands of points a fraction of a µm off a circle."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    away = radius + np.random.default_rng(0).uniform(-by, by, n)
    return np.stack((center[0] + away * np.cos(angle), center[1] + away * np.sin(angle)), axis=1)


def square_with_points_on_its_sides():
    side = np.arange(0, 100, 10.0)
    zero = np.zeros_like(side)
    return np.concatenate([
        np.stack(pair, axis=1)
        for pair in ((side, zero), (zero + 100, side), (100 - side, zero + 100), (zero, 100 - side))
    ])  # fmt: skip


def as_shown(rings):
    """The corners as a viewer gives them back: 32-bit numbers."""
    return [(ring, ring.handles.astype(np.float32)) for ring in rings]


def test_corners_are_few_and_points_of_the_outline():
    points = ragged()
    (ring,) = rings_of(MultiPolygon([Polygon(points)]))
    assert 10 < len(ring.corners) < 200
    assert set(map(tuple, ring.handles)) <= set(map(tuple, points))


def test_a_long_outline_is_thinned_until_it_can_be_shown():
    points = ragged(radius=20_000.0, by=8.0)
    (ring,) = rings_of(MultiPolygon([Polygon(points)]))
    assert len(ring.corners) > 4
    assert len(ring.corners) <= MAX_CORNERS


def test_a_region_left_alone_comes_back_to_the_last_point():
    region = MultiPolygon([Polygon(ragged(), [Point(3000, 2500).buffer(300).exterior.coords]), box(0, 0, 3, 3)])
    again = commit_corners(as_shown(rings_of(region)))
    assert not again.message
    assert again.region.symmetric_difference(region).area < 1e-10 * region.area  # of the grid that overlays snap to
    assert len(shapely.get_coordinates(again.region)) == len(shapely.get_coordinates(region))


def test_only_the_two_stretches_beside_a_dragged_corner_change():
    points = ragged()
    (ring,) = rings_of(MultiPolygon([Polygon(points)]))
    corners = ring.handles.astype(np.float32)
    corners[4] += 200.0
    region = commit_corners([(ring, corners)]).region
    kept = set(map(tuple, points)) & set(map(tuple, shapely.get_coordinates(region)))
    between = (int(ring.corners[5]) - int(ring.corners[3])) % len(points)
    assert len(kept) == len(points) - between + 1


def test_the_area_is_what_the_drag_says():
    (ring,) = rings_of(MultiPolygon([Polygon(square_with_points_on_its_sides())]))
    assert len(ring.corners) == 4
    corners = ring.handles.astype(np.float32)
    at = int(np.flatnonzero((ring.handles == 0).all(axis=1))[0])
    corners[at] = (-20.0, -40.0)
    region = commit_corners([(ring, corners)]).region
    assert region.area == pytest.approx(100 * 100 + 100 * 40 / 2 + 100 * 20 / 2)  # two triangles on the two sides
    assert len(shapely.get_coordinates(region)) == 4 + 2 * 9 + 1  # the two sides left alone keep their points


def test_corners_can_be_put_in_and_taken_out():
    (ring,) = rings_of(MultiPolygon([box(0, 0, 100, 100)]))
    corners = ring.handles
    more = np.insert(corners, 1, (corners[0] + corners[1]) / 2 * 1.0, axis=0)
    assert commit_corners([(ring, more)]).region.area == pytest.approx(100 * 100)
    assert commit_corners([(ring, corners[:-1])]).region.area == pytest.approx(100 * 100 / 2)


def test_holes_stay_holes_and_may_be_moved_or_deleted():
    other = box(2000, 0, 2100, 100)
    region = MultiPolygon([box(0, 0, 1000, 1000).difference(box(200, 200, 400, 500)), other])
    rings = rings_of(region)
    assert [(ring.part, ring.hole) for ring in rings] == [(0, False), (0, True), (1, False)]
    moved = [(ring, ring.handles + (50.0 if ring.hole else 0.0)) for ring in rings]
    found = commit_corners(moved).region
    assert found.equals(
        MultiPolygon([box(0, 0, 1000, 1000).difference(box(250, 250, 450, 550)), box(2000, 0, 2100, 100)])
    )
    without_hole = commit_corners([(ring, ring.handles) for ring in rings if not ring.hole]).region
    assert without_hole.equals(MultiPolygon([box(0, 0, 1000, 1000), other]))


def test_an_island_in_a_hole_stays_an_island():
    region = MultiPolygon([box(0, 0, 100, 100).difference(box(20, 20, 80, 80)), box(40, 40, 60, 60)])
    assert commit_corners(as_shown(rings_of(region))).region.equals(region)


def test_parts_that_come_to_overlap_are_joined():
    rings = rings_of(MultiPolygon([box(0, 0, 100, 100), box(200, 0, 300, 100)]))
    found = commit_corners([(rings[0], rings[0].handles), (rings[1], rings[1].handles - (150.0, 0.0))]).region
    assert found.equals(box(0, 0, 150, 100))


def test_what_no_longer_can_be_trusted_is_refused_in_words():
    (ring,) = rings_of(MultiPolygon([box(0, 0, 100, 100)]))
    crossed = ring.handles[[0, 2, 1, 3]]
    assert "crosses itself" in commit_corners([(ring, crossed)]).message
    assert "nothing of the region" in commit_corners([]).message
    assert commit_corners([], may_be_empty=True).region.is_empty
    outside = commit_corners([(ring, ring.handles + 500.0)], within=MultiPolygon([box(0, 0, 200, 200)]))
    assert "no cells were measured" in outside.message


def test_what_lies_where_no_cells_were_measured_is_left_out():
    (ring,) = rings_of(MultiPolygon([box(0, 0, 100, 100)]))
    found = commit_corners([(ring, ring.handles * 3.0)], within=MultiPolygon([box(0, 0, 200, 200)]))
    assert found.region.equals(box(0, 0, 200, 200))
    assert "left out" in found.message


@pytest.mark.parametrize("n", [0, MAX_RINGS + 1])
def test_no_region_and_too_many_parts_are_refused(n):
    with pytest.raises(AnnotationError, match=f"1 to {MAX_RINGS} outlines, this region has {n}"):
        rings_of(MultiPolygon([box(10 * i, 0, 10 * i + 5, 5) for i in range(n)]))
