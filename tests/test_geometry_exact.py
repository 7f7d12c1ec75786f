"""What the geometry computes, worked out by hand or by shapely: every field, and values at the limits themselves."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from shapely import affinity
from shapely.geometry import LineString, MultiLineString, MultiPolygon, Polygon, box

from spatial_til.geometry import density, tumor
from spatial_til.geometry.border import _zone, find_thin_rim, short_lines, type_border
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.coverage import Grid
from spatial_til.geometry.density import _blur, _share_between_squares, cell_density, kernel_share, value_at
from spatial_til.geometry.outlines import _along, outline_distance
from spatial_til.geometry.place import Measured, measure_points, place_cells
from spatial_til.geometry.polygons import boundary_lines, polygonal
from spatial_til.geometry.sectors import border_sectors, sample_depths
from spatial_til.geometry.tumor import FoundRegion, _reference, clean_region, find_nests, find_tumor, region_above
from spatial_til.model import COMPARTMENTS, EXCLUDED

NOTHING = MultiPolygon()
CODE = {name: code for code, name in enumerate(COMPARTMENTS)}


def region(*parts: shapely.Geometry) -> MultiPolygon:
    return polygonal(parts)


def compartments_of(tissue, tumor_region, **changes):
    options = {"image_box": None, "inner_um": 500.0, "outer_um": 500.0, "edge_tolerance_um": 0.0}
    return build_compartments(tissue=tissue, tumor=tumor_region, **(options | changes))


# --- border


def test_short_lines_are_the_steps_of_each_line_and_none_between_lines() -> None:
    lines = MultiLineString([[(0, 0), (1, 0), (1, 2)], [(5, 5), (6, 6)]])
    found = [list(line.coords) for line in short_lines(lines)]
    assert found == [[(0, 0), (1, 0)], [(1, 0), (1, 2)], [(5, 5), (6, 6)]]


def test_the_zone_of_an_edge_is_drawn_only_where_the_boundary_comes_near() -> None:
    edge = MultiLineString([[(0, 0), (10, 0), (100, 0)]])
    boundary = MultiLineString([[(2, 3), (4, 3)]])
    assert _zone(edge, boundary, 2.9).is_empty
    near = _zone(edge, boundary, 3.0)
    assert near.symmetric_difference(LineString([(0, 0), (10, 0)]).buffer(3, quad_segs=32)).area < 1e-6
    for pair in ((MultiLineString(), boundary), (edge, MultiLineString())):
        assert _zone(*pair, 3.0).geom_type == "MultiPolygon"
        assert _zone(*pair, 3.0).is_empty


def typed_lengths(**changes):
    """Type the outline of a square of 1 mm in the lower left of tissue of 2 mm, with an exclusion at its top."""
    options = {
        "tissue": region(box(0, 0, 2000, 2000)),
        "exclude": NOTHING,
        "no_margin": NOTHING,
        "image_box": None,
        "tissue_edge": "not_margin",
        "edge_tolerance_um": 0.0,
    }
    found = type_border(boundary_lines(region(box(0, 0, 1000, 1000))), **(options | changes))
    return {name: round(lines.length, 2) for name, lines in found.items() if lines.length > 0.1}


def test_each_stretch_of_outline_has_the_first_type_that_fits() -> None:
    assert typed_lengths() == {"tissue_edge": 2000, "stroma": 2000}
    assert typed_lengths(tissue_edge="margin") == {"stroma": 4000}
    frame = (0.0, 0.0, 2000.0, 1e5)
    assert typed_lengths(image_box=frame) == {"image_edge": 2000, "stroma": 2000}
    assert typed_lengths(image_box=frame, tissue_edge="margin") == {"stroma": 4000}
    necrosis = region(box(200, 900, 500, 1100))
    assert typed_lengths(exclude=necrosis) == {"tissue_edge": 2000, "exclusion": 300, "stroma": 1700}
    beside = region(box(200, 1000, 500, 1100))  # only its edge lies on the outline
    assert typed_lengths(exclude=beside) == {"tissue_edge": 2000, "exclusion": 300, "stroma": 1700}
    skin = region(box(100, 950, 300, 1050))
    assert typed_lengths(exclude=necrosis, no_margin=skin) == {
        "tissue_edge": 2000, "exclusion": 300, "no_margin": 100, "stroma": 1600,
    }  # fmt: skip
    assert typed_lengths(edge_tolerance_um=20.0) == {"tissue_edge": 2040, "stroma": 1960}
    assert typed_lengths(edge_tolerance_um=20.0, exclude=region(box(200, 1015, 500, 1100)))["exclusion"] == (
        pytest.approx(300 + 2 * np.sqrt(20**2 - 15**2), abs=0.05)
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("rims", "thin"), [((99.9, 100.1), "left and below"), ((100.1, 99.9), "right and above")])
def test_a_rim_is_thin_below_100_um_straight_outward_whichever_way_the_line_runs(turned, rims, thin) -> None:
    square = box(0, 0, 1000, 1000)
    tissue = region(box(-rims[0], -rims[0], 1000 + rims[1], 1000 + rims[1]))
    ring = square.exterior.reverse() if turned else square.exterior
    found = find_thin_rim(MultiLineString([ring]), region(square), tissue)
    corner = (0, 0) if thin == "left and below" else (1000, 1000)
    expected = LineString([(0, 1000), (0, 0), (1000, 0)]) if corner == (0, 0) else LineString(
        [(0, 1000), (1000, 1000), (1000, 0)]
    )  # fmt: skip
    assert found.length == pytest.approx(2000)
    assert found.hausdorff_distance(expected) == pytest.approx(0, abs=1e-9)
    assert find_thin_rim(MultiLineString(), region(square), tissue).is_empty


def test_a_thin_rim_is_found_in_any_direction() -> None:
    """A bar of tumour turned by 30 degrees: 99 µm of tissue along one side, 101 along the other."""
    bar, tissue = box(0, 0, 1000, 300), box(-500, -99, 1500, 401)
    turned = [affinity.rotate(shape, 30, origin=(0, 0)) for shape in (bar, tissue)]
    found = find_thin_rim(MultiLineString([turned[0].exterior]), region(turned[0]), region(turned[1]))
    back = affinity.rotate(found, -30, origin=(0, 0))
    assert back.bounds == pytest.approx((0, 0, 1000, 0), abs=1e-6)


def test_a_rim_is_found_to_ten_micrometres() -> None:
    """Tissue that ends 50 µm from the middle of a side, over a width of 45: the steps whose middles face it."""
    square, notch = box(0, 0, 1000, 1000), box(1050, 500, 1200, 545)
    tissue = region(box(-500, -500, 1500, 1500) - notch)
    found = find_thin_rim(MultiLineString([square.exterior]), region(square), tissue)
    assert found.bounds == (1000, 500, 1000, 550)


# --- outlines


def test_outlines_that_lie_side_by_side_are_measured_at_equal_steps_along_both() -> None:
    a, b = region(box(0, 0, 100, 60)), region(box(-10, -10, 110, 90), box(300, 0, 310, 7))
    found = outline_distance(a, b, step_um=7.0)
    each, weights, places = [], [], []
    for lines, other in ((boundary_lines(a), boundary_lines(b)), (boundary_lines(b), boundary_lines(a))):
        own = []
        for line in lines.geoms:
            n = int(np.ceil(line.length / 7))
            points = [line.interpolate((k + 0.5) * line.length / n) for k in range(n)]
            own += [point.distance(other) for point in points]
            weights += [line.length / n] * n
            places += [(point.x, point.y) for point in points]
        each.append(own)
    every = np.concatenate(each)
    assert found.mean_um == pytest.approx(np.average(every, weights=weights))
    assert found.hausdorff95_um == pytest.approx(max(np.percentile(own, 95) for own in each))
    assert found.farthest_um == pytest.approx(every.max())
    assert (found.x_um, found.y_um) == pytest.approx(places[int(every.argmax())])
    assert found.x_um > 300 > 7 > found.y_um
    assert outline_distance(a, NOTHING) is None
    assert outline_distance(NOTHING, a) is None


def test_an_outline_is_looked_at_every_five_micrometres() -> None:
    points, weights, stretches = _along(MultiLineString([[(0, 0), (10, 0), (10, 2)], [(0, 5), (1, 5)]]), 5.0)
    assert points.tolist() == [[2, 0], [6, 0], [10, 0], [0.5, 5]]
    assert weights.tolist() == [4, 4, 4, 1]
    assert stretches.tolist() == [[0, 0, 10, 0]] * 3 + [[0, 5, 1, 5]]
    wide, narrow = region(box(0, 0, 100, 100)), region(box(0, 0, 100, 90))
    assert outline_distance(wide, narrow) == outline_distance(wide, narrow, step_um=5.0)


# --- density


def test_a_cell_is_shared_between_the_four_nearest_centres() -> None:
    grid = Grid(10.0, 20.0, 2.0, 3, 4)
    found = _share_between_squares(np.array([[13.5, 23.0], [11.0, 21.0]]), grid)
    # 13.5 lies 0.25 squares beyond the centre of the second column, 23.0 on the centre of the second row
    assert found.tolist() == [[1, 0, 0, 0], [0, 0.75, 0.25, 0], [0, 0, 0, 0]]
    both = _share_between_squares(np.array([[14.0, 24.5]]), grid)
    assert both.tolist() == [[0, 0, 0, 0], [0, 0.125, 0.125, 0], [0, 0.375, 0.375, 0]]


def test_the_kernel_of_a_cell_is_a_gaussian_of_the_bandwidth_cut_off_at_four() -> None:
    tissue = region(box(0, 0, 1000, 900))
    grid = density.density_grid(tissue, bandwidth_um=30.0)
    assert grid == (-120.0, -120.0, 6.0, 191, 208)
    share = kernel_share(tissue, grid, bandwidth_um=30.0)
    xy = np.array([[431.0, 388.0]])
    found = cell_density(xy, share, grid, bandwidth_um=30.0)
    row, col = np.indices(found.shape)
    x, y = grid.x0_um + (col + 0.5) * 6, grid.y0_um + (row + 0.5) * 6
    total = found.sum() * 36
    assert total == pytest.approx(1, rel=1e-4)
    for axis, centre in ((x, 431.0), (y, 388.0)):
        assert (found * axis).sum() * 36 == pytest.approx(centre, abs=0.01)
        assert (found * (axis - centre) ** 2).sum() * 36 == pytest.approx(900, rel=2e-3)  # cut off at 4 bandwidths
    peak = value_at(xy, found, grid)
    assert peak.dtype == np.float64
    assert peak[0] == pytest.approx(1 / (2 * np.pi * 900), rel=0.01)
    assert found.dtype == share.dtype == np.float32


def test_what_the_kernel_sees_of_glass_is_made_up_for_and_far_from_tissue_there_is_nothing() -> None:
    tissue = region(box(0, 0, 600, 600))
    grid = density.density_grid(tissue, bandwidth_um=20.0)
    share = kernel_share(tissue, grid, bandwidth_um=20.0)
    at = np.array([[300.0, 300.0], [0.0, 300.0], [0.0, 0.0], [20.0, 300.0], [-70.0, 300.0]])
    assert value_at(at, share, grid)[:4] == pytest.approx([1, 0.5, 0.25, 0.8413], abs=2e-3)
    assert value_at(at, share, grid)[4] < 1e-3
    xy = np.stack(np.meshgrid(np.arange(2.5, 600, 5), np.arange(2.5, 600, 5)), axis=-1).reshape(-1, 2)
    found = cell_density(xy, share, grid, bandwidth_um=20.0)
    assert value_at(at, found, grid)[:4] == pytest.approx([0.04] * 4, rel=5e-3)
    assert value_at(at, found, grid)[4] == 0.0
    assert not found[share <= 1e-3].any()
    assert (found[share > 1.1e-3] > 0).all()


def test_beyond_the_outermost_centres_a_value_is_that_of_the_nearest() -> None:
    grid = Grid(100.0, 40.0, 10.0, 2, 2)
    values = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    at = np.array([(100.0, 40.0), (120.0, 40.0), (100.0, 60.0), (-5.0, 99.0), (110.0, 0.0)])
    assert value_at(at, values, grid).tolist() == [1.0, 2.0, 3.0, 3.0, 1.5]


def test_a_large_slide_has_as_coarse_a_grid_wherever_its_origin_is() -> None:
    grids = [density.density_grid(region(box(x, x, x + 2e5, x + 1e5)), bandwidth_um=20.0) for x in (0.0, 3e5)]
    assert grids[0].pitch_um == grids[1].pitch_um == pytest.approx(np.sqrt(200_160 * 100_160 / 1e8))


def test_a_spot_is_blurred_over_four_bandwidths_each_way() -> None:
    spot = np.zeros((61, 61))
    spot[30, 30] = 1
    out = _blur(spot, Grid(0, 0, 2.0, 61, 61), 6.3**2)
    row, col = np.nonzero(out)
    assert (row.min(), row.max(), col.min(), col.max()) == (17, 43, 17, 43)  # ceil(4 x 3.15) = 13 squares
    assert out.sum() == pytest.approx(1, rel=1e-6)


# --- tumour


@pytest.mark.parametrize(("seen", "found"), [(5 * (1 - 1e-9), False), (5 * (1 + 1e-9), True)])
def test_five_cells_in_the_kernel_are_enough_and_fewer_are_no_tumour(monkeypatch, seen, found) -> None:
    reference = seen / (4 * np.pi * 50.0**2)
    square = region(box(0, 0, 2000, 1000))
    monkeypatch.setattr(tumor, "dense_region", lambda *_, **__: (square, reference))
    result = find_tumor(np.zeros((1, 2)), square, bandwidth_um=50.0, min_area_mm2=0.1, max_hole_mm2=0.1)
    assert result.region.equals(square if found else NOTHING)
    assert (result.dropped_islands_mm2, result.filled_holes_mm2, result.area_change) == ((), (), 0.0)
    assert result.reference_per_mm2 == pytest.approx(reference * 1e6)


def test_the_reference_is_the_median_where_it_is_at_least_half_as_dense_and_on_tissue(monkeypatch) -> None:
    values = np.array([[8, 4, 3.9, 9], [10, 100, 4, 8]], np.float32)
    share = np.array([[0.5, 0.5, 0.5, 0.5], [1, 0.49, 1, 1]], np.float32)
    # 4, 4, 8, 8, 9, 10 are at least half of 8, without the 100 off the tissue; 4 is just half of it
    assert _reference(values, share, 8.0) == 8.0
    assert _reference(np.array([[1, 2, 3, 5]], np.float32), np.ones((1, 4), np.float32), 100.0) == 100.0
    half = np.array([[0.5, 0.5, 0.5, 1]], np.float32)
    assert _reference(np.array([[2, 2, 2, 8]], np.float32), half, 2.0) == 2.0  # half of the kernel is enough
    # from 20 down: 10 and more -> 12; 6 and more -> 9; 4.5 and more -> 6.5; 3.25 and more -> 5
    chain = np.array([[1, 2, 3, 4, 4, 5, 5, 5, 7, 9, 9, 12]], np.float32)
    rounds, level = [], 20.0
    for _ in range(4):
        level = float(np.median(chain[chain >= level / 2]))
        rounds.append(level)
    assert _reference(chain, np.ones_like(chain), 20.0) == rounds[-1]
    assert len(set(rounds)) == 4
    monkeypatch.setattr(tumor, "_MEDIAN_SQUARES", 4)
    coarse = np.arange(1.0, 17).reshape(4, 4).astype(np.float32)  # every second: 1, 3, 9, 11
    assert _reference(coarse, np.ones_like(coarse), 11.0) == 10.0
    assert _reference(coarse[:, :3], np.ones((4, 3), np.float32), 11.0) == 10.0  # 12 squares: still every second


def test_a_contour_runs_between_centres_of_squares_and_has_all_its_holes() -> None:
    values = np.zeros((40, 50), np.float32)
    values[5:35, 8:45] = 4.0
    values[10:14, 12:16] = values[20:26, 30:33] = values[28:30, 15:20] = 0.0
    found = region_above(values, Grid(100.0, -50.0, 2.0, 40, 50), 1.0)
    (part,) = found.geoms
    assert len(part.interiors) == 3
    # a quarter of the way up from the square outside: its centre is at 7.5 columns, so the border at 7.75
    assert found.bounds == pytest.approx((100 + 2 * 7.75, -50 + 2 * 4.75, 100 + 2 * 45.25, -50 + 2 * 35.25))
    holes = sorted(Polygon(ring).bounds for ring in part.interiors)
    assert holes[0] == pytest.approx((100 + 2 * 12.25, -50 + 2 * 10.25, 100 + 2 * 15.75, -50 + 2 * 13.75))
    assert holes[2] == pytest.approx((100 + 2 * 30.25, -50 + 2 * 20.25, 100 + 2 * 32.75, -50 + 2 * 25.75))
    sides = [(37.5, 30.5), (3.5, 3.5), (2.5, 5.5), (4.5, 1.5)]
    areas = [4 * (w * h - 0.125) for w, h in sides]  # corners are cut
    assert found.area == pytest.approx(areas[0] - sum(areas[1:]), rel=2e-3)


def test_cleaning_fills_small_holes_first_and_then_drops_small_islands() -> None:
    big = box(0, 0, 1000, 1000) - box(100, 100, 200, 200) - box(300, 300, 400, 500) - box(600, 600, 900, 900)
    ring = box(2000, 0, 2100, 100) - box(2010, 10, 2090, 90)  # 0.0036 mm² as it is, 0.01 filled
    found = clean_region(
        region(big, ring, box(3000, 0, 3050, 50), box(3200, 0, 3260, 50)), region(box(-10, -10, 5000, 5000)),
        min_area_mm2=0.0099, max_hole_mm2=0.05, reference_per_um2=2e-3,
    )  # fmt: skip
    assert found.region.equals(region(box(0, 0, 1000, 1000) - box(600, 600, 900, 900), box(2000, 0, 2100, 100)))
    assert found.filled_holes_mm2 == pytest.approx((0.02, 0.01, 0.0064))
    assert found.dropped_islands_mm2 == pytest.approx((0.003, 0.0025))
    before, after = 0.88 + 0.0036 + 0.0055, 0.91 + 0.01
    assert found.area_change == pytest.approx((after - before) / before)
    assert found.reference_per_mm2 == pytest.approx(2000)
    nothing = clean_region(NOTHING, region(box(0, 0, 9, 9)), min_area_mm2=0.1, max_hole_mm2=0.1)
    assert nothing == FoundRegion(NOTHING, (), (), 0.0, None)
    gone = clean_region(region(box(0, 0, 10, 10)), region(box(0, 0, 99, 99)), min_area_mm2=0.1, max_hole_mm2=0.1)
    assert gone == FoundRegion(NOTHING, (pytest.approx(1e-4),), (), 1.0, None)


def test_dense_cells_make_a_tumour_with_its_density_and_a_nest_in_it() -> None:
    tissue = region(box(0, 0, 1500, 1200))
    step = np.arange(5, 600, 10.0)
    xy = np.stack(np.meshgrid(300 + step, 400 + step), axis=-1).reshape(-1, 2)
    off_tissue = np.array([[-50.0, 600.0], [1600.0, 600.0]])
    found = find_tumor(np.vstack((xy, off_tissue)), tissue, bandwidth_um=50.0, min_area_mm2=0.05, max_hole_mm2=0.05)
    along = ndtr(np.arange(-250, 850, 2.0) / 50) - ndtr((np.arange(-250, 850, 2.0) - 600) / 50)
    blurred = np.outer(along, along)  # of a square of 600 µm; its median where it is at least half of that
    reference = brentq(lambda level: np.median(blurred[blurred >= level / 2]) - level, 0.5, 1)
    assert found.reference_per_mm2 == pytest.approx(10_000 * reference, rel=0.005)
    out = -50 * ndtri(reference / 2)  # where a straight edge, blurred, is half of that
    assert found.region.bounds == pytest.approx((300 - out, 400 - out, 900 + out, 1000 + out), abs=0.3)
    assert found.area_change < 1e-6
    nests = find_nests(xy, tissue, bandwidth_um=20.0)
    assert nests.bounds == pytest.approx((300, 400, 900, 1000), abs=1.0)
    assert find_nests(xy[:0], tissue, bandwidth_um=20.0).is_empty


# --- places


def test_every_kind_of_place_has_its_code_and_its_distance() -> None:
    tissue = region(box(0, 0, 4000, 2000), box(6000, 0, 7000, 1000), box(8000, 0, 9000, 1000))
    tumors = region(box(0, 0, 2000, 2000) - box(900, 900, 1100, 1100), box(8000, 0, 9000, 1000))
    divided = compartments_of(tissue, tumors, exclude=region(box(3500, 0, 4000, 2000)), outer_um=400.0)
    at = {
        (1000, 500): ("core", -1000), (1499.5, 500): ("core", -500.5), (1500, 500): ("inner_margin", -500),
        (2000, 500): ("inner_margin", 0), (2000.5, 500): ("outer_margin", 0.5), (2400, 500): ("outer_margin", 400),
        (2400.5, 500): ("outside", 400.5), (1000, 1000): ("outside", None), (6500, 500): ("outside", None),
        (8500, 500): ("tumor_unresolved", None), (3700, 500): (None, None), (5000, 500): (None, None),
    }  # fmt: skip
    found = place_cells(np.array(list(at), dtype=float), divided)
    assert found.compartment.dtype == np.int8
    for (name, distance), code, um in zip(at.values(), found.compartment, found.border_distance_um, strict=True):
        assert code == (EXCLUDED if name is None else CODE[name])
        assert np.isnan(um) if distance is None else um == pytest.approx(distance)
    measured = measure_points(np.array(list(at), dtype=float), divided)
    assert measured.on_tissue.tolist() == [name is not None for name, _ in at.values()]
    assert measured.in_tumor.tolist() == [True] * 4 + [False] * 5 + [True] + [False] * 2
    assert np.isnan(measured.position_um).tolist() == np.isnan(measured.distance_um).tolist()
    assert not np.signbit(measured.distance_um[3])  # 0 on the outline, and no minus before it


def test_positions_run_on_from_one_piece_to_the_next() -> None:
    tissue = region(box(0, 0, 2000, 1000), box(5000, 0, 7000, 3000))
    tumors = region(box(0, 0, 1000, 1000), box(5000, 0, 6000, 3000))
    divided = compartments_of(tissue, tumors)
    xy = np.array([(1100.0, 1.0), (1100, 999), (6100, 1), (6100, 2999), (900, 500)])
    found: Measured = measure_points(xy, divided)
    assert divided.border.evaluable.length == pytest.approx(4000, abs=0.01)
    first, second = sorted(found.position_um[:2]), sorted(found.position_um[2:4])
    assert first == pytest.approx([1, 999], abs=0.01)
    assert second == pytest.approx([1001, 3999], abs=0.01)
    assert found.distance_um.tolist() == pytest.approx([100, 100, 100, 100, -100])
    assert border_sectors(xy, divided, arc_um=1000.0).tolist()[4] == 0
    assert sorted(border_sectors(xy, divided, arc_um=1000.0)[2:4]) == [1, 3]


def test_sampled_depths_are_spread_like_the_area() -> None:
    """A border on one side of a tumour of 1 x 2 mm: depth is even from 0 to 1 mm."""
    divided = compartments_of(region(box(0, 0, 3000, 2000)), region(box(0, 0, 1000, 2000)))
    found = sample_depths(divided, arc_um=500.0, n_samples=20_000)
    assert found.area_mm2 == pytest.approx(2 / 20_000)
    assert len(found.depth_um) * found.area_mm2 == pytest.approx(2, rel=1e-3)
    assert np.quantile(found.depth_um, [0.1, 0.5, 0.9]) == pytest.approx([100, 500, 900], abs=3)
    assert np.bincount(found.sector) * found.area_mm2 == pytest.approx([0.5] * 4, rel=5e-3)
    assert found.depth_um.min() >= 0
    nothing = sample_depths(compartments_of(region(box(0, 0, 9, 9)), region(box(0, 0, 9, 9))), arc_um=5, n_samples=9)
    assert (len(nothing.depth_um), len(nothing.sector), nothing.area_mm2) == (0, 0, 0.0)
