"""The four stages over a study: measure, threshold, score, compare; what is unchanged is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spatial_til.batch.checks import panel_problems
from spatial_til.batch.plan import Plan, plan
from spatial_til.batch.record import times_so_far, write_record
from spatial_til.batch.reviews import Review
from spatial_til.batch.stages import Failure, Run, measure_one, remove_outputs, score_one
from spatial_til.batch.stains import settle_vectors
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
from spatial_til.pipeline.corrections import Corrections
from spatial_til.pipeline.divide import Widths, protocol_widths
from spatial_til.pipeline.measure import MeasureTask
from spatial_til.pipeline.score import ScoreTask
from spatial_til.pipeline.threshold import Pool, PoolResult, find_thresholds, pool_of
from spatial_til.pipeline.widths import lesion_widths
from spatial_til.progress import say
from spatial_til.run_record import record_job
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
    ProtocolError
        Where the stains of a panel cannot be told apart.
    SpatialTilError
        Where the folder cannot be made, or another run is under way in it.
    """
    study = _absolute(study)
    problems = panel_problems(study)
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
            return finish(run, study, folder, cut, again=chosen if again else set())


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


@dataclass(frozen=True, slots=True)
class Cut:
    """Slides that are measured, the cut-offs of their pools, and cut-offs and adaptive widths of each slide."""

    slides: tuple[Job, ...]  # without controls
    pools: Mapping[Pool, PoolResult]
    cuts: Mapping[str, Mapping[str, MarkerCut]]
    widths: Mapping[str, Widths]


def cut_slides(run: Run, study: Study, stored: ScoredFolder) -> Cut:
    """Find the cut-offs of all slides that are measured."""
    measured = [job for job in study.jobs if job.slide_id not in run.failures and _is_measured(run, job, stored)]
    pools = find_thresholds(measured, stored)
    cuts = {job.slide_id: _cuts(job, pools) for job in measured}
    slides = tuple(job for job in measured if not job.control)
    return Cut(slides, pools, cuts, lesion_widths(slides, stored, cuts))


def finish(
    run: Run,
    study: Study,
    stored: ScoredFolder,
    cut: Cut,
    *,
    again: frozenset[str] | set[str] = frozenset(),
    review: Review | None = None,
) -> Summary:
    """Score and compare what is measured, and write every table.

    Parameters
    ----------
    again
        Slides to score even where nothing changed.
    review
        A reader's corrections: slides that they leave as they are keep the score of the base folder.
    """
    corrections = review.corrections if review else {}
    widths = lesion_widths(cut.slides, stored, cut.cuts, corrections) if review else cut.widths
    own = [
        job
        for job in cut.slides
        if review is None or job.slide_id in corrections or widths.get(job.slide_id) != cut.widths.get(job.slide_id)
    ]
    tasks, kept = [], []
    for job in own:
        inputs = (cut.cuts[job.slide_id], widths.get(job.slide_id), corrections.get(job.slide_id))
        if task := _score_task(run, job, stored, *inputs):
            if job.slide_id not in again and _is_scored(task):
                kept.append(job.slide_id)
            else:
                tasks.append(task)
    run.stage("score", score_one, tasks, kept)
    done = [job.slide_id for job in cut.slides if job.slide_id not in run.failures]
    ours = {job.slide_id for job in own}
    remove_outputs(run.folder, ours.intersection(done))
    base = review.base if review else run.folder
    scored = {i: read_score((run.folder if i in ours else base).score(i)) for i in done}
    comparison = compare([s.score for s in scored.values()], study.protocol)
    extra = comparison.extra_biopsies
    write_slide_tables(run, study, list(scored.values()), cut.pools, extra, reviewed=review is not None)
    write_comparison(run, comparison)
    write_record(run, study, stored, scored, cut.pools, _made_with(cut, widths))
    return summary(run, study, comparison, list(scored.values()))


def _made_with(cut: Cut, widths: Mapping[str, Widths]) -> dict[str, tuple[Mapping[str, MarkerCut], Widths]]:
    """Return cut-offs and widths of every slide."""
    return {j.slide_id: (cut.cuts[j.slide_id], widths.get(j.slide_id, protocol_widths(j.protocol))) for j in cut.slides}


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
    run: Run,
    job: Job,
    stored: ScoredFolder,
    cuts: Mapping[str, MarkerCut],
    widths: Widths | None,
    corrections: Corrections | None,
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
    parts += [corrections.digest()] if corrections else []
    text = json.dumps([*parts, version("spatial-til")], sort_keys=True, default=str)
    return ScoreTask(job, stored, run.folder, cuts, hashlib.sha256(text.encode()).hexdigest(), widths, corrections)


def _is_scored(task: ScoreTask) -> bool:
    slide_id, folder = task.job.slide_id, task.target
    # A table may come without regions, and without an image to draw; its cells are written all the same.
    wanted = [folder.cells(slide_id)] if task.job.cells is not None else folder.outputs(slide_id)
    whole = all(path.exists() for path in wanted)
    return whole and read_score_key(folder.score(slide_id)) == task.key
