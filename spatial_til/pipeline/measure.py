"""Measure: image to cells and tissue. The only stage that reads pixels; kept by a key of what it depends on."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import MultiPolygon

from spatial_til.errors import SlideError
from spatial_til.io.annotations import read_annotations
from spatial_til.io.atomic import nameless
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.identity import identify, stamp
from spatial_til.io.journal import tell_tiles
from spatial_til.io.labels import labels_on_grid, open_labels
from spatial_til.io.measured import Measured, read_made_of, read_source, write_measured
from spatial_til.io.overview import write_overview
from spatial_til.io.slides import Slide, WorkingGrid, open_slide, select_channels
from spatial_til.io.stain_planes import write_stain_planes
from spatial_til.model import Box, PixelSource
from spatial_til.pipeline.settings import measure_settings, no_picture, renamed_channels
from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.examples.planes import PLANE_UM, plane_names, tiles_of_planes
from spatial_til.segmentation.networks import find_nuclei_with
from spatial_til.segmentation.settings import MeasureSettings
from spatial_til.segmentation.slide import measure_slide
from spatial_til.study import Job

OVERVIEW_PX = 1400
OVERVIEW_UM = 4.0


@dataclass(frozen=True, slots=True)
class MeasureTask:
    """One slide to measure; `again` measures it even where nothing changed."""

    job: Job
    folder: ScoredFolder
    threads: int = 1
    again: bool = False


@dataclass(frozen=True, slots=True)
class StageReport:
    """What one stage of one slide took. `reused`: it was kept from an earlier run; `why` it was not, in words."""

    slide_id: str
    seconds: float
    peak_mib: float
    reused: bool = False
    why: str = ""


def measure(task: MeasureTask) -> StageReport:
    """Measure one slide into the folder, unless what is stored was made from the same things.

    Raises
    ------
    SpatialTilError
        Where the slide, its annotation or its cell table cannot be used.
    """
    start = time.perf_counter()
    job, path = task.job, task.folder.measured(task.job.slide_id)

    def report(*, reused: bool = False, why: str = "") -> StageReport:
        return StageReport(job.slide_id, time.perf_counter() - start, peak_mib(), reused, why)

    if job.cells is not None:
        from spatial_til.pipeline.tables_in import measure_cell_table, table_parts

        source = identify(job.cells, read_source(path))
        parts = table_parts(job, source["sha256"])
        stored = read_made_of(path)
        if not task.again and stored == parts:
            return report(reused=True)
        write_measured(path, replace(measure_cell_table(job), key=key_of(parts), source=source, made_of=parts))
        return report(why=_difference(stored, parts))
    if job.image is None:
        msg = f"{job.slide_id}: no image and no cells: fill one of them in the study sheet"
        raise SlideError(msg)
    with (
        open_slide(job.image, pixel_size_um=job.pixel_size_um) as slide,
        ThreadPoolExecutor(max(task.threads, 1)) as beside,
    ):
        slide.require_pixel_size()
        identity = beside.submit(identify, job.image, read_source(path))
        labels = identify(job.labels)["sha256"] if job.labels else None
        drawn = annotated_tissue(job, slide)
        stored = read_made_of(path)
        kept = stored and not task.again and all(path.exists() for path in _pictures(task))
        if kept and stored == measure_parts(job, identity.result()["sha256"], labels, drawn):
            return report(reused=True)
        measured, stored_beside = _measure_image(task, slide, drawn, beside)
        source = identity.result()
        parts = measure_parts(job, source["sha256"], labels, drawn)
        write_measured(path, replace(measured, key=key_of(parts), source=source, made_of=parts))
        for picture in stored_beside:
            picture.result()
    return report(why=_difference(stored, parts))


def _pictures(task: MeasureTask) -> tuple[Path, Path]:
    return task.folder.overview(task.job.slide_id), task.folder.stains(task.job.slide_id)


def _store_picture(
    task: MeasureTask, slide: Slide, tissue: MultiPolygon, beside: Executor
) -> tuple[tuple[float, float], Future[None]]:
    """Begin to store a slide at low resolution; return its width and height in µm, and what ends when it is stored."""
    pictures = task.folder.overview(task.job.slide_id), task.folder.photo(task.job.slide_id)
    overview = slide.overview(OVERVIEW_PX)
    px, (rows, cols) = overview.pixel_size or slide.require_pixel_size(), overview.image.shape[:2]
    stored = beside.submit(write_overview, *pictures, slide, overview, task.job.protocol.panel.roles, tissue)
    return (cols * px.x_um, rows * px.y_um), stored


def _store_stains(task: MeasureTask, slide: Slide, constants: Calibration) -> None:
    """Store the stains of a slide at low resolution, near its tissue."""
    grid = working_grid(slide, task.job, PLANE_UM)
    write_stain_planes(
        task.folder.stains(task.job.slide_id),
        tiles_of_planes(grid, constants),
        shape=grid.shape,
        channels=plane_names(constants),
        modality=task.job.protocol.panel.modality,
        pixel_size=grid.pixel_size,
    )


def measure_parts(job: Job, image: str, labels: str | None, tissue: MultiPolygon | None) -> dict[str, Any]:
    """Return all that measured cells depend on, as JSON gives it back."""
    settings = measure_settings(job.protocol)
    return {
        "image": image,
        "labels": labels,
        "tissue": tissue_hash(tissue),
        "pixel_size_um": job.pixel_size_um,
        "settings": settings_text(settings),
        "working_pixel_size_um": settings.cell_pixel_um(job.protocol.segmentation.pixel_size_um),
        "method": [job.protocol.segmentation.method, _weights_hash(job.protocol.segmentation.weights)],
        "version": version("spatial-til"),
    }


def _weights_hash(weights: str) -> str | None:
    """Return what changes with the weights of a network, wherever they lie; None where there are none."""
    path = Path(weights)
    if not weights or not path.exists():
        return None
    return _hash_of_weights(weights, json.dumps(stamp(path)))


@cache
def _hash_of_weights(weights: str, _stamp: str) -> str:
    """Read weights once a process, and again where the file has changed."""
    return str(identify(Path(weights))["sha256"])


def key_of(parts: dict[str, Any]) -> str:
    """Return the key of a measured slide: a hash of all it depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _difference(stored: Mapping[str, Any], parts: dict[str, Any]) -> str:
    """Return in words what changed since a slide was measured; empty where it had not been."""
    if not stored:
        return ""
    changed = [name for name in parts if parts[name] != stored.get(name)]
    if changed == ["version"]:
        return f"version {stored.get('version')} is now {parts['version']}"
    return f"{', '.join(name.replace('_', ' ') for name in changed)} changed" if changed else "asked for"


