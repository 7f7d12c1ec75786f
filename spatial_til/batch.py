"""The four stages over a study: worker processes, resume, failures as rows, and the files of a scored folder."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from spatial_til.errors import ProtocolError, SpatialTilError, StudyError
from spatial_til.io import schema
from spatial_til.io.atomic import write_text
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_key
from spatial_til.io.scores import ScoredSlide, read_score
from spatial_til.io.tables import dictionary_text, write_table
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.compare import Comparison, compare
from spatial_til.pipeline.measure import MeasureTask, StageReport, measure, settings_text
from spatial_til.pipeline.rows import threshold_row
from spatial_til.pipeline.score import ScoreTask, score
from spatial_til.pipeline.settings import measure_settings
from spatial_til.pipeline.threshold import Pool, PoolResult, find_thresholds, pool_of
from spatial_til.progress import progress
from spatial_til.protocol import Protocol, load_protocol
from spatial_til.run_record import jobs_from_record, record_job
from spatial_til.study import Job, Study, load_study, single
from spatial_til.workers import available_workers, run_all

Task = TypeVar("Task", MeasureTask, ScoreTask)


@dataclass(frozen=True, slots=True)
class Failure:
    """A slide that could not be scored: at which stage, and why."""

    slide_id: str
    stage: str
    message: str

    def __str__(self) -> str:
        return f"{self.slide_id}: {self.stage} failed: {self.message}"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to: lines for standard output, and the slides that failed."""

    lines: tuple[str, ...]
    failures: tuple[Failure, ...] = ()


@dataclass(slots=True)
class _Run:
    """A run under way: its folder, and what the stages reported."""

    folder: ScoredFolder
    workers: int
    quiet: bool
    failures: list[Failure] = field(default_factory=list)
    reports: dict[str, dict[str, StageReport]] = field(default_factory=dict)

    def stage(self, name: str, function: Callable[[Task], StageReport], tasks: Sequence[Task]) -> None:
        """Run one stage over its slides; those that fail are left out of the later ones."""
        reports = self.reports.setdefault(name, {})
        with progress(name, len(tasks), quiet=self.quiet) as told:
            for task, outcome in run_all(function, tasks, workers=self.workers):
                slide_id = task.job.slide_id
                if outcome.result is None:
                    self.failures.append(Failure(slide_id, name, outcome.error or "no reason given"))
                    told.step(f"{slide_id} failed")
                else:
                    reports[slide_id] = outcome.result
                    told.step(f"{slide_id} {'kept' if outcome.result.reused else 'done'}")

    @property
    def failed(self) -> set[str]:
        return {failure.slide_id for failure in self.failures}


