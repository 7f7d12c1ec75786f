"""Do the dates of a study make sense? Biopsies out of order are refused, not interpreted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from itertools import combinations

from spatial_til.model import SlideMeta

TIMEPOINTS = ("baseline", "on_treatment", "progression")


def date_problems(metas: Sequence[SlideMeta], timepoints: Sequence[str] = TIMEPOINTS) -> list[str]:
    """Return one line for every patient whose dates contradict the time points.

    Parameters
    ----------
    metas
        The sheet's rows; those without a patient or without dates say nothing.
    timepoints
        The protocol's time points in order. The first is before treatment, all others after its start.

    Notes
    -----
    Time points must follow each other lesion by lesion: lesions may progress at different times. The
    first time point must precede the later ones of every lesion, and precede or fall on treatment start.
    """
    by_patient: dict[str, list[SlideMeta]] = defaultdict(list)
    for meta in metas:
        if meta.patient_id and meta.timepoint in timepoints:
            by_patient[meta.patient_id].append(meta)
    return [
        f"patient {patient}: {problem}"
        for patient, rows in by_patient.items()
        for problem in (*_start_problems(rows, timepoints), *_order_problems(rows, timepoints))
    ]


def _start_problems(rows: Sequence[SlideMeta], timepoints: Sequence[str]) -> list[str]:
    """Return problems of biopsy dates against the start of treatment."""
    starts = sorted({row.treatment_start for row in rows if row.treatment_start is not None})
    if len(starts) > 1:
        found = " and ".join(str(start) for start in starts)
        return [f"treatment_start must be one date for all rows of a patient, found {found}: correct the sheet"]
    if not starts:
        return []
    problems = []
    for row in rows:
        if row.biopsy_date is None:
            continue
        if row.timepoint == timepoints[0] and row.biopsy_date > starts[0]:
            rule = f"{row.timepoint} must not be after treatment_start {starts[0]}"
        elif row.timepoint != timepoints[0] and row.biopsy_date < starts[0]:
            rule = f"{row.timepoint} must not be before treatment_start {starts[0]}"
        else:
            continue
        problems.append(
            f"{rule}, found biopsy_date {row.biopsy_date} for slide {row.slide_id}: correct the date or the timepoint"
        )
    return problems


def _order_problems(rows: Sequence[SlideMeta], timepoints: Sequence[str]) -> list[str]:
    """Return problems of biopsy dates against each other."""
    days: dict[tuple[str, str], list[date]] = defaultdict(list)
    for row in rows:
        if row.biopsy_date is not None:
            days[row.lesion, row.timepoint].append(row.biopsy_date)
    problems = []
    for lesion in sorted({lesion for lesion, _ in days}):
        for earlier, later in combinations(timepoints, 2):
            lesions = {key[0] for key in days} if earlier == timepoints[0] else {lesion}
            before = [day for other in lesions for day in days.get((other, earlier), ())]
            after = days.get((lesion, later), [])
            if before and after and max(before) >= min(after):
                where = f"lesion {lesion}, " if lesion else ""
                problems.append(
                    f"{where}biopsy_date at {later} must be after {earlier}, found {min(after)} and {max(before)}: "
                    "correct the dates or the timepoints"
                )
    return problems
