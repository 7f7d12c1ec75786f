"""What a study will take: headers, the tissue of a few slides, and the real stages on small windows of one."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry

from spatial_til.batch.plan import megapixels, memory_of_largest, plan
from spatial_til.counted import counted
from spatial_til.errors import SpatialTilError
from spatial_til.io.atomic import write_text
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured
from spatial_til.io.slides import open_slide
from spatial_til.model import Threshold
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.measure import MeasureTask, measure
from spatial_til.pipeline.score import ScoreTask, score
from spatial_til.study import Job
from spatial_til.workers import LocalRunner

# Two sizes tell what a slide costs by itself from what each mm² of its tissue costs.
WINDOWS_MM2 = (1.0, 4.0)
TISSUE_SLIDES = 3
CELL_TABLE_S = 3.0
# What no trial on windows tells, on a machine on which a worker starts in `USUAL_START_S`; slower ones take longer.
USUAL_START_S = 2.2
SHORT_S = 120.0  # told in seconds
REPORT_S = 2.0  # its imports, the cohort, the page
PARENT_S_PER_SLIDE = 0.07  # cut-offs, tables and its part of the report


@dataclass(frozen=True, slots=True)
class Trial:
    """What the stages took on one window."""

    tissue_mm2: float
    measure_s: float
    score_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Look:
    """The share of an image that is tissue, what a slide of the same kind takes by window, and when that began.

    `first_s` is what the first slide of a process takes more than the others: compiled kernels are loaded.
    """

    tissue_share: float
    began: float
    trials: tuple[Trial, ...] = ()
    first_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Looks:
    """What was seen of a few slides: the mean share of tissue, trials, and what a process takes before them."""

    tissue_share: float
    trials: tuple[Trial, ...]
    start_s: float
    first_s: float


@dataclass(frozen=True, slots=True)
class Ask:
    """One slide to look at; windows are tried where `trial`."""

    job: Job
    trial: bool


@dataclass(frozen=True, slots=True)
class Estimated:
    """Time and memory of a study."""

    seconds: float
    memory_mib: float
    workers: int

    def __str__(self) -> str:
        hours, minutes = divmod(round(self.seconds / 60), 60)
        words = f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
        if self.seconds < SHORT_S:
            words = f"{self.seconds:.0f} s"
        workers = counted(self.workers, "worker")
        return f"estimate: {words} with {workers}, {self.memory_mib:.0f} MiB each, on a machine left alone"


def estimate(jobs: Sequence[Job], workers: int | None = None) -> Estimated:
    """Return about what scoring some slides takes on a machine that does nothing else.

    Raises
    ------
    SpatialTilError
        Where no slide can be read.
    """
    sizes = {job.slide_id: megapixels(job) for job in jobs}
    images = sorted((job for job in jobs if sizes[job.slide_id]), key=lambda job: sizes[job.slide_id])
    planned = plan(jobs, workers)
    each, peak = [CELL_TABLE_S for job in jobs if job.cells is not None], memory_of_largest(jobs)
    start_s, first_s = USUAL_START_S, 0.0
    if images:
        looks = _look(images)
        start_s, first_s = looks.start_s, looks.first_s
        each += [_seconds(looks.trials, looks.tissue_share * sizes[job.slide_id] * _mm2_per_mpx(job)) for job in images]
        peak = max([peak, *(trial.peak_mib for trial in looks.trials)])
    used = max(1, min(planned.workers, len(jobs)))
    # The parent starts as a worker does, then the workers, then the slides go through them, then the report.
    slides = max(sum(each) / used, max(each, default=0.0))
    alone = start_s / USUAL_START_S * (REPORT_S + PARENT_S_PER_SLIDE * len(jobs))
    return Estimated(2 * start_s + first_s + slides + alone, peak, used)


def _look(images: Sequence[Job]) -> Looks:
    """Look at a few slides, in a worker process as a run has it: small, middle, large."""
    middle = len(images) // 2
    chosen = sorted({0, middle, len(images) - 1})[:TISSUE_SLIDES]
    asks = [Ask(images[k], trial=k == middle) for k in chosen]
    start = time.time()
    with LocalRunner(1) as runner:
        outcomes = [outcome for _, outcome in runner("estimate", look_at, asks, lambda _: None)]
    looks = [outcome.result for outcome in outcomes if outcome.result is not None]
    tried = next((look for look in looks if look.trials), None)
    if tried is None:
        raise SpatialTilError(next(filter(None, (outcome.error for outcome in outcomes)), "no slide can be read"))
    share = sum(look.tissue_share for look in looks) / len(looks)
    return Looks(share, tried.trials, min(look.began for look in looks) - start, tried.first_s)


def _seconds(trials: Sequence[Trial], tissue_mm2: float) -> float:
    """Return what a slide takes: a line through the trials, or in proportion where they are of one size."""
    low, high = trials[0], trials[-1]
    total = 0.0
    for first, last in ((low.measure_s, high.measure_s), (low.score_s, high.score_s)):
        if high.tissue_mm2 < 1.5 * low.tissue_mm2:
            total += last / high.tissue_mm2 * tissue_mm2
        else:
            slope = max(last - first, 0.0) / (high.tissue_mm2 - low.tissue_mm2)
            total += max(first - slope * low.tissue_mm2, 0.0) + slope * tissue_mm2
    return total


def _mm2_per_mpx(job: Job) -> float:
    return job.protocol.segmentation.pixel_size_um**2


def look_at(ask: Ask) -> Look:
    """Return the share of tissue on a slide, and try the stages on windows of it."""
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="spatial-til-") as name:
        tissue, image, um_per_px = _tissue(ask.job)
        share = tissue.area / image.area
        if not ask.trial:
            return Look(share, began)
        windows = [_window(tissue, image, mm2) for mm2 in WINDOWS_MM2]
        first = _try(ask.job, windows[0], um_per_px, Path(name) / "warm")
        trials = tuple(_try(ask.job, w, um_per_px, Path(name) / str(k)) for k, w in enumerate(windows))
        more = first.measure_s + first.score_s - trials[0].measure_s - trials[0].score_s
        return Look(share, began, trials, max(more, 0.0))


def _tissue(job: Job) -> tuple[BaseGeometry, BaseGeometry, tuple[float, float]]:
    """Return tissue and image in µm, and the pixel size, from the slide's overview alone."""
    from spatial_til.pipeline.measure import overview_tissue

    if job.image is None:
        msg = f"{job.slide_id}: no image"
        raise SpatialTilError(msg)
    with open_slide(job.image, pixel_size_um=job.pixel_size_um) as slide:
        px = slide.require_pixel_size()
        frame = box(0, 0, slide.shape[1] * px.x_um, slide.shape[0] * px.y_um)
        return overview_tissue(job, slide), frame, (px.x_um, px.y_um)


