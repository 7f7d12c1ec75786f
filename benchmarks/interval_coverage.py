"""How often 95 % intervals hold the truth, by simulation; writes docs/coverage.md.

    python -m benchmarks.interval_coverage [--repeats 4000] [--out docs/coverage.md]

Every number of the page comes from here, with the functions the package itself uses.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import shapely
from scipy import stats
from shapely.geometry import MultiPolygon, Point

from spatial_til.metrics.density import estimate
from spatial_til.metrics.intervals import garwood
from spatial_til.metrics.levels import INDETERMINATE
from spatial_til.metrics.log_ratios import log2_ratio
from spatial_til.metrics.phenotype import phenotype
from spatial_til.metrics.tiles import tile_compartment
from spatial_til.model import TileCounts

CONFIDENCE = 0.95
OPTIONS = {"confidence": CONFIDENCE, "bootstrap": 500, "min_tiles": 8, "seed": 0}
RATIOS = (1, 3, 10)
TILES = (8, 12, 20, 50)
MULTIPLES = (1, 2, 5, 10, 15, 30, 100)
PROMISED = 15
POPULATION = "CD8+"


def tile_counts(counts, area_mm2, compartment, key):
    nowhere = np.zeros(len(counts))
    return TileCounts(str(key), compartment, 200.0, area_mm2, {POPULATION: counts.astype(np.int64)}, nowhere, nowhere)


def draw_counts(mean, ratio, random):
    """Negative binomial counts with a given variance-to-mean ratio; Poisson for 1."""
    return random.poisson(mean if ratio == 1 else random.gamma(mean / (ratio - 1), ratio - 1))


def tile_areas(n_tiles):
    """Two full tiles of 200 µm, then one clipped to 40 %: as along a border."""
    return np.where(np.arange(n_tiles) % 3 < 2, 0.04, 0.016)


def density_coverage(ratio, n_tiles, expected, repeats, random):
    """Return coverage of our interval and of the exact Poisson one, and the share flagged low_count."""
    area = tile_areas(n_tiles)
    mean = expected * area / area.sum()
    truth = expected / area.sum()
    ours = poisson = low = 0
    for i in range(repeats):
        e = estimate([tile_counts(draw_counts(mean, ratio, random), area, "core", i)], POPULATION, **OPTIONS)
        ours += e.ci_low <= truth <= e.ci_high
        limits = garwood(e.n_cells, CONFIDENCE)
        poisson += limits[0] <= expected <= limits[1]
        low += "low_count" in e.flags
    return ours / repeats, poisson / repeats, low / repeats


def ratio_coverage(core, margin, ratio, n_tiles, repeats, random):
    """Return coverage of log2 core/margin and of its exact Poisson interval alone."""
    area = np.full(n_tiles, 0.04)
    truth = np.log2(core / margin)
    ours = poisson = 0
    for i in range(repeats):
        parts = [
            estimate([tile_counts(draw_counts(area * d, ratio, random), area, name, i)], POPULATION, **OPTIONS)
            for name, d in (("core", core), ("margin", margin))
        ]
        value = log2_ratio(*parts, confidence=CONFIDENCE)
        ours += _holds(value.ci_low, truth, value.ci_high)
        bare = [_without_tiles(e) for e in parts]
        value = log2_ratio(*bare, confidence=CONFIDENCE)
        poisson += _holds(value.ci_low, truth, value.ci_high)
    return ours / repeats, poisson / repeats


def _holds(low, truth, high):
    return (low is None or low <= truth) and (high is None or truth <= high)


def _without_tiles(e):
    return type(e)(e.n_cells, e.area_mm2, e.density_per_mm2, None, None, None, 0)


def clustered_points(region, per_mm2, cluster_size, radius_um, random):
    """Points of a Thomas process: clusters of a mean size, spread by a Gaussian, clipped to the region."""
    x0, y0, x1, y1 = np.array(region.bounds) + 4 * radius_um * np.array([-1, -1, 1, 1])
    parents = random.poisson(per_mm2 / cluster_size * (x1 - x0) * (y1 - y0) / 1e6)
    centres = random.uniform((x0, y0), (x1, y1), (parents, 2))
    sizes = random.poisson(cluster_size, parents)
    xy = np.repeat(centres, sizes, axis=0) + random.normal(0, radius_um, (sizes.sum(), 2))
    return xy[shapely.contains_xy(region, xy[:, 0], xy[:, 1])]


def spatial_coverage(region, per_mm2, cluster_size, radius_um, repeats, random):
    """Return coverage through real tiling, share of enlarged tilings and mean variance-to-mean ratio."""
    shapely.prepare(region)
    hits = enlarged = 0
    ratios = []
    for i in range(repeats):
        xy = clustered_points(region, per_mm2, cluster_size, radius_um, random)
        tiles, _ = tile_compartment(
            region,
            xy,
            {POPULATION: np.ones(len(xy), bool)},
            slide_id=str(i),
            compartment="core",
            tile_um=200.0,
            min_tiles=8,
            correlated=(POPULATION,),
            seed=0,
        )
        e = estimate([tiles], POPULATION, **OPTIONS)
        hits += e.ci_low <= per_mm2 <= e.ci_high
        enlarged += "tiles_enlarged" in tiles.flags
        expected = tiles.n_cells(POPULATION) * tiles.area_mm2 / tiles.total_area_mm2
        ratios.append(((tiles.counts[POPULATION] - expected) ** 2 / expected).sum() / (len(expected) - 1))
    return hits / repeats, enlarged / repeats, float(np.mean(ratios))


def call_calibration(core, margin, truth, ratio, repeats, random):
    """Return shares of right, wrong and indeterminate calls, 30 tiles in each compartment."""
    area = np.full(30, 0.04)
    outcome = {"right": 0, "wrong": 0, INDETERMINATE: 0}
    for i in range(repeats):
        estimates = {
            name: estimate([tile_counts(draw_counts(area * d, ratio, random), area, name, i)], POPULATION, **OPTIONS)
            for name, d in (("core", core), ("inner_margin", margin), ("outer_margin", margin))
        }
        call = phenotype(
            estimates,
            rule="density_ratio",
            hot_cd8_per_mm2=295,
            excluded_log2_ratio=-1.0,
            min_class_probability=0.8,
            draws=2000,
            seed=0,
            key=str(i),
        ).call
        outcome[call if call == INDETERMINATE else ("right" if call == truth else "wrong")] += 1
    return [n / repeats for n in outcome.values()]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def density_section(repeats, random):
    rows = []
    for ratio in RATIOS:
        for n_tiles in TILES:
            for multiple in MULTIPLES:
                ours, poisson, low = density_coverage(ratio, n_tiles, multiple * ratio, repeats, random)
                mark = "" if multiple < PROMISED or 0.92 <= ours <= 0.99 else " **out**"
                rows.append((ratio, n_tiles, multiple * ratio, f"{ours:.3f}{mark}", f"{poisson:.3f}", f"{low:.2f}"))
    head = ("variance / mean", "tiles", "expected count", "coverage", "exact Poisson alone", "flagged low_count")
    return table(head, rows)


def ratio_section(repeats, random):
    cases = [
        (200, 200, 1, 50),
        (200, 200, 3, 50),
        (50, 300, 3, 50),
        (20, 300, 5, 50),
        (200, 200, 10, 50),
        (50, 300, 3, 8),
    ]
    rows = [(*case, *(f"{c:.3f}" for c in ratio_coverage(*case, repeats, random))) for case in cases]
    return table(("core", "margin", "variance / mean", "tiles", "coverage", "exact Poisson alone"), rows)


def spatial_section(repeats, random):
    disk = MultiPolygon([Point(0, 0).buffer(1000, quad_segs=64)])
    ring = MultiPolygon([Point(0, 0).buffer(1500, quad_segs=64) - Point(0, 0).buffer(1000, quad_segs=64)])
    rows = []
    for name, region in (("disk, 3.1 mm²", disk), ("ring 500 µm wide, 3.9 mm²", ring)):
        for size, radius in ((1, 20), (5, 20), (20, 30), (20, 100), (20, 200), (100, 100)):
            hits, enlarged, ratio = spatial_coverage(region, 300.0, size, radius, repeats, random)
            rows.append((name, size, radius, f"{ratio:.1f}", f"{enlarged:.2f}", f"{hits:.3f}"))
    return table(("region", "cluster size", "cluster SD µm", "variance / mean", "tiles enlarged", "coverage"), rows)


def call_section(repeats, random):
    cases = [
        (600, 500, "inflamed"),
        (330, 400, "inflamed"),
        (50, 600, "excluded"),
        (140, 340, "excluded"),
        (50, 60, "desert"),
        (200, 260, "desert"),
        (220, 350, "intermediate"),
    ]
    rows = []
    for core, margin, truth in cases:
        for ratio in (1, 5):
            shares = call_calibration(core, margin, truth, ratio, repeats, random)
            rows.append((core, margin, truth, ratio, *(f"{share:.2f}" for share in shares)))
    return table(("core", "margin", "true class", "variance / mean", "right", "wrong", "indeterminate"), rows)


PAGE = """# Coverage of the 95 % intervals

