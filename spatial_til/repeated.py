"""Slides that a sheet names twice: allowed, but told, since they count twice and agree with themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from spatial_til.study import Job


def repeated_slides(jobs: Sequence[Job]) -> list[str]:
    """Return one sentence for each picture or table that several rows score within the same regions.

    Two biopsies on one glass have regions of their own, and another protocol is another question. All else is
    a path that was copied down and not changed: pooled, one slide passes for two; over time, it is `stable`.
    """
    rows: dict[tuple[Path, object], list[str]] = defaultdict(list)
    for job in jobs:
        source = job.cells or job.image
        if source is not None and not job.control:
            fingerprint = job.protocol.fingerprint() if job.own_protocol else ""
            rows[source.resolve(), (job.annotations, job.labels, fingerprint)].append(job.slide_id)
    return [
        f"{path.name} in the same regions is scored as {', '.join(names)}: correct the sheet if these are "
        "different slides"
        for (path, _), names in rows.items()
        if len(names) > 1
    ]
