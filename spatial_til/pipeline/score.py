"""Score: stored cells, regions and cut-offs to every number and picture of one slide. Reads no image."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spatial_til.errors import CellTableError
from spatial_til.geometry.place import place_cells, unplaced
from spatial_til.io.cells import write_cells
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import Measured, read_measured
from spatial_til.io.overview import read_overview
from spatial_til.io.regions import write_regions
from spatial_til.io.scores import ScoredSlide, write_score
from spatial_til.io.thumbnails import write_thumbnail
from spatial_til.metrics.sensitivity import HOT_CD8_PER_MM2, MARGIN_WIDTHS_UM, THRESHOLD_FACTORS, Variant, vary
from spatial_til.model import Annotations, Call, SlideScore
from spatial_til.pipeline.calls import MarkerCut, SlideCalls, pigment_counts, populations_of, with_stain_flags
from spatial_til.pipeline.correcting import Corrected, correct, corrected_calls
from spatial_til.pipeline.corrections import Corrections, StaleEdit, overridden, review_flags, review_rows
from spatial_til.pipeline.divide import Regions, Widths, divide, find_regions, protocol_widths
from spatial_til.pipeline.measure import StageReport, peak_mib
from spatial_til.pipeline.numbers import (
    SCORED,
    Classes,
    Divided,
    Scene,
    classify,
    comparable_settings,
    depth_bands,
    depth_samples,
    depth_values,
    ratio_values,
    tile_scene,
)
from spatial_til.pipeline.patterns import table_rows
from spatial_til.pipeline.pdl1 import TumorCellNumbers, tumor_cell_numbers, tumor_cell_values
from spatial_til.pipeline.rows import density_rows, depth_rows, sensitivity_rows, slide_row
from spatial_til.protocol import Protocol
from spatial_til.segmentation.qc import LIMITED_FLAGS, flags_over
from spatial_til.segmentation.scratch import give_back
from spatial_til.study import Job


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """One slide to score: cells from `source`, results to `target`, with the cut-offs of its batch."""

    job: Job
    source: ScoredFolder
    target: ScoredFolder
    cuts: Mapping[str, MarkerCut]
    key: str
    widths: Widths | None = None  # in place of the protocol's, where these adapt to small lesions
    corrections: Corrections | None = None  # of a reader; `score` never has any


def score(task: ScoreTask) -> StageReport:
    """Score one slide and write its cells, regions, thumbnail and score.

    Raises
    ------
    SpatialTilError
        Where its annotation or its stored cells cannot be used.
    """
    start = time.perf_counter()
    job, target = task.job, task.target
    measured = read_measured(task.source.measured(job.slide_id))
    if not len(measured.cells):
        msg = (
            f"{job.slide_id}: not one cell was found: a failed stain, focus or export, not a desert; look at the slide"
        )
        raise CellTableError(msg)
    scored, corrected, scene = score_measured(task, measured)
    give_back()  # what lies free would add to what comes next
    if scene is not None:
        _write_pictures(scene, task)
        give_back()
    write_cells(
        target.cells(job.slide_id),
        corrected.measured.cells,
        scene.placement if scene else unplaced(len(corrected.measured.cells)),
        positive=corrected.calls.positive,
        positive_raw=corrected.calls.positive_raw,
        tumor_cell=corrected.calls.tumor_cell,
    )
    write_score(target.score(job.slide_id), scored)
    return StageReport(job.slide_id, time.perf_counter() - start, peak_mib())


def score_measured(task: ScoreTask, measured: Measured) -> tuple[ScoredSlide, Corrected, Scene | None]:
    """Return the score of one slide, its cells as corrected, and what it rests on: None where no region is known."""
    job = task.job
    corrected = correct(job, measured, task.cuts, task.corrections)
    if measured.tissue is None and not job.annotations and not (task.corrections and task.corrections.regions):
        from spatial_til.pipeline.tables_in import score_cell_table

        return score_cell_table(job, corrected, task.key, task.corrections), corrected, None
    widths = task.widths or protocol_widths(job.protocol)
    regions = slide_regions(job, corrected, widths, task.corrections)
    compartments = divide(regions, corrected.measured, job.protocol, widths)
    divided = (compartments, place_cells(corrected.measured.cells.xy_um, compartments))
    populations = populations_of(job.protocol, corrected.calls)
    scene = tile_scene(job.slide_id, job.protocol, corrected.measured, corrected.calls, divided, populations)
    scored = _score_scene(scene, regions, replace(task, cuts=corrected.cuts), corrected.stale)
    return scored, corrected, scene


def slide_regions(
    job: Job,
    corrected: Corrected,
    widths: Widths,
    corrections: Corrections | None,
    drawn: Annotations | None = None,
) -> Regions:
    """Return the regions of one slide, a reader's in place of those annotated or found; see `find_regions`."""
    edited = corrections.regions if corrections else {}
    regions = find_regions(job, corrected.measured, corrected.calls.tumor_cell, edited, drawn)
    if widths == protocol_widths(job.protocol):
        return regions
    return replace(regions, flags=(*regions.flags, "adaptive_width"))