def _window(tissue: BaseGeometry, image: BaseGeometry, area_mm2: float) -> BaseGeometry:
    """Return a square of an area around a point of the tissue, as far as the image reaches."""
    half = 500 * area_mm2**0.5
    middle = shapely.point_on_surface(tissue)
    return box(middle.x - half, middle.y - half, middle.x + half, middle.y + half).intersection(image)


def _try(job: Job, window: BaseGeometry, um_per_px: tuple[float, float], root: Path) -> Trial:
    """Measure and score a slide whose tissue is the window and whose tumour is the left half of it."""
    x0, y0, x1, y1 = window.bounds
    drawn = {"Tissue": window, "Tumor": box(x0, y0, (x0 + x1) / 2, y1)}
    annotation = root / "window.geojson"
    write_text(annotation, _geojson(drawn, um_per_px))
    folder = ScoredFolder(root)
    drawn_tumor = job.protocol.tumor.model_copy(update={"method": "annotation"})
    protocol = job.protocol.model_copy(update={"tumor": drawn_tumor})
    job = replace(job, annotations=(annotation,), labels=None, protocol=protocol)
    folder.running.mkdir(parents=True)
    start = time.perf_counter()
    measured = measure(MeasureTask(job, folder))
    middle = time.perf_counter()
    n = len(read_measured(folder.measured(job.slide_id), markers=[]).cells)
    scored = score(ScoreTask(job, folder, folder, _cuts(job, n), ""))
    end = time.perf_counter()
    return Trial(window.area / 1e6, middle - start, end - middle, max(measured.peak_mib, scored.peak_mib))


def _cuts(job: Job, n_cells: int) -> dict[str, MarkerCut]:
    """Return cut-offs of the usual size: how many cells are positive hardly changes what scoring takes."""
    typical = 0.15 if job.protocol.panel.modality == "brightfield" else 50.0
    return {
        marker: MarkerCut(Threshold("", marker, typical, "fixed", None, n_cells, 0, evaluable=True), verified=True)
        for marker in job.protocol.panel.markers
    }


def _geojson(drawn: dict[str, BaseGeometry], um_per_px: tuple[float, float]) -> str:
    features = [
        {
            "type": "Feature",
            "geometry": mapping(shapely.transform(shape, lambda xy: xy / um_per_px)),
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, shape in drawn.items()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})
