"""The border between our coordinates and napari's: half a pixel, y before x, holes, there and back."""

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon

from spatial_til.plugin.convert import fill, from_napari, place_image, to_napari
from spatial_til.units import PixelSize, centres_to_um

PX = PixelSize(x_um=0.5, y_um=0.25)


def test_pixel_centres_lie_where_the_contract_says():
    placed = place_image(PX, offset_um=(100.0, 7.0))
    world = np.array([3, 8]) * placed.scale + placed.translate  # napari: data coordinates are pixel centres
    x_um, y_um = centres_to_um([3], [8], PX)[0]
    assert world.tolist() == [y_um + 7.0, x_um + 100.0]


def test_first_pixels_corner_is_the_origin():
    placed = place_image(PX)
    assert np.allclose(np.array([-0.5, -0.5]) * placed.scale + placed.translate, 0)


def test_x_and_y_change_places_and_come_back():
    xy = np.array([[1.0, 20.0], [3.0, 40.0]])
    assert to_napari(xy).tolist() == [[20.0, 1.0], [40.0, 3.0]]
    assert np.array_equal(from_napari(to_napari(xy)), xy)


def test_points_of_a_viewer_with_more_dimensions_lose_only_those():
    assert from_napari([[5.0, 20.0, 1.0]]).tolist() == [[1.0, 20.0]]


def test_no_points_stay_no_points():
    assert to_napari(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("region", [MultiPolygon(), Polygon()], ids=["no parts", "empty"])
def test_nothing_has_no_fill(region):
    assert len(fill(region).faces) == 0


def test_a_filled_ring_leaves_its_hole_out():
    region = Point(50, 80).buffer(40).difference(Point(60, 70).buffer(12))
    mesh = fill(region, offset_um=(1000.0, 0.0))
    y, x = np.moveaxis(mesh.vertices[mesh.faces], -1, 0)
    area = np.abs((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])).sum() / 2
    assert area == pytest.approx(region.area, rel=1e-9)
    middles = shapely.points(x.mean(1) - 1000.0, y.mean(1))
    assert shapely.covers(region, middles).all()
