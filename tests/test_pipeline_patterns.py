"""The region in which point patterns are measured: its edge is where neighbours are no longer seen."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, box

from spatial_til.geometry.compartments import build_compartments
from spatial_til.metrics.pointpatterns.window import boundary_distance_um
from spatial_til.model import Compartments
from spatial_til.pipeline.patterns import REGIONS, window_of


def divide(tissue: shapely.Polygon, tumor: shapely.Geometry) -> Compartments:
    return build_compartments(
        tissue=MultiPolygon([tissue]),
        tumor=MultiPolygon(shapely.get_parts(tumor).tolist()),
        inner_um=250,
        outer_um=250,
        edge_tolerance_um=30,
        image_box=None,
    )


def test_the_tumour_border_is_no_edge_of_the_margin() -> None:
    """On the border of a square tumour both edges of the margin, core and outside, are 250 µm away."""
    window = window_of(divide(box(0, 0, 4000, 3600), box(1000, 900, 3000, 2700)), REGIONS["margin"])
    on_border = np.array([[2000.0, 900.0], [1000.0, 1800.0]])
    assert boundary_distance_um(window, on_border, 1e4) == pytest.approx(250.0, abs=1e-2)
    assert window.boundary.length == pytest.approx(2 * (1500 + 1300) + 2 * (2000 + 1800) + 2 * np.pi * 250, rel=1e-3)


@pytest.mark.parametrize("turn", [0.0, 17.0, 61.3])
def test_a_ragged_border_that_meets_a_cut_edge_leaves_no_sliver(turn: float) -> None:
    """The tissue is cut through the tumour, whose outline has hundreds of corners: one ring is left."""
    angle = np.linspace(0, 2 * np.pi, 700, endpoint=False)
    radius = 1200 + 60 * np.sin(9 * angle) + 25 * np.sin(41 * angle)
    tumor = shapely.Polygon(np.c_[radius * np.cos(angle), radius * np.sin(angle)])
    tissue = Point(0, 0).buffer(2500).intersection(box(-3000, -3000, 300, 3000))
    turned = [shapely.affinity.rotate(shape, turn, origin=(0, 0)) for shape in (tissue, tumor.intersection(tissue))]
    compartments = divide(*turned)
    window = window_of(compartments, REGIONS["margin"])
    assert len(shapely.get_rings(shapely.get_parts(window))) == 1
    parts = [compartments.regions[name] for name in REGIONS["margin"]]
    assert window.area == pytest.approx(sum(part.area for part in parts), rel=1e-6)
    middle = shapely.get_coordinates(compartments.border.evaluable.segmentize(50))
    cut = shapely.union_all([line for name, line in compartments.border.by_type.items() if name != "stroma"])
    far = shapely.distance(shapely.points(middle), cut) > 300
    assert boundary_distance_um(window, middle[far], 1e4).min() > 200
