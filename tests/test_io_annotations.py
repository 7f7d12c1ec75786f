"""Annotations of four programs: areas by hand, holes, classes, repairs and refusals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.errors import AnnotationError
from spatial_til.io.annotations import check_tumor_fits, read_annotations
from spatial_til.io.annotations.reading import _read
from spatial_til.units import PixelSize

DATA = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not there")
PX = PixelSize(0.5, 0.25)  # unlike in x and y, so that a swap shows
PX_AREA = 0.125
SHAPE = (1000, 2000)
SQUARE = [[100, 100], [300, 100], [300, 200], [100, 200], [100, 100]]  # 200 x 100 px
HOLE = [[150, 120], [170, 120], [170, 160], [150, 160], [150, 120]]  # 20 x 40 px


def feature(geometry, name="Tumor", **properties):
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {"objectType": "annotation", "classification": {"name": name, "colorRGB": -3670016}} | properties,
    }


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


def read_json(tmp_path, data, **options):
    (tmp_path / "a.geojson").write_text(json.dumps(data), "utf-8")
    defaults = {"pixel_size": PX, "image_shape": SHAPE}
    return read_annotations([tmp_path / "a.geojson"], **(defaults | options))


def read_text(tmp_path, text, image_shape=SHAPE):
    (tmp_path / "a.xml").write_text(text, "utf-8")
    return read_annotations([tmp_path / "a.xml"], pixel_size=PX, image_shape=image_shape)


# --- QuPath


@pytest.mark.parametrize(
    "wrap",
    [lambda f: f, lambda f: [f], lambda f: {"type": "FeatureCollection", "features": [f]}],
    ids=["Feature", "list", "FeatureCollection"],
)
def test_every_form_of_geojson_in_um_with_its_hole(tmp_path, wrap):
    found = read_json(tmp_path, wrap(feature(polygon(SQUARE, HOLE)))).tumor
    assert found.area == pytest.approx((200 * 100 - 20 * 40) * PX_AREA)
    assert found.bounds == (50.0, 25.0, 150.0, 50.0)
    assert len(found.geoms[0].interiors) == 1


@pytest.mark.parametrize(
    "classification",
    [
        {"name": "Tumor", "colorRGB": -1},
        {"name": "Tumor", "color": [1, 2, 3]},
        {"names": ["Tumor"], "color": [1, 2, 3]},
        "Tumor",
    ],
)
def test_classification_as_versions_write_it(tmp_path, classification):
    one = feature(polygon(SQUARE)) | {"properties": {"object_type": "annotation", "classification": classification}}
    assert read_json(tmp_path, one).tumor.area == pytest.approx(20_000 * PX_AREA)


@pytest.mark.parametrize(
    ("name", "field"),
    [("Tumor", "tumor"), ("TUMOUR", "tumor"), (" tumor ", "tumor"), ("Tissue", "tissue"), ("exclude", "exclude"),
     ("Necrosis", "exclude"), ("Artefact", "exclude"), ("ARTIFACT", "exclude"), ("Ignore*", "exclude"),
     ("Ignored ink", "exclude"), ("No margin", "no_margin"), ("no  MARGIN", "no_margin")],
)  # fmt: skip
def test_classes_by_the_contract_without_case(tmp_path, name, field):
    found = read_json(tmp_path, feature(polygon(SQUARE), name))
    assert getattr(found, field).area == pytest.approx(20_000 * PX_AREA)
    assert found.ignored_classes == ()
    assert [f for f in ("tumor", "tissue", "exclude", "no_margin") if getattr(found, f) is not None] == [field]


def test_other_classes_lines_and_points_are_listed(tmp_path):
    data = [
        feature(polygon(SQUARE), "Stroma"),
        feature(polygon(SQUARE), "Tumor: Positive"),
        feature({"type": "LineString", "coordinates": SQUARE}, "Tumor"),
        feature({"type": "Point", "coordinates": [3, 4]}, "Tumor"),
        {"type": "Feature", "geometry": polygon(SQUARE), "properties": {}},
    ]
    found = read_json(tmp_path, data)
    assert found.tumor is None
    assert found.ignored_classes == (
        "(no class)", "Stroma", "Tumor (LineString, no area)", "Tumor (Point, no area)", "Tumor: Positive",
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"properties": {"objectType": "cell", "classification": {"name": "Tumor"}}},
        {"properties": {"object_type": "detection", "classification": {"name": "Tumor"}}},
        {"properties": {"objectType": "tile", "classification": {"name": "Tumor"}}},
        {"id": "PathCellObject"},
        {"nucleusGeometry": polygon(HOLE)},
    ],
)
def test_cells_are_no_regions(tmp_path, change):
    found = read_json(tmp_path, [feature(polygon(SQUARE)) | change, feature(polygon(HOLE))])
    assert found.tumor.area == pytest.approx(800 * PX_AREA)


def test_regions_nested_in_a_hierarchy_are_found(tmp_path):
    root = {"type": "Feature", "geometry": None, "properties": {"objectType": "root"}}
    root["childObjects"] = [feature(polygon(SQUARE), "Tissue") | {"childObjects": [feature(polygon(HOLE))]}]
    found = read_json(tmp_path, root)
    assert (found.tissue.area, found.tumor.area) == pytest.approx((20_000 * PX_AREA, 800 * PX_AREA))


def test_multipolygon_collection_third_coordinate_and_open_ring(tmp_path):
    far = [[x + 400, y, 0] for x, y in SQUARE[:-1]]
    data = [
        feature({"type": "MultiPolygon", "coordinates": [[SQUARE], [far]]}),
        feature({"type": "GeometryCollection", "geometries": [polygon([[x, y + 300] for x, y in SQUARE])]}),
    ]
    found = read_json(tmp_path, data).tumor
    assert len(found.geoms) == 3
    assert found.area == pytest.approx(3 * 20_000 * PX_AREA)


def test_regions_of_one_class_are_joined_over_files_and_overlaps_count_once(tmp_path):
    for i, shift in enumerate((0, 100)):
        ring = [[x + shift, y] for x, y in SQUARE]
        (tmp_path / f"{i}.geojson").write_text(json.dumps(feature(polygon(ring))))
    found = read_annotations([tmp_path / "0.geojson", tmp_path / "1.geojson"], pixel_size=PX, image_shape=SHAPE)
    assert found.tumor.area == pytest.approx(300 * 100 * PX_AREA)


def test_ellipse_is_one_although_its_ring_is_coarse(tmp_path):
    angles = np.linspace(0, 2 * np.pi, 9)
    ring = (np.column_stack((200 + 100 * np.cos(angles), 300 + 50 * np.sin(angles)))).tolist()
    found = read_json(tmp_path, feature(polygon(ring) | {"isEllipse": True})).tumor
    assert found.area == pytest.approx(math.pi * 100 * 50 * PX_AREA, rel=5e-4)


# --- repairs


def test_a_small_crossing_is_repaired_and_told(tmp_path):
    ring = [[0, 0], [1000, 0], [1000, 900], [0, 900], [0, 10], [-1, 5], [0, 4], [-1, 8], [0, 0]]
    found = read_json(tmp_path, feature(polygon(ring)))
    assert found.tumor.is_valid
    assert found.tumor.area == pytest.approx(900_000 * PX_AREA, rel=0.01)
    assert len(found.repairs) == 1
    assert "region 1 (Tumor) was made valid; its area changed by" in found.repairs[0]


def test_a_bow_tie_would_change_too_much(tmp_path):
    with pytest.raises(AnnotationError, match=r"region 1 \(Tumor\).*crosses itself.*at most 1 %.*Draw it again"):
        read_json(tmp_path, feature(polygon([[0, 0], [500, 500], [500, 0], [0, 300], [0, 0]])))


@pytest.mark.parametrize(
    ("x", "reason"),
    [(1e9, r"region 1 \(Tumor\).*lies on no slide"), (float("nan"), "not a finite"), (float("inf"), "not a finite")],
)
def test_coordinates_of_no_slide_are_refused(tmp_path, x, reason):
    with pytest.raises(AnnotationError, match=reason):
        read_json(tmp_path, feature(polygon([[0, 0], [x, 0], [500, 400], [0, 0]])), image_shape=None)


# --- does it fit its slide


@pytest.mark.parametrize(("scale", "fits"), [(1, True), (4, True), (12, False), (40, False)])
def test_tumor_mostly_outside_the_image_is_the_wrong_slide_or_scale(tmp_path, scale, fits):
    ring = [[x * scale, y * scale] for x, y in SQUARE]
    if fits:
        assert read_json(tmp_path, feature(polygon(ring))).tumor.area > 0
    else:
        with pytest.raises(AnnotationError, match=r"tumor annotation must lie in the image.*another scale"):
            read_json(tmp_path, feature(polygon(ring)))


def test_tumor_without_tissue_is_refused():
    tumor, image = MultiPolygon([box(0, 0, 100, 100)]), box(0, 0, 1000, 1000)
    check_tumor_fits(tumor, MultiPolygon([box(0, 0, 100, 1.1)]), image)
    with pytest.raises(AnnotationError, match="must cover tissue"):
        check_tumor_fits(tumor, MultiPolygon([box(0, 0, 100, 0.9)]), image)
    with pytest.raises(AnnotationError, match="51 % of it is outside"):
        check_tumor_fits(MultiPolygon([box(-51, 0, 49, 100)]), tumor, image)


@pytest.mark.parametrize(("on_tissue", "said"), [(100, ""), (91, ""), (89, "11 % "), (30, "70 % ")])
def test_a_tumour_partly_off_the_tissue_is_told(on_tissue, said):
    tumor, image = MultiPolygon([box(0, 0, 100, 100)]), box(0, 0, 1000, 1000)
    notes = check_tumor_fits(tumor, MultiPolygon([box(0, 0, 100, on_tissue)]), image, PixelSize(1.0, 1.0))
    assert [note.partition("of the")[0] for note in notes] == [said] * bool(said)


def test_an_outline_in_um_is_told():
    """Read as pixels of 0.5 µm it is half as large, nearer to the corner, and lies in the image all the same."""
    tissue, image = MultiPolygon([box(200, 200, 900, 900)]), box(0, 0, 1000, 1000)
    in_um, in_pixels = box(300, 300, 700, 700), box(150, 150, 350, 350)
    assert check_tumor_fits(MultiPolygon([in_um]), tissue, image, PixelSize(0.5, 0.5)) == ()
    notes = check_tumor_fits(MultiPolygon([in_pixels]), tissue, image, PixelSize(0.5, 0.5))
    assert [("if its coordinates were µm" in note, "44 % of" in note) for note in notes] == [
        (False, True),
        (True, False),
    ]


# --- layers


def vertices(points, tag):
    return "<Vertices>" + "".join(f'<{tag} X="{x}" Y="{y}"/>' for x, y, *_ in points) + "</Vertices>"


def region(points, kind, negative=0, tag="Vertex"):
    return f'<Region Type="{kind}" NegativeROA="{negative}">{vertices(points, tag)}</Region>'


def layer(name, *regions, attributes=""):
    return f'<Annotation Name="{name}" LineColor="255">{attributes}<Regions>{"".join(regions)}</Regions></Annotation>'


def layers(*parts):
    return f'<Annotations MicronsPerPixel="0.5">{"".join(parts)}</Annotations>'


@pytest.mark.parametrize(
    ("polygon_type", "rectangle_type", "ellipse_type", "tag"),
    [("0", "1", "2", "Vertex"), ("Polygon", "Rectangle", "Ellipse", "V")],
)
def test_imagescope_and_halo_shapes(tmp_path, polygon_type, rectangle_type, ellipse_type, tag):
    corners = [(600, 100), (800, 200)]
    text = layers(
        layer("Tumor", region(SQUARE[:-1], polygon_type, tag=tag), region(HOLE, polygon_type, 1, tag)),
        layer("Exclude", region(corners, rectangle_type, tag=tag)),
        layer("Tissue", region(corners, ellipse_type, tag=tag)),
        layer("No margin", region(SQUARE[:2], "Ruler" if tag == "V" else "4", tag=tag)),
    )
    found = read_text(tmp_path, text)
    assert found.tumor.area == pytest.approx((20_000 - 800) * PX_AREA)
    assert found.exclude.equals(MultiPolygon([box(300, 25, 400, 50)]))
    assert found.tissue.area == pytest.approx(math.pi * 100 * 50 * PX_AREA, rel=5e-4)
    assert found.no_margin is None
    assert found.ignored_classes[0].startswith("No margin (region of type")


def test_negative_regions_cut_their_layer_only_and_leave_islands(tmp_path):
    big = [[0, 0], [1000, 0], [1000, 800], [0, 800]]
    hole = [[200, 200], [600, 200], [600, 600], [200, 600]]
    island = [[300, 300], [400, 300], [400, 400], [300, 400]]
    text = layers(
        layer("Tumor", region(big, 0), region(hole, 0, 1), region(island, 0)), layer("Tissue", region(big, 0))
    )
    found = read_text(tmp_path, text)
    assert found.tumor.area == pytest.approx((800_000 - 160_000 + 10_000) * PX_AREA)
    assert found.tissue.area == pytest.approx(800_000 * PX_AREA)


def test_imagescope_layer_named_by_its_description(tmp_path):
    named = '<Attributes><Attribute Name="Description" Id="0" Value="Tumor"/></Attributes>'
    assert read_text(tmp_path, layers(layer("", region(SQUARE, 0), attributes=named))).tumor is not None


def test_asap_groups_order_and_types(tmp_path):
    def annotation(kind, group, points):
        listed = [f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(points)]
        inside = f"<Coordinates>{''.join(reversed(listed))}</Coordinates>"
        return f'<Annotation Name="Annotation 0" Type="{kind}" PartOfGroup="{group}">{inside}</Annotation>'

    parts = [
        annotation("Polygon", "Tumor", SQUARE[:-1]),
        annotation("Dot", "Tumor", SQUARE[:1]),
        annotation("Rectangle", "Necrosis", HOLE[:-1]),
        annotation("Polygon", "None", HOLE[:-1]),
    ]
    text = f"<ASAP_Annotations><Annotations>{''.join(parts)}</Annotations></ASAP_Annotations>"
    found = read_text(tmp_path, text)
    assert found.tumor.area == pytest.approx(20_000 * PX_AREA)
    assert found.exclude.area == pytest.approx(800 * PX_AREA)
    assert found.ignored_classes == ("Annotation 0", "Tumor (Dot, no area)")


# --- refusals


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not valid JSON"),
        ('{"a": 1}', "not GeoJSON"),
        ('[{"type": "Feature", "geometry": {"type": "Polygon"}}]', "not GeoJSON"),
        ('[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": "x"}}]', "not GeoJSON"),
        ("[" * 100_000, "not valid JSON"),
        ("<Annotations><Annotation>", "not valid XML"),
        ("<svg></svg>", "neither ImageScope"),
        ('<Annotations><Annotation><Region Type="0"><V X="a" Y="1"/></Region></Annotation></Annotations>', "no number"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><Annotations>&a;</Annotations>', "entities"),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Annotations>&a;</Annotations>', "entities"),
        ("slide,x,y", "neither GeoJSON nor XML"),
        ("", "neither GeoJSON nor XML"),
    ],
)  # fmt: skip
def test_unreadable_files_say_what_to_do(tmp_path, text, reason):
    with pytest.raises(AnnotationError, match=rf"a\.xml.*{reason}"):
        read_text(tmp_path, text)


def test_missing_and_absurdly_large_files(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be opened"):
        read_annotations([tmp_path / "none"], pixel_size=PX, image_shape=None)
    with (tmp_path / "big.geojson").open("wb") as file:
        file.write(b"[")
        file.truncate(3 << 30)  # sparse
    with pytest.raises(AnnotationError, match="too much for regions"):
        read_annotations([tmp_path / "big.geojson"], pixel_size=PX, image_shape=None)


# --- the shared files

#: file: class, outlines with an area, total area in px by the shoelace formula on the file's own numbers
SHARED = {
    "qupath-rectangle.json": ("", 1, 210 * 176),
    "qupath-ellipse.json": ("", 1, None),
    "qupath-polygon.json": ("", 1, None),
    "qupath-brush.json": ("", 1, None),
    "qupath-wand.json": ("", 1, None),
    "qupath-line.json": ("", 0, None),
    "qupath-polyline.json": ("", 0, None),
    "qupath-point.json": ("", 0, None),
    "qupath-multipoint.json": ("", 0, None),
    "qupath-polygon-cell-classified.json": ("Cell", 4, None),
    "holed.geojson": ("", 1, None),
    "example.annotations": ("Layer 1", 10, None),
    "example_holes.annotations": ("Layer 1", 6, None),
    "multiple_holes.annotations": ("Layer 1", 1, None),
    "qupath_test.annotations": ("Putamen", 12, None),
    "asap-polygon.xml": ("Annotation 0", 1, None),
}


@needs_data
@pytest.mark.parametrize("name", SHARED)
def test_every_shared_annotation_opens(name):
    first, outlines, area = SHARED[name]
    drawn = _read(DATA / "annotations" / name)
    assert drawn[0].name == first
    assert sum(d.polygon is not None for d in drawn) == outlines
    if area is not None:
        assert sum(d.polygon.area for d in drawn) == area


@needs_data
def test_no_shared_annotation_is_left_out():
    assert {path.name for path in (DATA / "annotations").iterdir()} == set(SHARED)


@needs_data
def test_holes_of_the_shared_files_are_cut(tmp_path):
    """HALO's holes: the area is the outlines' less the negative ones', all computed from the raw numbers."""
    from defusedxml.ElementTree import parse

    root = parse(DATA / "annotations" / "multiple_holes.annotations").getroot()
    rings = {
        negative: [
            Polygon([(float(v.get("X")), float(v.get("Y"))) for v in r.iter("V")])
            for r in root.iter("Region")
            if r.get("NegativeROA") == negative
        ]
        for negative in ("0", "1")
    }
    expected = rings["0"][0].difference(shapely.union_all(rings["1"])).area
    text = (DATA / "annotations" / "multiple_holes.annotations").read_text().replace("Layer 1", "Tumor")
    found = read_text(tmp_path, text, image_shape=None)
    assert len(rings["1"]) == 3
    assert expected < rings["0"][0].area
    assert found.tumor.area == pytest.approx(expected * PX_AREA, rel=1e-9)


@needs_data
@pytest.mark.parametrize("field", ["11472_51360", "15206_60541", "16142_55840"])
def test_vendor_areas_of_the_lung_fields(field):
    """Tumour and tissue polygons are simplified vendor maps: within 1 % of the vendor's pixel counts."""
    import pandas as pd

    x, y = field.split("_")
    table = pd.read_csv(DATA / "lung_fields" / "vendor_counts_by_tissue.csv")
    one = table[(table["Sample Name"] == f"Set4_1-6plex_[{x},{y}].im3") & (table["Phenotype"] == "All")]
    area = one.set_index("Tissue Category")["Tissue Category Area (pixels)"]
    px = PixelSize(0.5, 0.5)
    found = read_annotations(
        [DATA / "lung_fields" / f"Set4_1-6plex_{field}.geojson"], pixel_size=px, image_shape=(1400, 1868)
    )
    assert found.tumor.area / 0.25 == pytest.approx(area["Tumor"], rel=0.01)
    assert found.tissue.area / 0.25 == pytest.approx(area["Tumor"] + area["Stroma"], rel=0.01)
