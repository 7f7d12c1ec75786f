"""The four stages over a study: measure, threshold, score, compare; what is unchanged is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from spatial_til.batch.checks import panel_problems
from spatial_til.batch.plan import Plan, plan
from spatial_til.batch.record import times_so_far
from spatial_til.batch.reviews import with_agreement
from spatial_til.batch.scoring import cut_slides, finish
from spatial_til.batch.stages import Failure, Run, measure_one
from spatial_til.batch.stains import settle_vectors
from spatial_til.batch.status import read_failures
from spatial_til.batch.tables import Summary
from spatial_til.checking import model_problems
from spatial_til.counted import counted
from spatial_til.errors import ProtocolError, SpatialTilError, StudyError
from spatial_til.io.atomic import remove_parts
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.lock import locked
from spatial_til.pipeline.measure import MeasureTask
from spatial_til.progress import say
from spatial_til.study import Study
from spatial_til.workers import LocalRunner, describe


def score_study(
    study: Study,
    out: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    rerun: str | None = None,
    only: Sequence[str] = (),
    quiet: bool = False,
) -> Summary:
    """Score every slide of a study into a folder and write all tables.

    Parameters
    ----------
    workers
        Processes on this machine; without it, what cores and memory allow.
    scheduler
        Address of a Dask scheduler whose workers do the work instead; they see the same paths.
    rerun
        ``all`` measures and scores every slide again; ``failed`` tries only those that failed before.
    only
        Slides to measure; thresholds and tables use all stored slides of the study.

    Raises
    ------
    StudyError
        Where `only` names slides that the sheet does not have.
    ProtocolError
        Where the stains of a panel cannot be told apart.
    SpatialTilError
        Where the folder cannot be made, or another run is under way in it.
    """
    study = _absolute(study)
    problems = [*panel_problems(study), *model_problems(study.jobs)]
    if problems:
        raise ProtocolError(problems)
    known = {job.slide_id for job in study.jobs}
    unknown = sorted(set(only) - known)
    if unknown:
        raise StudyError([f"--only: {', '.join(unknown)} not in the sheet: correct the slide_id"])
    with run_folder(out) as folder:
        before = {slide_id: of for slide_id, of in read_failures(folder).items() if slide_id in known}
        chosen = set(only) or (set(before) if rerun == "failed" else known)
        jobs = [job for job in study.jobs if job.slide_id in chosen]
        again = rerun == "all"
        planned = plan(jobs, 1 if scheduler else workers)
        with start_run(folder, planned, scheduler, quiet=quiet) as run:
            run.failures = {i: Failure(i, *of) for i, of in before.items() if i not in chosen}
            tasks = [MeasureTask(job, folder, planned.threads, again) for job in settle_vectors(run, study, jobs)]
            run.stage("measure", measure_one, tasks)
            cut = cut_slides(run, study, folder)
            result = finish(run, study, folder, cut, again=chosen if again else set())
    return with_agreement(result, folder)


@contextmanager
def run_folder(out: Path) -> Iterator[ScoredFolder]:
    """Open a folder for one run: locked, cleared of what a killed one left, its journal gone at a good end."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{out}: cannot be made ({error.strerror}): give another --out"
        raise SpatialTilError(msg) from None
    folder = ScoredFolder(out.resolve())
    try:
        _check_links(folder)
        with locked(folder.lock):
            remove_parts(folder.root)
            yield folder
            for path in folder.running.iterdir():
                if path != folder.lock:
                    path.unlink()
    except OSError as error:  # the disk is full, read-only, or gone
        raise SpatialTilError(describe(error)) from error
    with suppress(OSError):  # the next run may be in it already
        folder.running.rmdir()


def _check_links(folder: ScoredFolder) -> None:
    """Refuse a folder that links lead out of: what a run writes or removes there would be somebody else's.

    Raises
    ------
    SpatialTilError
        With the first such link.
    """
    inside = [*folder.root.iterdir(), *(folder.running.iterdir() if folder.running.is_dir() else ())]
    for path in inside:
        if path.is_symlink() and not path.resolve().is_relative_to(folder.root):
            msg = f"{path}: is a link to {path.resolve()}, outside of --out: remove it, or give that folder as --out"
            raise SpatialTilError(msg)


@contextmanager
def start_run(folder: ScoredFolder, planned: Plan, scheduler: str | None, *, quiet: bool) -> Iterator[Run]:
    """Give the run its workers, here or on a cluster."""
    state: dict[str, Any] = {"took": times_so_far(folder), "resumed": folder.journal.exists()}
    if scheduler is None:
        if not quiet:
            say(str(planned))
        with LocalRunner(planned.workers) as runner:
            yield Run(folder, runner, quiet, **state)
        return
    from spatial_til.cluster import DaskRunner

    with DaskRunner(scheduler, lambda stage, task: folder.attempts(stage, task.job.slide_id)) as cluster:
        if not quiet:
            say(f"{counted(cluster.workers(), 'worker')} of {scheduler}, about {planned.memory_mib:.0f} MiB each")
        yield Run(folder, cluster, quiet, **state)


def _absolute(study: Study) -> Study:
    """Return a study whose paths hold from any folder and on any computer that shares the disk."""

    def path(value: Path | None) -> Path | None:
        return None if value is None else value.absolute()

    jobs = (
        replace(
            job,
            image=path(job.image),
            labels=path(job.labels),
            cells=path(job.cells),
            annotations=tuple(p.absolute() for p in job.annotations),
        )
        for job in study.jobs
    )
    return replace(study, jobs=tuple(jobs))
