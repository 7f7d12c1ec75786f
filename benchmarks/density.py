"""Seconds for densities, depth profile and classes of 1,000,000 cells; budget 5 s on two cores.

python -m benchmarks.density
"""

import time
from types import SimpleNamespace

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.metrics.activity import activity_site, combine_sites
from spatial_til.metrics.density import estimate_table
from spatial_til.metrics.depth import band_edges, depth_profile
from spatial_til.metrics.log_ratios import log2_ratios
from spatial_til.metrics.penetration import depth_fraction, penetration_index
from spatial_til.metrics.phenotype import phenotype
from spatial_til.metrics.populations import select_populations, standard_populations
from spatial_til.metrics.tiles import tile_slide

N_CELLS = 1_000_000
VERTICES = 50_000
WIDTH, HEIGHT, RADIUS = 24_000.0, 20_000.0, 6500.0
MARKERS = {"CD8": 0.08, "PD-L1": 0.1, "FOXP3": 0.03, "CD68": 0.1, "LAG3": 0.02, "TIM3": 0.02}
BUDGET_S = 5.0
DRAWS = {"min_class_probability": 0.8, "draws": 2000, "seed": 0, "key": "S1"}


def ragged_slide(random):
    """A tumour with a rough border of 50,000 vertices: regions, cells, their compartments and distances."""
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    rough = np.cumsum(random.normal(size=VERTICES))
    rough = 300 * (rough - np.linspace(0, rough[-1], VERTICES)) / np.abs(rough).max()
    direction = np.column_stack((np.cos(angle), np.sin(angle)))
    middle = (WIDTH / 2, HEIGHT / 2)
    core, tumor, near = (
        shapely.make_valid(Polygon((r + rough)[:, None] * direction + middle))
        for r in (RADIUS - 500, RADIUS, RADIUS + 500)
    )
    regions = {
        "core": core,
        "inner_margin": tumor - core,
        "outer_margin": near - tumor,
        "outside": box(0, 0, WIDTH, HEIGHT) - near,
        "tumor_unresolved": MultiPolygon(),
    }
    xy = random.uniform((0, 0), (WIDTH, HEIGHT), (N_CELLS, 2))
    dx, dy = (xy - middle).T
    at = np.arctan2(dy, dx) % (2 * np.pi)
    distance = np.hypot(dx, dy) - np.interp(at, angle, rough) - RADIUS
    compartment = np.digitize(distance, [-500, 0, 500], right=True).astype(np.int8)
    parts = {
        name: MultiPolygon([p for p in shapely.get_parts(g) if p.geom_type == "Polygon"]) for name, g in regions.items()
    }
    return SimpleNamespace(regions=parts), xy, SimpleNamespace(compartment=compartment), distance, (at * 30).astype(int)


def score(slide, markers, calls, tumor_cell):
    """Yield the name of each step when it is done."""
    compartments, xy, placement, distance, sector = slide
    names = [*markers, "tumor"]
    members = select_populations(
        standard_populations(names), {m: calls[m] for m in markers}, n_cells=N_CELLS, tumor_cell=tumor_cell
    )
    yield f"{len(members)} populations"
    tiles = tile_slide(
        compartments,
        placement,
        xy,
        members,
        slide_id="S1",
        tile_um=200.0,
        min_tiles=8,
        correlated=[f"{m}+" for m in markers],
        seed=0,
    ).counts
    yield f"{sum(len(t.area_mm2) for t in tiles.values())} tiles"
    table = estimate_table(tiles, confidence=0.95, bootstrap=2000, min_tiles=8, seed=0)
    yield "densities"
    edges = band_edges(-RADIUS, 500.0, 50.0)
    band = np.digitize(distance, edges, right=True) - 1
    band[band >= len(edges) - 1] = -1
    areas = np.full(len(edges) - 1, 2.0)
    depth_profile(edges, areas, band, members, tiles, inner_um=500, outer_um=500, confidence=0.95)
    yield f"profile of {len(areas)} bands"
    samples = np.abs(np.random.default_rng(1).normal(0, 2000, 200_000))
    for name in ("CD8+", "PD-L1+"):
        cells = members[name] & (distance <= 0)
        fraction = depth_fraction(-distance[cells], samples)
        penetration_index(fraction, sector[cells], confidence=0.95, bootstrap=2000, seed=0, key=name)
    yield "penetration"
    for name in members:
        log2_ratios({c: e for (p, c), e in table.items() if p == name}, confidence=0.95)
    cd8, pdl1 = ({c: e for (p, c), e in table.items() if p == name} for name in ("CD8+", "PD-L1+"))
    phenotype(cd8, rule="density_ratio", hot_cd8_per_mm2=295, excluded_log2_ratio=-1, **DRAWS)
    combine_sites(*(activity_site(e, floor_per_mm2=100, **DRAWS) for e in (cd8, pdl1)))
    yield "ratios and classes"


def main():
    random = np.random.default_rng(0)
    slide = ragged_slide(random)
    calls = {m: random.random(N_CELLS) < share for m, share in MARKERS.items()}
    tumor_cell = random.random(N_CELLS) < 0.5
    for markers in (["CD8", "PD-L1"], list(MARKERS)):
        start = step = time.perf_counter()
        print(f"{N_CELLS:,} cells, markers {', '.join(markers)}")
        for name in score(slide, markers, calls, tumor_cell):
            print(f"  {name:24} {time.perf_counter() - step:6.2f} s")
            step = time.perf_counter()
        print(f"  {'all':24} {step - start:6.2f} s, budget {BUDGET_S:g} s")


if __name__ == "__main__":
    main()
