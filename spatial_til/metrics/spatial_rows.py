"""The one row type of the table of spatial metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpatialRow:
    """One number of one slide: a metric between two populations in one region, at one radius.

    None where not available, with the reason. `n_from` and `n_to` are what stands behind it: reference
    and target cells of a pattern, denominator and numerator of a score.
    """

    slide_id: str
    metric: str
    population_from: str
    population_to: str
    compartment: str
    radius_um: float | None
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    null_mean: float | None = None
    p_value: float | None = None
    n_from: int | None = None
    n_to: int | None = None
    reason: str = ""
    flags: tuple[str, ...] = ()
