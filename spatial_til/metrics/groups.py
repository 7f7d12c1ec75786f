"""From slides to biopsies: one patient, lesion, time point and day each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from spatial_til.model import SlideScore

#: Makes one score of several slides of one biopsy; see `pooling.pool_slides`.
Pool: TypeAlias = Callable[[Sequence[SlideScore]], SlideScore]


@dataclass(frozen=True, slots=True)
class Biopsy:
    """The biopsy that stands for a lesion at a time point.

    `score` is the slide's own where there is one slide, else that of the slides together. `unused` names
    slides of other biopsies of the same lesion at the same time point, which are never pooled with it.
    """

    score: SlideScore
    slide_ids: tuple[str, ...]
    unused: tuple[str, ...] = ()

    @property
    def patient_id(self) -> str:
        """The patient."""
        return self.score.meta.patient_id

    @property
    def lesion(self) -> str:
        """The lesion; empty where the sheet names none."""
        return self.score.meta.lesion

    @property
    def timepoint(self) -> str:
        """The time point."""
        return self.score.meta.timepoint

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of the score, and of the choice between biopsies."""
        return (*self.score.flags, "extra_biopsy") if self.unused else self.score.flags


def biopsies(scores: Sequence[SlideScore], *, timepoints: Sequence[str], pool: Pool) -> tuple[Biopsy, ...]:
    """Return one biopsy for each patient, lesion and time point that has a slide.

    Slides of one day are one biopsy and are pooled. Of two biopsies at one time point the one nearest
    treatment start is used at the first time point, the earliest at all others. Slides without a date
    count as one biopsy, used only where no dated one exists. Control slides (no patient) are left out.

    Parameters
    ----------
    scores
        Scored slides in any order.
    timepoints
        The protocol's time points in order; the first is before treatment.
    pool
        Makes one score of several slides.
    """
    by_group: Mapping[tuple[str, str, str], list[SlideScore]] = defaultdict(list)
    for score in sorted(scores, key=lambda s: s.meta.slide_id):
        meta = score.meta
        if meta.patient_id and meta.timepoint in timepoints:
            by_group[meta.patient_id, meta.lesion, meta.timepoint].append(score)
    order = {timepoint: i for i, timepoint in enumerate(timepoints)}
    keys = sorted(by_group, key=lambda key: (key[0], key[1], order[key[2]]))
    return tuple(_biopsy(by_group[key], pool, before_treatment=order[key[2]] == 0) for key in keys)


def _biopsy(slides: Sequence[SlideScore], pool: Pool, *, before_treatment: bool) -> Biopsy:
    """Return the biopsy to use among the slides of one lesion at one time point."""
    day = _day_used(slides, before_treatment=before_treatment)
    used = [s for s in slides if s.meta.biopsy_date == day]
    unused = tuple(s.meta.slide_id for s in slides if s.meta.biopsy_date != day)
    score = used[0] if len(used) == 1 else pool(used)
    return Biopsy(score, tuple(s.meta.slide_id for s in used), unused)


def _day_used(slides: Sequence[SlideScore], *, before_treatment: bool) -> date | None:
    """Return the day of the biopsy to use; None stands for the undated one."""
    days = sorted({s.meta.biopsy_date for s in slides if s.meta.biopsy_date is not None})
    if not days:
        return None
    if not before_treatment:
        return days[0]
    start = next((s.meta.treatment_start for s in slides if s.meta.treatment_start is not None), None)
    if start is None:
        return days[-1]
    return min(days, key=lambda day: abs((start - day).days))


def unused_slides(groups: Sequence[Biopsy]) -> frozenset[str]:
    """Return the slides that carry `extra_biopsy`: of a biopsy that another one stands for."""
    return frozenset(slide_id for biopsy in groups for slide_id in biopsy.unused)
