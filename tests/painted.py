"""Strokes as a user paints them: a few smooth lines somewhere inside each class, wherever its border runs."""

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon

from spatial_til.segmentation.examples.strokes import Stroke, stroke_along

STEP_UM = 10.0


def paint(
    seed: int,
    regions: dict[str, MultiPolygon],
    *,
    each: int,
    length_um: tuple[float, float] = (150.0, 400.0),
    width_um: float = 20.0,
) -> list[Stroke]:
    """Return `each` strokes inside every region; a line that leaves its region is thrown away and drawn anew."""
    random = np.random.default_rng(seed)
    lines = [
        (name, _line(random, region, random.uniform(*length_um), width_um))
        for name, region in regions.items()
        for _ in range(each)
    ]
    return [stroke_along(name, line, width_um) for name, line in lines]


def _line(random: np.random.Generator, region: MultiPolygon, length_um: float, width_um: float) -> np.ndarray:
    shapely.prepare(region)
    for _ in range(20_000):
        at, angle, bend = random.uniform(region.bounds[:2], region.bounds[2:]), random.uniform(0, 2 * np.pi), 0.0
        points = [at]
        for _ in range(int(length_um / STEP_UM)):
            bend += random.normal(0, 1 / 600)
            angle += STEP_UM * bend
            points.append(points[-1] + STEP_UM * np.array((np.cos(angle), np.sin(angle))))
        if region.contains(LineString(points).buffer(width_um / 2)):
            return np.array(points)
    raise AssertionError("no room for a stroke")


def border_error_um(found: MultiPolygon, truth: MultiPolygon, tissue: MultiPolygon) -> np.ndarray:
    """Return the distances from the true border, every 5 µm of it inside the tissue, to the border found."""
    border = truth.boundary.intersection(tissue.buffer(-30))
    points = shapely.line_interpolate_point(border, np.arange(0, border.length, 5.0))
    return shapely.distance(points, found.boundary)
