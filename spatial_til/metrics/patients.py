"""One row per patient: the trajectory of classes and sites, the calls, and the pattern in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.resistance import resistance
from spatial_til.metrics.transitions import (
    NOT_EVALUABLE,
    NOT_SAMPLED,
    TransitionRow,
    activity_site,
    regressed,
    timepoint_pairs,
)
from spatial_til.model import SlideMeta, SlideScore

#: Between the classes of successive time points.
THEN = " → "
#: Between the statements on several lesions.
LESION_SEPARATOR = "; "


@dataclass(frozen=True, slots=True)
class PatientRow:
    """One row of patients.csv. Mappings are by lesion; the unspecified lesion is the empty string."""

    patient_id: str
    n_slides: int
    phenotypes: Mapping[str, str]  # "excluded → inflamed → excluded"
    activity_sites: Mapping[str, str]
    calls: Mapping[str, str]  # "baseline->on_treatment: infiltration_gain; ..."
    decisive: Mapping[str, str]  # the call that decides, as "on_treatment->progression: reversion_to_excluded"
    resistance: str
    resistance_reason: str
    pattern: str
    flags: tuple[str, ...]


def patients(
    scores: Sequence[SlideScore],
    groups: Sequence[Biopsy],
    rows: Sequence[TransitionRow],
    *,
    timepoints: Sequence[str],
) -> list[PatientRow]:
    """Return a row for every patient with a scored slide.

    Parameters
    ----------
    scores
        All scored slides.
    groups
        Their biopsies, from `groups.biopsies`.
    rows
        Their transitions, from `transitions.transitions`.
    timepoints
        The protocol's, in order.

    Notes
    -----
    A lesion is decided by the transition into the last time point from the one before it; where that
    one is missing or not evaluable, by first to last; where the last time point is missing, by the
    latest transition that can be evaluated. Lesions are described one by one and never summed.
    """
    metas: dict[str, list[SlideMeta]] = defaultdict(list)
    for score in scores:
        if score.meta.patient_id:
            metas[score.meta.patient_id].append(score.meta)
    groups_of: dict[str, list[Biopsy]] = defaultdict(list)
    for biopsy in groups:
        groups_of[biopsy.patient_id].append(biopsy)
    rows_of: dict[str, list[TransitionRow]] = defaultdict(list)
    for row in rows:
        rows_of[row.patient_id].append(row)
    return [_patient(metas[name], groups_of[name], rows_of[name], timepoints) for name in sorted(metas)]


def _patient(
    metas: Sequence[SlideMeta],
    groups: Sequence[Biopsy],
    rows: Sequence[TransitionRow],
    timepoints: Sequence[str],
) -> PatientRow:
    """Return the row of one patient."""
    at = {(biopsy.lesion, biopsy.timepoint): biopsy for biopsy in groups}
    by_lesion: dict[str, list[TransitionRow]] = defaultdict(list)
    for row in rows:
        by_lesion[row.lesion].append(row)
    candidates = {lesion: _decisive(of, timepoints) for lesion, of in by_lesion.items()}
    decisive = {lesion: row for lesion, row in candidates.items() if row is not None}
    lesions = sorted({biopsy.lesion for biopsy in groups})
    phenotypes = {x: THEN.join(_phenotype(at.get((x, t)), timepoints) for t in timepoints) for x in lesions}
    kind = resistance(metas)
    return PatientRow(
        patient_id=metas[0].patient_id,
        n_slides=len(metas),
        phenotypes=phenotypes,
        activity_sites={x: THEN.join(_words(activity_site(at.get((x, t)))) for t in timepoints) for x in lesions},
        calls={x: LESION_SEPARATOR.join(f"{r.transition}: {r.call}" for r in of) for x, of in by_lesion.items()},
        decisive={lesion: f"{row.transition}: {row.call}" for lesion, row in decisive.items()},
        resistance=kind.kind,
        resistance_reason=kind.reason,
        pattern=_pattern(phenotypes, decisive),
        flags=tuple(flag for row in rows for flag in row.flags),
    )


def _decisive(rows: Sequence[TransitionRow], timepoints: Sequence[str]) -> TransitionRow | None:
    """Return the transition that decides a lesion, or None where none can be evaluated."""
    by_pair = {(row.reference, row.target): row for row in rows if row.call != NOT_EVALUABLE}
    pairs = timepoint_pairs(timepoints)
    into_last = [pair for pair in pairs if pair[1] == timepoints[-1]]  # from the one before it, then from the first
    preference = [*into_last, *(pair for pair in reversed(pairs) if pair not in into_last)]
    return next((by_pair[pair] for pair in preference if pair in by_pair), None)


def _pattern(phenotypes: Mapping[str, str], decisive: Mapping[str, TransitionRow]) -> str:
    """Return what happened, in words: classes over time, then the call that decides, lesion by lesion."""
    statements = []
    for lesion in dict.fromkeys((*phenotypes, *decisive)):
        row = decisive.get(lesion)
        course = phenotypes.get(lesion, "different lesions")
        verdict = "no evaluable change" if row is None else _verdict(row)
        name = f"{lesion}: " if len(phenotypes) > 1 or lesion not in phenotypes else ""
        statements.append(f"{name}{course}; {verdict}")
    return " | ".join(statements)


def _verdict(row: TransitionRow) -> str:
    """Return the call of a transition in words."""
    return f"{_words(row.call)} ({_words(row.reference)} to {_words(row.target)})"


def _phenotype(biopsy: Biopsy | None, timepoints: Sequence[str]) -> str:
    """Return the class at a time point in words."""
    if biopsy is None:
        return _words(NOT_SAMPLED)
    return "regressed" if regressed(biopsy, timepoints) else _words(biopsy.score.phenotype.call)


def _words(code: str) -> str:
    """Return a code as words."""
    return code.replace("_", " ")
