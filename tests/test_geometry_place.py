"""Signed distance and compartment of cells, against one shapely call per cell."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, MultiLineString, MultiPolygon, Point, Polygon, box

from spatial_til.errors import CellTableError
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.locate import locate
from spatial_til.geometry.nearest import nearest_on_lines
from spatial_til.geometry.pieces import group_lines
from spatial_til.geometry.place import measure_points, place_cells
from spatial_til.model import COMPARTMENTS, EXCLUDED, Compartments


def awkward(seed: int, *, holes: str = "ignore") -> Compartments:
    """Return two pieces of tissue with a ragged, holed tumour, islands, exclusions and a cut edge."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    radius = 900 + 250 * np.sin(5 * angle + rng.random() * 6) + rng.normal(0, 15, angle.size)
    ragged = Polygon(np.c_[1200 + radius * np.cos(angle), 1500 + radius * np.sin(angle)]).buffer(0)
    islands = [Point(*rng.uniform(200, 3800, 2)).buffer(rng.uniform(20, 150)) for _ in range(12)]
    gaps = [Point(*rng.uniform(600, 1800, 2)).buffer(rng.uniform(20, 120)) for _ in range(4)]
    tumor = shapely.union_all([ragged.difference(shapely.union_all(gaps)), *islands])
    exclude = [Point(*rng.uniform(0, 3000, 2)).buffer(rng.uniform(50, 200)) for _ in range(4)]
    tissue = [box(0, 0, 2600, 3000).difference(Point(300, 300).buffer(150)), box(2650, 0, 4000, 3000)]
    return build_compartments(
        tissue=MultiPolygon(tissue),
        tumor=MultiPolygon([part for part in shapely.get_parts(tumor) if part.area > 0]),
        exclude=MultiPolygon(shapely.get_parts(shapely.union_all(exclude)).tolist()),
        image_box=(0, 0, 3900, 3000),
        inner_um=200,
        outer_um=150,
        edge_tolerance_um=30,
        holes=holes,
    )


def place_one(point: Point, c: Compartments, borders: list[MultiLineString]) -> tuple[int, float]:
    """The definition, word for word, for one cell."""
    piece = next((k for k, tissue in enumerate(c.pieces) if tissue.covers(point)), None)
    if piece is None:
        return EXCLUDED, np.nan
    in_tumor = c.tumor.covers(point)
    if borders[piece].is_empty or (not in_tumor and c.hole_tissue.intersects(point)):
        return COMPARTMENTS.index("tumor_unresolved" if in_tumor else "outside"), np.nan
    d = point.distance(borders[piece])
    if in_tumor:
        return COMPARTMENTS.index("inner_margin" if d <= c.inner_um else "core"), -d
    return COMPARTMENTS.index("outer_margin" if d <= c.outer_um else "outside"), d


@pytest.mark.parametrize("holes", ["ignore", "border"])
@pytest.mark.parametrize("seed", range(3))
def test_cells_agree_with_the_definition_one_by_one(seed: int, holes: str) -> None:
    c = awkward(seed, holes=holes)
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-100, 4100, (3000, 2))
    placed = place_cells(xy, c)
    borders = group_lines(c.border.evaluable, c.tissue)
    expected = [place_one(Point(*cell), c, borders) for cell in xy]
    assert placed.compartment.tolist() == [code for code, _ in expected]
    np.testing.assert_allclose(placed.border_distance_um, [d for _, d in expected], atol=1e-9)
    assert len(set(placed.compartment)) >= 5


@pytest.mark.parametrize("seed", range(3))
def test_vertices_and_edges_of_the_tumor_are_inside_it(seed: int) -> None:
    c = awkward(seed)
    vertices = shapely.get_coordinates(c.border.evaluable)
    line = shapely.get_parts(c.border.evaluable)[0]
    middle = shapely.get_coordinates(line).reshape(-1, 2)
    xy = np.vstack((vertices, (middle[1:] + middle[:-1]) / 2))
    placed = place_cells(xy, c)
    assert set(placed.compartment) == {COMPARTMENTS.index("inner_margin")}
    assert (placed.border_distance_um <= 0).all()
    assert (placed.border_distance_um > -1e-6).all()


