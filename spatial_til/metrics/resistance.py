"""Acquired or innate resistance, from what the sheet says of the response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spatial_til.counted import counted
from spatial_til.metrics.timing import PROGRESSION
from spatial_til.model import SlideMeta

#: A response at least this long, then progression, is acquired resistance (project default).
DURABLE_MONTHS = 6.0
#: Labels of a best response that is none, compared without case.
NO_RESPONSE = frozenset(
    {
        "pd",
        "sd",
        "nr",
        "no",
        "none",
        "no response",
        "non-response",
        "nonresponse",
        "non-responder",
        "nonresponder",
        "non responder",
        "progressive disease",
        "stable disease",
    }
)


class Resistance(NamedTuple):
    """`acquired`, `innate` or `unknown`, and why."""

    kind: str
    reason: str


def resistance(metas: Sequence[SlideMeta]) -> Resistance:
    """Return the kind of resistance of one patient.

    Parameters
    ----------
    metas
        The sheet's rows of the patient. Progression is known from a slide at `progression`, or from a
        best response of progressive disease.

    Notes
    -----
    Acquired: a response of 6 months or more, then progression. Innate: progression without a response.
    A shorter response, one of unknown length, and a sheet that contradicts itself are `unknown`.
    """
    labels = sorted({m.response.strip().lower() for m in metas if m.response.strip()})
    months = sorted({m.response_months for m in metas if m.response_months is not None})
    if len(labels) > 1 or len(months) > 1:
        return Resistance("unknown", "the sheet gives more than one response for this patient")
    label = labels[0] if labels else ""
    duration = months[0] if months else None
    never = label in {"pd", "progressive disease"}
    if not never and not any(m.timepoint == PROGRESSION for m in metas):
        return Resistance("unknown", "no biopsy at progression")
    return _progressed(label, duration, never=never)


def _progressed(label: str, duration: float | None, *, never: bool) -> Resistance:
    """Return the kind of resistance of a patient who progressed."""
    if duration is not None and duration >= DURABLE_MONTHS:
        if never:
            return Resistance("unknown", f"progressive disease contradicts a response of {counted(duration, 'month')}")
        return Resistance("acquired", f"progression after a response of {counted(duration, 'month')}")
    if duration:
        return Resistance("unknown", f"progression after a response of {counted(duration, 'month')}, shorter than 6")
    if duration == 0 or label in NO_RESPONSE:
        return Resistance("innate", "progression without a response")
    return Resistance("unknown", "progression, but the duration of the response is not known")
