"""Slides that a sheet names twice: allowed, but told, since they count twice and agree with themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from spatial_til.study import Job


def repeated_slides(jobs: Sequence[Job]) -> list[str]:
    """Return one sentence for each picture or table that several rows score within the same regions.

    Two biopsies on one glass have regions of their own, and another protocol is another question. All else is
    a path that was copied down and not changed: pooled, one slide passes for two; over time, it is `stable`; in two
    patients, who are then named, one has the cells of the other.
    """
    rows: dict[tuple[Path, object], list[Job]] = defaultdict(list)
    for job in jobs:
        source = job.cells or job.image
        if source is not None and not job.control:
            fingerprint = job.protocol.fingerprint() if job.own_protocol else ""
            rows[source.resolve(), (job.annotations, job.labels, fingerprint)].append(job)
    return [
        f"{path.name} in the same regions is scored as {_names(of)}: correct the sheet if these are different slides"
        for (path, _), of in rows.items()
        if len(of) > 1
    ]


def _names(jobs: Sequence[Job]) -> str:
    """Return the slides' names, and whose they are where they are not one patient's."""
    if len({job.meta.patient_id for job in jobs}) == 1:
        return ", ".join(job.slide_id for job in jobs)
    return " and ".join(f"{job.slide_id} of patient {job.meta.patient_id}" for job in jobs)
