"""Values that can be worked out by hand, beside what the package gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import shapely
from scipy import stats
from shapely.geometry import MultiPolygon, Point, box

from benchmarks.validation.page import Bar, Run, Section, table
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.sectors import border_sectors, sample_depths
from spatial_til.geometry.tumor import dense_region, find_tumor
from spatial_til.metrics.agreement import cohens_kappa
from spatial_til.metrics.density import estimate
from spatial_til.metrics.induction import mantel_haenszel_log2
from spatial_til.metrics.intervals import garwood, poisson_ratio
from spatial_til.metrics.levels import point_levels
from spatial_til.metrics.multiplicity import benjamini_hochberg
from spatial_til.metrics.penetration import depth_fraction, penetration_index
from spatial_til.metrics.pointpatterns.kcross import k_cross, pair_weights
from spatial_til.metrics.pointpatterns.mixing import mixing_score, normalised
from spatial_til.metrics.pointpatterns.neighbours import build_grid, nearest_um
from spatial_til.metrics.pointpatterns.window import overlap_with_itself
from spatial_til.metrics.rank_tests import rank_sum, sign_flip
from spatial_til.model import Compartments, Estimate, TileCounts

W = 500.0
FIELD = box(0, 0, 6000, 6000)
ARC = 4.1e-4  # a round outline is drawn in chords, 32 a quarter


class Value(NamedTuple):
    """A quantity, what it must be, what came out, and how far apart they may lie."""

    what: str
    expected: float
    found: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return bool(abs(self.found - self.expected) <= self.tolerance)


def divide(tissue: shapely.Geometry, tumor: shapely.Geometry, **options: object) -> Compartments:
    given = {"inner_um": W, "outer_um": W, "edge_tolerance_um": 30.0, "image_box": None, **options}
    return build_compartments(tissue=MultiPolygon([tissue]), tumor=MultiPolygon([tumor]), **given)


def disk(x: float, y: float, r: float) -> shapely.Polygon:
    return Point(x, y).buffer(r, quad_segs=400)


def geometry() -> Iterator[Value]:
    """Yield areas in mm² and lengths in mm of shapes whose compartments are known."""
    round_tumor = divide(FIELD, disk(3000, 2600, 1500))
    square = divide(FIELD, box(1500, 2100, 3500, 4100))
    cut = divide(box(0, 0, 4000, 2000), box(0, 0, 2000, 2000), image_box=(0, 0, 4000, 2000))
    naive = divide(box(0, 0, 4000, 2000), box(0, 0, 2000, 2000), image_box=(0, 0, 4000, 2000), tissue_edge="margin")
    half = divide(box(0, 0, 6000, 2600), disk(3000, 2600, 1500))
    ring = divide(FIELD, disk(3000, 2600, 1500).difference(disk(3000, 2600, 300)), holes="border")
    pi = np.pi
    cases = [
        ("square of 2 mm", square, {"core": 1.0, "inner_margin": 3.0, "outer_margin": 4 + pi / 4}),
        ("disk of 1.5 mm", round_tumor, {"core": pi, "inner_margin": 1.25 * pi, "outer_margin": 1.75 * pi}),
        ("the same", round_tumor, {"outside": 36 - 4 * pi}),
        ("square on a cut edge", cut, {"core": 3.0, "inner_margin": 1.0, "outer_margin": 1.0}),
        ("the same, blind to cut edges", naive, {"core": 1.0, "inner_margin": 3.0}),
        ("half disk on a cut edge", half, {"core": pi / 2, "inner_margin": 0.625 * pi, "outer_margin": 0.875 * pi}),
        ("ring whose hole is a border", ring, {"core": pi * (1 - 0.64), "inner_margin": pi * (1.25 + 0.64 - 0.09)}),
    ]  # fmt: skip
    for name, found, areas in cases:
        for part, expected in areas.items():
            yield Value(f"{name}: {part}, mm²", expected, found.regions[part].area / 1e6, max(ARC * expected, 1e-3))
    yield Value("disk: evaluable border, mm", 3 * pi, round_tumor.border.evaluable.length / 1e3, 1e-4)
    yield Value(
        "square on a cut edge: border that is the image's edge, mm",
        6.06,
        cut.border.by_type["image_edge"].length / 1e3,
        1e-6,
    )
    whole = max(c.closure_error for _, c, _ in cases)
    yield Value("areas of all parts against the tissue, relative", 0.0, whole, 1e-9)
    depth = sample_depths(round_tumor, arc_um=200.0, n_samples=200_000)
    yield Value("disk: share of tumour less than 750 µm deep", 0.75, float((depth.depth_um < 750).mean()), 2e-3)
    yield from _found_tumor()


def _found_tumor() -> Iterator[Value]:
    axis = np.arange(-600, 600, 2) + 1.0
    cells = np.column_stack([g.ravel() for g in np.meshgrid(axis, axis)])
    cells = cells[np.hypot(*cells.T) < 500]
    tissue = MultiPolygon([box(-900, -900, 900, 900)])
    found = find_tumor(cells, tissue, bandwidth_um=50, min_area_mm2=0.01, max_hole_mm2=0.005)
    yield Value(
        "tumour found from cells: radius of a disk of 500, drawn in by h²/2r, µm",
        497.5,
        float(np.sqrt(found.region.area / np.pi)),
        0.3,
    )
    axis = np.arange(0, 1500, 5) + 2.5
    cells = np.column_stack([g.ravel() for g in np.meshgrid(axis, np.arange(0, 2000, 5) + 2.5)])
    region, _ = dense_region(cells, MultiPolygon([box(0, 0, 3000, 2000)]), bandwidth_um=50, level=0.25)
    yield Value(
        "… a straight edge at a quarter of the density: beyond the cells, µm",
        50 * stats.norm.ppf(0.75),
        region.bounds[2] - 1500,
        0.4,
    )


def metrics() -> Iterator[Value]:
    """Yield intervals, tests and point patterns with closed forms or published values."""
    for n, low, high in ((0, 0.0, 3.689), (10, 4.795, 18.390), (100, 81.364, 121.627)):
        for side, expected, found in zip(("low", "high"), (low, high), garwood(n, 0.95), strict=True):
            yield Value(f"exact Poisson limits of {n} cells, {side}", expected, float(found), 6e-4)
    for side, expected, found in zip(
        ("low", "high"), (0.1172, 0.3256), poisson_ratio(20, 1, 100, 1, 0.95), strict=True
    ):
        yield Value(f"ratio of 20 to 100 cells on equal areas, {side}", expected, found, 5e-5)
    tiles = TileCounts(
        "s", "core", 200.0, np.full(10, 0.04), {"CD8+": np.array([5, 15] * 5)}, np.zeros(10), np.zeros(10)
    )
    e = estimate([tiles], "CD8+", confidence=0.95, bootstrap=2000, min_tiles=8, seed=0)
    yield Value("100 cells on 0.4 mm²: density per mm²", 250.0, e.density_per_mm2 or np.nan, 1e-9)
    areas, per_mm2 = (3.1416, 3.9270, 5.4978), (20, 200, 800)
    names = ("core", "inner_margin", "outer_margin")
    excluded = {
        k: Estimate(round(a * d), a, d, 0.0, np.inf, 0.02, 40) for k, a, d in zip(names, areas, per_mm2, strict=True)
    }
    half_a_cell = np.log2((63.5 / areas[0]) / (5183.5 / (areas[1] + areas[2])))
    yield Value(
        "log2 core/margin of 20, 200 and 800 per mm², half a cell added",
        half_a_cell,
        float(point_levels(excluded).log2_ratio[0]),
        1e-3,
    )
    yield Value("smallest p of 4 pairs (sign-flip)", 0.125, sign_flip(np.arange(1.0, 5)).smallest, 1e-12)
    yield Value(
        "smallest p of 3 against 3 (rank sum)", 0.1, rank_sum(np.arange(3.0), np.arange(3.0) + 9).smallest, 1e-12
    )
    yield Value(
        "second q-value of p 0.01, 0.02, 0.9 (Benjamini–Hochberg)",
        0.03,
        benjamini_hochberg([0.01, 0.02, 0.9])[1],
        1e-12,
    )
    kappa = cohens_kappa([*"a" * 25, *"b" * 25], [*"a" * 20, *"b" * 5, *"a" * 10, *"b" * 15], confidence=0.95)
    yield Value("Cohen's kappa of 20, 5, 10, 15", 0.4, kappa.value or np.nan, 1e-12)
    odds = float(mantel_haenszel_log2(np.array([[60.0, 60.0, 40.0, 360.0]])))
    yield Value("log2 odds ratio of PD-L1 near CD8+: 60/60 against 40/360", np.log2(9), odds, 1e-12)
    grid = build_grid(np.array([[150.0, 120.0]]))
    overlap = overlap_with_itself(box(0, 0, 500, 200), 60.0, 5.0)
    weight = pair_weights(np.array([[120.0, 80.0]]), np.array([-1]), grid, np.array([50.0]), overlap).sum(axis=0)
    yield Value(
        "K at 50 µm of one pair in 500 × 200 µm, mm²", 1e4 / (470 * 160), float(k_cross(weight, 1, 1e5)[0]) / 1e6, 1e-9
    )
    score = mixing_score(np.array([80]), np.array([2513]))
    yield Value("mixing score of 80 pairs to 2513", 0.03183446, float(score[0]), 5e-9)
    yield Value(
        "normalised mixing of complete mixture, 500 and 300 cells",
        1.0,
        float(normalised(np.array(600 / 499), 500, 300)),
        1e-12,
    )
    random = np.random.default_rng(10)
    target = build_grid(random.uniform(0, 4000, (8000, 2)))
    distance = nearest_um(random.uniform(200, 3800, (40_000, 2)), target)
    yield Value("mean distance to 500 cells per mm² at random, µm", 22.36, float(distance.mean()), 0.4)
    yield from _penetration()


def _penetration() -> Iterator[Value]:
    tumor = divide(FIELD, disk(3000, 2600, 1500))
    samples = sample_depths(tumor, arc_um=200.0, n_samples=100_000)
    k = np.arange(20_000) + 0.5  # a sunflower: evenly spread
    angle, radius = k * np.pi * (3 - np.sqrt(5)), 1500 * np.sqrt(k / len(k))
    xy = np.column_stack((3000 + radius * np.cos(angle), 2600 + radius * np.sin(angle)))
    sector = border_sectors(xy, tumor, arc_um=200.0)
    for what, depth, expected in (
        ("anywhere", 1500 - radius, 0.5),
        ("at the border", 0 * radius, 0.0),
        ("in the middle", 0 * radius + 1500, 1.0),
    ):
        found = penetration_index(
            depth_fraction(depth, samples.depth_um), sector, confidence=0.95, bootstrap=200, seed=0, key="s"
        )
        yield Value(f"penetration index, cells {what}", expected, np.nan if found.value is None else found.value, 2e-3)


def section(_: Run) -> Section:
    parts = {"Geometry": list(geometry()), "Metrics": list(metrics())}
    text = ["Shapes and counts whose values are known by hand or from published tables; the tests hold many more."]
    for title, values in parts.items():
        rows = [
            (v.what, f"{v.expected:.6g}", f"{v.found:.6g}", f"{v.tolerance:.2g}", "yes" if v.holds else "**no**")
            for v in values
        ]
        text += [f"### {title}", table(("what", "expected", "found", "allowed apart", "holds"), rows)]
    values = [v for of in parts.values() for v in of]
    held = sum(v.holds for v in values)
    bar = Bar("Closed forms", f"all {len(values)}", str(held), held == len(values))
    return Section("Closed forms", "\n\n".join(text), (bar,))
