"""A run under way: its stages over the slides, what each took, and which slides failed where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from spatial_til.counted import counted
from spatial_til.errors import SlideError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.identity import stamp
from spatial_til.io.journal import Event, append_event
from spatial_til.pipeline.measure import MeasureTask, StageReport, measure
from spatial_til.pipeline.score import ScoreTask, score
from spatial_til.progress import progress
from spatial_til.segmentation.scratch import give_back
from spatial_til.study import Study
from spatial_til.workers import Runner

Task = TypeVar("Task", MeasureTask, ScoreTask)
_MOST_NAMED = 5  # slides in one sentence


@dataclass(frozen=True, slots=True)
class Failure:
    """A slide that could not be scored: at which stage, and why."""

    slide_id: str
    stage: str
    message: str

    def __str__(self) -> str:
        return f"{self.slide_id}: {self.stage} failed: {self.message}"


@dataclass(slots=True)
class Run:
    """What the stages share: where results go, who does the work, and what is known so far."""

    folder: ScoredFolder
    runner: Runner
    quiet: bool
    resumed: bool = False  # an earlier run was stopped before its end
    failures: dict[str, Failure] = field(default_factory=dict)  # by slide_id
    took: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  # (stage, slide_id) -> times
    notes: list[str] = field(default_factory=list)
    vectors: list[dict[str, Any]] | None = None  # of each batch that leaves its stain vectors to the slides

    def stage(
        self, name: str, function: Callable[[Task], StageReport], tasks: Sequence[Task], kept: Sequence[str] = ()
    ) -> None:
        """Run one stage over its slides; those that fail are left out of the later ones.

        Parameters
        ----------
        kept
            Slides whose result of an earlier run stands, told with the others.
        """
        reasons: dict[str, int] = {}
        with progress(name, len(tasks) + len(kept), self.folder, quiet=self.quiet) as told:
            for slide_id in kept:
                self._tell(Event(name, slide_id, "kept"), told.step)
            for task, outcome in self.runner(name, function, tasks, self._started(name)):
                slide_id = task.job.slide_id
                if outcome.result is None:
                    self.failures[slide_id] = Failure(slide_id, name, outcome.error or "no reason given")
                    self._tell(Event(name, slide_id, "failed", message=self.failures[slide_id].message), told.step)
                else:
                    report = outcome.result
                    if report.why:
                        reasons[report.why] = reasons.get(report.why, 0) + 1
                    if not report.reused:
                        self.took[name, slide_id] = {
                            "seconds": round(report.seconds, 3),
                            "peak_mib": round(report.peak_mib, 1),
                        }
                    what = "kept" if report.reused else "done"
                    self._tell(Event(name, slide_id, what, **self.took.get((name, slide_id), {})), told.step)
        self.notes += [f"{name} again, {counted(n, 'slide')}: {why}" for why, n in reasons.items()]

    def _started(self, name: str) -> Callable[[Task], None]:
        return lambda task: append_event(self.folder.journal, Event(name, task.job.slide_id, "started"))

    def _tell(self, event: Event, step: Callable[[str, str], None]) -> None:
        append_event(self.folder.journal, event)
        step(event.slide_id, event.what)


def measure_one(task: MeasureTask) -> StageReport:
    """Measure one slide whose file stays as it is meanwhile.

    Raises
    ------
    SlideError
        Where the file changed while it was read; the next run sees that and measures again.
    """
    _forget_peak()
    path = task.job.image if task.job.cells is None else task.job.cells
    before = _stamp(path)
    report = measure(task)
    if _stamp(path) != before:
        task.folder.measured(task.job.slide_id).unlink(missing_ok=True)
        msg = f"{path}: changed while it was read: run again when it is complete"
        raise SlideError(msg)
    give_back()
    return report


def score_one(task: ScoreTask) -> StageReport:
    """Score one slide, its file of the score last: where that has the key, all its files belong together.

    Raises
    ------
    SlideError
        Where an annotation changed while it was read.
    """
    give_back(buffers=True)
    _forget_peak()
    slide_id, target = task.job.slide_id, task.target
    before = [_stamp(path) for path in task.job.annotations]
    target.score(slide_id).unlink(missing_ok=True)
    old = {path: _stamp(path) for path in target.outputs(slide_id)}
    report = score(task)
    if [_stamp(path) for path in task.job.annotations] != before:
        target.score(slide_id).unlink(missing_ok=True)
        msg = f"{slide_id}: an annotation changed while it was read: run again"
        raise SlideError(msg)
    for path, was in old.items():
        if was is not None and _stamp(path) == was:  # of an earlier run, and this one makes none
            path.unlink()
    give_back()
    return report


def remove_outputs(folder: ScoredFolder, keep: set[str]) -> set[str]:
    """Remove every output of slides that are not in the tables: failed now, or no longer in the sheet.

    What was measured stays: it is no result, and costs hours. Returns the slides whose outputs were removed.
    """
    removed = set()
    for pattern in folder.outputs("*"):
        for path in folder.root.glob(str(pattern.relative_to(folder.root))):
            if path.stem not in keep:
                path.unlink()
                removed.add(path.stem)
    return removed


def no_longer_there(removed: set[str], study: Study) -> list[str]:
    """Say whose results are gone since the sheet has them no more: another study's, where --out was meant to differ."""
    gone = sorted(removed - {job.slide_id for job in study.jobs})
    if not gone:
        return []
    some = ", ".join(gone[:_MOST_NAMED]) + (" …" if len(gone) > _MOST_NAMED else "")
    said = f"{counted(len(gone), 'slide')} of an earlier run not in this study ({some}): no longer in the tables; "
    return [said + "the cells measured are kept. Give each study its own --out"]


def _stamp(path: Path | None) -> dict[str, int] | None:
    """Return what changes when a file is written; None where there is none."""
    return None if path is None or not path.exists() else stamp(path)


def _forget_peak() -> None:
    """Let the peak memory of this process start anew, so that it is the slide's own (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
