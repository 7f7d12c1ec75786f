"""Slides that come as cell tables: their cells as measured, and their score where no region is known."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import numpy as np

from spatial_til.errors import CellTableError
from spatial_til.io.cell_tables import read_cell_table
from spatial_til.io.measured import Measured
from spatial_til.io.scores import ScoredSlide
from spatial_til.io.slides import open_slide
from spatial_til.metrics.density import estimate
from spatial_til.metrics.levels import Failure, not_evaluable
from spatial_til.metrics.tiles import untiled_counts
from spatial_til.model import BoolArray, Cells, Estimate, SlideScore, TileCounts
from spatial_til.pipeline.calls import populations_of, with_stain_flags
from spatial_til.pipeline.correcting import Corrected
from spatial_til.pipeline.corrections import Corrections, overridden, review_flags, review_rows
from spatial_til.pipeline.rows import counted_rows, counted_slide_row
from spatial_til.study import Job
from spatial_til.units import PixelSize

_OURS = b"PAR1"
#: Share of a table's cells that may lie beyond its image: centres at the edge, never another scale.
MAX_OUTSIDE_IMAGE = 0.01


def measure_cell_table(job: Job) -> Measured:
    """Return the cells of a table as if they had been measured. The image, where one is named, gives its size only.

    Raises
    ------
    CellTableError
        Where the table cannot be read, its unit is not known, or its cells lie outside the image.
    """
    if job.cells is None:
        msg = f"{job.slide_id}: no cell table"
        raise CellTableError(msg)
    mapping = job.protocol.cells.model_dump()
    with job.cells.open("rb") as file:
        ours = file.read(4) == _OURS
    box, px, flags = _frame(job)
    cells = read_cell_table(
        job.cells,
        markers=job.protocol.panel.markers,
        um_per_unit=None if ours else job.pixel_size_um,
        image_pixel=None if box is None else px,
        mapping=mapping,
    )
    if box is not None:
        _check_in_image(job, cells, box)
    return Measured(
        key="",
        cells=cells,
        tissue=None,
        image_box=box,
        pixel_size=px,
        flags=flags,
        settings={"modality": job.protocol.panel.modality, "segmenter": "cell table"},
    )


def _check_in_image(job: Job, cells: Cells, box: tuple[float, float, float, float]) -> None:
    """Refuse cells that lie beyond the image they are said to be of: another unit, or another slide."""
    x0, y0, x1, y1 = box
    inside = (cells.x_um >= x0) & (cells.x_um <= x1) & (cells.y_um >= y0) & (cells.y_um <= y1)
    outside = 1.0 - float(inside.mean()) if len(cells) else 0.0
    if outside > MAX_OUTSIDE_IMAGE:
        msg = (
            f"{job.slide_id}: {100 * outside:.0f} % of the cells lie outside the image: give the image they were found "
            "in, or the µm in one unit of their positions as pixel_size_um"
        )
        raise CellTableError(msg)


def table_parts(job: Job, cells: str) -> dict[str, Any]:
    """Return all that the cells of a table depend on, as JSON gives it back; `cells` is the file's hash."""
    box, px, _ = _frame(job)
    parts = {
        "cells": cells,
        "mapping": job.protocol.cells.model_dump(mode="json"),
        "pixel_size_um": job.pixel_size_um,
        "frame": [box, None if px is None else [px.x_um, px.y_um]],
        "markers": list(job.protocol.panel.markers),
        "version": version("spatial-til"),
    }
    return dict(json.loads(json.dumps(parts)))


def _frame(job: Job) -> tuple[tuple[float, float, float, float] | None, PixelSize | None, tuple[str, ...]]:
    """Return the image's box in µm, its pixel size and the flags of that, as far as they are known."""
    if job.image is not None:
        with open_slide(job.image, pixel_size_um=job.pixel_size_um) as slide:
            px = slide.require_pixel_size()
            return (0.0, 0.0, slide.shape[1] * px.x_um, slide.shape[0] * px.y_um), px, slide.flags
    if job.pixel_size_um is not None:
        return None, PixelSize(job.pixel_size_um, job.pixel_size_um), ()
    if job.annotations:
        msg = (
            f"{job.slide_id}: annotations are in pixels, and no pixel size is known: give pixel_size_um, "
            "or the image beside the cells"
        )
        raise CellTableError(msg)
    return None, None, ()


def score_cell_table(job: Job, corrected: Corrected, key: str, corrections: Corrections | None) -> ScoredSlide:
    """Return counts, and densities where `tissue_area_mm2` is given; a vendor's labels give tumour and outside.

    A label says which tissue a cell is in, not where a border is: there is no core and no margin.
    """
    measured, calls = corrected.measured, corrected.calls
    populations = populations_of(job.protocol, calls)
    estimates: dict[tuple[str, str], Estimate] = {}
    for region, (members, area_mm2) in _regions(job, measured).items():
        chosen = {name: mask & members for name, mask in populations.items()}
        counts = untiled_counts(chosen, slide_id=job.slide_id, compartment=region, area_mm2=area_mm2 or 0.0)
        estimates |= {(name, region): _estimate(job, counts, name) for name in chosen}
    failures = [Failure("no_tumor_region", "cells came without regions: no core and no margin")]
    flags = ["no_tumor_region", *measured.flags, *calls.flags]
    flags += [] if job.tissue_area_mm2 else ["area_unknown"]
    flags += review_flags(corrections, corrected.stale)
    score = SlideScore(
        meta=job.meta,
        tiles={},
        estimates=with_stain_flags(estimates, job.protocol, calls),
        values={},
        phenotype=overridden(not_evaluable(failures), corrections),
        activity={"combined": not_evaluable(failures)},
        gates={"tumor_mm2": None, "border_um": None, "artefact_fraction": None},
        settings=dict(measured.settings),
        flags=tuple(dict.fromkeys(flags)),
    )
    rows = {
        "density": counted_rows(score),
        "slide_scores": [counted_slide_row(score, job.protocol)],
        **review_rows(job.slide_id, corrected.cuts, corrections, corrected.stale),
    }
    return ScoredSlide(score, rows, key)


def _estimate(job: Job, counts: TileCounts, population: str) -> Estimate:
    statistics = job.protocol.statistics
    return estimate(
        [counts],
        population,
        confidence=statistics.confidence,
        bootstrap=statistics.bootstrap,
        min_tiles=job.protocol.gates.min_tiles,
        seed=statistics.seed,
    )


def _regions(job: Job, measured: Measured) -> dict[str, tuple[BoolArray, float | None]]:
    """Return the cells and the area of each region that can be told."""
    everything = np.ones(len(measured.cells), dtype=np.bool_)
    regions: dict[str, tuple[BoolArray, float | None]] = {"tissue": (everything, job.tissue_area_mm2)}
    category = measured.cells.category
    if category is not None:
        tumor = np.isin(np.char.lower(category), ("tumor", "tumour"))
        regions = {"tumor": (tumor, None), "outside": (~tumor, None), **regions}
    return regions
