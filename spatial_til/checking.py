"""What is wrong with a slide before it is scored: from headers, annotations and cell tables, without pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spatial_til.errors import AnnotationError, ModelError, SpatialTilError
from spatial_til.io.annotations import read_annotations
from spatial_til.io.labels import open_labels
from spatial_til.io.slides import open_slide, select_channels
from spatial_til.io.tissue_model import read_tissue_model
from spatial_til.pipeline.calls import require_markers
from spatial_til.pipeline.divide import no_region
from spatial_til.pipeline.examples import fit_problems, panel_planes
from spatial_til.pipeline.settings import no_picture, renamed_channels
from spatial_til.pipeline.tables_in import measure_cell_table
from spatial_til.study import Job
from spatial_til.units import PixelSize


def slide_problems(job: Job) -> list[str]:
    """Return every problem of one slide's files, each with the slide's name."""
    problems: list[str] = []
    if job.cells is not None:
        _collect(problems, lambda: _check_table(job))
    elif job.image is not None:
        _check_image(job, job.image, problems)
    return [
        problem if problem.startswith(f"{job.slide_id}: ") else f"{job.slide_id}: {problem}" for problem in problems
    ]


def channel_notes(jobs: Sequence[Job]) -> list[str]:
    """Return what slides call the channels that a protocol gives by index, where that is another marker."""
    found = []
    for job in jobs:
        panel = job.protocol.panel
        if job.image is not None and any(key.isdecimal() for key in panel.channels):
            try:
                with open_slide(job.image, pixel_size_um=job.pixel_size_um) as slide:
                    found += [f"{job.slide_id}: {note}" for note in renamed_channels(panel, slide.channels)]
            except SpatialTilError:
                continue  # told as a problem of the slide
    return found


def model_problems(jobs: Sequence[Job]) -> list[str]:
    """Return every problem of the tissue models that protocols name, each once: all slides need them."""
    problems: list[str] = []
    for protocol in (job.protocol for job in jobs if job.protocol.tumor.method == "classifier"):
        path = Path(protocol.tumor.model)
        try:
            model, panel = read_tissue_model(path).model, protocol.panel
        except ModelError as error:
            problems += error.problems
        else:
            problems += [f"{path}: {p}" for p in fit_problems(model, panel.modality, panel_planes(panel))]
    return list(dict.fromkeys(problems))


def _check_image(job: Job, image: Path, problems: list[str]) -> None:
    panel = job.protocol.panel
    try:
        with open_slide(image, pixel_size_um=job.pixel_size_um) as slide:
            if panel.modality == "fluorescence":
                names = [*panel.channels, *filter(None, [job.protocol.fluorescence.autofluorescence])]
                _collect(problems, lambda: select_channels(slide, names))
            elif not slide.is_rgb:
                problems.append(no_picture(image, slide.channels))
            _collect(problems, slide.require_pixel_size)
            labels = job.labels
            if labels is not None:
                _collect(problems, lambda: open_labels(labels, slide).close())
            if slide.pixel_size is not None:
                px = slide.pixel_size
                _collect(problems, lambda: _check_regions(job, px, slide.shape))
    except SpatialTilError as error:
        problems.append(str(error))


def _check_regions(job: Job, px: PixelSize, shape: tuple[int, int]) -> None:
    drawn = read_annotations(job.annotations, pixel_size=px, image_shape=shape)
    unknown = drawn.tumor is None and drawn.tissue is None
    if unknown and not job.control and job.protocol.tumor.method == "annotation":
        raise AnnotationError(no_region(job, drawn))


def _check_table(job: Job) -> None:
    measured = measure_cell_table(job)
    require_markers(job, measured)
    if job.annotations:
        read_annotations(job.annotations, pixel_size=measured.pixel_size or PixelSize(1.0, 1.0), image_shape=None)


def _collect(problems: list[str], step: Callable[[], object]) -> None:
    try:
        step()
    except SpatialTilError as error:
        problems.append(str(error))
