"""From biopsies to transitions: one row per patient, lesion and pair of time points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from spatial_til.metrics.comparability import comparability
from spatial_til.metrics.deltas import deltas, listed_values
from spatial_til.metrics.groups import Biopsy
from spatial_til.metrics.longitudinal import CutOffs, infiltrate, longitudinal_call, shift
from spatial_til.metrics.observations import gradient_lost
from spatial_til.metrics.reasons import call_reason, not_evaluable_reason, numbers
from spatial_til.metrics.timing import circumstance_flags
from spatial_til.model import Value

ARROW = "->"
#: Class and site of a time point that has no slide.
NOT_SAMPLED = "not_sampled"
NOT_EVALUABLE = "not_evaluable"


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One row of longitudinal.csv. `deltas` maps a column's name to the change with its interval.

    `comparable` says whether both biopsies can be evaluated, are of one lesion and were scored alike.
    """

    patient_id: str
    lesion: str
    reference: str  # time point
    target: str  # time point
    immunophenotype_reference: str
    immunophenotype_target: str
    activity_site_reference: str
    activity_site_target: str
    deltas: Mapping[str, Value]
    comparable: bool
    call: str
    reason: str
    flags: tuple[str, ...]

    @property
    def transition(self) -> str:
        """The two time points, as ``baseline->progression``."""
        return f"{self.reference}{ARROW}{self.target}"


@dataclass(frozen=True, slots=True)
class _Rules:
    """The protocol's keys under their own names, and the changes to list."""

    timepoints: Sequence[str]
    allow_cross_batch: bool
    max_baseline_days: float
    early_on_treatment_days: float
    cut: CutOffs
    confidence: float
    populations: Sequence[str]
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two time points of one lesion, or of two lesions where none was sampled at both."""

    patient_id: str
    lesion: str
    timepoints: tuple[str, str]
    reference: Biopsy | None
    target: Biopsy | None
    same_lesion: bool = True


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What is said of two biopsies."""

    call: str
    reason: str
    flags: tuple[str, ...] = ()
    comparable: bool = False


def transitions(
    groups: Sequence[Biopsy],
    *,
    timepoints: Sequence[str],
    allow_cross_batch: bool,
    max_baseline_days: float,
    early_on_treatment_days: float,
    min_margin_cd8_per_mm2: float,
    hot_cd8_per_mm2: float,
    excluded_log2_ratio: float,
    confidence: float,
    populations: Sequence[str] = (),
) -> list[TransitionRow]:
    """Return a row for every lesion and every consecutive pair of time points, and first to last.

    Parameters
    ----------
    groups
        The biopsies, from `groups.biopsies`.
    timepoints, allow_cross_batch, max_baseline_days, early_on_treatment_days, min_margin_cd8_per_mm2
        Keys of the protocol's ``[longitudinal]``.
    hot_cd8_per_mm2, excluded_log2_ratio
        Keys of ``[scores]``.
    confidence
        Coverage of the intervals.
    populations
        Populations whose change is listed beside CD8+, PD-L1+ and PD-L1+ tumour cells.

    Notes
    -----
    Where a patient has slides at both time points but no lesion in common, one row ``A -> B`` gives the
    numbers without a call. Lesions are never summed.
    """
    rules = _Rules(
        timepoints,
        allow_cross_batch,
        max_baseline_days,
        early_on_treatment_days,
        CutOffs(hot_cd8_per_mm2, excluded_log2_ratio, min_margin_cd8_per_mm2),
        confidence,
        populations,
        listed_values(biopsy.score for biopsy in groups),
    )
    ordered = sorted(groups, key=lambda biopsy: biopsy.patient_id)
    return [
        _row(pair, rules)
        for _, of_patient in groupby(ordered, key=lambda biopsy: biopsy.patient_id)
        for pair in _pairs(list(of_patient), timepoints)
    ]


def timepoint_pairs(timepoints: Sequence[str]) -> list[tuple[str, str]]:
    """Return every consecutive pair of time points, then first to last.

    Examples
    --------
    >>> timepoint_pairs(["baseline", "on_treatment", "progression"])
    [('baseline', 'on_treatment'), ('on_treatment', 'progression'), ('baseline', 'progression')]
    """
    if len(timepoints) < 2:
        return []
    return list(dict.fromkeys([*pairwise(timepoints), (timepoints[0], timepoints[-1])]))


def _pairs(of_patient: Sequence[Biopsy], timepoints: Sequence[str]) -> Iterator[_Pair]:
    """Yield the pairs of biopsies of one patient to compare, lesion by lesion."""
    patient_id = of_patient[0].patient_id
    at = {(biopsy.timepoint, biopsy.lesion): biopsy for biopsy in of_patient}
    lesions = sorted({biopsy.lesion for biopsy in of_patient})
    for pair in timepoint_pairs(timepoints):
        before, after = ([lesion for lesion in lesions if (when, lesion) in at] for when in pair)
        unmatched = bool(before) and bool(after) and not set(before) & set(after)
        if unmatched:
            reference = max((at[pair[0], lesion] for lesion in before), key=_evaluable_mm2)
            target = max((at[pair[1], lesion] for lesion in after), key=_evaluable_mm2)
            label = f"{reference.lesion or 'unspecified'} -> {target.lesion or 'unspecified'}"
            yield _Pair(patient_id, label, pair, reference, target, same_lesion=False)
        for lesion in lesions:
            if not (unmatched and lesion in {*before, *after}):
                yield _Pair(patient_id, lesion, pair, at.get((pair[0], lesion)), at.get((pair[1], lesion)))


