"""Outlines that people and programs really draw: a right area or a clear error."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from spatial_til.errors import AnnotationError
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.coverage import Grid, covered_area, grid_over
from spatial_til.geometry.locate import locate
from spatial_til.geometry.validity import make_valid_polygon
from spatial_til.model import COMPARTMENTS

SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4)]


@pytest.mark.parametrize(
    ("drawn", "area", "change"),
    [
        (box(0, 0, 4, 4), 16, 0),
        (Polygon(SQUARE[::-1]), 16, 0),
        (Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), 2, 1),  # symmetric bow-tie: no area as drawn
        (Polygon([(0, 0), (4, 0), (4, 4), (2, 4), (2, 9), (2, 4), (0, 4)]), 16, 0),  # spike
        (Polygon([*SQUARE[:2], (4, 0), (4, 0), *SQUARE[2:]]), 16, 0),  # repeated vertices
        (MultiPolygon([box(0, 0, 2, 2), box(1, 1, 3, 3)]), 7, 0),  # overlap counts once
        (MultiPolygon([box(0, 0, 4, 4), box(1, 1, 2, 2)]), 16, 0),  # nested
        (MultiPolygon([box(0, 0, 4, 4), box(4, 0, 8, 4)]), 32, 0),  # shared side
        (Polygon(SQUARE, [[(3, 3), (6, 3), (6, 6), (3, 6)]]), 15, 8 / 15),  # hole reaches out: 16 - 9 drawn
        (Polygon(SQUARE, [[(7, 7), (8, 7), (8, 8)]]), 16, 1 / 32),  # hole outside takes nothing away, nor adds
        (Polygon(SQUARE, [[(0, 0), (0, 2), (2, 2), (2, 0)]]), 12, 0),  # hole along the side
        (GeometryCollection([Point(0, 0), LineString([(0, 0), (9, 9)]), box(0, 0, 1, 1)]), 1, 0),
        (Polygon([(0, 0, 5), (4, 0, 5), (4, 4, 5), (0, 4, 5)]), 16, 0),  # with a height
        (Polygon(), 0, 0),
        (MultiPolygon(), 0, 0),
    ],
)
def test_area_and_its_change(drawn: shapely.Geometry, area: float, change: float) -> None:
    polygons, changed = make_valid_polygon(drawn)
    assert polygons.is_valid
    assert polygons.geom_type == "MultiPolygon"
    assert not shapely.has_z(polygons)
    assert polygons.area == pytest.approx(area)
    assert changed == pytest.approx(change)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e8])
def test_coordinates_that_are_no_place_are_refused(bad: float) -> None:
    with np.errstate(invalid="ignore"):
        drawn = Polygon([(0.0, 0.0), (4.0, 0.0), (bad, 4.0), (0.0, 4.0)])
    with pytest.raises(AnnotationError, match="1 of 5"):
        make_valid_polygon(drawn)


@pytest.mark.parametrize("flat", [Polygon([(0, 0), (1, 1), (2, 2)]), Point(1, 1), LineString([(0, 0), (1, 1)])])
def test_region_without_area_is_refused(flat: shapely.Geometry) -> None:
    with pytest.raises(AnnotationError, match="encloses none"):
        make_valid_polygon(flat)


def winding(ring: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Turns of a ring around each point, by summed angles: nothing in common with the code under test."""
    spokes = ring[None, :, :] - xy[:, None, :]
    angle = np.arctan2(spokes[..., 1], spokes[..., 0])
    step = np.diff(angle, axis=1)
    return np.rint(((step + np.pi) % (2 * np.pi) - np.pi).sum(axis=1) / (2 * np.pi)).astype(int)


def drawn_inside(polygons: list[Polygon], xy: np.ndarray) -> np.ndarray:
    inside = np.zeros(len(xy), dtype=bool)
    for polygon in polygons:
        here = winding(np.array(polygon.exterior.coords), xy) != 0
        for hole in polygon.interiors:
            here &= winding(np.array(hole.coords), xy) == 0
        inside |= here
    return inside


def hostile(rng: np.random.Generator) -> list[Polygon]:
    """Return one to three polygons of a random kind of trouble, about 1 mm in size."""

    def ring(n: int, scale: float = 1000.0) -> np.ndarray:
        return rng.uniform(0, scale, (n, 2)) + rng.uniform(-500, 500, 2)

    def star(n: int) -> np.ndarray:
        angle = np.sort(rng.uniform(0, 2 * np.pi, n))
        radius = rng.uniform(10, 500, n)
        return np.c_[500 + radius * np.cos(angle), 500 + radius * np.sin(angle)]

    kind = rng.integers(9)
    if kind == 0:  # scribble
        return [Polygon(ring(rng.integers(4, 12)))]
    if kind == 1:  # bow-ties
        return [Polygon(ring(4)) for _ in range(rng.integers(1, 4))]
    if kind == 2:  # star with spikes
        points = star(12)
        at = rng.integers(12)
        return [Polygon(np.insert(points, at, [points[at] * 3, points[at]], axis=0))]
    if kind == 3:  # nested and overlapping rings
        return [Polygon(star(8)) for _ in range(3)]
    if kind == 4:  # holes that reach out or touch
        return [Polygon(star(15), [ring(5, 400), star(6)])]
    if kind == 5:  # repeated vertices, whole numbers: rings that touch in points and along sides
        return [Polygon(np.repeat(np.rint(ring(8) / 200) * 200, rng.integers(1, 4), axis=0)) for _ in range(2)]
    if kind == 6:  # slivers
        points = ring(6)
        return [Polygon(np.vstack((points, points[::-1] + rng.normal(0, 1e-3, points.shape))))]
    if kind == 7:  # far outside
        return [Polygon(star(7) + rng.choice([-1, 1], 2) * 1e6), Polygon(star(7))]
    points = star(9)  # not finite
    points[rng.integers(1, 9), rng.integers(2)] = rng.choice([np.nan, np.inf])
    return [Polygon(points)]


