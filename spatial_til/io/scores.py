"""One slide's score to a JSON file and back: what lets studies be compared without scoring them again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from spatial_til.io.atomic import write_text
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore, TileCounts, Value

_KEY = re.compile(r'\{"key": "([0-9a-f]*)"')  # the first entry, so that it can be read alone
_SEPARATOR = " @ "  # in the keys of estimates: population @ compartment


@dataclass(frozen=True, slots=True)
class ScoredSlide:
    """A slide's score and its rows of the tables that have several rows a slide."""

    score: SlideScore
    rows: Mapping[str, list[dict[str, Any]]]  # table name -> rows
    key: str = ""  # what the score was made from: it is made again where this changes


def write_score(path: Path, scored: ScoredSlide) -> None:
    """Write one slide's score, whole or not at all."""
    score = scored.score
    values = {
        "key": scored.key,
        "rows": scored.rows,
        "meta": asdict(score.meta),
        "tiles": {name: asdict(tiles) for name, tiles in score.tiles.items()},
        "estimates": {_SEPARATOR.join(key): asdict(value) for key, value in score.estimates.items()},
        "values": {name: asdict(value) for name, value in score.values.items()},
        "phenotype": asdict(score.phenotype),
        "activity": {name: asdict(call) for name, call in score.activity.items()},
        "gates": dict(score.gates),
        "settings": dict(score.settings),
        "flags": list(score.flags),
    }
    write_text(path, json.dumps(values, default=_plain, ensure_ascii=False))


def read_score_key(path: Path) -> str | None:
    """Return the key of a stored score without reading the rest; None where there is none."""
    try:
        with path.open(encoding="utf-8") as file:
            found = _KEY.match(file.read(200))
    except (OSError, ValueError):
        return None
    return found.group(1) if found else None


def read_score(path: Path) -> ScoredSlide:
    """Read one slide's score; the inverse of `write_score`."""
    values = json.loads(path.read_text(encoding="utf-8"))
    score = SlideScore(
        meta=_meta(values["meta"]),
        tiles={name: _tiles(entry) for name, entry in values["tiles"].items()},
        estimates={_pair(key): Estimate(**_tupled(entry)) for key, entry in values["estimates"].items()},
        values={name: Value(**_tupled(entry)) for name, entry in values["values"].items()},
        phenotype=Call(**_tupled(values["phenotype"])),
        activity={name: Call(**_tupled(entry)) for name, entry in values["activity"].items()},
        gates=values["gates"],
        settings=values["settings"],
        flags=tuple(values["flags"]),
    )
    return ScoredSlide(score, values["rows"], values["key"])


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"cannot write {type(value).__name__} as JSON"
    raise TypeError(msg)


def _tupled(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"flags": tuple(entry["flags"])}


def _pair(key: str) -> tuple[str, str]:
    population, compartment = key.rsplit(_SEPARATOR, 1)
    return population, compartment


def _tiles(entry: dict[str, Any]) -> TileCounts:
    arrays = {name: np.asarray(entry[name], dtype=np.float64) for name in ("area_mm2", "x_um", "y_um")}
    counts = {name: np.asarray(n, dtype=np.int64) for name, n in entry["counts"].items()}
    return TileCounts(**(_tupled(entry) | arrays | {"counts": counts}))


def _meta(entry: dict[str, Any]) -> SlideMeta:
    dates = {n: date.fromisoformat(entry[n]) if entry[n] else None for n in ("biopsy_date", "treatment_start")}
    return SlideMeta(**(entry | dates))
