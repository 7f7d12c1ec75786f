"""Stain vectors that the protocol leaves to the slides: one set for all slides of a batch that were stained alike."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from spatial_til.errors import SlideError
from spatial_til.io.colours import read_colours, write_colours
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.identity import stamp
from spatial_til.io.slides import open_slide
from spatial_til.model import FloatArray
from spatial_til.pipeline.measure import (
    OVERVIEW_UM,
    StageReport,
    annotated_tissue,
    peak_mib,
    tissue_hash,
    working_grid,
)
from spatial_til.pipeline.settings import measure_settings
from spatial_til.pipeline.threshold import ONE_BATCH
from spatial_til.segmentation.brightfield import glass_and_tissue, start_vector
from spatial_til.segmentation.overview import read_overview
from spatial_til.segmentation.settings import NUCLEI, Stain
from spatial_til.segmentation.stains import stain_matrix
from spatial_til.segmentation.vectors import VectorEstimate, estimate_vectors, sample_colours
from spatial_til.study import Job

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ColourTask:
    """One slide whose colours are to be sampled."""

    job: Job
    folder: ScoredFolder


class StainPool(NamedTuple):
    """Slides that share stain vectors: one batch, one panel."""

    batch: str
    stains: tuple[Stain, ...]
    white: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class PoolVectors:
    """What the colours of a pool came to, over how many slides."""

    estimate: VectorEstimate
    slides: int

    def record(self, pool: StainPool) -> dict[str, Any]:
        """Return it in plain values, for run.json."""
        vectors = zip(pool.stains, self.estimate.vectors, strict=True)
        return {
            "batch": pool.batch,
            "vectors": {stain.name: [round(float(x), 4) for x in vector] for stain, vector in vectors},
            "estimated": self.estimate.accepted,
            "unexplained_with_preset": round(self.estimate.unexplained_preset, 4),
            "unexplained_with_estimate": round(self.estimate.unexplained, 4),
            "slides": self.slides,
        }


def leaves_vectors_open(job: Job) -> bool:
    """Return whether a slide's stain vectors are to be estimated."""
    panel = job.protocol.panel
    asked = panel.modality == "brightfield" and any(s.vector == AUTO for s in panel.stains.values())
    return asked and job.cells is None and job.image is not None


def stain_pool(job: Job) -> StainPool:
    """Return the pool of a slide."""
    settings = measure_settings(job.protocol)
    return StainPool(job.meta.batch or ONE_BATCH, settings.stains, settings.white)


def sample_slide(task: ColourTask) -> StageReport:
    """Store a sample of a slide's colours, unless it is there already.

    Raises
    ------
    SpatialTilError
        Where the slide or its annotation cannot be used.
    """
    start, job = time.perf_counter(), task.job
    if job.image is None:
        msg = f"{job.slide_id}: no image"
        raise SlideError(msg)
    settings, path = measure_settings(job.protocol), task.folder.colours(job.slide_id)
    with open_slide(job.image, pixel_size_um=job.pixel_size_um) as slide:
        drawn = annotated_tissue(job, slide)
        made_of = {
            "image": {"path": str(job.image), **stamp(job.image)},
            "tissue": tissue_hash(drawn),
            "white": settings.white,
            "pixel_size_um": [job.pixel_size_um, job.protocol.segmentation.pixel_size_um],
            "version": version("spatial-til"),
        }
        reused = read_colours(path, made_of) is not None
        if not reused:
            grid = working_grid(slide, job, job.protocol.segmentation.pixel_size_um)
            picture = read_overview(grid, working_grid(slide, job, OVERVIEW_UM))
            glass, tissue = glass_and_tissue(*picture, settings, drawn)
            write_colours(path, sample_colours(grid, tissue, glass.rgb), made_of)
    return StageReport(job.slide_id, time.perf_counter() - start, peak_mib(), reused)


def find_vectors(jobs: Sequence[Job], folder: ScoredFolder) -> dict[StainPool, PoolVectors]:
    """Return the vectors of every pool from the stored colours of its slides; slides without any are left out."""
    members: dict[StainPool, list[str]] = defaultdict(list)
    for job in jobs:
        members[stain_pool(job)].append(job.slide_id)
    return {pool: _pooled(pool, sorted(slides), folder) for pool, slides in members.items()}


def _pooled(pool: StainPool, slides: Sequence[str], folder: ScoredFolder) -> PoolVectors:
    stored = [part for slide in slides if (part := read_colours(folder.colours(slide))) is not None]
    colours: FloatArray = np.concatenate([np.empty((0, 3)), *(np.asarray(part, dtype=np.float64) for part in stored)])
    presets = stain_matrix([start_vector(stain) for stain in pool.stains])
    free = np.array([stain.vector == AUTO for stain in pool.stains])
    nuclear = [stain.marker for stain in pool.stains].index(NUCLEI)
    return PoolVectors(estimate_vectors(colours, presets, free, nuclear), len(stored))


def with_vectors(job: Job, found: Mapping[StainPool, PoolVectors]) -> Job:
    """Return a slide with its pool's vectors in place of ``auto``, where they explain it better than the presets.

    Where they do not, ``auto`` stays: it stands for the preset, flagged.
    """
    of = found.get(stain_pool(job)) if leaves_vectors_open(job) else None
    if of is None or not of.estimate.accepted:
        return job
    panel = job.protocol.panel
    vectors = zip(panel.stains.items(), of.estimate.vectors, strict=True)
    stains = {
        name: stain.model_copy(update={"vector": tuple(round(float(x), 6) for x in vector)})
        if stain.vector == AUTO
        else stain
        for (name, stain), vector in vectors
    }
    panel = panel.model_copy(update={"stains": stains})
    return replace(job, protocol=job.protocol.model_copy(update={"panel": panel}))
