"""What is wrong with a study, and what it will take, before anything is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spatial_til.checking import slide_problems
from spatial_til.study import load_study


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found: lines for standard output, problems for standard error."""

    lines: tuple[str, ...]
    problems: tuple[str, ...]


def check_study(path: Path, protocol_path: Path | None, *, locked: str | None = None) -> CheckReport:
    """Validate a study without reading pixels: sheet, protocols, headers of slides, annotations."""
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