def _evaluable_mm2(biopsy: Biopsy) -> float:
    """Return the area of core and margin: the largest stands for several lesions without a partner."""
    estimates = biopsy.score.estimates
    return sum(estimates["CD8+", part].area_mm2 for part in ("core", "margin") if ("CD8+", part) in estimates)


def _row(pair: _Pair, rules: _Rules) -> TransitionRow:
    """Return the row of one pair of biopsies."""
    reference, target = pair.reference, pair.target
    verdict = _judge(pair, rules)
    return TransitionRow(
        patient_id=pair.patient_id,
        lesion=pair.lesion,
        reference=pair.timepoints[0],
        target=pair.timepoints[1],
        immunophenotype_reference=reference.score.phenotype.call if reference else NOT_SAMPLED,
        immunophenotype_target=target.score.phenotype.call if target else NOT_SAMPLED,
        activity_site_reference=activity_site(reference),
        activity_site_target=activity_site(target),
        deltas=deltas(
            reference.score if reference else None,
            target.score if target else None,
            populations=rules.populations,
            values=rules.values,
            confidence=rules.confidence,
        ),
        comparable=verdict.comparable,
        call=verdict.call,
        reason=verdict.reason,
        flags=(*_circumstances(reference, rules), *_circumstances(target, rules), *verdict.flags),
    )


def activity_site(biopsy: Biopsy | None) -> str:
    """Return the combined site of immune activity of a biopsy."""
    if biopsy is None:
        return NOT_SAMPLED
    combined = biopsy.score.activity.get("combined")
    return combined.call if combined else NOT_EVALUABLE


def regressed(biopsy: Biopsy, timepoints: Sequence[str]) -> bool:
    """Return whether a biopsy after the first time point holds no tumour: that is not zero infiltration.

    A slide whose regions are not known (a cell table without an annotation) tells nothing of the kind.
    """
    score = biopsy.score
    empty = "no_tumor_region" in score.flags and score.gates.get("tumor_mm2") is not None
    return empty and biopsy.timepoint != timepoints[0]


def _circumstances(biopsy: Biopsy | None, rules: _Rules) -> tuple[str, ...]:
    """Return the flags that one biopsy brings to its transitions."""
    if biopsy is None:
        return ("missing_timepoint",)
    from_sheet = circumstance_flags(
        biopsy.score.meta,
        timepoints=rules.timepoints,
        max_baseline_days=rules.max_baseline_days,
        early_on_treatment_days=rules.early_on_treatment_days,
    )
    gone = ("regressed",) if regressed(biopsy, rules.timepoints) else ()
    return (*biopsy.flags, *from_sheet, *gone)


def _judge(pair: _Pair, rules: _Rules) -> _Verdict:
    """Return what is said of two biopsies; the order of the rules is fixed."""
    if pair.reference is None or pair.target is None:
        members = zip(pair.timepoints, (pair.reference, pair.target), strict=True)
        missing = " and ".join(when for when, biopsy in members if biopsy is None)
        return _Verdict(NOT_EVALUABLE, f"no scored slide at {missing}")
    reference, target = pair.reference.score, pair.target.score
    guard = comparability(reference, target, allow_cross_batch=rules.allow_cross_batch)
    flags = guard.flags if pair.same_lesion else (*guard.flags, "different_lesion")
    before, now = infiltrate(reference), infiltrate(target)
    if before is None or now is None or NOT_EVALUABLE in {before.phenotype.call, now.phenotype.call}:
        return _Verdict(NOT_EVALUABLE, _not_evaluable(pair.reference, pair.target, rules), flags)
    change = shift(reference, target, rules.confidence)
    obstacles = (
        guard.differences if pair.same_lesion else ("the time points show different lesions", *guard.differences)
    )
    if obstacles:
        reason = f"no call, {' and '.join(obstacles)}: {numbers(before, now, change)}"
        return _Verdict("indeterminate", reason, flags)
    if gradient_lost(reference, target):
        flags = (*flags, "pdl1_gradient_lost")
    call = longitudinal_call(before, now, change, rules.cut)
    return _Verdict(call, call_reason(call, before, now, change, rules.cut), flags, comparable=True)


def _not_evaluable(reference: Biopsy, target: Biopsy, rules: _Rules) -> str:
    """Return which of two biopsies cannot be evaluated, and why."""
    return "; ".join(
        f"{biopsy.timepoint}: {not_evaluable_reason(biopsy.score, regressed=regressed(biopsy, rules.timepoints))}"
        for biopsy in (reference, target)
        if biopsy.score.phenotype.call == NOT_EVALUABLE or infiltrate(biopsy.score) is None
    )