def _score_scene(scene: Scene, regions: Regions, task: ScoreTask, stale: Sequence[StaleEdit]) -> ScoredSlide:
    """Return the score of one slide and its rows of every table."""
    job, classes = task.job, classify(scene)
    pdl1 = task.cuts.get("PD-L1")
    tumor_cells = tumor_cell_numbers(scene, pdl1.threshold.threshold if pdl1 else None)
    depths = depth_samples(scene)
    values = {**ratio_values(scene), **depth_values(scene, depths), **tumor_cell_values(tumor_cells)}
    flags = (*slide_flags(scene, regions, tumor_cells, classes), *review_flags(task.corrections, stale))
    slide = SlideScore(
        meta=job.meta,
        tiles=scene.tiles.counts,
        estimates=with_stain_flags(scene.estimates, scene.protocol, scene.calls),
        values=values,
        phenotype=overridden(classes.phenotype, task.corrections),
        activity=classes.activity,
        gates=classes.gates,
        settings=comparable_settings(scene, task.cuts),
        flags=flags,
    )
    variants = _sensitivity(job, scene, regions, task)
    rows: dict[str, list[dict[str, Any]]] = {
        "density": density_rows(slide),
        "slide_scores": [slide_row(slide, scene, tumor_cells)],
        "depth_profile": depth_rows(job.slide_id, depth_bands(scene, depths)),
        "spatial": table_rows(scene, tumor_cells),
        "sensitivity": sensitivity_rows(job.slide_id, variants),
        "run": [_run_row(scene, regions, task)],
        **review_rows(job.slide_id, task.cuts, task.corrections, stale),
    }
    return ScoredSlide(slide, rows, task.key)


def _run_row(scene: Scene, regions: Regions, task: ScoreTask) -> dict[str, Any]:
    """Return what run.json says of the slide beside its stages."""
    counts = pigment_counts(scene.protocol, scene.measured, task.cuts)
    return {
        "closure_error": scene.compartments.closure_error,
        "notes": list(regions.notes),
        "doubts": list(regions.doubts),
        "pigment": {marker: of._asdict() for marker, of in counts.items()},
    }


def slide_flags(scene: Scene, regions: Regions, tumor_cells: TumorCellNumbers, classes: Classes) -> tuple[str, ...]:
    """Return the slide's flags: of pixels, regions, cut-offs, gates and what the classes rest on."""
    deciding = [
        flag
        for population in ("CD8+",)
        for region in ("core", "inner_margin", "outer_margin")
        if (population, region) in scene.estimates
        for flag in scene.estimates[population, region].flags
    ]
    groups = (
        quality_flags(scene.measured, scene.protocol),
        regions.flags,
        scene.compartments.flags,
        scene.calls.flags,
        tumor_cells.flags,
        deciding,
        [flag for call in (classes.phenotype, *classes.activity.values()) for flag in call.flags],
    )
    return tuple(dict.fromkeys(flag for group in groups for flag in group))


def quality_flags(measured: Measured, protocol: Protocol) -> tuple[str, ...]:
    """Return the flags of the measure stage, those with a limit in `[qc]` by this protocol's limit."""
    kept = (flag for flag in measured.flags if flag not in LIMITED_FLAGS)
    return (*kept, *flags_over(measured.numbers, **protocol.qc.model_dump()))


def _sensitivity(job: Job, scene: Scene, regions: Regions, task: ScoreTask) -> list[Variant]:
    """Return the class under other widths, hot cut-offs and marker cut-offs, all else as in the protocol."""
    protocol, measured = scene.protocol, scene.measured

    def with_hot(cut: float) -> Call:
        scores = protocol.scores.model_copy(update={"hot_cd8_per_mm2": cut})
        return classify(replace(scene, protocol=protocol.model_copy(update={"scores": scores}))).phenotype

    def phenotype_of(calls: SlideCalls, divided: Divided) -> Call:
        # The scored populations all decide how large tiles are, so that the protocol's own value gives its own call.
        everything = populations_of(protocol, calls)
        populations = {name: everything[name] for name in SCORED.values() if name in everything}
        return classify(tile_scene(job.slide_id, protocol, measured, calls, divided, populations)).phenotype

    def with_width(width_um: float) -> Call:
        compartments = divide(regions, measured, protocol, Widths(width_um, width_um))
        return phenotype_of(scene.calls, (compartments, place_cells(measured.cells.xy_um, compartments)))

    def with_factor(factor: float) -> Call:
        calls, _ = corrected_calls(job, measured, task.cuts, task.corrections, {"CD8": factor})
        return phenotype_of(calls, (scene.compartments, scene.placement))

    if "CD8" not in scene.calls.positive:
        return []

    variants = vary("hot_cd8_per_mm2", HOT_CD8_PER_MM2, with_hot)
    variants += vary("margin_width_um", MARGIN_WIDTHS_UM, with_width)
    if "CD8" in task.cuts and "CD8" not in measured.cells.calls:
        variants += vary("threshold_factor_CD8", THRESHOLD_FACTORS, with_factor)
    return variants


def _write_pictures(scene: Scene, task: ScoreTask) -> None:
    target, slide_id = task.target, scene.slide_id
    px = scene.measured.pixel_size
    if px is not None:
        write_regions(target.regions(slide_id), scene.compartments, pixel_size=px)
    stored = task.source.overview(slide_id)
    if scene.measured.image_box is not None and stored.exists():
        xy = scene.measured.cells.xy_um
        cd8 = scene.calls.positive.get("CD8")
        write_thumbnail(
            target.thumbnail(slide_id),
            read_overview(stored),
            (0.0, 0.0, *scene.measured.numbers["overview_um"]),
            scene.compartments,
            xy[cd8] if cd8 is not None else xy[:0],
        )
