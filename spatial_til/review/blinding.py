"""A study shown blinded: slides under case numbers, in an order that tells nothing, nothing said of the patient.

The order is shuffled by a hash of seed, reader and slide: the same for the same three, another for another
reader, and a slide that is added later moves none of the others past each other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spatial_til.study import Job


@dataclass(frozen=True, slots=True)
class Case:
    """One slide as a blinded reader sees it."""

    name: str  # "case 01"
    slide_id: str


@dataclass(frozen=True, slots=True)
class Blinding:
    """The cases of a study in the order they are read, and what must not be seen."""

    cases: tuple[Case, ...]
    hidden: tuple[tuple[str, str], ...]  # text -> what stands for it, longest first

    def case_of(self, slide_id: str) -> Case:
        """Return the case of a slide."""
        return next(case for case in self.cases if case.slide_id == slide_id)

    def hide(self, text: str) -> str:
        """Return a message with names of slides, patients and files replaced, wherever they stand as words."""
        for name, stands_for in self.hidden:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", stands_for, text)
        return text


def blind(jobs: Sequence[Job], *, seed: int, reader: str) -> Blinding:
    """Return the cases of a study for one reader.

    Parameters
    ----------
    jobs
        The study's slides; controls are left out.
    seed
        The protocol's `statistics.seed`, or another.
    reader
        Two readers get two orders.
    """
    slides = [job for job in jobs if not job.control]
    order = sorted(slides, key=lambda job: hashlib.sha256(f"{seed} {reader} {job.slide_id}".encode()).digest())
    digits = len(str(len(order)))
    cases = tuple(Case(f"case {k:0{digits}}", job.slide_id) for k, job in enumerate(order, 1))
    hidden: dict[str, str] = {}
    for case, job in zip(cases, order, strict=True):
        hidden |= dict.fromkeys(_words(job), "…")
        hidden |= dict.fromkeys((job.slide_id, *_files(job)), case.name)
    return Blinding(cases, tuple(sorted(hidden.items(), key=lambda pair: (-len(pair[0]), pair[0]))))


def _words(job: Job) -> list[str]:
    """Return what messages may say of patient and time. Single letters would blot out whole messages."""
    meta = job.meta
    dates = [d.isoformat() for d in (meta.biopsy_date, meta.treatment_start) if d]
    return [text for text in (meta.patient_id, meta.timepoint, meta.lesion, *dates) if len(text) > 1]


def _files(job: Job) -> list[str]:
    paths: list[Path] = [p for p in (job.image, job.labels, job.cells, *job.annotations) if p is not None]
    return [text for path in paths for text in (str(path), path.name, path.stem) if len(text) > 1]
