"""Speed of the point patterns at 1,000,000 cells, beside plain scipy; with --coverage, how well their intervals hold.

    python -m benchmarks.patterns_bench [--cells 1000000] [--coverage]

Budget: 60 s and 2 GiB for each metric with 199 permutations. All metrics of a pair share one
pass, so the time printed is for all of them together.
"""

import argparse
import importlib.util
import resource
import time

import numpy as np
import shapely
from scipy.spatial import cKDTree

from spatial_til.metrics.pointpatterns.neighbours import build_grid, count_within, nearest_um
from spatial_til.metrics.pointpatterns.pairs import Pair, PatternSettings, Region, pair_rows

RADII_UM = (20.0, 30.0, 50.0)
PER_MM2 = 3000
TILE_UM = 200
PERMUTATIONS = 199


def region_of(xy, width_um, height_um, slide_id="bench"):
    """Cells of one compartment in a rectangle of square tiles."""
    cols, rows = int(np.ceil(width_um / TILE_UM)), int(np.ceil(height_um / TILE_UM))
    widths = np.minimum(TILE_UM, width_um - TILE_UM * np.arange(cols))
    heights = np.minimum(TILE_UM, height_um - TILE_UM * np.arange(rows))
    col, row = np.minimum(xy // TILE_UM, (cols - 1, rows - 1)).astype(int).T
    return Region(
        slide_id=slide_id,
        name="core",
        window=shapely.box(0, 0, width_um, height_um),
        xy_um=xy,
        compartment=np.zeros(len(xy), dtype=np.int8),
        tile=row * cols + col,
        tile_area_mm2={"core": np.outer(heights, widths).ravel() / 1e6},
    )


def pair_of(tumor, cd8):
    return Pair("tumor", "CD8+", tumor, cd8, ~tumor)


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def speed(n_cells):
    random = np.random.default_rng(0)
    side = np.sqrt(n_cells / PER_MM2) * 1000
    xy, draw = random.uniform(0, side, (n_cells, 2)), random.random(n_cells)
    tumor, cd8 = draw < 0.4, draw > 0.9
    region, pair = region_of(xy, side, side), pair_of(tumor, cd8)
    settings = PatternSettings(RADII_UM, PERMUTATIONS, 2000, 8, 0.95, 0)
    few = np.arange(n_cells) % max(n_cells // 2000, 1) == 0
    small = region_of(xy[few], side, side)
    pair_rows(small, pair_of(tumor[few], cd8[few]), settings)  # compile
    seconds, rows = timed(lambda: pair_rows(region, pair, settings))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    metrics = len({row.metric for row in rows})
    print(f"{n_cells} cells, {PERMUTATIONS} permutations, one core")
    print(f"all {metrics} metrics both ways, {len(rows)} rows: {seconds:.1f} s, peak {peak:.2f} GiB")
    against_scipy(xy, tumor, cd8)
    if importlib.util.find_spec("squidpy") is None:
        print("squidpy is not installed: not compared")
    else:
        against_squidpy(xy, tumor, cd8, seconds, metrics)


def against_squidpy(xy, tumor, cd8, our_seconds, metrics):
    """Neighbourhood enrichment at one radius, the nearest that squidpy has: one number a pair, no edge correction."""
    import pandas as pd
    import squidpy as sq
    from anndata import AnnData

    kind = pd.Categorical(np.where(cd8, "CD8+", np.where(tumor, "tumor", "other")))
    data = AnnData(
        np.zeros((len(xy), 1), dtype=np.float32), obs=pd.DataFrame({"kind": kind}, index=map(str, range(len(xy))))
    )
    data.obsm["spatial"] = xy

    def enrichment():
        sq.gr.spatial_neighbors(data, coord_type="generic", radius=30.0)
        sq.gr.nhood_enrichment(data, "kind", n_perms=PERMUTATIONS, seed=0, show_progress_bar=False)

    seconds, _ = timed(enrichment)
    print(f"squidpy, one metric: {seconds:.1f} s; ours, {metrics} metrics, same permutations: {our_seconds:.1f} s")


def against_scipy(xy, tumor, cd8):
    """One thread each: what the null repeats for every draw, and what is counted once."""
    reference, target = xy[tumor][:100_000], xy[cd8]
    ours, near = timed(lambda: nearest_um(reference, build_grid(target)))
    theirs, near_scipy = timed(lambda: cKDTree(target).query(reference)[0])
    assert np.allclose(near, near_scipy)
    print(
        f"nearest CD8+ of 100,000, grid or tree built anew: {ours:.3f} s, scipy {theirs:.3f} s: {theirs / ours:.1f} x"
    )
    radii = np.array(RADII_UM)
    ours, counts = timed(lambda: count_within(xy, build_grid(xy[tumor]), radii))
    tree = cKDTree(xy[tumor])
    theirs, counted = timed(lambda: [tree.query_ball_point(xy, radius, return_length=True) for radius in radii])
    assert np.array_equal(counts, np.column_stack(counted))
    print(f"tumour cells within 20, 30, 50 µm of every cell: {ours:.2f} s, scipy {theirs:.2f} s: {theirs / ours:.1f} x")


# --- coverage


def clusters(parents, per_parent, size_um, random):
    """Cells around their parents, Gaussian."""
    count = random.poisson(per_parent, len(parents))
    return np.repeat(parents, count, axis=0) + random.normal(0, 40, (count.sum(), 2)), size_um


def draw_pattern(kind, size_um, random):
    """600 tumour cells and 300 CD8+ per mm²: at random, in shared clusters, or in clusters of their own."""
    size = np.array(size_um)
    area = float(np.prod(size)) / 1e6
    if kind == "at random":
        return tuple(random.uniform(0, size, (random.poisson(rate * area), 2)) for rate in (600, 300))

    def parents():
        wide = size + 300
        return random.uniform(-150, size + 150, (random.poisson(60 * float(np.prod(wide)) / 1e6), 2))

    shared = parents()
    own = shared if kind == "shared clusters" else parents()
    found = [clusters(around, n, size, random)[0] for around, n in ((shared, 10), (own, 5))]
    return tuple(xy[((xy >= 0) & (xy < size)).all(axis=1)] for xy in found)


def rows_of(kind, size_um, seed):
    tumor, cd8 = draw_pattern(kind, size_um, np.random.default_rng(seed))
    is_tumor = np.arange(len(tumor) + len(cd8)) < len(tumor)
    region = region_of(np.concatenate((tumor, cd8)), *size_um, slide_id=f"{kind}{seed}")
    settings = PatternSettings((30.0, 50.0), 1, 400, 8, 0.95, 0)
    return pair_rows(region, pair_of(is_tumor, ~is_tumor), settings)


def coverage(runs=300):
    """The truth is the value in 192 mm²; the slides are 2 mm², 50 tiles."""
    print("| metric | from | radius µm | at random | shared clusters | own clusters |\n|---|---|---|---|---|---|")
    columns, names = [], []
    for kind in ("at random", "shared clusters", "own clusters"):
        truth = rows_of(kind, (16_000, 12_000), 10_000)
        names = [(row.metric, row.population_from, row.radius_um or "") for row in truth]
        slides = [rows_of(kind, (2000, 1000), seed) for seed in range(runs)]
        columns.append(
            [
                np.mean(
                    [rows[i].ci_low <= row.value <= rows[i].ci_high for rows in slides if rows[i].ci_low is not None]
                )
                for i, row in enumerate(truth)
            ]
        )
    for i, name in enumerate(names):
        print("|", " | ".join([*map(str, name), *(f"{column[i]:.2f}" for column in columns)]), "|")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--coverage", action="store_true")
    options = parser.parse_args()
    coverage() if options.coverage else speed(options.cells)
