"""Six awkward cases as pictures, to be looked at.

    python -m benchmarks.geometry_overlays [--out geometry_overlays.png]

Fill: compartments. Lines: the tumour's outline by type, thin rims in yellow. Dots: cells in the colour of
the compartment they were placed in, so that a cell in the wrong colour shows.
"""

from __future__ import annotations

import argparse

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from shapely.geometry import MultiPolygon, Point, Polygon, box

from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.place import place_cells
from spatial_til.model import COMPARTMENTS, Compartments

FILL = {
    "core": "#7b3294",
    "inner_margin": "#c2a5cf",
    "outer_margin": "#a6dba0",
    "outside": "#e8e8e8",
    "tumor_unresolved": "#d95f0e",
}
LINE = {
    "image_edge": "black",
    "tissue_edge": "#d7191c",
    "exclusion": "#555555",
    "no_margin": "#2b83ba",
    "stroma": "#006400",
}


def regions(*parts: shapely.Geometry) -> MultiPolygon:
    return MultiPolygon([p for p in shapely.get_parts(shapely.union_all(parts)) if p.geom_type == "Polygon"])


def ragged(x: float, y: float, radius_um: float, waves: int, seed: int) -> Polygon:
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    radius = radius_um * (1 + 0.25 * np.sin(waves * angle) + 0.01 * rng.normal(size=angle.size))
    return Polygon(np.c_[x + radius * np.cos(angle), y + radius * np.sin(angle)]).buffer(0)


def cases() -> dict[str, dict[str, object]]:
    tissue = box(0, 0, 5000, 4000)
    ring = Point(2500, 2000).buffer(1600).difference(Point(2300, 2000).buffer(800))
    pieces = (box(0, 0, 3000, 4000), box(3080, 0, 4300, 4000), box(4400, 1000, 5000, 3000))
    return {
        "biopsy cut on three sides, 40 µm rim above": {
            "tissue": regions(box(0, 500, 5000, 3000)),
            "tumor": regions(box(0, 540, 2500, 3000)),
        },
        "hole ignored, island in it": {
            "tissue": regions(tissue),
            "tumor": regions(ring, Point(2300, 2000).buffer(300)),
        },
        "hole as border": {"tissue": regions(tissue), "tumor": regions(ring), "holes": "border"},
        "three pieces of tissue, 80 µm of glass between": {
            "tissue": regions(*pieces),
            "tumor": regions(box(500, 1000, 2950, 3000), box(4400, 1000, 5000, 3000)),
        },
        "necrosis across the border, epidermis above": {
            "tissue": regions(tissue),
            "tumor": regions(ragged(2500, 2200, 1300, 5, 1)),
            "exclude": regions(Point(3600, 2200).buffer(500), Point(2200, 2300).buffer(300)),
            "no_margin": regions(box(0, 0, 5000, 1150)),
        },
        "islands closer than two widths, tumour over the frame": {
            "tissue": regions(box(-500, -500, 6000, 5000)),
            "tumor": regions(
                *(
                    Point(x, y).buffer(r)
                    for x, y, r in (
                        (600, 700, 900),
                        (2300, 900, 500),
                        (3400, 1500, 350),
                        (2600, 2600, 120),
                        (4300, 3200, 700),
                    )
                )
            ),
        },
    }


def draw(ax: Axes, title: str, case: dict[str, object]) -> Compartments:
    c = build_compartments(image_box=(0, 0, 5000, 4000), inner_um=500, outer_um=500, edge_tolerance_um=30, **case)
    for name, region in c.regions.items():
        fill(ax, region, FILL[name])
    fill(ax, c.excluded, "#bbbbbb", hatch="///")
    for name, line in c.border.by_type.items():
        for part in line.geoms:
            ax.plot(*part.xy, color=LINE[name], lw=2)
    for part in c.border.thin_rim.geoms:
        ax.plot(*part.xy, color="yellow", lw=1)
    cells = np.random.default_rng(0).uniform((0, 0), (5000, 4000), (1500, 2))
    code = place_cells(cells, c).compartment
    for index, name in enumerate(COMPARTMENTS):
        ax.plot(*cells[code == index].T, "o", ms=2.5, color=FILL[name], mec="black", mew=0.3)
    ax.plot(*cells[code == -1].T, "x", ms=2, color="black", mew=0.3)
    ax.set(title=f"{title}\n{', '.join(c.flags) or 'no flag'}", xlim=(-60, 5060), ylim=(4060, -60), aspect="equal")
    return c


def fill(ax: Axes, region: MultiPolygon, color: str, hatch: str | None = None) -> None:
    for part in region.geoms:
        rings = [np.array(ring.coords) for ring in (part.exterior, *part.interiors)]
        ax.add_patch(
            PathPatch(Path.make_compound_path(*(Path(ring) for ring in rings)), fc=color, ec="none", hatch=hatch)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="geometry_overlays.png")
    figure = Figure(figsize=(16, 9), layout="constrained")
    for ax, (title, case) in zip(figure.subplots(2, 3).flat, cases().items(), strict=True):
        c = draw(ax, title, case)
        areas = ", ".join(f"{name} {region.area / 1e6:.2f}" for name, region in c.regions.items())
        print(f"{title}: {areas} mm²; closure {c.closure_error:.1e}")
    figure.savefig(parser.parse_args().out, dpi=90)


if __name__ == "__main__":
    main()
