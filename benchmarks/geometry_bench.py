"""Compartments and distances of 1,000,000 cells, beside one shapely call per cell.

    python -m benchmarks.geometry_bench [--cells 1000000]

Budgets, processor seconds on one core: 10 s for a tumour of 50,000 vertices with 500 islands (compartments,
assignment and distances), 2 s when a border of 3,000 vertices is moved.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon

from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.place import place_cells
from spatial_til.model import COMPARTMENTS, Compartments

LOOP_CELLS = 1000
BUDGET_BUILD_S = 10.0
BUDGET_MOVE_S = 2.0
SIDE_UM = 20_000.0


def blob(rng: np.random.Generator, x: float, y: float, radius_um: float, n_vertices: int) -> Polygon:
    """Return a ragged outline: waves of many lengths and a jitter of 0.2 %."""
    angle = np.linspace(0, 2 * np.pi, n_vertices, endpoint=False)
    wave = sum(rng.normal(0, 0.15 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 20))
    radius = radius_um * np.clip(1 + wave, 0.3, None) * (1 + 0.002 * rng.normal(size=n_vertices))
    return Polygon(np.c_[x + radius * np.cos(angle), y + radius * np.sin(angle)]).buffer(0)


def regions(geometry: shapely.Geometry) -> MultiPolygon:
    return MultiPolygon([part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"])


def scene(n_vertices: int, n_islands: int) -> dict[str, MultiPolygon]:
    """Return tissue of 250 mm² with 20,000 vertices, a tumour of n vertices and 30 exclusions."""
    rng = np.random.default_rng(0)
    tissue = blob(rng, 10_000, 10_000, 9000, 20_000)
    main = blob(rng, 9500, 9800, 3500, n_vertices - 40 * n_islands)
    places = np.stack(np.meshgrid(np.arange(1500, 18_500, 280.0), np.arange(1500, 18_500, 280.0)), -1).reshape(-1, 2)
    places = rng.permutation(places) + rng.uniform(-60, 60, places.shape)
    free = shapely.contains_xy(tissue.buffer(-200), *places.T) & ~shapely.contains_xy(main.buffer(200), *places.T)
    islands = [blob(rng, x, y, rng.uniform(30, 70), 40) for x, y in places[free][:n_islands]]
    exclude = [blob(rng, *rng.uniform(5000, 15_000, 2), rng.uniform(50, 300), 200) for _ in range(30)]
    return {
        "tissue": regions(tissue),
        "tumor": regions(shapely.union_all([main, *islands])),
        "exclude": regions(shapely.union_all(exclude)),
    }


def divide(parts: dict[str, MultiPolygon]) -> Compartments:
    return build_compartments(
        **parts, image_box=(0, 0, SIDE_UM, SIDE_UM), inner_um=500, outer_um=500, edge_tolerance_um=30
    )


def place_in_a_loop(xy: np.ndarray, c: Compartments) -> np.ndarray:
    """Return compartments as one would write it: a few shapely calls for every cell."""
    border, tumor, glass = c.border.evaluable, c.tumor, c.excluded
    found = np.empty(len(xy), dtype=np.int8)
    for i, cell in enumerate(xy):
        point = Point(cell)
        inside, distance = tumor.covers(point), point.distance(border)
        if glass.covers(point) or not c.tissue.covers(point):
            found[i] = -1
        elif inside:
            found[i] = COMPARTMENTS.index("core" if distance > c.inner_um else "inner_margin")
        else:
            found[i] = COMPARTMENTS.index("outer_margin" if distance <= c.outer_um else "outside")
    return found


def run(n_cells: int = 1_000_000) -> list[tuple[str, float]]:
    """Return processor seconds of each step, and the loop's as a ratio to ours."""
    xy = np.random.default_rng(1).uniform(500, SIDE_UM - 500, (n_cells, 2))
    place_cells(xy[:10], divide(scene(3000, 20)))  # compile
    found: list[tuple[str, float]] = []

    def timed(name: str, start: float) -> float:
        seconds = time.process_time() - start
        found.append((name, seconds))
        return seconds

    for label, n_vertices, n_islands, budget in (
        ("large", 50_000, 500, BUDGET_BUILD_S),
        ("moved", 3000, 20, BUDGET_MOVE_S),
    ):
        parts = scene(n_vertices, n_islands)
        start = time.process_time()
        c = divide(parts)
        timed(f"{label} border: compartments, s", start)
        start = time.process_time()
        placed = place_cells(xy, c)
        per_cell = timed(f"{label} border: {n_cells} cells placed, s", start) / n_cells
        total = found[-1][1] + found[-2][1]
        found.append((f"{label} border: together, share of the budget of {budget:.0f} s", total / budget))
    start = time.process_time()
    looped = place_in_a_loop(xy[:LOOP_CELLS], c)
    ratio = (time.process_time() - start) / LOOP_CELLS / per_cell
    found.append(("shapely, one call per cell, to ours (moved border)", ratio))
    in_hole = np.isnan(placed.border_distance_um[:LOOP_CELLS])
    found.append(
        ("cells the loop places otherwise", float(((looped != placed.compartment[:LOOP_CELLS]) & ~in_hole).sum()))
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1_000_000)
    for name, value in run(parser.parse_args().cells):
        print(f"{name:70s} {value:10.2f}")


if __name__ == "__main__":
    main()
