"""The four stages over a study: measure, threshold, score, compare; what is unchanged is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spatial_til.batch.plan import Plan, plan
from spatial_til.batch.record import times_so_far, write_record
from spatial_til.batch.stages import Failure, Run, measure_one, remove_outputs, score_one
from spatial_til.batch.status import read_failures
from spatial_til.batch.tables import Summary, summary, write_comparison, write_slide_tables
from spatial_til.errors import ProtocolError, SpatialTilError, StudyError
from spatial_til.io.atomic import remove_parts
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.identity import identify
from spatial_til.io.lock import locked
from spatial_til.io.measured import read_key
from spatial_til.io.scores import read_score, read_score_key
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.compare import compare
from spatial_til.pipeline.divide import Widths
from spatial_til.pipeline.measure import MeasureTask, settings_text
from spatial_til.pipeline.score import ScoreTask
from spatial_til.pipeline.settings import measure_settings
from spatial_til.pipeline.threshold import Pool, PoolResult, find_thresholds, pool_of
from spatial_til.pipeline.widths import lesion_widths
from spatial_til.progress import say
from spatial_til.protocol import Protocol, load_protocol
from spatial_til.run_record import jobs_from_record, record_job
from spatial_til.study import Job, Study
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
    SpatialTilError
        Where the folder cannot be made, or another run is under way in it.
    """
    study = _absolute(study)
    known = {job.slide_id for job in study.jobs}
    unknown = sorted(set(only) - known)
    if unknown:
        raise StudyError([f"--only: {', '.join(unknown)} not in the sheet: correct the slide_id"])
    with _folder(out) as folder:
        before = {slide_id: of for slide_id, of in read_failures(folder).items() if slide_id in known}
        chosen = set(only) or (set(before) if rerun == "failed" else known)
        jobs = [job for job in study.jobs if job.slide_id in chosen]
        again = rerun == "all"
        planned = plan(jobs, 1 if scheduler else workers)
        with _run(folder, planned, scheduler, quiet=quiet) as run:
            run.failures = {i: Failure(i, *of) for i, of in before.items() if i not in chosen}
            tasks = [MeasureTask(job, folder, planned.threads, again) for job in jobs]
            run.stage("measure", measure_one, tasks)
            return _finish(run, study, folder, again=chosen if again else set())


