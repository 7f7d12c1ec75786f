"""What must not change a result: turning, moving and scaling, tiles and threads, order, exchanged markers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Point, box

from benchmarks.accuracy import Source, settings_of
from benchmarks.phantoms import Phantom, phantom_set
from benchmarks.validation.page import Bar, Run, Section, table
from spatial_til.geometry.compartments import build_compartments
from spatial_til.geometry.place import place_cells
from spatial_til.model import COMPARTMENTS, Compartments
from spatial_til.segmentation.slide import measure_slide
from spatial_til.units import PixelSize

CODE = (
    "spatial_til/segmentation",
    "spatial_til/phantoms",
    "benchmarks/accuracy.py",
    "benchmarks/phantoms.py",
    "benchmarks/validation/invariance.py",
)
#: Round ends of a margin are drawn in chords, 32 a quarter; mirroring lays them elsewhere. A chord lies this share
#: of the width inside.
CHORD = 1 - np.cos(np.pi / 128)
MOVES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "turned by a quarter": (lambda xy: np.column_stack((-xy[:, 1], xy[:, 0])), 1.0),
    "mirrored": (lambda xy: xy * [-1.0, 1.0], 1.0),
    "transposed": (lambda xy: xy[:, ::-1], 1.0),
    "moved by 12,345.6 and -789.1 µm": (lambda xy: xy + np.array([12345.6, -789.1]), 1.0),
    "twice as large, with twice the widths": (lambda xy: xy * 2, 2.0),
}


def geometry() -> Iterator[tuple[str, str, str, bool]]:
    """Yield how far areas and distances of an irregular tumour move when the slide is moved."""
    random = np.random.default_rng(4)
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = 900 * random.uniform(0.7, 1.3, 90)
    tumor = shapely.make_valid(
        shapely.Polygon(np.column_stack((1500 + radius * np.cos(angle), 1300 + radius * np.sin(angle))))
    )
    tissue, hole = box(0, 0, 3600, 2400), Point(2100, 900).buffer(180)
    xy = random.uniform((0, 0), (3600, 2400), (20_000, 2))
    areas, distance, code = _measured(tissue, tumor, hole, xy, 1.0)
    for name, (move, scale) in MOVES.items():
        moved = [shapely.transform(g, move) for g in (tissue, tumor, hole)]
        other, far, codes = _measured(*moved, move(xy), scale)
        area = max(abs(other[k] / scale**2 / areas[k] - 1) for k in areas if areas[k] > 0)
        apart = float(np.nanmax(np.abs(far / scale - distance)))
        other_code = int((code != codes).sum())
        same = area < CHORD and apart < 1e-3 and other_code <= 2 and bool((np.isnan(far) == np.isnan(distance)).all())
        yield (
            name,
            "areas and distances",
            (
                f"areas by at most {area:.1e} of themselves, distances by {apart:.1e} µm, {other_code} of 20,000 "
                "cells change compartment"
            ),
            same,
        )


def _measured(
    tissue: Any, tumor: Any, hole: Any, xy: np.ndarray, scale: float
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    found: Compartments = build_compartments(
        tissue=MultiPolygon([tissue]), tumor=MultiPolygon(shapely.get_parts(tumor).tolist()),
        exclude=MultiPolygon([hole]),
        image_box=None, inner_um=200 * scale, outer_um=300 * scale, edge_tolerance_um=30 * scale,
    )  # fmt: skip
    placed = place_cells(np.ascontiguousarray(xy), found)
    return {k: found.regions[k].area for k in COMPARTMENTS}, placed.border_distance_um, placed.compartment


def pixels(side_um: float) -> list[tuple[str, str, str, bool]]:
    """Return whether cells are the same bit for bit in other tiles, with more threads, and with markers exchanged."""
    (phantom,) = phantom_set("brightfield", 1, 3100, side_um)
    whole = _bytes(phantom, tile_px=8192, threads=1)
    rows = []
    for tile, threads in ((512, 1), (512, 2), (1024, 2)):
        other = _bytes(phantom, tile_px=tile, threads=threads)
        differing = [k for k in whole if whole[k] != other[k]]
        rows.append(
            (
                f"tiles of {tile} pixels, {threads} threads",
                "cells, bit for bit",
                "none differ" if not differing else ", ".join(differing),
                not differing,
            )
        )
    again = _bytes(phantom, tile_px=8192, threads=1)
    rows.append(("measured again", "cells, bit for bit", "none differ" if again == whole else "differ", again == whole))
    return rows


def _bytes(phantom: Phantom, **how: int) -> dict[str, bytes]:
    px = PixelSize(phantom.pixel_size_um, phantom.pixel_size_um)
    cells = measure_slide(Source(phantom.image, px), settings=settings_of(phantom), **how).cells
    columns = {n: getattr(cells, n) for n in ("x_um", "y_um", "nucleus_area_um2", "cell_area_um2")}
    return {name: value.tobytes() for name, value in (columns | dict(cells.measurements)).items()}


def section(run: Run) -> Section:
    measured = run.kept("invariance", lambda: pixels(300.0 if run.quick else 800.0), of=CODE)
    rows = [*geometry(), *(tuple(row) for row in measured)]
    held = sum(bool(row[3]) for row in rows)
    text = (
        "An irregular tumour with an exclusion on a rectangle of tissue, 20,000 cells, widths 200 and 300 µm "
        "(round ends of a margin are chords, 32 a quarter, which mirroring lays elsewhere); a synthetic field of "
        "800 µm. The tests hold the same for random tissue, "
        "textures and cells on seams, for the order of slides and the number of workers, and that exchanged "
        "markers exchange results.\n\n"
        + table(
            ("changed", "compared", "found", "the same"), [(*row[:3], "yes" if row[3] else "**no**") for row in rows]
        )
    )
    return Section("Invariance", text, (Bar("Invariance", f"all {len(rows)}", str(held), held == len(rows)),))
