"""Regions painted as a picture: every pixel is what the geometry says, holes, seams, resolutions and all."""

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiLineString, MultiPolygon, Point, box

from spatial_til.plugin.region_picture import BORDER, COMPARTMENT_PART, FINER, PAINTS, TUMOR, RegionPicture
from spatial_til.units import PixelSize

PX = PixelSize(0.5, 0.25)  # what is as wide as high would not show x and y in each other's place
SHAPE = (131, 97)
#: Tall, off the middle, with a hole; an island in the hole, and one that reaches beyond the picture.
TUMOR_REGION = MultiPolygon(
    [
        Point(21, 13).buffer(11).difference(Point(23.3, 11.1).buffer(5.7)),
        Point(23, 11).buffer(1.9),
        box(40, 20.05, 60, 27.3),
    ]
)
CORE = TUMOR_REGION.buffer(-1.3)
REGIONS = {
    "Tumor": TUMOR_REGION,
    "core": CORE,
    "inner_margin": TUMOR_REGION.difference(CORE),
    "Border stroma": MultiLineString([[(3.1, 2.2), (30.7, 9.6), (44, 30)], [(1, 1), (1.2, 30)]]),
}
CODE = {(paint.region, paint.half_px > 0): i for i, paint in enumerate(PAINTS, start=1)}


def picture(shown, regions=REGIONS, shape=SHAPE, px=PX):
    return RegionPicture(regions, shape, px, shown=shown)


def middles(made, level):
    """Return x and y in µm of the middles of a level's pixels, as napari draws them."""
    full, shape = made.picture.levels[0].shape, made.picture.levels[level].shape
    rows, cols = np.indices(shape)
    return (cols * full[1] / shape[1] + 0.5) * made.px.x_um, (rows * full[0] / shape[0] + 0.5) * made.px.y_um


def everywhere(made):
    for level, source in enumerate(made._sources):
        rows, cols = source.shape
        yield level, source.read(0, rows, 0, cols)


def test_a_pixel_is_of_an_area_where_its_middle_is_at_every_resolution():
    made = picture([COMPARTMENT_PART])
    for level, found in everywhere(made):
        x, y = middles(made, level)
        for name in ("core", "inner_margin"):
            assert np.array_equal(found == CODE[name, False], shapely.contains_xy(REGIONS[name], x, y)), (level, name)
        assert np.array_equal(found > 0, shapely.contains_xy(TUMOR_REGION, x, y))  # no gap between the two


def test_a_pixel_is_of_a_line_where_it_is_near_enough():
    made = picture([BORDER], px=PixelSize(0.5, 0.5))
    half = next(paint.half_px for paint in PAINTS if paint.region == "Border stroma")
    for level, found in everywhere(made):
        x, y = middles(made, level)
        away = shapely.distance(shapely.points(x, y), REGIONS["Border stroma"])
        pixel_um = made.px.x_um * 2**level
        sure = np.abs(away - half * pixel_um) > 0.05 * pixel_um  # odd sides make a pixel a little more or less
        assert np.array_equal((found > 0)[sure], (away < half * pixel_um)[sure]), level


def test_any_boxes_together_are_the_whole():
    made = picture([COMPARTMENT_PART, TUMOR, BORDER])
    source = made._sources[1]
    rows, cols = source.shape
    pieces = [
        np.hstack([source.read(r, min(r + 57, rows), c, min(c + 83, cols)) for c in range(0, cols, 83)])
        for r in range(0, rows, 57)
    ]
    assert np.array_equal(np.vstack(pieces), source.read(0, rows, 0, cols))


def test_the_border_is_on_top_and_what_is_switched_off_reveals_what_is_beneath():
    made = picture([COMPARTMENT_PART, TUMOR, BORDER])
    border, line = CODE["Border stroma", True], CODE["Tumor", True]
    level = len(made.picture.levels) - 1
    both = made.picture.levels[level][:, :]
    made.show([COMPARTMENT_PART, TUMOR])
    without = made.picture.levels[level][:, :]
    crossing = (both == border) & (without == line)
    assert crossing.any()
    assert set(np.unique(without)) == {0, CODE["core", False], CODE["inner_margin", False], line}
    assert np.array_equal(both[both != border], without[both != border])
    made.show([])
    assert not made.picture.levels[0][:, :].any()


def test_the_picture_covers_the_slide_and_is_finer_than_it():
    made = picture([COMPARTMENT_PART])
    assert made.picture.levels[0].shape == (FINER * SHAPE[0], FINER * SHAPE[1])
    assert (made.px.x_um, made.px.y_um) == pytest.approx((PX.x_um / FINER, PX.y_um / FINER))


def test_regions_that_are_missing_or_empty_are_clear():
    for regions in ({}, {"Tissue": MultiPolygon(), "Border stroma": MultiLineString()}):
        made = picture([paint.part for paint in PAINTS], regions)
        assert not any(found.any() for _, found in everywhere(made))
