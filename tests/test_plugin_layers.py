"""What is handed to napari: places in µm, holes, nothing that a slip of the hand could change."""

import numpy as np
import pytest
import shapely
from shapely.geometry import box

from spatial_til.io.regions import named_regions, read_regions
from spatial_til.io.slides import open_slide
from spatial_til.model import COMPARTMENTS
from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.plugin import layers as made
from spatial_til.plugin import reader
from spatial_til.plugin.opened import open_file
from spatial_til.plugin.pictures import _limits, slide_factors, slide_pictures, stain_pictures
from spatial_til.plugin.reader import get_reader
from spatial_til.plugin.region_picture import BORDER, PAINTS, RegionPicture
from spatial_til.segmentation.stains import PRESETS, optical_density
from spatial_til.units import PixelSize
from tests.gui import LANDMARK

REGIONS = {"Tissue": box(0, 0, 90, 80), "Tumor": box(20, 10, 70, 60), "core": box(20, 10, 70, 60)}


def painted(**kwargs):
    return made.regions_layer(RegionPicture(REGIONS, (160, 180), PixelSize(0.5, 0.5)), **kwargs)


def test_regions_are_a_picture_in_micrometres_that_cannot_be_moved_or_deleted_by_hand():
    data, settings, kind = painted()
    assert kind == "image"
    assert settings["units"] == ("um", "um")
    rows, cols = np.nonzero(data[0][:, :] == 1 + [paint.region for paint in PAINTS].index("core"))
    world = np.column_stack((rows, cols)) * settings["scale"] + settings["translate"]
    assert world.mean(axis=0) == pytest.approx((35.0, 45.0), abs=1e-6)


def test_areas_let_the_slide_through_and_lines_do_not():
    alphas = painted()[1]["colormap"]["colors"][1 : len(PAINTS) + 1, 3]
    assert {float(a) for paint, a in zip(PAINTS, alphas, strict=True) if paint.region in COMPARTMENTS} == {0.25}
    assert {float(a) for paint, a in zip(PAINTS, alphas, strict=True) if paint.part == BORDER} == {1.0}


def test_slides_side_by_side_are_moved_alike():
    here, there = painted()[1]["translate"], painted(offset_um=(5000.0, 0.0))[1]["translate"]
    assert np.subtract(there, here) == pytest.approx((0.0, 5000.0))


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
    plane = np.full((200, 200), 8, np.uint8)
    plane[50:150, 50:150] = 20  # tissue in which hardly a cell is stained
    plane[60, 60] = 255
    low, high = _limits(plane)
    assert (low, high) == (20.0, 56.0)  # its glow is black, and what is three times as far above it is brightest


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


def test_a_scored_folder_is_shown_as_it_was_scored(folder, monkeypatch):
    monkeypatch.setattr(reader, "live_loader", lambda: None)  # a window of an earlier test would paint meanwhile
    layers = {settings["name"]: (data, settings, kind) for data, settings, kind in get_reader(str(folder))(str(folder))}
    assert {"CD8 (A)", "Regions", "Cells"} <= set(layers)
    stored = read_regions(folder / "regions" / "A_base.geojson", pixel_size=open_slide(folder / "none.tif").pixel_size)
    data, settings, _ = layers["Regions"]
    codes = [i for i, paint in enumerate(PAINTS, start=1) if paint.region in ("core", "inner_margin")]
    rows, cols = np.nonzero(np.isin(data[2][:, :], codes))
    middles = np.column_stack((cols, rows)) * 4 * settings["scale"][1] + settings["translate"][1]
    assert shapely.contains_xy(stored["Tumor"], *middles.T).all()
    x0, y0, x1, y1 = stored["Tumor"].bounds
    assert (*middles.min(axis=0), *middles.max(axis=0)) == pytest.approx((x0, y0, x1, y1), abs=1.5)  # less the lines
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
