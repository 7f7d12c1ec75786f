"""A border moved in the viewer: the numbers of a slide of 1,000,000 cells after it, step by step.

    python -m benchmarks.review_bench [--cells 1000000]

Budget: 2 s processor time on one core from the edit to densities, ratios, class and flags.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry import MultiPolygon

from benchmarks.geometry_bench import SIDE_UM, scene
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured
from spatial_til.model import Annotations, Cells, SlideMeta, Threshold
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.divide import protocol_widths
from spatial_til.protocol import parse_protocol
from spatial_til.review.drawing import commit_polygon
from spatial_til.review.events import CallFlip, ClassOverride, RegionEdit, ThresholdEdit
from spatial_til.review.session import Session, edited, numbers
from spatial_til.review.state import ReviewState, apply
from spatial_til.study import Job
from spatial_til.units import PixelSize

BUDGET_S = 2.0
MARKERS = ("CD8", "PD-L1", "tumor")
PROTOCOL = {
    "panel": {
        "modality": "fluorescence",
        "channels": {"D": {"marker": "nuclei"}, **{m: {"marker": m} for m in MARKERS}},
    },
    "markers": {m: {"threshold": 0.9, "compartment": "cell", "statistic": "mean"} for m in MARKERS},
}


def session(n_cells: int) -> Session:
    """Return a slide of 250 mm² of tissue with a tumour of 3,000 vertices, as if opened."""
    rng = np.random.default_rng(1)
    parts = scene(3000, 20)
    xy = rng.uniform(500, SIDE_UM - 500, (n_cells, 2))
    xy = xy[np.lexsort(xy.T)]
    typical = np.full(n_cells, 40.0)
    measurements = {f"{m}_cell_mean": rng.random(n_cells, dtype=np.float32) for m in MARKERS}
    measured = Measured(
        key="k",
        cells=Cells(xy[:, 0].copy(), xy[:, 1].copy(), typical, typical, measurements=measurements),
        tissue=parts["tissue"],
        image_box=(0.0, 0.0, SIDE_UM, SIDE_UM),
        pixel_size=PixelSize(0.5, 0.5),
        numbers={"artefact_fraction": 0.0},
        settings={"modality": "fluorescence"},
    )
    protocol = parse_protocol(PROTOCOL)
    job = Job(SlideMeta("S1", "P1", "baseline"), None, protocol)
    cuts = {
        m: MarkerCut(Threshold("study", m, 0.9, "fixed", None, 1, 1, evaluable=True), verified=True) for m in MARKERS
    }
    return Session(ScoredFolder(Path()), job, measured, cuts, protocol_widths(protocol), Annotations(**parts))


def run(n_cells: int = 1_000_000) -> dict[str, float]:
    """Return processor seconds of the numbers after each kind of edit, and of the border edit over the budget."""
    small = session(20_000)
    numbers(small, ReviewState())  # compile
    opened = session(n_cells)
    found: dict[str, float] = {}

    def timed(name: str, state: ReviewState, last):
        start = time.process_time()
        result = numbers(opened, state, last=last)
        found[name] = time.process_time() - start
        return result

    first = timed("opened, s", ReviewState(), None)
    corner = np.array(shapely.point_on_surface(first.regions.tumor).coords[0])
    outline = corner + 2500 * np.array([(0, 0), (1, 0.1), (1.1, 1), (0.1, 1.2)])
    made = commit_polygon(outline, "extend", MultiPolygon(first.regions.tumor), within=opened.measured.tissue)
    moved = apply(ReviewState(), edited(opened, RegionEdit, who="r", region="tumor", geometry=made.region))
    last = timed("border moved, s", moved, first)
    found["border moved, share of the budget"] = found["border moved, s"] / BUDGET_S
    x, y = last.scene.measured.cells.xy_um[n_cells // 2]
    flip = edited(opened, CallFlip, who="r", x_um=float(x), y_um=float(y), marker="CD8", positive=True)
    timed("cell flipped, s", apply(moved, flip), last)
    timed("cut-off moved, s", apply(moved, edited(opened, ThresholdEdit, who="r", marker="CD8", value=0.8)), last)
    timed(
        "class overridden, s", apply(moved, edited(opened, ClassOverride, who="r", phenotype="desert", why="-")), last
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1_000_000)
    for name, value in run(parser.parse_args().cells).items():
        print(f"{name:50s} {value:8.2f}")


if __name__ == "__main__":
    main()
