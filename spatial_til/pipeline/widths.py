"""Margin widths that fit small lesions, the same at all time points of a lesion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from spatial_til.errors import SpatialTilError
from spatial_til.geometry.regions import clip_region
from spatial_til.geometry.widths import adaptive_width, inscribed_radius
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured
from spatial_til.pipeline.calls import MarkerCut, call_cells
from spatial_til.pipeline.divide import Widths, find_regions
from spatial_til.protocol_sections import TUMOR
from spatial_til.study import Job


def lesion_widths(
    jobs: Sequence[Job], stored: ScoredFolder, cuts: Mapping[str, Mapping[str, MarkerCut]]
) -> dict[str, Widths]:
    """Return the widths of every slide whose protocol asks for adaptive ones, by slide.

    Parameters
    ----------
    jobs
        Measured slides, all time points of their lesions among them.
    cuts
        The cut-offs of each slide, for tumours that are found from their cells.

    Notes
    -----
    w' = min(w, half the radius of the largest circle in the tumour), over all slides of a lesion. Slides whose
    regions cannot be found have no say here; they fail when they are scored.
    """
    radii: dict[tuple[str, str], list[float]] = defaultdict(list)
    adaptive = [job for job in jobs if job.protocol.compartments.adaptive]
    for job in adaptive:
        radii[_lesion(job)].append(_radius_um(job, stored, cuts[job.slide_id]))
    return {
        job.slide_id: Widths(
            adaptive_width(job.protocol.compartments.inner_um, radii[_lesion(job)]),
            adaptive_width(job.protocol.compartments.outer_um, radii[_lesion(job)]),
        )
        for job in adaptive
    }


def _lesion(job: Job) -> tuple[str, str]:
    return job.meta.patient_id, job.meta.lesion


def _radius_um(job: Job, stored: ScoredFolder, cuts: Mapping[str, MarkerCut]) -> float:
    try:
        measured = read_measured(stored.measured(job.slide_id), markers=[TUMOR])
        known = {marker: cut for marker, cut in cuts.items() if marker == TUMOR}
        regions = find_regions(job, measured, call_cells(job, measured, known, {}).tumor_cell)
        return inscribed_radius(clip_region(regions.tumor, regions.tissue))
    except SpatialTilError:
        return 0.0