def clear_of_lines(polygons: list[Polygon], xy: np.ndarray) -> np.ndarray:
    lines = shapely.geometrycollections(shapely.get_rings(polygons).tolist())
    return shapely.distance(shapely.points(xy), lines) > 1e-3


@pytest.mark.parametrize("block", range(10))
def test_a_thousand_hostile_inputs(block: int) -> None:
    """Each gives the region its outlines wind around, or a clear error; areas close; no cell is misplaced."""
    rng = np.random.default_rng(block)
    for _ in range(100):
        with np.errstate(invalid="ignore"):
            drawn = hostile(rng)
        finite = all(np.isfinite(shapely.get_coordinates(p)).all() for p in drawn)
        given = {"tissue": MultiPolygon([box(-200, -200, 900, 900)]), "image_box": (-150, -150, 2000, 2000)}
        widths = {"inner_um": 100, "outer_um": 80, "edge_tolerance_um": 30}
        region = MultiPolygon(drawn)
        if not finite or make_area(drawn) == 0:
            with pytest.raises(AnnotationError, match="Draw"):
                build_compartments(tumor=region, **given, **widths)
            continue
        c = build_compartments(tumor=region, **given, **widths)
        assert c.closure_error < 1e-9
        assert all(part.is_valid for part in (c.tumor, *c.regions.values()))
        xy = rng.uniform(-200, 1000, (150, 2))
        xy = xy[clear_of_lines(drawn, xy)]
        on_tissue = ((xy > -150) & (xy < 900)).all(axis=1)
        truth = drawn_inside(drawn, xy) & on_tissue
        np.testing.assert_array_equal(locate(xy, [c.tumor]) == 0, truth)


def make_area(polygons: list[Polygon]) -> float:
    """Area that the outlines wind around, by another route: noded lines, faces kept by their winding."""
    lines = shapely.union_all([r for p in polygons for r in (p.exterior, *p.interiors)])
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    if len(faces) == 0:
        return 0.0
    inside = drawn_inside(polygons, shapely.get_coordinates(shapely.point_on_surface(faces)))
    return float(shapely.area(faces)[inside].sum())


def test_repaired_area_is_the_area_wound_around() -> None:
    rng = np.random.default_rng(77)
    for _ in range(200):
        with np.errstate(invalid="ignore"):
            drawn = hostile(rng)
        if all(np.isfinite(shapely.get_coordinates(p)).all() for p in drawn) and make_area(drawn) > 0:
            got = make_valid_polygon(MultiPolygon(drawn))[0].area
            assert got == pytest.approx(make_area(drawn), rel=1e-6, abs=1e-2)


def test_a_hundred_thousand_vertices() -> None:
    angle = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    radius = 2000 + 100 * np.sin(40 * angle) + np.random.default_rng(0).normal(0, 0.05, angle.size)
    outline = np.c_[3000 + radius * np.cos(angle), 3000 + radius * np.sin(angle)]
    c = build_compartments(
        tissue=MultiPolygon([box(0, 0, 6000, 6000)]),
        tumor=MultiPolygon([Polygon(outline)]),
        image_box=None,
        inner_um=500,
        outer_um=500,
        edge_tolerance_um=30,
    )
    x, y = outline.T
    shoelace = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert c.tumor.area == pytest.approx(shoelace, rel=1e-6)
    assert c.closure_error < 1e-9
    assert set(c.regions) == set(COMPARTMENTS)


def test_covered_area_is_exact_in_every_square() -> None:
    rng = np.random.default_rng(3)
    shape = shapely.union_all([Point(*rng.uniform(0, 100, 2)).buffer(rng.uniform(5, 30)) for _ in range(10)])
    region = MultiPolygon(shapely.get_parts(shape.difference(Point(50, 50).buffer(12))).tolist())
    grid = Grid(x0_um=12.0, y0_um=-5.0, pitch_um=7.3, n_rows=15, n_cols=9)  # cuts the region on the left and right
    got = covered_area(region, grid)
    rows, cols = np.mgrid[: grid.n_rows, : grid.n_cols]
    x, y = grid.x0_um + cols * grid.pitch_um, grid.y0_um + rows * grid.pitch_um
    squares = shapely.box(x, y, x + grid.pitch_um, y + grid.pitch_um)
    np.testing.assert_allclose(got, shapely.area(shapely.intersection(squares, region)), atol=1e-9)
    whole = covered_area(region, grid_over(region, pitch_um=3.1, pad_um=5))
    assert whole.sum() == pytest.approx(region.area, rel=1e-12)
