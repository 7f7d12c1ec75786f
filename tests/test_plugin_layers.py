"""What is handed to napari: places in µm, holes, nothing that a slip of the hand could change."""

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiLineString, Point, box

from spatial_til.io.regions import named_regions, read_regions
from spatial_til.io.slides import open_slide
from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.plugin import layers as made
from spatial_til.plugin.opened import open_file
from spatial_til.plugin.pictures import slide_factors, slide_pictures, stain_pictures
from spatial_til.plugin.reader import get_reader
from spatial_til.segmentation.stains import PRESETS, optical_density
from tests.gui import LANDMARK

RING = Point(500, 800).buffer(300).difference(Point(600, 700).buffer(80))
REGIONS = {
    "Tissue": box(0, 0, 1500, 1400),
    "Tumor": RING,
    "core": RING.buffer(-60),
    "inner_margin": RING.difference(RING.buffer(-60)),
    "Exclude": box(1200, 100, 1300, 300),
    "Border stroma": MultiLineString([RING.exterior.coords]),
    "Border tissue_edge": MultiLineString([[(0, 0), (0, 1400)]]),
}


def shown(regions=REGIONS, **kwargs):
    return {
        settings["name"]: (data, settings, kind) for data, settings, kind in made.region_layers(regions, 4.0, **kwargs)
    }


def test_nothing_shown_is_a_shape_that_could_be_moved_or_deleted():
    assert {kind for _, _, kind in shown().values()} == {"surface", "vectors"}


def test_all_layers_are_in_micrometres():
    assert {layer[1]["units"] for layer in shown().values()} == {("um", "um")}


def test_outlines_keep_holes_and_do_not_stray():
    outline = made.segments_of(shown()[made.TUMOR])
    assert outline.length == pytest.approx(RING.length, rel=1e-3)
    assert shapely.hausdorff_distance(shapely.unary_union(outline), RING.boundary) < 1.0


def test_fills_leave_holes_out_and_have_the_colour_of_their_compartment():
    vertices, faces, values = shown()[made.COMPARTMENT_LAYER][0]
    y, x = np.moveaxis(vertices[faces], -1, 0)
    area = np.abs((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])) / 2
    of = values[faces[:, 0]]
    assert (values[faces] == of[:, None]).all()  # no triangle between two compartments
    for code, name in ((1, "core"), (2, "inner_margin"), (5, "Exclude")):
        assert area[of == code].sum() == pytest.approx(REGIONS[name].area, rel=2e-3)
    middle = shapely.points(x.mean(1), y.mean(1))
    assert not shapely.contains(Point(600, 700).buffer(70), middle).any()


def test_the_border_is_coloured_by_its_type():
    data, settings, _ = shown()[made.BORDER]
    colors = {tuple(np.round(255 * c[:3]).astype(int)) for c in settings["edge_color"]}
    assert colors == {(44, 160, 44), (140, 86, 75)}
    assert len(data) == len(settings["edge_color"])


def test_regions_that_are_missing_give_empty_layers():
    for data, settings, kind in shown({}).values():
        if kind == "vectors":
            assert not data.any()
            assert not settings["edge_color"].any()


def test_slides_side_by_side_are_moved_alike():
    here, there = shown(), shown(offset_um=(5000.0, 0.0))
    for name in here:
        a, b = (layer[name][0][0] if layer[name][2] == "surface" else layer[name][0][:, 0] for layer in (here, there))
        assert np.allclose(b - a, (0.0, 5000.0))


@pytest.fixture
def colour_slide(tmp_path):
    """An odd-sided slide of two stains in a known amount."""
    amounts = np.zeros((1031, 1547, 2))
    amounts[..., 0], amounts[300:500, 700:900, 1] = 0.2, 0.6
    unit = np.array([np.array(PRESETS[name]) / np.linalg.norm(PRESETS[name]) for name in ("hematoxylin", "dab")])
    image = np.rint(240 * 10.0 ** -(amounts @ unit)).astype(np.uint8)
    write_slide(tmp_path / "slide.ome.tif", image, SlideFormat(0.5, quality=98), levels=2)
    return tmp_path / "slide.ome.tif"