def score_study(
    study: Study,
    out: Path,
    *,
    workers: int | None = None,
    rerun: str | None = None,
    only: Sequence[str] = (),
    quiet: bool = False,
) -> Summary:
    """Score every slide of a study into a folder and write all tables.

    Parameters
    ----------
    rerun
        ``all`` measures every slide again; ``failed`` only those that failed before are tried.
    only
        Slides to measure; thresholds and tables use all stored slides of the study.

    Raises
    ------
    StudyError
        Where `only` names slides that the sheet does not have.
    """
    jobs = list(study.jobs)
    unknown = sorted(set(only) - {job.slide_id for job in jobs})
    if unknown:
        raise StudyError([f"--only: {', '.join(unknown)} not in the sheet: correct the slide_id"])
    folder = _open_folder(out)
    run = _Run(folder, workers or available_workers(), quiet)
    chosen = [job for job in jobs if not only or job.slide_id in only]
    threads = max(1, run.workers // max(1, len(chosen)))
    run.stage("measure", measure, [MeasureTask(job, folder, threads, again=rerun == "all") for job in chosen])
    return _finish(run, study, folder)


def rescore(
    source: Path,
    protocol_path: Path | None,
    *,
    out: Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Summary:
    """Score the stored cells of a folder again, with another protocol where one is given. Reads no image.

    Raises
    ------
    ProtocolError
        Where the protocol differs in what the stored cells were measured with.
    """
    stored = ScoredFolder(source)
    study = jobs_from_record(stored.run)
    if protocol_path is not None:
        protocol = load_protocol(protocol_path)
        problems = _measure_problems(study, protocol, protocol_path)
        if problems:
            raise ProtocolError(problems)
        study = replace(study, protocol=protocol, jobs=tuple(replace(job, protocol=protocol) for job in study.jobs))
    folder = stored if out is None else _open_folder(out)
    run = _Run(folder, workers or available_workers(), quiet)
    return _finish(run, study, stored)


def _measure_problems(study: Study, protocol: Protocol, path: Path) -> list[str]:
    """Return the keys of the measure stage that a protocol changes."""
    new = protocol.resolved()
    problems = []
    for section in ("panel", "fluorescence", "segmentation"):
        for job in study.jobs:
            old = job.protocol.resolved()[section]
            changed = sorted(key for key in new[section] if new[section][key] != old[key])
            if changed and job.cells is None:
                problems += [
                    f"{path}: key '{section}.{key}' differs from what the cells were measured with: "
                    "run score, which measures again"
                    for key in changed
                ]
    if not problems:
        for job in study.jobs:
            if settings_text(measure_settings(job.protocol)) != settings_text(measure_settings(protocol)):
                problems.append(f"{path}: a marker moved into or out of the nucleus, so cells must be measured again")
    return list(dict.fromkeys(problems))


def _finish(run: _Run, study: Study, stored: ScoredFolder) -> Summary:
    """Threshold, score and compare what is measured, and write every table."""
    jobs = [job for job in study.jobs if job.slide_id not in run.failed]
    measured = [job for job in jobs if stored.measured(job.slide_id).exists()]
    pools = find_thresholds(measured, stored)
    scored_jobs = [job for job in measured if not job.control]
    tasks = [_score_task(job, stored, run.folder, pools) for job in scored_jobs]
    run.stage("score", score, tasks)
    done = [job for job in scored_jobs if job.slide_id not in run.failed]
    scored = [read_score(run.folder.score(job.slide_id)) for job in done]
    comparison = compare([s.score for s in scored], study.protocol)
    _write_tables(run, study, scored, pools, comparison)
    _write_record(run, study, pools)
    return Summary(_closing_lines(run, comparison, scored), tuple(run.failures))


def _score_task(job: Job, stored: ScoredFolder, target: ScoredFolder, pools: Mapping[Pool, PoolResult]) -> ScoreTask:
    cuts = {}
    for marker in job.protocol.panel.markers:
        found = pools[pool_of(job, marker)]
        cuts[marker] = MarkerCut(found.threshold, found.stain_verified)
    text = json.dumps(
        [read_key(stored.measured(job.slide_id)), job.protocol.resolved(), {m: asdict(c) for m, c in cuts.items()}],
        sort_keys=True,
        default=str,
    )
    return ScoreTask(job, stored, target, cuts, hashlib.sha256(text.encode()).hexdigest())


def _open_folder(out: Path) -> ScoredFolder:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{out}: cannot be made ({error.strerror}): give another --out"
        raise SpatialTilError(msg) from None
    return ScoredFolder(out)


TABLES = (
    schema.DENSITY,
    schema.SLIDE_SCORES,
    schema.DEPTH_PROFILE,
    schema.SPATIAL,
    schema.SENSITIVITY,
    schema.THRESHOLDS,
    schema.LONGITUDINAL,
    schema.PATIENTS,
    schema.COHORT,
)


def _write_tables(
    run: _Run,
    study: Study,
    scored: Sequence[ScoredSlide],
    pools: Mapping[Pool, PoolResult],
    comparison: Comparison,
) -> None:
    tables = run.folder.tables
    extra = study.extra_columns
    for table in (schema.DENSITY, schema.DEPTH_PROFILE, schema.SPATIAL, schema.SENSITIVITY):
        write_table(tables, table, (row for s in scored for row in s.rows.get(table.name, [])))
    slides = ({**row, **s.score.meta.extra} for s in scored for row in s.rows["slide_scores"])
    write_table(tables, schema.SLIDE_SCORES, slides, extra)
    write_table(tables, schema.THRESHOLDS, [threshold_row(p.threshold) for p in pools.values()])
    known = set(schema.LONGITUDINAL.names)
    more = [name for name in dict.fromkeys(k for row in comparison.transitions for k in row) if name not in known]
    write_table(tables, schema.LONGITUDINAL, comparison.transitions, more)
    write_table(tables, schema.PATIENTS, comparison.patients)
    write_table(tables, schema.COHORT, comparison.cohort)
    write_text(tables / "README.md", dictionary_text(TABLES))
    write_table(run.folder.root, schema.ERRORS, [asdict(failure) for failure in run.failures])


def _write_record(run: _Run, study: Study, pools: Mapping[Pool, PoolResult]) -> None:
    """Write run.json: versions, protocol as resolved, inputs, timing, thresholds that changed."""
    before = _earlier_thresholds(run.folder.run)
    now = {f"{p.threshold.batch} {p.threshold.marker}": p.threshold.threshold for p in pools.values()}
    packages = ("spatial-til", "numpy", "scipy", "scikit-image", "shapely", "tifffile", "opencv-python-headless")
    slides: dict[str, Any] = {}
    for job in study.jobs:
        stages = {name: of[job.slide_id] for name, of in run.reports.items() if job.slide_id in of}
        slides[job.slide_id] = {
            "stages": {
                n: {"seconds": round(r.seconds, 3), "peak_mib": round(r.peak_mib, 1)} for n, r in stages.items()
            },
            "source": next((r.source for r in stages.values() if r.source), None),
        }
        path = run.folder.score(job.slide_id)
        if path.exists() and job.slide_id not in run.failed:
            for row in read_score(path).rows.get("run", []):
                slides[job.slide_id] |= row
    record = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "protocol": study.protocol.resolved(),
        "protocol_fingerprint": study.protocol.fingerprint(),
        "workers": run.workers,
        "thresholds": now,
        "thresholds_changed": {
            k: {"old": before[k], "new": v} for k, v in now.items() if k in before and before[k] != v
        },
        "slides": slides,
        "study": {
            "path": str(study.path) if study.path else None,
            "extra_columns": list(study.extra_columns),
            "jobs": [record_job(job) for job in study.jobs],
        },
    }
    write_text(run.folder.run, json.dumps(record, indent=1, ensure_ascii=False, default=str) + "\n")


def _earlier_thresholds(path: Path) -> dict[str, float | None]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["thresholds"])
    except (OSError, ValueError, KeyError):
        return {}


