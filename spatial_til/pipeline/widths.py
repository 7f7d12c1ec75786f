"""Margin widths that fit small lesions, the same at all time points of a lesion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from spatial_til.errors import SpatialTilError
from spatial_til.geometry.regions import clip_region
from spatial_til.geometry.widths import adaptive_width, inscribed_radius
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.correcting import correct
from spatial_til.pipeline.corrections import Corrections
from spatial_til.pipeline.divide import Widths, find_regions
from spatial_til.protocol_panel import TUMOR
from spatial_til.study import Job


def lesion_widths(
    jobs: Sequence[Job],
    stored: ScoredFolder,
    cuts: Mapping[str, Mapping[str, MarkerCut]],
    corrections: Mapping[str, Corrections] = MappingProxyType({}),
) -> dict[str, Widths]:
    """Return the widths of every slide whose protocol asks for adaptive ones, by slide.

    Parameters
    ----------
    jobs
        Measured slides, all time points of their lesions among them.
    cuts
        The cut-offs of each slide, for tumours that are found from their cells.
    corrections
        A reader's, by slide.

    Notes
    -----
    w' = min(w, half the radius of the largest circle in the tumour), over all slides of a lesion. Slides whose
    regions cannot be found have no say here; they fail when they are scored.
    """
    radii: dict[tuple[str, str], list[float]] = defaultdict(list)
    adaptive = [job for job in jobs if job.protocol.compartments.adaptive]
    for job in adaptive:
        radius_um = _radius_um(job, stored, cuts[job.slide_id], corrections.get(job.slide_id))
        radii[_lesion(job)].append(radius_um)
    return {
        job.slide_id: Widths(
            adaptive_width(job.protocol.compartments.inner_um, radii[_lesion(job)]),
            adaptive_width(job.protocol.compartments.outer_um, radii[_lesion(job)]),
        )
        for job in adaptive
    }


def _lesion(job: Job) -> tuple[str, str]:
    return job.meta.patient_id, job.meta.lesion


def _radius_um(job: Job, stored: ScoredFolder, cuts: Mapping[str, MarkerCut], corrections: Corrections | None) -> float:
    try:
        measured = read_measured(stored.measured(job.slide_id), markers=[TUMOR])
        known = {marker: cut for marker, cut in cuts.items() if marker == TUMOR}
        corrected = correct(job, measured, known, corrections)
        edited = corrections.regions if corrections else {}
        regions = find_regions(job, corrected.measured, corrected.calls.tumor_cell, edited)
        return inscribed_radius(clip_region(regions.tumor, regions.tissue))
    except SpatialTilError:
        return 0.0
