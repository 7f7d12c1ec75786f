"""The one row type of the table of spatial metrics, and how PD-L1 scores, loss and profiles become rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from spatial_til.metrics.induction import Induction
from spatial_til.metrics.loss import Loss
from spatial_til.metrics.nests import NestDensities
from spatial_til.metrics.pdl1 import HScore, Score
from spatial_til.model import Value


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


#: What each score looks from, and at.
_SCORED = {
    "tps_percent": ("tumor", "PD-L1+tumor"),
    "cps": ("tumor", "PD-L1+"),
    "ic_percent": ("", "PD-L1+nontumor"),
}


def score_rows(slide_id: str, scores: Iterable[Score]) -> list[SpatialRow]:
    """Return PD-L1 scores of every region. IC divides by an area, so its row has no cells to divide by."""
    rows = []
    for score in scores:
        of_cells = score.metric != "ic_percent"
        n_from, n_to = (_count(score.denominator), _count(score.numerator)) if of_cells else (None, None)
        names = _SCORED[score.metric]
        rows.append(_row(slide_id, score.metric, names, score.compartment, None, score.value, n_from, n_to))
    return rows


def loss_rows(slide_id: str, column: str, losses: Iterable[Loss]) -> list[SpatialRow]:
    """Return the loss of one marker in every region; `column` is how the marker is written in column names."""
    return [
        _row(
            slide_id,
            f"{column}_loss_percent",
            ("tumor", f"{loss.marker} negative tumor"),
            loss.compartment,
            None,
            loss.percent,
            loss.n_tumor,
            loss.n_negative,
        )
        for loss in losses
    ]


def induction_row(slide_id: str, column: str, found: Induction) -> SpatialRow:
    """Return the induction of one marker, or why there is none; `n_from` are near and far cells, `n_to` positive ones.

    slide_scores.csv has that of PD-L1 too, but no place for the reason, and none for other markers.
    """
    names, where = ("tumor", "CD8+"), "core+inner_margin"
    known = "tumor_cells_unknown" not in found.log2.flags  # else no count of them is known, not even 0
    n_from, n_to = (found.n_near + found.n_far, found.n_positive) if known else (None, None)
    return _row(slide_id, f"{column}_induction_log2", names, where, None, found.log2, n_from, n_to)


def profile_rows(slide_id: str, column: str, found: Induction) -> list[SpatialRow]:
    """Return the positive share of tumour cells by distance to the nearest CD8+ cell, in core and inner margin.

    ``<column>_near_cd8_percent`` holds bins up to their radius, above the one before;
    ``<column>_far_from_cd8_percent`` the cells beyond its radius, the last.
    """
    rows, lower = [], 0.0
    for part in found.profile:
        last = math.isinf(part.to_um)
        metric = f"{column}_far_from_cd8_percent" if last else f"{column}_near_cd8_percent"
        radius = lower if last else part.to_um
        names = ("tumor", "CD8+")
        rows.append(
            _row(slide_id, metric, names, "core+inner_margin", radius, part.percent, part.n_cells, part.n_positive)
        )
        lower = part.to_um
    return rows


def h_score_rows(slide_id: str, scores: Iterable[HScore]) -> list[SpatialRow]:
    """Return the H-score of every region, and the percentages it is made of."""
    rows = []
    for score in scores:
        parts = [Value(percent, reason=score.value.reason) for percent in score.percent]
        named = [("h_score", score.value), *((f"h_score_{i}plus_percent", p) for i, p in enumerate(parts, start=1))]
        rows += [
            _row(slide_id, metric, ("tumor", "PD-L1+tumor"), score.compartment, None, value, score.n_tumor, None)
            for metric, value in named
        ]
    return rows


def nest_rows(slide_id: str, found: Iterable[NestDensities]) -> list[SpatialRow]:
    """Return densities in nests and in the stroma between them, and log2 of their ratio."""
    rows = []
    for part in found:
        for where, e in (("nest", part.nest), ("stroma", part.stroma)):
            reason = "no tissue there" if e.density_per_mm2 is None else ""
            density = Value(e.density_per_mm2, e.ci_low, e.ci_high, reason=reason, flags=e.flags)
            rows.append(_row(slide_id, "density_per_mm2", (part.population, ""), where, None, density, None, e.n_cells))
        names = (part.population, "")
        rows.append(_row(slide_id, "log2_nest_stroma", names, "tumor", None, part.log2_nest_stroma, None, None))
    return rows


def _row(
    slide_id: str,
    metric: str,
    populations: tuple[str, str],
    compartment: str,
    radius_um: float | None,
    value: Value,
    n_from: int | None,
    n_to: int | None,
) -> SpatialRow:
    return SpatialRow(
        slide_id=slide_id,
        metric=metric,
        population_from=populations[0],
        population_to=populations[1],
        compartment=compartment,
        radius_um=radius_um,
        value=value.value,
        ci_low=value.ci_low,
        ci_high=value.ci_high,
        n_from=n_from,
        n_to=n_to,
        reason=value.reason,
        flags=value.flags,
    )


def _count(number: float | None) -> int | None:
    return None if number is None else int(number)
