"""What is wrong with a slide before it is scored: from headers and annotations, without reading pixels."""

from __future__ import annotations

from collections.abc import Callable

from spatial_til.errors import SpatialTilError
from spatial_til.io.annotations import read_annotations
from spatial_til.io.slides import open_slide, select_channels
from spatial_til.study import Job


def slide_problems(job: Job) -> list[str]:
    """Return every problem of one slide's files, each with the slide's name."""
    if job.image is None:
        return []
    problems: list[str] = []
    panel = job.protocol.panel
    try:
        with open_slide(job.image, pixel_size_um=job.pixel_size_um) as slide:
            if panel.modality == "fluorescence":
                _collect(problems, lambda: select_channels(slide, list(panel.channels)))
            elif not slide.is_rgb:
                problems.append(f"{job.image}: the panel is brightfield, but the image is no RGB picture")
            _collect(problems, slide.require_pixel_size)
            if slide.pixel_size is not None and job.annotations:
                px = slide.pixel_size
                _collect(
                    problems,
                    lambda: read_annotations(job.annotations, pixel_size=px, image_shape=slide.shape),
                )
    except SpatialTilError as error:
        problems.append(str(error))
    return [f"{job.slide_id}: {problem}" for problem in problems]


def _collect(problems: list[str], step: Callable[[], object]) -> None:
    try:
        step()
    except SpatialTilError as error:
        problems.append(str(error))
