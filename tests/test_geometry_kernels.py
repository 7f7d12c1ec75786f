"""The compiled loops of the geometry, piece by piece, against a few lines of plain Python or shapely."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiLineString, MultiPolygon, Polygon, box

from spatial_til.geometry.coverage import Grid, _accumulate, _add_row, covered_area
from spatial_til.geometry.locate import ON_OUTLINE_UM, _fill_rows, _labelled_edges, _on_edge, _winding_labels, locate
from spatial_til.geometry.nearest import (
    _box_distance2,
    _boxes,
    _segment_distance2,
    nearest_on_lines,
    neighbour_order,
)

STAR = Polygon([(0.3, 0.4), (3.2, 1.1), (6.7, 0.2), (5.1, 2.6), (6.4, 4.9), (3.3, 3.8), (0.6, 4.7), (1.8, 2.5)])


def interleaved(x: int, y: int) -> int:
    """Return the place of one step of a Z curve: bits of x and y in turn, those of x first."""
    return sum(((x >> bit) & 1) << 2 * bit | ((y >> bit) & 1) << 2 * bit + 1 for bit in range(16))


def test_neighbours_follow_a_z_curve_on_32767_steps_along_the_longer_side() -> None:
    xy = np.random.default_rng(0).uniform((-500, 20), (1500, 900), (400, 2))
    step = ((xy - xy.min(axis=0)) / np.ptp(xy, axis=0).max() * 32767).astype(int)
    expected = sorted(range(400), key=lambda i: interleaved(*step[i].tolist()))
    assert neighbour_order(xy).tolist() == expected
    assert neighbour_order(np.array([[0.0, 0.0], [1, 0], [0, 1], [1, 1]])).tolist() == [0, 1, 2, 3]


def test_points_in_one_place_keep_their_order_and_none_have_none() -> None:
    assert neighbour_order(np.full((5, 2), 7.0)).tolist() == [0, 1, 2, 3, 4]
    assert neighbour_order(np.zeros((0, 2))).tolist() == []
    assert neighbour_order(np.zeros((0, 2))).dtype == np.intp
    xy = np.array([[0.0, 0.0], [9.0, 9.0], [0.0, 0.0], [9.0, 9.0]])
    assert neighbour_order(xy).tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 9, 17, 33])
def test_a_box_of_the_tree_is_that_of_its_segments(n: int) -> None:
    segments = np.random.default_rng(n).uniform(-9, 9, (n, 4))
    boxes = _boxes(segments, 4)
    n_leaves = len(boxes) // 2
    assert n_leaves == 2 ** int(np.ceil(np.log2(np.ceil(n / 4))))
    for node in range(1, 2 * n_leaves):
        first = node
        while first < n_leaves:
            first *= 2
        width = n_leaves // 2 ** (node.bit_length() - 1)
        inside = segments[(first - n_leaves) * 4 : (first - n_leaves + width) * 4]
        expected = [np.inf, np.inf, -np.inf, -np.inf]
        if len(inside):
            ends = inside.reshape(-1, 2)
            expected = [*ends.min(axis=0), *ends.max(axis=0)]
        assert boxes[node].tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_distances_to_a_box_and_to_a_segment_are_those_of_shapely(seed: int) -> None:
    random = np.random.default_rng(seed)
    for x, y, *ends in random.integers(-6, 7, (60, 6)).astype(float):
        x0, y0, x1, y1 = ends
        point, line = shapely.Point(x, y), shapely.LineString([(x0, y0), (x1, y1)])
        low, high = np.minimum(ends[:2], ends[2:]), np.maximum(ends[:2], ends[2:])
        assert _box_distance2(x, y, np.array([*low, *high])) == pytest.approx(point.distance(box(*low, *high)) ** 2)
        squared, along = _segment_distance2(x, y, np.array(ends))
        assert squared == pytest.approx(point.distance(line) ** 2)
        assert along == pytest.approx(line.project(point))


def test_the_nearest_place_on_lines_is_counted_along_all_of_them_laid_end_to_end() -> None:
    random = np.random.default_rng(4)
    lines = [np.cumsum(random.normal(size=(n, 2)), axis=0) + 8 * k for k, n in enumerate((2, 30, 7, 12))]
    border = MultiLineString(lines)
    xy = random.uniform(-10, 40, (300, 2))
    found = nearest_on_lines(xy, border)
    each = shapely.distance(shapely.points(xy)[:, None], np.array(border.geoms)[None])
    own, before = each.argmin(axis=1), np.cumsum([0, *(line.length for line in border.geoms)])
    expected = [before[k] + border.geoms[k].project(shapely.Point(p)) for k, p in zip(own, xy, strict=True)]
    assert found.distance_um == pytest.approx(each.min(axis=1))
    assert found.position_um == pytest.approx(expected)
    on_it = nearest_on_lines(np.array([[5.0, 0.0], [0.0, 3.0]]), MultiLineString([[(0, 0), (10, 0)]]))
    assert (on_it.distance_um.tolist(), on_it.position_um.tolist()) == ([0.0, 3.0], [5.0, 0.0])


def test_a_point_lies_on_an_edge_within_the_touch_of_any_of_its_points() -> None:
    edge = shapely.LineString([(0, 0), (4, 3)])
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(-1, 5.5, 0.1), np.arange(-1, 4.5, 0.1)))
    away = shapely.distance(edge, shapely.points(x, y))
    for ends in ((0.0, 0.0, 4.0, 3.0), (4.0, 3.0, 0.0, 0.0)):
        found = [_on_edge(*at, *ends, 0.513) for at in zip(x, y, strict=True)]
        assert found == (away <= 0.513).tolist()
    assert [_on_edge(*at, 0.0, 0.0, 4.0, 0.0, 0.5) for at in ((2, 0.5), (-0.5, 0), (4.5, 0), (2, -0.5))] == [True] * 4


def test_an_edge_of_no_length_is_its_point() -> None:
    assert _on_edge(1.0, 1.5, 1.0, 1.0, 1.0, 1.0, 0.5)
    assert not _on_edge(1.4, 1.4, 1.0, 1.0, 1.0, 1.0, 0.5)


def test_rows_hold_the_edges_that_touch_them() -> None:
    starts, members = _fill_rows(np.array([0, 2, 1]), np.array([1, 2, 3]), 4)
    rows = [members[a:b].tolist() for a, b in pairwise(starts)]
    assert rows == [[0], [0, 2], [1, 2], [2]]


def test_edges_carry_the_number_of_their_group_and_run_with_the_inside_on_one_side() -> None:
    hole = Polygon(box(0, 0, 9, 9).exterior, [box(3, 3, 5, 5).exterior])
    groups = [MultiPolygon([box(20, 0, 22, 2), hole]), MultiPolygon(), MultiPolygon([box(30, 0, 31, 1).reverse()])]
    edges, labels = _labelled_edges(groups)
    assert labels.tolist() == [1] * 12 + [3] * 4
    assert labels.dtype == np.int64
    shoelace = (edges[:, 0] * edges[:, 3] - edges[:, 2] * edges[:, 1]) / 2
    assert shoelace[:4].sum() == 4
    assert shoelace[4:12].sum() == 81 - 4
    assert shoelace[12:].sum() == 1


def test_points_of_several_groups_are_found_as_shapely_finds_them() -> None:
    random = np.random.default_rng(7)
    groups = [MultiPolygon([STAR]), MultiPolygon([box(7, 0, 9, 5), box(2, 5, 4, 6)]), MultiPolygon([box(0, 6, 9, 7)])]
    xy = np.vstack((random.uniform(-1, 10, (500, 2)), random.integers(0, 10, (500, 2))))
    holds = np.array([shapely.intersects_xy(group, *xy.T) for group in groups])
    several = holds.sum(axis=0) > 1  # where outlines touch: either is right
    expected = np.where(holds.any(axis=0), holds.argmax(axis=0), -1)
    found = locate(xy, groups)
    assert found[~several].tolist() == expected[~several].tolist()
    assert holds[found[several], np.flatnonzero(several)].all()
    assert found.dtype == np.int64


def test_above_below_and_on_the_frame_of_all_groups() -> None:
    square = [MultiPolygon([box(0, 0, 2, 2)])]
    within, beyond = 0.9 * ON_OUTLINE_UM, 1.1 * ON_OUTLINE_UM
    xy = [(1, -within), (1, -beyond), (1, 2 + within), (1, 2 + beyond), (-within, 1), (-beyond, 1), (2 + within, 2)]
    assert locate(np.array(xy), square).tolist() == [0, -1, 0, -1, 0, -1, 0]
    far = np.array([(1.0, -1e9), (1.0, 1e9), (1e9, 1.0), (-1e9, 1.0), (1.0, 1.0)])
    assert locate(far, square).tolist() == [-1, -1, -1, -1, 0]


def test_no_groups_hold_no_point_and_no_points_are_held() -> None:
    nowhere = locate(np.zeros((3, 2)), [])
    assert (nowhere.tolist(), nowhere.dtype) == ([-1, -1, -1], np.int64)
    nothing = locate(np.zeros((0, 2)), [MultiPolygon([box(0, 0, 1, 1)])])
    assert (len(nothing), nothing.dtype) == (0, np.int64)


def test_a_label_is_added_for_an_edge_up_and_taken_off_for_an_edge_down() -> None:
    """One edge only, 0 to 4 upwards at x = 3: what is left of it has the label, at its right there is none."""
    points = np.array([(1.0, 0.0), (1, 2), (5, 2), (1, 4), (3, 2), (1, -1), (1, 5)])
    rows = np.array([0, 1]), np.array([0]), -1.0, 0.2
    up = _winding_labels(points, np.array([[3.0, 0, 3, 4]]), np.array([7]), *rows, 1e-6)
    down = _winding_labels(points, np.array([[3.0, 4, 3, 0]]), np.array([7]), *rows, 1e-6)
    assert up.tolist() == [7, 7, 0, 0, 7, 0, 0]
    assert down.tolist() == [-7, -7, 0, 0, 7, 0, 0]
    assert up.dtype == np.int64


def clipped(region: shapely.Geometry, grid: Grid) -> list[list[float]]:
    x0, y0, side, rows, cols = grid
    return [
        [region.intersection(box(x0 + c * side, y0 + r * side, x0 + (c + 1) * side, y0 + (r + 1) * side)).area
         for c in range(cols)]
        for r in range(rows)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "grid",
    [
        *(Grid(0.0, 0.0, 1.0, 5, 7), Grid(-1.5, -0.7, 0.9, 7, 10), Grid(2.0, 1.0, 1.0, 2, 3)),
        *(Grid(1.0, 1.5, 0.5, 9, 4), Grid(5.0, 4.0, 2.0, 3, 3), Grid(0.0, 0.0, 10.0, 1, 1), Grid(2.5, 0.0, 1.0, 3, 1)),
    ],
)
def test_covered_area_is_that_of_the_clip_also_where_the_grid_ends_within_the_region(grid: Grid) -> None:
    regions = (
        MultiPolygon([STAR]),
        MultiPolygon([STAR.buffer(-0.4).convex_hull - box(2, 2, 3, 3), box(-3, 1, -1, 9), box(6.5, 2, 20, 3)]),
        MultiPolygon([box(0, 0, 3, 2), box(4, 1, 5, 2)]),  # along the lines of the grid
    )
    for region in regions:
        assert covered_area(region, grid) == pytest.approx(np.array(clipped(region, grid)), abs=1e-9)


@pytest.mark.parametrize(
    ("xa", "xb", "expected"),
    [
        (-2.0, -1.0, [0.5, 0.0, 0.0]),  # all of it right of the edge
        (-1.0, 0.0, [0.5, 0.0, 0.0]),
        (0.0, 0.0, [0.5, 0.0, 0.0]),
        (0.25, 0.25, [0.375, 0.125, 0.0]),
        (0.0, 1.0, [0.25, 0.25, 0.0]),
        (1.0, 0.0, [0.25, 0.25, 0.0]),
        (-1.0, 1.0, [0.25 + 0.125, 0.125, 0.0]),
        (0.5, 1.5, [0.0625, 0.375, 0.0625]),
        (2.5, 2.5, [0.0, 0.0, 0.25]),
        (3.0, 4.0, [0.0, 0.0, 0.0]),
        (2.0, 4.0, [0.0, 0.0, 0.125]),
    ],
)
def test_a_piece_of_edge_adds_what_lies_right_of_it(xa: float, xb: float, expected: list[float]) -> None:
    """Half a row high. The line holds differences along the row: its running sum is the covered height."""
    line = np.zeros(3)
    _add_row(line, xa, xb, 0.5)
    assert line.tolist() == pytest.approx(expected)


def test_level_edges_add_nothing_and_edges_up_and_down_cancel() -> None:
    out = np.zeros((2, 3))
    _accumulate(np.array([[0.2, 1.0, 2.9, 1.0]]), out)
    assert not out.any()
    _accumulate(np.array([[0.2, 0.5, 1.7, 1.5], [1.7, 1.5, 0.2, 0.5]]), out)
    assert out == pytest.approx(np.zeros((2, 3)), abs=1e-15)
    _accumulate(np.array([[1.0, 1.5, 1.0, -3.0]]), out)
    assert np.cumsum(out, axis=1).tolist() == [[0.0, 1.0, 1.0], [0.0, 0.5, 0.5]]