def rescore(
    source: Path,
    protocol_path: Path | None,
    *,
    out: Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Summary:
    """Score the stored cells of a folder again, with another protocol where one is given. Reads no image.

    As in scoring, rows of the sheet that name a protocol of their own keep it.

    Raises
    ------
    ProtocolError
        Where the protocol differs in what the stored cells were measured with.
    SpatialTilError
        Where the folder is none of ours, or a run is under way in it.
    """
    stored = ScoredFolder(source)
    study = jobs_from_record(stored.run)
    if protocol_path is not None:
        protocol = load_protocol(protocol_path)
        problems = _measure_problems(study, protocol, protocol_path)
        if problems:
            raise ProtocolError(problems)
        jobs = (job if job.own_protocol else replace(job, protocol=protocol) for job in study.jobs)
        study = replace(study, protocol=protocol, jobs=tuple(jobs))
    with _folder(out or source) as folder, _run(folder, plan([], workers), None, quiet=quiet) as run:
        unmeasured = {i: of for i, of in read_failures(stored).items() if of[0] == "measure"}
        run.failures = {i: Failure(i, *of) for i, of in unmeasured.items()}
        return _finish(run, study, stored)


@contextmanager
def _folder(out: Path) -> Iterator[ScoredFolder]:
    """Open a folder for one run: locked, cleared of what a killed one left, its journal gone at a good end."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{out}: cannot be made ({error.strerror}): give another --out"
        raise SpatialTilError(msg) from None
    folder = ScoredFolder(out.resolve())
    try:
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


@contextmanager
def _run(folder: ScoredFolder, planned: Plan, scheduler: str | None, *, quiet: bool) -> Iterator[Run]:
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
            say(f"{cluster.workers()} workers of {scheduler}, about {planned.memory_mib:.0f} MiB each")
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


def _measure_problems(study: Study, protocol: Protocol, path: Path) -> list[str]:
    """Return the keys of the measure stage that a protocol changes."""
    new = protocol.resolved()
    problems = []
    jobs = [job for job in study.jobs if not job.own_protocol]
    for section in ("panel", "fluorescence", "segmentation"):
        for job in jobs:
            old = job.protocol.resolved()[section]
            changed = sorted(key for key in new[section] if new[section][key] != old[key])
            if changed and job.cells is None:
                problems += [
                    f"{path}: key '{section}.{key}' differs from what the cells were measured with: "
                    "run score, which measures again"
                    for key in changed
                ]
    if not problems:
        for job in jobs:
            if settings_text(measure_settings(job.protocol)) != settings_text(measure_settings(protocol)):
                problems.append(f"{path}: a marker moved into or out of the nucleus, so cells must be measured again")
    return list(dict.fromkeys(problems))


def _finish(run: Run, study: Study, stored: ScoredFolder, again: frozenset[str] | set[str] = frozenset()) -> Summary:
    """Threshold, score and compare what is measured, and write every table."""
    measured = [job for job in study.jobs if job.slide_id not in run.failures and _is_measured(run, job, stored)]
    pools = find_thresholds(measured, stored)
    tasks, kept = [], []
    cuts = {job.slide_id: _cuts(job, pools) for job in measured}
    widths = lesion_widths([job for job in measured if not job.control], stored, cuts)
    for job in measured:
        if not job.control and (task := _score_task(run, job, stored, cuts[job.slide_id], widths.get(job.slide_id))):
            if job.slide_id not in again and _is_scored(task):
                kept.append(job.slide_id)
            else:
                tasks.append(task)
    run.stage("score", score_one, tasks, kept)
    done = [job.slide_id for job in measured if not job.control and job.slide_id not in run.failures]
    remove_outputs(run.folder, set(done))
    scored = {slide_id: read_score(run.folder.score(slide_id)) for slide_id in done}
    comparison = compare([s.score for s in scored.values()], study.protocol)
    write_slide_tables(run, study, list(scored.values()), pools, comparison.extra_biopsies)
    write_comparison(run, comparison)
    write_record(run, study, stored, scored, pools)
    return summary(run, study, comparison, list(scored.values()))


def _is_measured(run: Run, job: Job, stored: ScoredFolder) -> bool:
    """Return whether a slide is measured; a file that cannot be read fails its slide alone."""
    path = stored.measured(job.slide_id)
    if path.exists() and read_key(path) is None:
        message = f"{path} is damaged: delete it and run score again"
        run.failures[job.slide_id] = Failure(job.slide_id, "threshold", message)
    return path.exists() and job.slide_id not in run.failures


def _cuts(job: Job, pools: Mapping[Pool, PoolResult]) -> dict[str, MarkerCut]:
    """Return the cut-off of every marker of a slide's panel."""
    found = {marker: pools[pool_of(job, marker)] for marker in job.protocol.panel.markers}
    return {marker: MarkerCut(of.threshold, of.stain_verified) for marker, of in found.items()}


def _score_task(
    run: Run, job: Job, stored: ScoredFolder, cuts: Mapping[str, MarkerCut], widths: Widths | None
) -> ScoreTask | None:
    """Return the task of scoring a slide, its key a hash of all that the score depends on."""
    files = [*job.annotations, *([Path(job.protocol.tumor.model)] if job.protocol.tumor.model else [])]
    try:
        hashes = [identify(path)["sha256"] for path in files]
    except OSError as error:
        message = f"{error.filename}: {error.strerror}: put the file back and run again"
        run.failures[job.slide_id] = Failure(job.slide_id, "score", message)
        return None
    entry = {name: value for name, value in record_job(job).items() if name not in {"image", "annotations", "labels"}}
    parts = [read_key(stored.measured(job.slide_id)), entry, hashes, {m: asdict(c) for m, c in cuts.items()}, widths]
    text = json.dumps([*parts, version("spatial-til")], sort_keys=True, default=str)
    return ScoreTask(job, stored, run.folder, cuts, hashlib.sha256(text.encode()).hexdigest(), widths)


def _is_scored(task: ScoreTask) -> bool:
    slide_id, folder = task.job.slide_id, task.target
    # A table may come without regions, and without an image to draw; its cells are written all the same.
    wanted = [folder.cells(slide_id)] if task.job.cells is not None else folder.outputs(slide_id)
    whole = all(path.exists() for path in wanted)
    return whole and read_score_key(folder.score(slide_id)) == task.key
