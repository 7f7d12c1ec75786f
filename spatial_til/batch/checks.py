"""What is wrong with a study, and what it will take, before anything is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spatial_til.batch.estimate import estimate
from spatial_til.checking import channel_notes, model_problems, slide_problems
from spatial_til.counted import counted
from spatial_til.errors import SpatialTilError
from spatial_til.pipeline.settings import network_problems, population_problems, stain_problems
from spatial_til.pipeline.threshold import frozen_problems
from spatial_til.repeated import repeated_slides
from spatial_til.study import Sheet, Study, read_sheet


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found: lines for standard output, problems for standard error."""

    lines: tuple[str, ...]
    problems: tuple[str, ...]


def panel_problems(study: Study | Sheet) -> list[str]:
    """Return what makes the panels of a study impossible to measure or to count, each told once."""
    protocols = {id(job.protocol): job.protocol for job in study.jobs}
    imaged = {id(job.protocol) for job in study.jobs if job.cells is None}
    problems = [p for name, protocol in protocols.items() if name in imaged for p in stain_problems(protocol)]
    problems += [p for name, protocol in protocols.items() if name in imaged for p in network_problems(protocol)]
    problems += [
        p for protocol in protocols.values() for p in (*population_problems(protocol), *frozen_problems(protocol))
    ]
    return list(dict.fromkeys(problems))


def check_study(
    path: Path,
    protocol_path: Path | None,
    *,
    locked: str | None = None,
    with_estimate: bool = False,
    workers: int | None = None,
) -> CheckReport:
    """Validate a study without reading pixels: sheet, protocols, headers of slides, annotations.

    Where the sheet has faults, the files of its other rows are looked at all the same: all is told at once.

    Parameters
    ----------
    locked
        The fingerprint that the protocol must have.
    with_estimate
        Say how long scoring takes and how much memory, from trials on small windows of three slides.
    workers
        Processes that the estimate is for.
    """
    sheet = read_sheet(path, protocol_path)
    problems = [*sheet.problems, *panel_problems(sheet), *model_problems(sheet.jobs)]
    problems += [problem for job in sheet.jobs for problem in slide_problems(job)]
    if sheet.problems:
        return CheckReport((counted(len(problems), "problem"),), tuple(problems))
    study = Study(sheet.jobs, sheet.protocol or sheet.jobs[0].protocol, sheet.extra_columns, path)
    fingerprint = study.protocol.fingerprint()
    if locked is not None and locked != fingerprint:
        problems.append(f"the protocol's fingerprint is {fingerprint}, not {locked}: use the locked protocol unchanged")
    patients = {job.meta.patient_id for job in study.jobs if job.meta.patient_id}
    lines = [
        f"{counted(len(study.jobs), 'slide')} of {counted(len(patients), 'patient')}",
        f"protocol fingerprint {fingerprint}",
        *repeated_slides(study.jobs),
        *channel_notes(study.jobs),
        counted(len(problems), "problem") if problems else "no problems",
    ]
    if with_estimate:
        try:
            lines.append(str(estimate(study.jobs, workers)))
        except SpatialTilError as error:
            problems.append(f"no estimate: {error}")
    return CheckReport(tuple(lines), tuple(problems))
