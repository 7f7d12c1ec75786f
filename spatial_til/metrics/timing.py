"""Flags about when, where and after what two biopsies were taken."""

from __future__ import annotations

from collections.abc import Sequence

from spatial_til.model import SlideMeta

#: The time point whose slide says that the tumour progressed.
PROGRESSION = "progression"


def circumstance_flags(
    meta: SlideMeta, *, timepoints: Sequence[str], max_baseline_days: float, early_on_treatment_days: float
) -> tuple[str, ...]:
    """Return the flags that the study sheet alone gives one biopsy.

    Parameters
    ----------
    meta
        What the sheet says of it.
    timepoints
        The protocol's, in order. The first is before treatment, `progression` is after it; all others
        are on treatment.
    max_baseline_days
        A first biopsy longer before treatment start is `baseline_early`.
    early_on_treatment_days
        A biopsy on treatment longer after treatment start is `late_on_treatment`.
    """
    flags = _date_flags(meta, timepoints, max_baseline_days, early_on_treatment_days)
    if not meta.lesion:
        flags.append("lesion_unspecified")
    if meta.interval_therapy:
        flags.append("interval_therapy")
    if any(_is_lymph_node(site) for site in meta.site.split("|")):
        flags.append("lymph_node")
    return tuple(flags)


def _date_flags(
    meta: SlideMeta, timepoints: Sequence[str], max_baseline_days: float, early_on_treatment_days: float
) -> list[str]:
    """Return the flags that rest on dates."""
    if meta.biopsy_date is None or meta.treatment_start is None:
        return ["dates_unknown"]
    days = (meta.biopsy_date - meta.treatment_start).days
    if meta.timepoint == timepoints[0]:
        return ["baseline_early"] if -days > max_baseline_days else []
    if meta.timepoint != PROGRESSION and days > early_on_treatment_days:
        return ["late_on_treatment"]
    return []


def _is_lymph_node(site: str) -> bool:
    """Return whether a site is a lymph node, however it is spelt."""
    return site.strip().lower().replace(" ", "_").replace("-", "_") in {"lymph_node", "lymphnode", "node"}