def settings_text(settings: MeasureSettings) -> str:
    """Return measure settings as text that is the same for equal settings."""
    return json.dumps(asdict(settings), sort_keys=True, default=sorted)


def peak_mib() -> float:
    """Return the most memory this process has used, in MiB; NaN where the system does not say."""
    try:
        import resource
    except ImportError:
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def overview_tissue(job: Job, slide: Slide) -> MultiPolygon:
    """Return the tissue of a slide, drawn or detected, without measuring anything.

    Raises
    ------
    SlideError
        Where the slide has none.
    """
    grids = (working_grid(slide, job, job.protocol.segmentation.pixel_size_um), working_grid(slide, job, OVERVIEW_UM))
    return calibrate(*grids, measure_settings(job.protocol), annotated_tissue(job, slide)).tissue


def tissue_hash(tissue: MultiPolygon | None) -> str | None:
    """Return what changes with drawn tissue; None where none is drawn."""
    return None if tissue is None else hashlib.sha256(shapely.to_wkb(tissue)).hexdigest()


def annotated_tissue(job: Job, slide: Slide) -> MultiPolygon | None:
    """Return the tissue drawn on a slide; None where none is drawn."""
    if not job.annotations:
        return None
    drawn = read_annotations(job.annotations, pixel_size=slide.require_pixel_size(), image_shape=slide.shape)
    return drawn.tissue


