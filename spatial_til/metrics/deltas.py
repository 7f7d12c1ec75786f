"""Every change between two biopsies that longitudinal.csv lists, by its column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from spatial_til.metrics.changes import difference, log2_contrast
from spatial_til.model import Estimate, SlideScore, Value

#: Always listed: all CD8+ and all PD-L1+ cells, and PD-L1+ tumour cells.
POPULATIONS = ("CD8+", "PD-L1+", "PD-L1+tumor")
#: Values of a slide whose change is listed, by the end of their name.
VALUE_ENDINGS = ("_induction_log2", "_loss_percent", "tps_percent", "cps", "ic_percent")
_NOT_COUNTED = Value(None, reason="not counted, or its stain not verified, at both time points")


def column_name(population: str) -> str:
    """Return a population as part of a column's name.

    Examples
    --------
    >>> [column_name(p) for p in ("CD8+", "PD-L1+", "PD-L1+tumor", "CD8+PD-L1+", "exhausted")]
    ['cd8', 'pdl1', 'pdl1_tumor', 'cd8_pdl1', 'exhausted']
    """
    words = re.sub(r"[^0-9a-z+_ ]", "", population.lower())
    return re.sub(r"[+ ]+", "_", words).strip("_")


def listed_values(scores: Iterable[SlideScore]) -> tuple[str, ...]:
    """Return the values of any slide whose change is listed: PD-L1 scores, induction and loss of every marker."""
    return tuple(sorted({name for score in scores for name in score.values if name.endswith(VALUE_ENDINGS)}))


def deltas(
    reference: SlideScore | None,
    target: SlideScore | None,
    *,
    populations: Sequence[str],
    values: Sequence[str],
    confidence: float,
) -> dict[str, Value]:
    """Return every listed change from reference to target, empty with a reason where it is not available.

    Parameters
    ----------
    reference, target
        Scores of the two biopsies; None where there is none.
    populations
        Populations in addition to `POPULATIONS`.
    values
        Names of values whose difference is listed, as from `listed_values`.
    confidence
        Coverage of the intervals.

    Returns
    -------
    dict
        ``delta_log2_core_margin_<p>``, ``log2_fold_core_<p>``, ``log2_fold_margin_<p>`` and
        ``delta_pdi_<p>`` for each population, then ``delta_<value>``. The same names for any two biopsies.
    """
    changes: dict[str, Value] = {}
    for population in dict.fromkeys((*POPULATIONS, *populations)):
        changes |= _population_changes(reference, target, population, confidence)
    pdi = [f"pdi_{column_name(population)}" for population in dict.fromkeys((*POPULATIONS, *populations))]
    for name in (*pdi, *values):
        before = None if reference is None else reference.values.get(name)
        now = None if target is None else target.values.get(name)
        changes[f"delta_{name}"] = difference(before, now, confidence)
    return changes


def _population_changes(
    reference: SlideScore | None, target: SlideScore | None, population: str, confidence: float
) -> dict[str, Value]:
    """Return the changes of one population in core, margin and their ratio."""
    name = column_name(population)
    names = (f"delta_log2_core_margin_{name}", f"log2_fold_core_{name}", f"log2_fold_margin_{name}")
    if reference is None or target is None:
        return dict.fromkeys(names, _NOT_COUNTED)
    r_core, r_margin = (usable(reference, population, part) for part in ("core", "margin"))
    t_core, t_margin = (usable(target, population, part) for part in ("core", "margin"))
    if r_core is None or r_margin is None or t_core is None or t_margin is None:
        return dict.fromkeys(names, _NOT_COUNTED)
    return dict(
        zip(
            names,
            (
                log2_contrast([t_core, r_margin], [t_margin, r_core], confidence),
                log2_contrast([t_core], [r_core], confidence),
                log2_contrast([t_margin], [r_margin], confidence),
            ),
            strict=True,
        )
    )


def usable(score: SlideScore, population: str, compartment: str) -> Estimate | None:
    """Return a population's density in a compartment, or None where it says nothing.

    It says nothing where it was not counted, and where the stain is not shown to have worked: no positive
    cells are then no finding, and must not become a fall.
    """
    estimate = score.estimates.get((population, compartment))
    if estimate is None or "stain_unverified" in estimate.flags:
        return None
    site = score.activity.get("pdl1") if population.startswith("PD-L1+") else None
    return None if site is not None and "stain_unverified" in site.flags else estimate
