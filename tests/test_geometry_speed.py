"""A large slide stays within its budget, in processor time of one core."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon, box

from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.place import place_cells

FIELD = MultiPolygon([box(0, 0, 20_000, 20_000)])


def outline(n_vertices: int) -> Polygon:
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, n_vertices, endpoint=False)
    radius = 4000 + 600 * np.sin(7 * angle) + 200 * np.sin(60 * angle) + rng.normal(0, 3, n_vertices)
    return Polygon(np.c_[8000 + radius * np.cos(angle), 9000 + radius * np.sin(angle)]).buffer(0)


def seconds(tumor: MultiPolygon, xy: np.ndarray) -> float:
    start = time.process_time()
    c = build_compartments(
        tissue=FIELD, tumor=tumor, image_box=(0, 0, 20_000, 20_000), inner_um=500, outer_um=500, edge_tolerance_um=30
    )
    placed = place_cells(xy, c)
    assert c.closure_error < 1e-9
    assert len(placed.compartment) == len(xy)
    return time.process_time() - start


@pytest.mark.slow
def test_a_million_cells_and_fifty_thousand_vertices() -> None:
    xy = np.random.default_rng(1).uniform(0, 20_000, (1_000_000, 2))
    small = MultiPolygon([outline(3000)])
    seconds(small, xy[:100])  # compile
    assert seconds(small, xy) < 2.0  # a moved border
    islands = [Point(x, y).buffer(60, quad_segs=8) for x in range(14_000, 19_000, 250) for y in range(500, 7000, 250)]
    large = MultiPolygon([outline(50_000 - 33 * 500), *islands[:500]])
    assert 49_000 < len(shapely.get_coordinates(large)) < 51_000
    assert seconds(large, xy) < 10.0