def working_grid(slide: Slide, job: Job, pixel_size_um: float) -> PixelSource:
    """Return the slide at a pixel size, with the channels of the panel."""
    panel = job.protocol.panel
    if panel.modality == "brightfield":
        if not slide.is_rgb:
            raise SlideError(no_picture(slide.path, slide.channels))
        return slide.at(pixel_size_um)
    if slide.is_rgb:
        msg = f"{slide.path}: the panel is fluorescence, but the image is an RGB picture: "
        msg += "give the multi-channel image, or set panel.modality to brightfield"
        raise SlideError(msg)
    names = [*panel.channels, *filter(None, [job.protocol.fluorescence.autofluorescence])]
    return _Named(slide.at(pixel_size_um, channels=select_channels(slide, names)), tuple(names))


class _Named:
    """A source whose channels go by the panel's names."""

    def __init__(self, source: WorkingGrid, names: tuple[str, ...]) -> None:
        self.source, self.channels = source, names
        self.shape, self.pixel_size = source.shape, source.pixel_size

    def read(self, row0: int, row1: int, col0: int, col1: int) -> np.ndarray[Any, Any]:
        return self.source.read(row0, row1, col0, col1)

    def expect(self, boxes: Sequence[Box]) -> None:
        self.source.expect(boxes)


def _vector_flags(job: Job) -> tuple[str, ...]:
    """Return the flag of stains left to the slides whose presets stand (see `pipeline.vectors`)."""
    panel = job.protocol.panel
    asked = panel.modality == "brightfield" and any(stain.vector == "auto" for stain in panel.stains.values())
    return ("stain_vector_fallback",) if asked else ()


def _measure_image(
    task: MeasureTask, slide: Slide, tissue: MultiPolygon | None, beside: Executor
) -> tuple[Measured, tuple[Future[None], ...]]:
    """Return the measured slide, and what ends when its pictures are stored: while cells are written, beside it."""
    job = task.job
    px = slide.require_pixel_size()
    seg = job.protocol.segmentation
    grid = working_grid(slide, job, seg.pixel_size_um)
    with ExitStack() as opened:
        labels = None
        if job.labels is not None:
            labels = labels_on_grid(opened.enter_context(open_labels(job.labels, slide)), slide, grid)
        found = measure_slide(
            grid,
            working_grid(slide, job, OVERVIEW_UM),
            settings=measure_settings(job.protocol),
            tissue=tissue,
            labels=labels,
            finder=None if seg.method == "watershed" else find_nuclei_with(seg.method, seg.weights),
            threads=task.threads,
            progress=tell_tiles(task.folder.tiles(job.slide_id)),
            aside=opened.enter_context(nameless(task.folder.measured(job.slide_id).parent)),
            beside=(
                lambda constants: beside.submit(_store_stains, task, slide, constants),
                lambda constants: _store_picture(task, slide, constants.tissue, beside),
            ),
        )
    stains, (size_um, picture) = found.beside
    numbers: dict[str, Any] = dict(found.qc.numbers) | {"overview_um": size_um}
    numbers |= {"artefact_fraction": found.qc.artefact_fraction, "white": found.qc.white}
    numbers |= {"vectors": {k: [float(x) for x in v] for k, v in found.qc.vectors.items()}}
    numbers |= {"own_nuclear": found.qc.own_nuclear, "brown_lent": found.qc.brown_lent}
    numbers |= {"crosstalk": dict(found.qc.crosstalk)}
    warnings = [*found.qc.warnings, *renamed_channels(job.protocol.panel, slide.channels)]
    numbers |= {"warnings": warnings, "working_pixel_um": [found.pixel_size.x_um, found.pixel_size.y_um]}
    measured = Measured(
        key="",
        cells=found.cells,
        tissue=found.tissue,
        image_box=(0.0, 0.0, slide.shape[1] * px.x_um, slide.shape[0] * px.y_um),
        pixel_size=px,
        flags=tuple(dict.fromkeys((*slide.flags, *found.qc.flags, *_vector_flags(job)))),
        numbers=numbers,
        settings={
            "modality": job.protocol.panel.modality,
            "segmenter": "labels" if labels is not None else seg.method,
            "pixel size": f"about {2.0 ** round(float(np.log2(grid.pixel_size.mean_um))):g} µm",
        },
    )
    return measured, (stains, picture)
