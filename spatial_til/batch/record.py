"""run.json: versions, protocol as resolved, inputs by hash, what each slide took, thresholds that changed."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spatial_til.batch.reviews import Review
from spatial_til.batch.stages import Run
from spatial_til.io.atomic import write_text
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.journal import read_events
from spatial_til.io.json_text import parse_object
from spatial_til.io.measured import read_source
from spatial_til.io.scores import ScoredSlide
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.divide import Widths
from spatial_til.pipeline.stored import record_cuts
from spatial_til.pipeline.threshold import Pool, PoolResult
from spatial_til.run_record import record_job
from spatial_til.study import Study

PACKAGES = ("spatial-til", "numpy", "scipy", "scikit-image", "shapely", "tifffile", "opencv-python-headless")
_UNKNOWN = {"seconds": None, "peak_mib": None}


def write_record(
    run: Run,
    study: Study,
    stored: ScoredFolder,
    scored: Mapping[str, ScoredSlide],
    pools: Mapping[Pool, PoolResult],
    made_with: Mapping[str, tuple[Mapping[str, MarkerCut], Widths]],
    review: Review | None = None,
) -> None:
    """Write run.json. Apart from times and memory it says the same however often a run was killed on the way.

    Parameters
    ----------
    made_with
        Cut-offs and margin widths of each slide: what a viewer needs to score it again alone.
    review
        Whose corrections were applied; which, is told by their hashes.
    """
    earlier = _earlier(run.folder.run)
    before = _table(earlier.get("thresholds"))
    now = {f"{p.threshold.batch} {p.threshold.marker}": p.threshold.threshold for p in pools.values()}
    changed = {k: {"old": before[k], "new": v} for k, v in now.items() if k in before and before[k] != v}
    if run.resumed and not changed:  # the run we go on with may have got as far as writing this
        changed = _table(earlier.get("thresholds_changed"))
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "protocol": study.protocol.resolved(),
        "protocol_fingerprint": study.protocol.fingerprint(),
        "stain_vectors": _earlier(stored.run).get("stain_vectors", []) if run.vectors is None else run.vectors,
        "thresholds": now,
        "thresholds_changed": changed,
        "slides": _slides(run, study, stored, scored, made_with),
        "study": {
            "path": str(study.path) if study.path else None,
            "extra_columns": list(study.extra_columns),
            "jobs": [record_job(job) for job in study.jobs],
        },
    }
    if review is not None:
        digests = {slide_id: of.digest() for slide_id, of in review.corrections.items()}
        record["review"] = {"reader": review.reader, "corrections": digests}
    write_text(run.folder.run, json.dumps(record, indent=1, ensure_ascii=False, default=str) + "\n")


def _slides(
    run: Run,
    study: Study,
    stored: ScoredFolder,
    scored: Mapping[str, ScoredSlide],
    made_with: Mapping[str, tuple[Mapping[str, MarkerCut], Widths]],
) -> dict[str, dict[str, Any]]:
    """Return what is recorded of each slide: its stages, what was read, and what it was scored with."""
    slides: dict[str, dict[str, Any]] = {}
    for job in study.jobs:
        stages = [] if job.slide_id in run.failures else ["measure"] if job.control else ["measure", "score"]
        slides[job.slide_id] = {
            "stages": {name: run.took.get((name, job.slide_id), _UNKNOWN) for name in stages},
            "source": dict(read_source(stored.measured(job.slide_id))) or None,
        }
        if job.slide_id in made_with:
            slides[job.slide_id] |= record_cuts(*made_with[job.slide_id])
        if job.slide_id in scored:
            for row in scored[job.slide_id].rows.get("run", []):
                slides[job.slide_id] |= row
    return slides


def times_so_far(folder: ScoredFolder) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the stages of slides took in earlier runs: from run.json, then from a run that was killed."""
    took: dict[tuple[str, str], dict[str, Any]] = {}
    for slide_id, entry in _table(_earlier(folder.run).get("slides")).items():
        stages = _table(_table(entry).get("stages"))
        took |= {(name, slide_id): _table(numbers) for name, numbers in stages.items()}
    for event in read_events(folder.journal):
        if event.what == "done":
            took[event.stage, event.slide_id] = {"seconds": event.seconds, "peak_mib": event.peak_mib}
    return took


def _earlier(path: Path) -> dict[str, Any]:
    try:
        return parse_object(path.read_bytes())
    except (OSError, ValueError):
        return {}


def _table(value: Any) -> dict[str, Any]:
    """Return a table of the record as far as it is one: what an earlier run wrote is kept, or made anew."""
    return value if isinstance(value, dict) else {}
