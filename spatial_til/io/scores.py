"""One slide's score to a JSON file and back: what lets studies be compared without scoring them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spatial_til.errors import CellTableError
from spatial_til.io.atomic import write_text
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore, TileCounts, Value

_Count = Annotated[int, Field(ge=0, lt=2**63)]
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


class _Tiles(BaseModel):
    """Tiles of one compartment, as stored."""

    model_config = ConfigDict(extra="forbid")

    slide_id: str
    compartment: str
    tile_um: float
    area_mm2: list[float]
    counts: dict[str, list[_Count]]
    x_um: list[float]
    y_um: list[float]
    flags: tuple[str, ...]

    @model_validator(mode="after")
    def _of_one_length(self) -> _Tiles:
        n = len(self.area_mm2)
        if not len(self.x_um) == len(self.y_um) == n or any(len(of) != n for of in self.counts.values()):
            msg = "every tile has a place, an area and its counts"
            raise ValueError(msg)
        return self

    def tiles(self) -> TileCounts:
        """Return the tiles with their numbers in arrays."""
        arrays = {name: np.asarray(getattr(self, name), dtype=np.float64) for name in ("area_mm2", "x_um", "y_um")}
        counts = {name: np.asarray(n, dtype=np.int64) for name, n in self.counts.items()}
        return TileCounts(self.slide_id, self.compartment, self.tile_um, counts=counts, flags=self.flags, **arrays)


def _possible(estimate: Estimate) -> Estimate:
    if not (0 <= estimate.n_cells < 2**53 and 0 <= estimate.dof < 2**53):
        msg = "no slide has so many cells"
        raise ValueError(msg)
    return estimate


class _File(BaseModel):
    """One stored score."""

    key: str
    rows: dict[str, list[dict[str, Any]]]
    meta: SlideMeta
    tiles: dict[str, _Tiles]
    estimates: dict[Annotated[str, Field(pattern=_SEPARATOR)], Annotated[Estimate, AfterValidator(_possible)]]
    values: dict[str, Value]
    phenotype: Call
    activity: dict[str, Call]
    gates: dict[str, float | None]
    settings: dict[str, str]
    flags: tuple[str, ...]


def read_score(path: Path) -> ScoredSlide:
    """Read one slide's score; the inverse of `write_score`.

    Raises
    ------
    CellTableError
        The file is missing, damaged, or not one of ours.
    """
    try:
        file = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        msg = f"{path}: the stored score cannot be read ({error.strerror}): delete it and run the same again"
        raise CellTableError(msg) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        msg = f"{path}: the stored score is damaged ({where}: {first['msg']}): delete it and run the same again"
        raise CellTableError(msg) from None
    score = SlideScore(
        meta=file.meta,
        tiles={name: entry.tiles() for name, entry in file.tiles.items()},
        estimates={_pair(key): entry for key, entry in file.estimates.items()},
        values=file.values,
        phenotype=file.phenotype,
        activity=file.activity,
        gates=file.gates,
        settings=file.settings,
        flags=file.flags,
    )
    return ScoredSlide(score, file.rows, file.key)


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


def _pair(key: str) -> tuple[str, str]:
    population, compartment = key.rsplit(_SEPARATOR, 1)
    return population, compartment
