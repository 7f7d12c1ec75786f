"""Closed forms of tumour core and invasive margin, and the border they rest on."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, box

from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.place import place_cells
from spatial_til.model import COMPARTMENTS, Compartments

W = 500.0
#: A chord of a buffer's arc (32 a quarter) lies this share of the width inside the arc.
SAGITTA = 1 - np.cos(np.pi / 128)
FIELD = box(0, 0, 6000, 6000)


def disk(x: float, y: float, r: float) -> shapely.Polygon:
    """Return a disk whose own polygon is 2.6e-6 smaller than the disk."""
    return Point(x, y).buffer(r, quad_segs=400)


def divide(tissue: object, tumor: object, **options: object) -> Compartments:
    def regions(value: object) -> object:
        parts = value if isinstance(value, list) else [value]
        return None if value is None else MultiPolygon(parts)

    given = {"inner_um": W, "outer_um": W, "edge_tolerance_um": 30.0, "image_box": None, **options}
    given = {key: regions(v) if key in ("exclude", "no_margin") else v for key, v in given.items()}
    return build_compartments(tissue=regions(tissue), tumor=regions(tumor), **given)


def areas(c: Compartments) -> dict[str, float]:
    return {name: region.area / 1e6 for name, region in c.regions.items()}


def lengths(c: Compartments) -> dict[str, float]:
    return {name: round(line.length, 6) for name, line in c.border.by_type.items()}


def expect(c: Compartments, *, rel: float, **mm2: float) -> None:
    got = areas(c)
    assert {name: got[name] for name in mm2} == pytest.approx(mm2, rel=rel, abs=1e-12)
    assert c.closure_error < 1e-9
    parts = [*c.regions.values(), c.excluded]
    assert shapely.union_all(parts).area == pytest.approx(sum(part.area for part in parts), rel=1e-9)


def test_square_has_square_core_and_rounded_outer_margin() -> None:
    c = divide(FIELD, box(1500, 2100, 3500, 4100))
    expect(c, rel=1e-9, core=1.0, inner_margin=3.0)
    # only the round corners, pi w^2 of it, are polygons of 32 segments a quarter
    exact = 4.0 + np.pi / 4
    short = exact - areas(c)["outer_margin"]
    assert 0 < short < 4.02e-4 * np.pi / 4
    assert c.flags == ()


def test_slide_s0_disk_off_centre() -> None:
    c = divide(FIELD, disk(3000, 2600, 1500), image_box=(0, 0, 6000, 6000))
    expect(c, rel=3e-5, core=np.pi, inner_margin=1.25 * np.pi, outer_margin=1.75 * np.pi, tumor_unresolved=0)
    expect(c, rel=3e-5, outside=36 - 4 * np.pi)
    assert c.border.evaluable.length == pytest.approx(3000 * np.pi, rel=3e-6)
    assert c.flags == ()


def test_disk_no_wider_than_the_margin_has_no_core() -> None:
    c = divide(FIELD, disk(3000, 3000, 480))
    expect(c, rel=3e-5, core=0, inner_margin=np.pi * 0.48**2)


@pytest.mark.parametrize(
    ("holes", "core", "inner", "outer", "flags"),
    [
        ("ignore", 1.0**2 - 0.3**2, 1.25, 1.75, ("tumor_holes",)),
        ("border", 1.0**2 - 0.8**2, 1.25 + 0.8**2 - 0.3**2, 1.75 + 0.3**2, ()),
    ],
)
def test_annulus_both_ways(holes: str, core: float, inner: float, outer: float, flags: tuple[str, ...]) -> None:
    ring = disk(3000, 2600, 1500).difference(disk(3000, 2600, 300))
    c = divide(FIELD, ring, holes=holes)
    expect(c, rel=2e-4, core=np.pi * core, inner_margin=np.pi * inner, outer_margin=np.pi * outer)
    assert c.hole_area_mm2 == pytest.approx(np.pi * 0.09 if holes == "ignore" else 0, rel=1e-5)
    assert c.flags == flags


def test_hole_in_the_margin_is_outside_without_distance_and_no_border() -> None:
    tumor = disk(3000, 3000, 1500).difference(disk(4250, 3000, 100))
    c = divide(FIELD, tumor)
    expect(c, rel=3e-5, core=np.pi, inner_margin=np.pi * (1.25 - 0.01), outer_margin=1.75 * np.pi)
    assert lengths(c)["stroma"] == pytest.approx(3000 * np.pi, rel=3e-6)
    placed = place_cells(np.array([[4250.0, 3000.0], [4140.0, 3000.0]]), c)
    assert [COMPARTMENTS[code] for code in placed.compartment] == ["outside", "inner_margin"]
    assert np.isnan(placed.border_distance_um[0])
    assert placed.border_distance_um[1] == pytest.approx(-360, abs=0.02)


def test_a_hole_in_one_of_two_pieces_is_told() -> None:
    tissue = [FIELD, box(7000, 0, 13000, 6000)]
    whole, holed = disk(3000, 3000, 1500), disk(10_000, 3000, 1500).difference(disk(10_000, 3000, 300))
    assert divide(tissue, [whole, holed]).flags == ("tumor_holes",)
    assert divide(tissue, whole).flags == ()


def test_island_in_an_ignored_hole_adds_no_border() -> None:
    ring = disk(3000, 3000, 1500).difference(disk(3000, 3000, 600))
    alone = divide(FIELD, ring)
    c = divide(FIELD, [ring, disk(3000, 3000, 200)])
    assert c.border.evaluable.length == pytest.approx(alone.border.evaluable.length)
    expect(c, rel=3e-5, core=np.pi * (1.0 - 0.36 + 0.04), inner_margin=1.25 * np.pi)
    assert c.hole_area_mm2 == pytest.approx(np.pi * (0.36 - 0.04), rel=1e-5)


def test_cut_rectangle_core_is_three_not_one() -> None:
    cut = {"tissue": box(0, 0, 4000, 2000), "tumor": box(0, 0, 2000, 2000)}
    c = divide(**cut, image_box=(0, 0, 4000, 2000))
    expect(c, rel=2e-4, core=3.0, inner_margin=1.0, outer_margin=1.0, outside=3.0)
    assert lengths(c) == {"image_edge": 6060, "tissue_edge": 0, "exclusion": 0, "no_margin": 0, "stroma": 1940}
    assert lengths(divide(**cut))["tissue_edge"] == 6060
    # core within 500 µm of a cut edge: all but 1 mm x 1 mm
    assert c.core_censored_fraction == pytest.approx(2 / 3, abs=2e-4)
    assert c.flags == ("core_censored",)
    naive = divide(**cut, tissue_edge="margin")
    expect(naive, rel=1e-9, core=1.0, inner_margin=3.0, outer_margin=1.0)
    assert lengths(naive)["stroma"] == 8000


def test_half_disk_on_the_cut_has_half_of_everything() -> None:
    c = divide(box(0, 0, 6000, 2600), disk(3000, 2600, 1500))
    expect(c, rel=2e-4, core=np.pi / 2, inner_margin=0.625 * np.pi, outer_margin=0.875 * np.pi)
    # 30 µm of arc at each end lie within the tolerance of the cut
    assert lengths(c)["stroma"] == pytest.approx(1500 * (np.pi - 2 * np.arcsin(30 / 1500)), rel=1e-5)
    assert lengths(c)["tissue_edge"] == pytest.approx(3000 + 2 * 1500 * np.arcsin(30 / 1500), rel=1e-5)


@pytest.mark.parametrize("gap", [200.0, 600.0, 1200.0])
def test_two_disks_share_their_outer_margin_once(gap: float) -> None:
    r, wide = 800.0, 800.0 + W
    apart = 2 * r + gap
    half = apart / 2
    lens = 2 * wide**2 * np.arccos(half / wide) - apart * np.sqrt(wide**2 - half**2) if half < wide else 0.0
    c = divide(FIELD, [disk(1500, 2000, r), disk(1500 + apart, 2000, r)])
    outer = (2 * np.pi * (wide**2 - r**2) - lens) / 1e6
    expect(c, rel=1e-4, core=2 * np.pi * 0.09, inner_margin=2 * np.pi * 0.55, outer_margin=outer)


def test_no_interface_no_margin() -> None:
    c = divide(box(0, 0, 1000, 1000), box(-50, -50, 2000, 2000))
    expect(c, rel=1e-9, tumor_unresolved=1.0, core=0, inner_margin=0, outer_margin=0, outside=0)
    assert c.flags == ("no_border",)
    placed = place_cells(np.array([[500.0, 500.0], [2000.0, 0.0]]), c)
    assert COMPARTMENTS[placed.compartment[0]] == "tumor_unresolved"
    assert np.isnan(placed.border_distance_um).all()
    assert placed.compartment[1] == -1


def test_bands_do_not_jump_to_a_second_piece_of_tissue() -> None:
    # the second piece begins 100 µm from the border of the first
    first, second = box(0, 0, 3000, 2000), box(3100, 0, 4100, 2000)
    tumor = box(0, 0, 2500, 2000)
    c = divide([first, second], tumor)
    expect(c, rel=2e-4, outer_margin=1.0, core=4.0, inner_margin=1.0, outside=2.0)
    assert c.flags == ("core_censored",)
    placed = place_cells(np.array([[2990.0, 1000.0], [3110.0, 1000.0]]), c)
    assert [COMPARTMENTS[code] for code in placed.compartment] == ["outer_margin", "outside"]
    assert placed.border_distance_um[0] == pytest.approx(490)
    assert np.isnan(placed.border_distance_um[1])


def test_piece_full_of_tumor_is_unresolved() -> None:
    first, second = box(0, 0, 4000, 2000), box(4100, 0, 5100, 2000)
    c = divide([first, second], [box(0, 0, 2000, 2000), box(4100, 0, 5100, 2000)])
    expect(c, rel=2e-4, core=3.0, inner_margin=1.0, outer_margin=1.0, tumor_unresolved=2.0, outside=3.0)
    assert c.flags == ("piece_without_border", "core_censored")


def test_tissue_apart_inside_a_ring_of_tumor_keeps_its_own_border() -> None:
    ring = disk(3000, 3000, 2000).difference(disk(3000, 3000, 1400))
    inner_piece = disk(3000, 3000, 1300)
    c = divide([FIELD.difference(disk(3000, 3000, 1400)), inner_piece], [ring, disk(3000, 3000, 700)])
    assert len(c.pieces) == 2
    stroma = 2 * np.pi * (2000 + 700)  # the inner edge of the ring faces glass, and is no outline once filled
    assert lengths(c)["stroma"] == pytest.approx(stroma, rel=1e-5)
    expect(c, rel=1e-4, inner_margin=np.pi * (4 - 1.5**2 + 0.7**2 - 0.2**2), core=np.pi * (1.5**2 - 1.4**2 + 0.04))


def test_exclusion_is_no_tissue_and_its_edge_no_border() -> None:
    tumor, necrosis = box(1000, 1000, 4000, 4000), box(2000, 2000, 3000, 3000)
    c = divide(FIELD, tumor, exclude=necrosis)
    expect(c, rel=1e-9, core=4.0 - 1.0, inner_margin=5.0)
    assert c.excluded.area / 1e6 == pytest.approx(1.0)
    assert lengths(c)["exclusion"] == 0
    across = divide(FIELD, tumor, exclude=box(3500, 1500, 4500, 3500))
    # 2 mm of the right side lie inside it, and 30 µm on either side are too near to tell
    assert lengths(across)["exclusion"] == pytest.approx(2060)
    assert lengths(across)["stroma"] == pytest.approx(12000 - 2060)
    placed = place_cells(np.array([[4000.0, 2500.0], [3400.0, 2500.0]]), across)
    assert placed.compartment[0] == -1
    # the nearest border is where the outline leaves the exclusion, not the exclusion's edge
    assert placed.border_distance_um[1] == pytest.approx(-np.hypot(600, 1030))


def test_border_in_a_no_margin_region_is_not_evaluable() -> None:
    c = divide(FIELD, box(1000, 1000, 4000, 4000), no_margin=box(0, 0, 6000, 1100))
    assert lengths(c) == {"image_edge": 0, "tissue_edge": 0, "exclusion": 0, "no_margin": 3200, "stroma": 8800}
    # above y = 1100 the nearest border is the end of a side: the core gains 2 (100 µm)³ / (6 · 500 µm)
    # and up to a sagitta more along those 2 · 100 µm
    gain = areas(c)["core"] - 2.0 * 2.5 - 2 * (100**3 / (6 * W) + 100**5 / (40 * W**3)) / 1e6
    assert -1e-9 < gain < 200 * W * SAGITTA / 1e6
    placed = place_cells(np.array([[2500.0, 1001.0], [2500.0, 999.0]]), c)
    assert placed.border_distance_um == pytest.approx([-np.hypot(1500, 99), np.hypot(1500, 101)])


def test_first_match_types_a_stretch() -> None:
    # the top edge lies on the frame, in a No margin region and in an exclusion's reach at once
    c = divide(
        box(0, 0, 4000, 3000),
        box(1000, 0, 3000, 1500),
        image_box=(0, 0, 4000, 3000),
        no_margin=box(0, 0, 4000, 200),
        exclude=box(1500, -10, 2000, 100),
    )
    assert lengths(c) == {"image_edge": 2060, "tissue_edge": 0, "exclusion": 0, "no_margin": 340, "stroma": 4600}


def test_thin_rim_is_found_where_a_tumor_is_drawn_just_inside_a_cut() -> None:
    tissue = box(0, 0, 4000, 2000)
    c = divide(tissue, box(0, 40, 2000, 1960))
    # 40 µm of rim above and below look like border and take 1.6 mm² from the core
    assert areas(c)["core"] == pytest.approx(1.4, abs=0.02)
    assert "thin_rim" in c.flags
    # left of x = 30 the rim's border is typed as tissue edge; the ray from the last step decides
    assert c.border.thin_rim.length == pytest.approx(2 * 1970, abs=20)
    assert c.border.evaluable.covers(c.border.thin_rim.representative_point())


def test_border_that_meets_a_cut_at_right_angles_is_no_thin_rim() -> None:
    c = divide(box(0, 0, 4000, 2000), box(0, 0, 2000, 2000))
    assert c.border.thin_rim.is_empty
    narrow = divide(box(0, 0, 2090, 2000), box(0, 0, 2000, 2000))
    assert narrow.border.thin_rim.length == pytest.approx(1940)


def test_image_frame_cuts_tissue() -> None:
    c = divide(box(-1000, -1000, 9000, 9000), box(-500, 1000, 2000, 3000), image_box=(0, 0, 5000, 4000))
    assert c.tissue.area == pytest.approx(20e6)
    assert lengths(c)["image_edge"] == pytest.approx(2060)
    assert lengths(c)["stroma"] == pytest.approx(6000 - 60)


def test_slide_without_tumor_is_all_outside() -> None:
    for tumor in (None, box(9000, 9000, 9900, 9900)):
        c = divide(FIELD, tumor)
        expect(c, rel=1e-12, outside=36.0, core=0)
        assert c.flags == ("no_tumor_region",)
        assert np.isnan(place_cells(np.array([[10.0, 10.0]]), c).border_distance_um).all()


def test_zero_tolerance_still_knows_a_shared_edge() -> None:
    c = divide(box(0, 0, 4000, 2000), box(0, 0, 2000, 2000), edge_tolerance_um=0.0)
    assert lengths(c)["stroma"] == pytest.approx(2000, abs=0.01)
    expect(c, rel=1e-6, core=3.0, inner_margin=1.0)


def test_unequal_widths() -> None:
    c = divide(FIELD, disk(3000, 3000, 1500), inner_um=300.0, outer_um=100.0)
    expect(c, rel=3e-5, core=np.pi * 1.44, inner_margin=np.pi * (2.25 - 1.44), outer_margin=np.pi * (2.56 - 2.25))


def test_long_ragged_border_has_the_area_of_its_exact_band() -> None:
    """Areas against counts of a lattice placed by exact distances: chords cost at most the sagitta."""
    rng = np.random.default_rng(5)
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    radius = 1500 + 80 * np.sin(9 * angle) + rng.normal(0, 3, angle.size)
    tumor = MultiPolygon(
        [shapely.Polygon(np.c_[3000 + radius * np.cos(angle), 3000 + radius * np.sin(angle)]).buffer(0)]
    )
    c = build_compartments(
        tissue=MultiPolygon([FIELD]), tumor=tumor, image_box=None, inner_um=W, outer_um=W, edge_tolerance_um=30
    )
    xy = rng.uniform(0, 6000, (200_000, 2))
    placed = place_cells(xy, c)
    for code, name in enumerate(COMPARTMENTS[:4]):
        by_area = shapely.contains_xy(c.regions[name], *xy.T)
        differ = by_area != (placed.compartment == code)
        beyond = np.abs(np.abs(placed.border_distance_um[differ]) - W)
        assert (beyond <= W * SAGITTA + 1e-6).all()


def test_border_lines_add_up_to_the_outline() -> None:
    tumor = shapely.union_all(
        [disk(1000, 1000, 900), box(3000, 0, 4000, 6000), LineString([(0, 5000), (6000, 5000)]).buffer(40)]
    )
    c = divide(FIELD, list(tumor.geoms) if hasattr(tumor, "geoms") else tumor, no_margin=box(2000, 2000, 5000, 3000))
    outline = sum(shapely.Polygon(part.exterior).length for part in shapely.get_parts(c.tumor))
    assert sum(lengths(c).values()) == pytest.approx(outline, rel=1e-9)


def test_no_tissue_at_all() -> None:
    c = build_compartments(
        tissue=MultiPolygon(), tumor=MultiPolygon([FIELD]), image_box=None, inner_um=W, outer_um=W, edge_tolerance_um=30
    )
    assert sum(areas(c).values()) == 0
    assert c.closure_error == 0
    assert place_cells(np.array([[1.0, 1.0]]), c).compartment.tolist() == [-1]


def test_near_coincident_outlines_are_not_taken_inside_out() -> None:
    """Exclusions cut across hole edges: outlines that differ by rounding must not flip a part."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        tumor = disk(3000, 3000, 1500).difference(Point(3000, 3000).buffer(900, quad_segs=6))
        spots = [Point(3000 + 900 * np.cos(t), 3000 + 900 * np.sin(t)).buffer(90) for t in rng.uniform(0, 6.3, 6)]
        c = divide(FIELD, tumor, exclude=list(shapely.get_parts(shapely.union_all(spots))))
        gone = shapely.union_all(spots)
        hole = Point(3000, 3000).buffer(900, quad_segs=6).difference(gone).area
        assert c.hole_area_mm2 == pytest.approx(hole / 1e6, rel=1e-9)
        assert areas(c)["inner_margin"] == pytest.approx(1.25 * np.pi, rel=1e-3)