Written by `make coverage`: {repeats} simulated compartments in every row ({spatial} where points are laid out in
space and for classes), so that a coverage of 0.95 is known to ±{error:.3f} (±{spatial_error:.3f}), two standard errors.

## Densities

Counts in tiles are negative binomial with the given variance-to-mean ratio (Poisson for 1); every third tile is
clipped to 40 % of its area. The promise: 0.92 to 0.99 wherever the expected count is at least {promised} times the
ratio; a row that breaks it is marked. Rows below that are shown as they are: most of their slides carry `low_count`.

{density}

## log2 core / margin

Densities per mm², tiles of 0.04 mm² in each of the two.

{ratio}

## Clustered cells laid out in space, tiled as in a slide

300 cells per mm² in clusters (Thomas process), tiles of 200 µm as the package cuts and merges them, doubled where
Moran's I says so. Clusters as wide as tiles correlate tiles beyond what one doubling repairs: there the interval is
too narrow, and the flag `tiles_enlarged` is the warning.

{space}

## Immunophenotype

Rule `density_ratio`, cut-off 295 per mm², 30 tiles of 0.04 mm² in each of core, inner and outer margin: share of
slides called right, called wrong, and not called.

{calls}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=Path("docs/coverage.md"))
    options = parser.parse_args()
    random = np.random.default_rng(20260101)
    start, repeats, spatial = time.perf_counter(), options.repeats, max(options.repeats // 4, 1)
    page = PAGE.format(
        repeats=repeats,
        spatial=spatial,
        error=2 * stats.binom.std(repeats, CONFIDENCE) / repeats,
        spatial_error=2 * stats.binom.std(spatial, CONFIDENCE) / spatial,
        promised=PROMISED,
        density=density_section(repeats, random),
        ratio=ratio_section(repeats, random),
        space=spatial_section(spatial, random),
        calls=call_section(spatial, random),
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page, encoding="utf-8")
    print(f"{options.out} written in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