def _closing_lines(run: _Run, comparison: Comparison, scored: Sequence[ScoredSlide]) -> tuple[str, ...]:
    lines = [_patient_line(row) for row in comparison.patients]
    lines.append(f"{len(scored)} slides scored, {len(run.failures)} failed")
    lines.append(f"tables: {run.folder.tables}")
    if run.failures:
        lines.append(f"failures: {run.folder.errors}")
    return tuple(lines)


def _patient_line(row: Mapping[str, Any]) -> str:
    """Return what happened to one patient: classes over time, and the call that decides."""
    call = str(row["decisive_call"]).rpartition(": ")[2].replace("_", " ")
    if row["n_lesions"] != 1 or not call:
        return f"{row['patient_id']}  {row['pattern']}"
    return f"{row['patient_id']}  {row['immunophenotype_trajectory']}   {call}"


def single_study(
    image: Path, protocol_path: Path | None, annotations: Sequence[Path], pixel_size_um: float | None
) -> Study:
    """Return the study of one image; without a protocol, the one beside the image.

    Raises
    ------
    StudyError
        Where a file is missing.
    """
    beside = image.parent / "protocol.toml"
    path = protocol_path or beside
    missing = [f"file not found: {p}: correct the path" for p in (image, *annotations) if not p.exists()]
    if protocol_path is None and not beside.exists():
        missing.append(f"no protocol: give --protocol, or put protocol.toml beside the image ({beside})")
    if missing:
        raise StudyError(missing)
    return single(image, load_protocol(path), annotations=annotations, pixel_size_um=pixel_size_um)


def sample_study() -> Study:
    """Return the study of the sample slides that come with the project.

    Raises
    ------
    StudyError
        Where this installation has none.
    """
    path = Path(__file__).resolve().parents[1] / "sample_slides" / "study.csv"
    if not path.exists():
        raise StudyError([f"no sample slides at {path.parent}: run demo from a checkout of the project"])
    return load_study(path)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found: lines for standard output, problems for standard error."""

    lines: tuple[str, ...]
    problems: tuple[str, ...]


def check_study(path: Path, protocol_path: Path | None, *, locked: str | None = None) -> CheckReport:
    """Validate a study without reading pixels: sheet, protocols, headers of slides, annotations."""
    from spatial_til.checking import slide_problems

    study = load_study(path, protocol_path)
    problems = [problem for job in study.jobs for problem in slide_problems(job)]
    fingerprint = study.protocol.fingerprint()
    if locked is not None and locked != fingerprint:
        problems.append(f"the protocol's fingerprint is {fingerprint}, not {locked}: use the locked protocol unchanged")
    patients = {job.meta.patient_id for job in study.jobs if job.meta.patient_id}
    lines = (
        f"{len(study.jobs)} slides of {len(patients)} patients",
        f"protocol fingerprint {fingerprint}",
        f"{len(problems)} problems" if problems else "no problems",
    )
    return CheckReport(lines, tuple(problems))


def status_lines(path: Path) -> tuple[str, ...]:
    """Return what is done and failed in a scored folder.

    Raises
    ------
    SpatialTilError
        Where the folder is none of ours.
    """
    from spatial_til.io.tables import read_table

    folder = ScoredFolder(path)
    if not folder.run.exists():
        msg = f"{path}: no run.json: give a folder that score has written"
        raise SpatialTilError(msg)
    study = jobs_from_record(folder.run)
    failed = {row["slide_id"]: row for row in read_table(folder.errors)} if folder.errors.exists() else {}
    lines = []
    for job in study.jobs:
        if job.slide_id in failed:
            lines.append(f"{job.slide_id}  failed at {failed[job.slide_id]['stage']}")
        else:
            done = folder.score(job.slide_id).exists()
            lines.append(f"{job.slide_id}  {'scored' if done else 'control' if job.control else 'not scored'}")
    return tuple(lines)
