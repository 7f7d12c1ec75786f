"""What a report is written from: a scored folder, or one with a reader's corrections and the folder under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spatial_til.io.folder import ScoredFolder
from spatial_til.io.scores import ScoredSlide, read_score
from spatial_til.run_record import jobs_from_record, read_record
from spatial_til.study import Study


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the folder holds; `base` is the folder that a reader reviewed, else the folder itself."""

    folder: ScoredFolder
    base: ScoredFolder
    run: Mapping[str, Any]
    study: Study
    scored: tuple[ScoredSlide, ...] = ()

    @property
    def reader(self) -> str:
        """Whose corrections the folder has; empty where they are nobody's."""
        return str(self.run.get("review", {}).get("reader", ""))

    def results(self, slide_id: str) -> ScoredFolder:
        """Where a slide's results are: in the base where the reader left them as they were."""
        corrected = slide_id in self.run.get("review", {}).get("corrections", {})
        return self.folder if corrected or self.folder.score(slide_id).exists() else self.base


def read_inputs(folder: ScoredFolder) -> Inputs:
    """Return what a folder holds.

    Raises
    ------
    SpatialTilError
        Where it has no run.json of ours.
    """
    run = read_record(folder.run)
    base = ScoredFolder(folder.root.resolve().parents[1]) if "review" in run else folder
    inputs = Inputs(folder, base, run, jobs_from_record(folder.run))
    slides = [job.slide_id for job in inputs.study.jobs if not job.control]
    stored = [inputs.results(slide_id).score(slide_id) for slide_id in slides]
    return replace(inputs, scored=tuple(read_score(path) for path in stored if path.exists()))
