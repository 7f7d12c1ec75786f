"""How far the readers of a folder agree: agreement.csv, and disagreements.csv with the places to look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from spatial_til.geometry.outlines import outline_distance
from spatial_til.io import schema
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.tables import write_table
from spatial_til.metrics.agreement import cohens_kappa, limits_of_agreement, share_agreed
from spatial_til.metrics.density import HALF_COUNT
from spatial_til.metrics.intervals import t_quantile
from spatial_til.model import SlideScore, Value
from spatial_til.review.disagreements import disagreements
from spatial_til.review.readings import Reading, read_readings

#: Differences of readers are expected to lie within limits by this share.
CONFIDENCE = 0.95
_REGIONS = ("core", "margin")
_POPULATIONS = {"cd8": "CD8+", "pdl1": "PD-L1+"}

Row = dict[str, Any]


def write_agreement(folder: ScoredFolder) -> list[str]:
    """Write how far readers agree into `tables/`, where at least two reviewed; say whose results are older.

    Tables of an earlier time go where there are no longer two readers with results that are up to date.

    Raises
    ------
    ReviewError
        Where a journal cannot be read.
    """
    readings, notices = read_readings(folder)
    pairs = [(a, b, both) for a, b in combinations(readings, 2) if (both := sorted(a.states.keys() & b.states.keys()))]
    if not pairs:
        for table in (schema.AGREEMENT, schema.DISAGREEMENTS):
            (folder.tables / f"{table.name}.csv").unlink(missing_ok=True)
        return notices if len(readings) + len(notices) > 1 else []
    write_table(folder.tables, schema.AGREEMENT, [row for a, b, both in pairs for row in agreement_rows(a, b, both)])
    write_table(folder.tables, schema.DISAGREEMENTS, [row for pair in pairs for row in disagreement_rows(*pair)])
    return notices


def agreement_rows(a: Reading, b: Reading, slides: Sequence[str]) -> list[Row]:
    """Return the rows of two readers, over the slides that both reviewed."""
    scores = [(x, y) for slide in slides if (x := a.score(slide)) and (y := b.score(slide))]
    classes = [x.phenotype.call for x, _ in scores], [y.phenotype.call for _, y in scores]
    head = {"reader_a": a.reader, "reader_b": b.reader}
    rows = [
        {"measure": "class_kappa", "n": len(scores), **_value(cohens_kappa(*classes, confidence=CONFIDENCE))},
        {"measure": "class_agreement", "n": len(scores), **_value(share_agreed(*classes, confidence=CONFIDENCE))},
        *(_differences(name, unit, scores, of) for name, unit, of in _measures()),
        *_borders(a, b, slides),
    ]
    return [head | row for row in rows if row["n"]]


def disagreement_rows(a: Reading, b: Reading, slides: Sequence[str]) -> list[Row]:
    """Return what two readers see differently, slide by slide."""
    return [
        {
            "slide_id": d.slide_id,
            "reader_a": a.reader,
            "reader_b": b.reader,
            "what": d.what,
            "marker": d.marker,
            "value_a": d.value_a,
            "value_b": d.value_b,
            "distance_um": d.distance_um,
            **(dict(zip(("x_um", "y_um"), d.place_um, strict=True)) if d.place_um else {}),
        }
        for slide in slides
        for d in disagreements(a, b, slide)
    ]


def _measures() -> list[tuple[str, str, Callable[[SlideScore], float | None]]]:
    """Return name, unit and reading of every number that is compared."""
    found: list[tuple[str, str, Callable[[SlideScore], float | None]]] = []
    for word, population in _POPULATIONS.items():
        for region in _REGIONS:
            found.append((f"{word}_{region}_per_mm2", "per mm²", _density(population, region)))
            found.append((f"log2_{word}_{region}", "log2", _level(population, region)))
        found.append((f"log2_core_margin_{word}", "log2", _ratio(f"log2_core_margin_{word}")))
    return found


def _density(population: str, region: str) -> Callable[[SlideScore], float | None]:
    return lambda score: e.density_per_mm2 if (e := score.estimates.get((population, region))) else None


def _level(population: str, region: str) -> Callable[[SlideScore], float | None]:
    def level(score: SlideScore) -> float | None:
        e = score.estimates.get((population, region))
        return None if e is None or e.area_mm2 <= 0 else float(np.log2((e.n_cells + HALF_COUNT) / e.area_mm2))

    return level


def _ratio(name: str) -> Callable[[SlideScore], float | None]:
    return lambda score: v.value if (v := score.values.get(name)) else None


def _differences(
    name: str, unit: str, scores: Sequence[tuple[SlideScore, SlideScore]], of: Callable[[SlideScore], float | None]
) -> Row:
    """Return the mean of b - a with its interval, and the limits of agreement."""
    pairs = [(of(x), of(y)) for x, y in scores]
    found = limits_of_agreement([y - x for x, y in pairs if x is not None and y is not None], confidence=CONFIDENCE)
    limits = {"limit_low": found.low, "limit_high": found.high}
    return {"measure": name, "unit": unit, "n": found.n, **_value(found.bias), **limits}


def _borders(a: Reading, b: Reading, slides: Sequence[str]) -> list[Row]:
    """Return mean and 95 % Hausdorff distance of the tumour outlines, each the mean over slides."""
    tumors = [(x, y) for slide in slides if (x := a.tumor(slide)) is not None and (y := b.tumor(slide)) is not None]
    apart = [found for x, y in tumors if (found := outline_distance(x, y))]
    return [
        {"measure": name, "unit": "µm", "n": len(apart), **_value(_mean(values))}
        for name, values in (
            ("border_mean_distance", [d.mean_um for d in apart]),
            ("border_hausdorff95", [d.hausdorff95_um for d in apart]),
        )
    ]


def _mean(values: Sequence[float]) -> Value:
    if len(values) < 2:
        return Value(values[0] if values else None, reason="fewer than two slides that both reviewed")
    mean = float(np.mean(values))
    reach = t_quantile(len(values) - 1, CONFIDENCE) * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return Value(mean, max(mean - reach, 0.0), mean + reach)


def _value(value: Value) -> Row:
    return {"value": value.value, "ci_low": value.ci_low, "ci_high": value.ci_high, "reason": value.reason}