@pytest.mark.parametrize("seed", range(3))
def test_distance_and_compartment_never_contradict(seed: int) -> None:
    c = awkward(seed)
    rng = np.random.default_rng(seed)
    # cells crowd around the border, its round ends and both band edges
    along = shapely.get_coordinates(
        shapely.line_interpolate_point(c.border.evaluable, rng.random(4000), normalized=True)
    )
    ends = shapely.get_coordinates(c.border.evaluable.boundary)
    at = np.vstack((along, np.repeat(ends, max(1, 2000 // max(len(ends), 1)), axis=0)))
    radius = rng.choice([0, 1e-7, 1e-3, 150 - 1e-9, 150, 150 + 1e-9, 200 - 1e-9, 200, 200 + 1e-9], len(at))
    angle = rng.uniform(0, 2 * np.pi, len(at))
    placed = place_cells(at + radius[:, None] * np.c_[np.cos(angle), np.sin(angle)], c)
    d = placed.border_distance_um
    names = np.array([*COMPARTMENTS, "excluded"])[placed.compartment]
    assert (d[names == "core"] < -c.inner_um).all()
    assert ((d[names == "inner_margin"] >= -c.inner_um) & (d[names == "inner_margin"] <= 0)).all()
    assert ((d[names == "outer_margin"] > 0) & (d[names == "outer_margin"] <= c.outer_um)).all()
    outside = d[names == "outside"]
    assert (np.isnan(outside) | (outside > c.outer_um)).all()
    assert np.isnan(d[names == "excluded"]).all()
    assert np.isnan(d[names == "tumor_unresolved"]).all()


def test_square_lattice_counts_match_areas_exactly() -> None:
    """10 µm lattice, cells at the centres of squares: each stands for 100 µm², and bands end between them."""
    c = build_compartments(
        tissue=MultiPolygon([box(0, 0, 4000, 2000)]),
        tumor=MultiPolygon([box(0, 0, 2000, 2000)]),
        image_box=None,
        inner_um=500,
        outer_um=500,
        edge_tolerance_um=0,
    )
    x, y = np.meshgrid(np.arange(5, 4000, 10), np.arange(5, 2000, 10))
    placed = place_cells(np.c_[x.ravel(), y.ravel()], c)
    counts = np.bincount(placed.compartment, minlength=5)
    assert counts.tolist() == [30_000, 10_000, 10_000, 30_000, 0]
    np.testing.assert_allclose(placed.border_distance_um, x.ravel() - 2000, atol=1e-4)


def test_cells_come_back_in_their_own_order() -> None:
    c = awkward(0)
    xy = np.random.default_rng(0).uniform(0, 3900, (500, 2))
    shuffled = np.random.default_rng(1).permutation(500)
    straight, mixed = place_cells(xy, c), place_cells(xy[shuffled], c)
    np.testing.assert_array_equal(straight.compartment[shuffled], mixed.compartment)
    np.testing.assert_array_equal(straight.border_distance_um[shuffled], mixed.border_distance_um)


def test_no_cells() -> None:
    placed = place_cells(np.empty((0, 2)), awkward(0))
    assert placed.compartment.shape == (0,)
    assert placed.border_distance_um.shape == (0,)


def test_cells_without_a_position_are_refused() -> None:
    with pytest.raises(CellTableError, match="2 of 3 have not"):
        place_cells(np.array([[0.0, np.nan], [np.inf, 1.0], [1.0, 1.0]]), awkward(0))
    with pytest.raises(CellTableError, match="1 of 3 have not"):
        place_cells(np.array([[np.nan, np.nan], [2.0, 1.0], [1.0, 1.0]]), awkward(0))


def test_locate_tells_disjoint_groups_apart() -> None:
    ring = Point(0, 0).buffer(100).difference(Point(0, 0).buffer(60))
    groups = [MultiPolygon([ring]), MultiPolygon(), MultiPolygon([Point(0, 0).buffer(50), box(200, 0, 300, 10)])]
    xy = np.array([[80.0, 0], [55.0, 0], [10.0, 0], [250.0, 5], [250.0, 10], [199.9, 5], [0.0, 500]])
    assert locate(xy, groups).tolist() == [0, -1, 2, 2, 2, -1, -1]
    assert locate(xy, []).tolist() == [-1] * 7
    assert {locate(xy, of).dtype for of in (groups, [])} == {np.dtype(np.int64)}  # an index, whatever is found


def test_nearest_matches_shapely_and_measures_along_the_lines() -> None:
    lines = MultiLineString([[(0, 0), (100, 0), (100, 50)], [(300, 0), (300, 0), (400, 0)]])
    found = nearest_on_lines(np.array([[40.0, 30.0], [130.0, 20.0], [350.0, -5.0]]), lines)
    assert found.distance_um.tolist() == [30.0, 30.0, 5.0]
    assert found.position_um.tolist() == [40.0, 120.0, 200.0]
    rng = np.random.default_rng(0)
    ragged = MultiLineString([LineString(rng.uniform(0, 1000, (40, 2))) for _ in range(5)])
    xy = rng.uniform(-500, 1500, (500, 2))
    np.testing.assert_allclose(
        nearest_on_lines(xy, ragged).distance_um, shapely.distance(shapely.points(xy), ragged), atol=1e-9
    )


def test_places_on_the_border_of_a_second_piece_come_after_all_of_the_first():
    compartments = build_compartments(
        tissue=MultiPolygon([box(0, 0, 3000, 3000), box(4000, 0, 9000, 5000)]),
        tumor=MultiPolygon([box(1000, 1000, 2000, 2000), box(5000, 1000, 8000, 4000)]),
        image_box=None,
        inner_um=200,
        outer_um=200,
        edge_tolerance_um=30,
    )
    cells = np.array([[1500.0, 950.0], [950.0, 1700.0], [6500.0, 950.0], [8050.0, 2500.0]])
    position = measure_points(cells, compartments).position_um
    assert (position[:2] <= 4000).all()
    assert ((position[2:] >= 4000) & (position[2:] <= 16_000)).all()
    apart = np.abs(np.diff(position))[[0, 2]]
    expected = [500 + 700, 1500 + 1500]  # around the corner between them, the one way or the other
    assert np.minimum(apart, [4000 - apart[0], 12_000 - apart[1]]) == pytest.approx(expected)
