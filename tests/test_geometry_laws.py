"""Laws that hold for any tissue and tumour, tried on random ones with holes, slivers and repeats."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from spatial_til.geometry.bands import band_areas, band_of
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.place import place_cells
from spatial_til.model import COMPARTMENTS, Compartments

LAWS = settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
#: A chord of a buffer's arc (32 a quarter) lies this share of the width inside the arc.
SAGITTA = 1 - np.cos(np.pi / 128)

Scene = dict[str, MultiPolygon]


def regions(geometry: shapely.Geometry) -> MultiPolygon:
    return MultiPolygon([part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and part.area > 0])


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Return tissue, tumour, exclusion and no-margin regions of about 3 mm, drawn with faults."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(5, 60))

    def blob(x: float, y: float, r: float, count: int) -> Polygon:
        angle = np.sort(rng.uniform(0, 2 * np.pi, count))
        radius = r * rng.uniform(0.5, 1.3, count)
        points = np.c_[x + radius * np.cos(angle), y + radius * np.sin(angle)]
        return Polygon(np.repeat(points, rng.integers(1, 3, count), axis=0))

    tissue = shapely.union_all([blob(1500, 1400, 1700, 40).buffer(0), box(3300, 0, 4000, 900)])
    tumor = shapely.union_all(
        [blob(1300, 1300, rng.uniform(300, 1200), n).buffer(0), blob(3500, 400, 200, 12).buffer(0)]
    )
    tumor = tumor.difference(Point(1250, 1250).buffer(draw(st.sampled_from([0, 40, 200]))))
    sliver = Polygon([(0, 1000), (3000, 1001), (3000, 1001.01), (0, 1000.5)])
    if draw(st.booleans()):
        tumor = tumor.union(sliver)
    return {
        "tissue": regions(tissue),
        "tumor": regions(tumor),
        "exclude": regions(Point(*rng.uniform(500, 2500, 2)).buffer(draw(st.sampled_from([0, 150])))),
        "no_margin": regions(box(0, 0, draw(st.sampled_from([0, 700])), 3000)),
    }


def divide(scene: Scene, *, scale: float = 1.0, **options: float | str) -> Compartments:
    widths = {"inner_um": 150.0, "outer_um": 220.0, "edge_tolerance_um": 30.0, **options}
    scaled = {k: v * scale if isinstance(v, float) else v for k, v in widths.items()}
    return build_compartments(**scene, image_box=None, **scaled)


def mapped(scene: Scene, change: Callable[[np.ndarray], np.ndarray]) -> Scene:
    return {name: regions(shapely.transform(region, change)) for name, region in scene.items()}


def slack(c: Compartments, width: float) -> float:
    """Area by which two polygonised bands of one width may differ: a sagitta along every outline."""
    return 2 * SAGITTA * width * sum(region.length for region in c.regions.values()) + 1e-3


def assert_same(a: Compartments, b: Compartments, *, scale: float = 1.0) -> None:
    for name in COMPARTMENTS:
        assert b.regions[name].area == pytest.approx(a.regions[name].area * scale**2, abs=slack(b, 220 * scale))
    for name, line in a.border.by_type.items():
        # where outline and edge run at nearly the tolerance apart, its own chords decide
        assert b.border.by_type[name].length == pytest.approx(line.length * scale, rel=2e-3, abs=0.5 * scale)
    assert a.flags == b.flags


@given(scenes(), st.sampled_from(["ignore", "border"]))
@LAWS
def test_areas_close_and_compartments_are_disjoint(scene: Scene, holes: str) -> None:
    c = divide(scene, holes=holes)
    assert c.closure_error < 1e-9
    parts = [*c.regions.values(), c.excluded]
    assert shapely.union_all(parts).area == pytest.approx(c.tissue.area, rel=1e-9)
    tumor = sum(c.regions[name].area for name in ("core", "inner_margin", "tumor_unresolved"))
    assert tumor == pytest.approx(c.tumor.area, rel=1e-9)
    outline = sum(line.length for line in c.border.by_type.values())
    whole = regions(shapely.intersection(scene["tumor"], c.tissue))
    rings = shapely.get_rings(shapely.get_parts(whole))
    assert outline <= shapely.length(rings).sum() * (1 + 1e-9)


@given(scenes())
@LAWS
def test_every_cell_agrees_with_its_distance(scene: Scene) -> None:
    c = divide(scene)
    xy = np.random.default_rng(0).uniform(-300, 4100, (3000, 2))
    placed = place_cells(xy, c)
    d, names = placed.border_distance_um, np.array([*COMPARTMENTS, "excluded"])[placed.compartment]
    tumor = np.isin(names, ["core", "inner_margin", "tumor_unresolved"])
    np.testing.assert_array_equal((d <= 0), tumor & ~np.isnan(d))
    np.testing.assert_array_equal(d < -150, names == "core")
    np.testing.assert_array_equal((d > 0) & (d <= 220), names == "outer_margin")
    np.testing.assert_array_equal(names == "tumor_unresolved", tumor & np.isnan(d))
    for name, region in c.regions.items():
        differ = (names == name) != shapely.intersects_xy(region, *xy.T)
        width = np.where(d < 0, 150, 220)[differ]
        assert (np.abs(np.abs(d[differ]) - width) <= width * SAGITTA + 1e-6).all()


def rotated(xy: np.ndarray) -> np.ndarray:
    return xy @ np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])


@given(scenes(), st.sampled_from(["translate", "rotate", "flip x", "transpose"]))
@LAWS
def test_moving_the_slide_changes_nothing(scene: Scene, move: str) -> None:
    moves: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "translate": lambda xy: xy + np.array([12_345.6, -789.1]),
        "rotate": rotated,
        "flip x": lambda xy: xy * (-1, 1),
        "transpose": lambda xy: xy[:, ::-1],
    }
    change = moves[move]
    before, after = divide(scene), divide(mapped(scene, change))
    assert_same(before, after)
    xy = np.random.default_rng(0).uniform(0, 4000, (500, 2))
    a, b = place_cells(xy, before), place_cells(change(xy), after)
    # where the border begins and ends, chords of the tolerance may move it by their sagitta
    both = ~np.isnan(a.border_distance_um) & ~np.isnan(b.border_distance_um)
    assert both.sum() >= 0.995 * (~np.isnan(a.border_distance_um)).sum()
    moved = np.abs(a.border_distance_um - b.border_distance_um)[both]
    assert (moved < 1.0).mean() >= 0.995


@given(scenes(), st.sampled_from([0.25, 3.0]))
@LAWS
def test_scaling_lengths_by_k_scales_areas_by_its_square(scene: Scene, k: float) -> None:
    before, after = divide(scene), divide(mapped(scene, lambda xy: xy * k), scale=k)
    for name in COMPARTMENTS:
        assert after.regions[name].area == pytest.approx(k**2 * before.regions[name].area, rel=1e-9, abs=1e-3)


@given(scenes())
@LAWS
def test_wider_margins_hold_narrower_ones(scene: Scene) -> None:
    found = [divide(scene, inner_um=w, outer_um=w) for w in (20.0, 80.0, 300.0)]
    for narrow, wide in pairwise(found):
        for name in ("inner_margin", "outer_margin"):
            left_over = shapely.difference(narrow.regions[name], wide.regions[name], grid_size=1e-8).area
            assert left_over <= slack(narrow, 80)
        assert narrow.regions["core"].area >= wide.regions["core"].area - 1e-6
        assert narrow.tumor.equals(wide.tumor)


@given(scenes())
@LAWS
def test_bands_join_to_the_wide_band_and_to_the_margins(scene: Scene) -> None:
    c = divide(scene)
    fine = band_areas(c, edges_um=[-150, -100, -50, 0, 40, 110, 220])
    assert (fine >= 0).all()
    assert fine[:3].sum() == pytest.approx(c.regions["inner_margin"].area / 1e6, abs=1e-12)
    assert fine[3:].sum() == pytest.approx(c.regions["outer_margin"].area / 1e6, abs=1e-9)
    whole = band_areas(c, edges_um=[-1e5, 0, 1e5])
    resolved = c.tumor.area - c.regions["tumor_unresolved"].area
    assert whole[0] == pytest.approx(resolved / 1e6, rel=1e-9, abs=1e-12)


@given(scenes(), st.integers(0, 2**16))
@LAWS
def test_where_a_ring_starts_and_which_way_it_runs_do_not_matter(scene: Scene, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def redrawn(ring: shapely.LinearRing) -> np.ndarray:
        points = np.roll(np.array(ring.coords)[:-1], rng.integers(100), axis=0)
        return points[::-1] if rng.random() < 0.5 else points

    def again(region: MultiPolygon) -> MultiPolygon:
        parts = [Polygon(redrawn(p.exterior), [redrawn(h) for h in p.interiors]) for p in region.geoms]
        return MultiPolygon([parts[i] for i in rng.permutation(len(parts))])

    assert_same(divide(scene), divide({name: again(region) for name, region in scene.items()}))


@given(st.lists(st.floats(-400, 400), min_size=1, max_size=30))
@LAWS
def test_band_of_agrees_with_margins_at_their_edges(distances: list[float]) -> None:
    d = np.array([*distances, -150.0, 0.0, 220.0, np.nan])
    band = band_of(d, [-150.0, 0.0, 220.0])
    np.testing.assert_array_equal(band == 0, (d >= -150) & (d <= 0))
    np.testing.assert_array_equal(band == 1, (d > 0) & (d <= 220))
    assert band[-1] == -1