def test_a_pixel_of_the_slide_is_where_the_contract_says(colour_slide):
    opened = open_file(colour_slide, None)
    data, settings, kind = opened.layers()[0]
    assert (kind, settings["rgb"], settings["multiscale"]) == ("image", True, True)
    rows, cols = np.nonzero(optical_density(data[0][:, :], [240] * 3).sum(-1) > 0.6)
    world = np.array([rows.mean(), cols.mean()]) * settings["scale"] + settings["translate"]
    assert world == pytest.approx([400 * 0.5, 800 * 0.5], abs=0.3)  # corners of the square, half-way


def test_levels_halve_down_to_a_small_one(colour_slide):
    shapes = [level.shape for level in open_file(colour_slide, None).views[0].picture.levels]
    assert shapes == [(1031, 1547, 3), (515, 773, 3)]
    assert slide_factors((1_000_000, 2_000))[-1] == 1024  # 977 px on the longer side
    assert slide_factors((1_000_000, 100))[-1] == 64  # no level is a line


def test_stains_are_separated_where_one_looks(colour_slide):
    vectors = {name: PRESETS[name] for name in ("hematoxylin", "dab")}
    with open_slide(colour_slide) as slide:
        views = stain_pictures(slide, None, vectors, [240] * 3, {"hematoxylin": "Nuclei", "dab": "CD8"})
        nuclei, cd8 = (view.picture.levels[0][350:450, 750:850].mean() * 0.01 for view in views)
        outside = views[1].picture.levels[0][:200, :200].mean() * 0.01
    assert [view.name for view in views] == ["Nuclei", "CD8"]
    assert (nuclei, cd8, outside) == pytest.approx((0.2, 0.6, 0.0), abs=0.03)
    assert not any(view.visible for view in views)


def test_channels_go_by_their_marker_and_have_limits(folder):
    with open_slide(folder / "none.tif") as slide:
        views = slide_pictures(slide, None, {"DAPI": "nuclei", "A": "CD8"})
    assert [view.name for view in views] == ["nuclei (DAPI)", "CD8 (A)", "B", "C"]
    assert [view.visible for view in views] == [True, True, False, False]
    assert all(view.limits[0] < view.limits[1] for view in views)


def test_a_slide_without_pixel_size_is_shown_in_pixels_and_says_so(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "plain.png"), np.zeros((40, 60, 3), np.uint8))
    opened = open_file(tmp_path / "plain.png", None)
    assert "pixels, not µm" in opened.problem
    assert opened.size_um == (60.0, 40.0)


def test_the_reader_takes_scored_folders_and_slides_only(folder, tmp_path):
    assert get_reader(str(folder)) is not None
    assert get_reader(str(folder / "none.tif")) is not None
    assert get_reader(str(tmp_path)) is None
    assert get_reader(["a.tif", "b.tif"]) is None


def test_a_scored_folder_is_shown_as_it_was_scored(folder):
    layers = {settings["name"]: (data, settings, kind) for data, settings, kind in get_reader(str(folder))(str(folder))}
    assert {"CD8 (A)", "Core and margin", "Tissue", "Tumour", "Border", "Cells"} <= set(layers)
    stored = read_regions(folder / "regions" / "A_base.geojson", pixel_size=open_slide(folder / "none.tif").pixel_size)
    drawn = made.segments_of(layers["Tumour"])
    assert shapely.hausdorff_distance(shapely.unary_union(drawn), stored["Tumor"].boundary) < 1e-6
    assert layers["Cells"][1]["metadata"]["spatial_til"] == {"folder": str(folder), "slide_id": "A_base"}
    row, col, side = LANDMARK
    data, settings, _ = layers["CD8 (A)"]
    rows, cols = np.nonzero(data[0][:, :] > 128)
    world = np.array([rows.mean(), cols.mean()]) * settings["scale"] + settings["translate"]
    assert world == pytest.approx([(row + side / 2) * 0.5, (col + side / 2) * 0.5], abs=0.01)


def test_stored_and_computed_regions_have_the_same_names(folder):
    from spatial_til.plugin.desk import compute
    from spatial_til.review.session import open_session
    from spatial_til.review.state import ReviewState

    session = open_session(folder, "A_base")
    computed = named_regions(compute(session, ReviewState()).numbers.scene.compartments)
    stored = read_regions(folder / "regions" / "A_base.geojson", pixel_size=session.measured.pixel_size)
    assert set(stored) <= set(computed)
    for name, region in stored.items():
        assert shapely.hausdorff_distance(region, computed[name]) < 1e-6
