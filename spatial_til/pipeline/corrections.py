"""What a reader corrected on one slide, and the same slide corrected: cells, cut-offs and calls.

Corrections of cells are keyed by place. A cell is the same where its centre moved by no more than
`SAME_CELL_UM`, so that measuring again keeps what still fits; what does not is listed, never applied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, NamedTuple

import shapely
from shapely.geometry import MultiPolygon

from spatial_til.io.measured import Measured
from spatial_til.pipeline.calls import MarkerCut, SlideCalls, call_cells
from spatial_til.study import Job

#: A cell whose centre moved by less than this is the same: well under half a lymphocyte (project default).
SAME_CELL_UM = 2.0
#: How thresholds.csv calls a cut-off that a reader chose.
BY_READER = "reader"


class Place(NamedTuple):
    """The centre of a cell in µm."""

    x_um: float
    y_um: float


@dataclass(frozen=True, slots=True)
class CellCorrection:
    """One cell corrected: flipped for a marker, removed, or added with the markers it is positive for."""

    what: Literal["flip", "remove", "add"]
    place: Place
    marker: str = ""  # of a flip
    positive: bool = False  # of a flip
    calls: Mapping[str, bool] = field(default_factory=dict)  # of an added cell
    when: str = ""


@dataclass(frozen=True, slots=True)
class Corrections:
    """All that a reader corrected on one slide."""

    reader: str
    regions: Mapping[str, MultiPolygon] = field(default_factory=dict)  # tumor, tissue, exclude, no_margin
    thresholds: Mapping[str, float] = field(default_factory=dict)  # by marker
    cells: tuple[CellCorrection, ...] = ()
    phenotype: str | None = None
    reason: str = ""
    other_image: bool = False  # made on another image than the one that was measured: all of it is stale

    def digest(self) -> str:
        """Return a hash of all that changes the numbers."""
        parts = asdict(replace(self, regions={}))
        parts["regions"] = {name: shapely.to_wkb(region, hex=True) for name, region in self.regions.items()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StaleEdit:
    """A correction that was not applied, and why."""

    what: str
    place: Place | None
    marker: str
    reason: str
    when: str = ""


@dataclass(frozen=True, slots=True)
class Corrected:
    """One slide with its corrections applied, as far as they fit."""

    measured: Measured
    cuts: Mapping[str, MarkerCut]
    calls: SlideCalls
    stale: tuple[StaleEdit, ...] = ()


NONE = Corrections("")


def correct(job: Job, measured: Measured, cuts: Mapping[str, MarkerCut], corrections: Corrections | None) -> Corrected:
    """Return the cells, cut-offs and calls of one slide as a reader corrected them."""
    if corrections is None:
        return Corrected(measured, cuts, call_cells(job, measured, cuts, {}))
    raise NotImplementedError
