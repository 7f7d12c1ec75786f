"""Which slides need eyes most, from the tables alone.

Points of a slide, the sum of:

- 100 where it failed (errors.csv);
- 60 where its class is `not_evaluable`, 40 where it is `indeterminate`;
- 40 x (1 - p), p the probability of the most probable class (none where no class was drawn);
- 30 / (1 + 8 d) where a value of sensitivity.csv has another point class than the protocol's own value: d is
  how far the nearest such value lies, in doublings (a threshold 1.2 times as high: 0.26);
- for each flag 8 (staining), 6 (pixels, review), 4 (geometry), 2 (the rest).

Equal points: in the order of the tables. All weights are project defaults: they sort, they do not measure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatial_til.errors import CellTableError, SpatialTilError
from spatial_til.flags import flag_of
from spatial_til.io import schema
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.tables import read_table
from spatial_til.metrics.levels import INDETERMINATE, NOT_EVALUABLE
from spatial_til.protocol import Protocol
from spatial_til.review.journal import journals
from spatial_til.run_record import jobs_from_record

FAILED, NO_CLASS, NO_CALL, UNSURE, NEAR_FLIP = 100.0, 60.0, 40.0, 40.0, 30.0
FLAG_POINTS: Mapping[str, float] = {"staining": 8.0, "pixels": 6.0, "review": 6.0, "geometry": 4.0}
OTHER_FLAG = 2.0
_STEEPNESS = 8.0

Row = Mapping[str, str]

#: What else a setting of sensitivity.csv could be, in words.
_SETTINGS = {
    "hot_cd8_per_mm2": "the cut-off of hot were {} CD8+ per mm²",
    "margin_width_um": "the margin were {} µm wide",
    "threshold_factor_CD8": "the CD8 cut-off were {} times as high",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """One slide of the worklist: its points, why it has them, the largest share first, and who reviewed it."""

    slide_id: str
    points: float
    reasons: tuple[str, ...]
    readers: tuple[str, ...] = ()


def worklist(root: Path) -> list[Waiting]:
    """Return all slides of a scored folder, those that need eyes most first.

    Raises
    ------
    SpatialTilError
        Where the folder is none of ours.
    """
    folder = ScoredFolder(root)
    study = jobs_from_record(folder.run)
    try:
        scores = {row["slide_id"]: row for row in read_table(folder.tables / f"{schema.SLIDE_SCORES.name}.csv")}
        sensitivity = read_table(folder.tables / f"{schema.SENSITIVITY.name}.csv")
        errors = {row["slide_id"]: row["message"] for row in read_table(folder.errors)}
    except (OSError, KeyError, CellTableError) as error:
        msg = f"{root}: a table is missing or is none of ours ({error}): run rescore"
        raise SpatialTilError(msg) from None
    variants = defaultdict(list)
    for row in sensitivity:
        variants[row["slide_id"]].append(row)
    readers = defaultdict(list)
    for slide_id, reader in journals(folder):
        readers[slide_id].append(reader)
    found = []
    for job in study.jobs:
        if not job.control:
            i = job.slide_id
            parts = _parts(scores.get(i), variants[i], errors.get(i, ""), job.protocol)
            parts.sort(key=lambda part: -part[0])
            points = sum(points for points, _ in parts)
            found.append(Waiting(i, points, tuple(reason for _, reason in parts), tuple(readers[i])))
    return sorted(found, key=lambda slide: -slide.points)


def _parts(row: Row | None, variants: Sequence[Row], error: str, protocol: Protocol) -> list[tuple[float, str]]:
    """Return points with their reasons."""
    if row is None:
        return [(FAILED, error or "it was not scored")]
    call = row["immunophenotype"]
    parts: list[tuple[float, str]] = []
    if call == NOT_EVALUABLE:
        parts.append((NO_CLASS, f"not evaluable: {row['immunophenotype_reason']}"))
    elif call == INDETERMINATE:
        parts.append((NO_CALL, f"indeterminate: {row['immunophenotype_reason']}"))
    drawn = [float(row[f"p_{name}"]) for name in schema.PHENOTYPES if row[f"p_{name}"]]
    if drawn and max(drawn) < 1.0:
        parts.append((UNSURE * (1 - max(drawn)), f"the most probable class has probability {max(drawn):.2f}"))
    flip = _nearest_flip(row["immunophenotype_point"], variants, protocol)
    if flip is not None:
        distance, words = flip
        parts.append((NEAR_FLIP / (1 + _STEEPNESS * distance), words))
    return parts + list(_of_flags(row["flags"].split(";")))


def _nearest_flip(point: str, variants: Sequence[Row], protocol: Protocol) -> tuple[float, str] | None:
    """Return how far the nearest change of a setting lies that changes the point class, in doublings."""
    own = {
        "hot_cd8_per_mm2": protocol.scores.hot_cd8_per_mm2,
        "margin_width_um": protocol.compartments.inner_um,
    }
    flips = [
        (abs(math.log2(float(v["value"]) / own.get(v["parameter"], 1.0))), v)
        for v in variants
        if v["immunophenotype_point"] != point
    ]
    if not flips:
        return None
    distance, nearest = min(flips, key=lambda flip: flip[0])
    how = _SETTINGS.get(nearest["parameter"], f"{nearest['parameter']} were {{}}")
    return distance, f"{nearest['immunophenotype_point'].replace('_', ' ')} if {how.format(nearest['value'])}"


def _inside_a_sentence(text: str) -> str:
    """Return a sentence as part of another: without its capital, unless that is a marker's, and its full stop.

    Examples
    --------
    >>> _inside_a_sentence("A time point has no slide."), _inside_a_sentence("PD-L1 was raised.")
    ('a time point has no slide', 'PD-L1 was raised')
    """
    return text.rstrip(".") if text[1:2].isupper() else f"{text[:1].lower()}{text[1:].rstrip('.')}"


def _of_flags(codes: Iterable[str]) -> Iterable[tuple[float, str]]:
    for code in filter(None, codes):
        flag = flag_of(code)
        yield FLAG_POINTS.get(flag.group, OTHER_FLAG), _inside_a_sentence(flag.meaning)
