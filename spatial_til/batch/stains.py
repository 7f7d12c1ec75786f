"""Before measuring: the stain vectors of batches whose protocol leaves them to the slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spatial_til.batch.stages import Run
from spatial_til.counted import counted
from spatial_til.io.measured import read_made_of
from spatial_til.pipeline.measure import settings_text
from spatial_til.pipeline.settings import measure_settings
from spatial_til.pipeline.vectors import (
    ColourTask,
    PoolVectors,
    StainPool,
    find_vectors,
    leaves_vectors_open,
    sample_slide,
    stain_pool,
    with_vectors,
)
from spatial_til.progress import progress
from spatial_til.study import Job, Study


def settle_vectors(run: Run, study: Study, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs to measure, each with the stain vectors of its batch where these were estimated.

    Parameters
    ----------
    study
        All slides of a batch tell, also those that are not measured now.
    jobs
        The slides to measure.
    """
    pools = {stain_pool(job) for job in jobs if leaves_vectors_open(job)}
    if not pools:
        return list(jobs)
    members = [job for job in study.jobs if leaves_vectors_open(job) and stain_pool(job) in pools]
    tasks = [ColourTask(job, run.folder) for job in members]
    with progress("stains", len(tasks), run.folder, quiet=run.quiet) as told:
        for task, outcome in run.runner("stains", sample_slide, tasks, _nothing):
            # A slide that cannot be read is left out here, and fails by itself when it is measured.
            told.step(task.job.slide_id, "failed" if outcome.result is None else "done")
    found = find_vectors(members, run.folder)
    run.vectors = [of.record(pool) for pool, of in found.items()]
    run.notes += [_sentence(pool, of) for pool, of in found.items()]
    run.notes += _left_behind(run, members, {job.slide_id for job in jobs}, found)
    return [with_vectors(job, found) for job in jobs]


def _nothing(_: ColourTask) -> None:
    """Tell nobody that a sample has begun: it takes a second."""


def _sentence(pool: StainPool, of: PoolVectors) -> str:
    estimate = of.estimate
    what = "estimated" if estimate.accepted else "the presets, since an estimate explains little more"
    shares = (
        f"{estimate.unexplained_preset:.1%} of stained colours unexplained by the presets, {estimate.unexplained:.1%} "
    )
    return f"batch {pool.batch}: stain vectors are {what} ({shares}by the estimate, {counted(of.slides, 'slide')})"


def _left_behind(
    run: Run, members: Sequence[Job], chosen: set[str], found: Mapping[StainPool, PoolVectors]
) -> list[str]:
    """Say how many slides of these batches stay as they were measured with other vectors."""
    behind: dict[str, int] = {}
    for job in members:
        stored = read_made_of(run.folder.measured(job.slide_id)) if job.slide_id not in chosen else {}
        now = settings_text(measure_settings(with_vectors(job, found).protocol))
        if stored and stored.get("settings") != now:
            batch = stain_pool(job).batch
            behind[batch] = behind.get(batch, 0) + 1
    return [
        f"batch {batch}: stored with other stain vectors than these: {counted(n, 'slide')}; run score without --only"
        for batch, n in behind.items()
    ]
