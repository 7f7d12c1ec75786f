"""Pieces, bands, polygons, validity and widths, worked out by hand or by shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import affinity
from shapely.geometry import LineString, MultiLineString, MultiPolygon, Point, Polygon, box

from spatial_til.errors import AnnotationError
from spatial_til.geometry.bands import band_areas, band_of
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.pieces import group_lines, group_parts, nearest_piece, split_pieces
from spatial_til.geometry.polygons import buffer_lines, linear, polygonal
from spatial_til.geometry.validity import make_valid_polygon
from spatial_til.geometry.widths import adaptive_width, inscribed_radius

NOTHING = MultiPolygon()


def region(*parts: shapely.Geometry) -> MultiPolygon:
    return polygonal(parts)


def compartments_of(tissue, tumor_region, **changes):
    options = {"image_box": None, "inner_um": 500.0, "outer_um": 500.0, "edge_tolerance_um": 0.0}
    return build_compartments(tissue=tissue, tumor=tumor_region, **(options | changes))


def test_a_piece_holds_its_tumour_its_holes_and_the_rest() -> None:
    tissue = region(box(0, 0, 100, 100), box(200, 0, 300, 100))
    tumors = region(box(10, 10, 90, 90) - box(40, 40, 60, 60), box(200, 0, 250, 100))
    exclude = region(box(0, 50, 300, 55))
    for fill in (True, False):
        first, second = split_pieces(tissue, tumors, exclude, fill=fill)
        assert first.tissue.area == pytest.approx(100 * 95)
        assert first.tumor.area == pytest.approx(80 * 75 - 20 * 15)
        assert first.holes.area == pytest.approx(20 * 15 if fill else 0)
        assert first.open_rest.area == pytest.approx(100 * 95 - 80 * 75 + (0 if fill else 20 * 15))
        assert first.filled.area == pytest.approx(80 * 80 - (0 if fill else 400))
        assert [second.tumor.area, second.open_rest.area, second.holes.area, second.filled.area] == pytest.approx(
            [50 * 95, 50 * 95, 0, 50 * 100]
        )


def test_parts_and_lines_belong_to_the_piece_they_lie_in() -> None:
    tissue = region(box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10))
    shares = group_parts(region(box(41, 1, 42, 2), box(1, 1, 3, 3), box(5, 5, 6, 6)), tissue)
    assert [part.area for part in shares] == [5, 0, 1]
    lines = group_lines(MultiLineString([[(21, 1), (22, 1)], [(1, 1), (4, 1)], [(2, 2), (2, 4)]]), tissue)
    assert [line.length for line in lines] == [5, 1, 0]
    assert nearest_piece(np.array([Point(10.1, 5), Point(19, 5), Point(45, 5)]), tissue).tolist() == [0, 1, 2]
    assert len(nearest_piece(np.array([Point(15, 5)]), tissue)) == 1  # as near to two: one of them
    crossing = MultiLineString([[(1, 5), (9, 5)], [(8, 6), (2, 6)], [(5, 1), (5, 2)]])
    (found, *_) = group_lines(crossing, tissue)
    middles = [
        (line.interpolate(0.5, normalized=True).x, line.interpolate(0.5, normalized=True).y) for line in found.geoms
    ]
    assert middles == [(5, 1.5), (5, 5), (5, 6)]
    none = nearest_piece(np.array([], dtype=object), tissue)
    assert (none.tolist(), none.dtype) == ([], np.intp)


def test_bands_have_the_areas_of_rectangles_and_of_a_hole_that_is_no_border_none() -> None:
    tissue = region(box(0, 0, 2000, 1000), box(3000, 0, 3500, 500))
    tumors = region(box(0, 0, 1000, 1000) - box(400, 400, 600, 600), box(3000, 0, 3500, 500))
    divided = compartments_of(tissue, tumors)
    found = band_areas(divided, edges_um=[-700, -300, 0, 200, 600])
    assert found == pytest.approx([0.4 - 0.04, 0.3, 0.2, 0.4])  # the hole lies 400 to 600 inside


def test_a_band_holds_its_edge_that_is_farther_from_the_border() -> None:
    edges = [-500.0, -50.0, 0.0, 50.0, 90.0]
    at = {-500.1: -1, -500: 0, -50.1: 0, -50: 1, -0.1: 1, 0: 1, 0.1: 2, 50: 2, 50.1: 3, 90: 3, 90.1: -1, np.nan: -1}
    assert band_of(np.array(list(at)), edges).tolist() == list(at.values())
    assert band_of(np.array([-0.0]), edges).tolist() == [1]
    assert band_of(np.array([-10.0, 0.0, 10.0]), [-20.0, 20.0]).tolist() == [0, 0, 0]
    assert band_of(np.array([-0.5, 0.0, 0.5]), [0.0, 1.0]).tolist() == [-1, -1, 0]
    assert band_of(np.array([-0.5, 0.0, 0.5]), [-1.0, 0.0]).tolist() == [0, 0, -1]


def test_polygons_and_lines_are_picked_out_of_a_mixture() -> None:
    mixture = shapely.GeometryCollection(
        [
            *(Point(0, 0), box(0, 0, 1, 1), MultiPolygon([box(5, 5, 6, 7), Polygon()]), LineString([(0, 0), (1, 0)])),
            shapely.GeometryCollection([MultiLineString([[(1, 0), (2, 0)], [(8, 8), (9, 9)]]), box(8, 8, 9, 9)]),
        ]
    )
    assert [part.area for part in polygonal(mixture).geoms] == [1, 2, 1]
    assert sorted(line.length for line in linear(mixture).geoms) == pytest.approx([2**0.5, 2])  # 0 to 2 is one line
    assert linear(box(0, 0, 2, 1).exterior).length == 6  # a ring is a line
    assert polygonal([]).is_empty
    assert linear([]).is_empty


@pytest.mark.parametrize("n", [2, 3, 20, 21, 39, 40, 77])
def test_a_buffer_of_a_long_line_is_that_of_the_whole(n: int) -> None:
    line = LineString(np.column_stack((np.arange(n) * 3.0, np.sin(np.arange(n)) * 20)))
    found = buffer_lines(MultiLineString([line]), 5.0)
    assert found.symmetric_difference(line.buffer(5.0, quad_segs=32)).area < 1e-3 * found.area
    assert found.covers(line)
    assert buffer_lines(MultiLineString([line]), 0.0).is_empty
    assert buffer_lines(MultiLineString(), 5.0).is_empty


# --- validity, widths


def test_an_outline_that_crosses_itself_keeps_what_it_winds_around_and_says_how_much_changed() -> None:
    bow = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    valid = box(5, 5, 7, 8)
    found, change = make_valid_polygon(MultiPolygon([bow, valid]))
    assert found.area == pytest.approx(2 + 6)
    assert change == pytest.approx(2 / (2 + 6))  # 0 by the trapezoid rule, and 6 that stay
    skewed = Polygon([(0, 0), (3, 3), (3, 0), (0, 1)])  # crosses at 0.75: triangles of 0.375 and 3.375
    found, change = make_valid_polygon(skewed)
    assert found.area == pytest.approx(3.75)
    assert change == pytest.approx((3.75 - 3.0) / 3.75)
    assert make_valid_polygon(valid) == (MultiPolygon([valid]), 0.0)
    assert make_valid_polygon(Polygon()) == (NOTHING, 0.0)
    deep = Polygon([(0, 0, 5), (1, 0, 5), (1, 1, 5)])
    assert not make_valid_polygon(deep)[0].has_z
    holed = Polygon(box(0, 0, 10, 10).exterior, [Polygon([(2, 2), (6, 6), (6, 2), (2, 6)]).exterior])
    found, change = make_valid_polygon(holed)
    assert found.area == pytest.approx(100 - 8)
    assert change == pytest.approx(8 / 100)


@pytest.mark.parametrize("far", [1e7, -1e7])
def test_a_coordinate_of_ten_metres_is_the_last(far: float) -> None:
    make_valid_polygon(box(0, 0, far, 1))
    with pytest.raises(AnnotationError, match=r"3 of 5 vertices have not, the first at \(-?10000001\.0, "):
        make_valid_polygon(box(0, 0, far + np.sign(far), 1))
    with pytest.raises(AnnotationError, match=r"a Polygon with 4 vertices encloses none"):
        make_valid_polygon(Polygon([(0, 0), (1, 1), (2, 2)]))


def test_the_widest_circle_is_that_of_the_widest_part_not_of_the_largest() -> None:
    strip, square = box(0, 0, 10_000, 100), box(0, 500, 400, 900) - box(190, 690, 210, 710)
    assert inscribed_radius(region(strip, square)) == pytest.approx(200, rel=0.01)
    assert inscribed_radius(region(strip)) == pytest.approx(50, rel=0.01)
    assert inscribed_radius(NOTHING) == 0.0
    turned = affinity.rotate(square, 30, origin=(0, 0))
    assert 198 <= inscribed_radius(region(strip, turned)) <= 200
    random = np.random.default_rng(0)
    course = LineString(np.cumsum(np.column_stack((np.full(30, 400.0), random.normal(0, 300, 30))), axis=0))
    slender = course.buffer(40).union(course.interpolate(0.3, normalized=True).buffer(60, quad_segs=64))
    assert 59.4 < inscribed_radius(region(slender)) <= 60  # 1 % of its own width, not of the root of its area
    assert adaptive_width(500.0, [1200.0, 999.0]) == 499.5
    assert adaptive_width(500.0, [0.0]) == 500.0
    assert adaptive_width(500.0, [1.0, 1200.0]) == 0.5
