"""What is measured, scored and compared: the second half of a run, the same for score and rescore."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from spatial_til.batch.record import write_record
from spatial_til.batch.reviews import Review
from spatial_til.batch.stages import Failure, Run, no_longer_there, remove_outputs, score_one
from spatial_til.batch.tables import Summary, summary, write_comparison, write_slide_tables
from spatial_til.errors import CellTableError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.identity import identify
from spatial_til.io.measured import read_key
from spatial_til.io.scores import read_score
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.compare import compare
from spatial_til.pipeline.corrections import Corrections
from spatial_til.pipeline.divide import Widths, protocol_widths
from spatial_til.pipeline.score import ScoreTask
from spatial_til.pipeline.threshold import Pool, PoolResult, find_thresholds, pool_of
from spatial_til.pipeline.widths import lesion_widths
from spatial_til.run_record import record_job
from spatial_til.study import Job, Study


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
    run.notes += no_longer_there(remove_outputs(run.folder, ours.intersection(done)), study)
    base = review.base if review else run.folder
    scored = {i: read_score((run.folder if i in ours else base).score(i)) for i in done}
    comparison = compare([s.score for s in scored.values()], study.protocol)
    extra = comparison.extra_biopsies
    write_slide_tables(run, study, list(scored.values()), cut.pools, extra, reviewed=review is not None)
    write_comparison(run, comparison)
    write_record(run, study, stored, scored, cut.pools, _made_with(cut, widths), review)
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
    try:
        return whole and read_score(folder.score(slide_id)).key == task.key
    except CellTableError:  # missing or damaged: it is made again
        return False
