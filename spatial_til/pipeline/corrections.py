"""What a reader corrected on one slide, as scoring takes it, and how a score tells of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

import shapely
from shapely.geometry import MultiPolygon

from spatial_til.model import Call
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.rows import threshold_row

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
    measure_key: str = ""
    marker: str = ""  # of a flip
    positive: bool = False  # of a flip
    calls: Mapping[str, bool] = field(default_factory=dict)  # of an added cell
    when: str = ""


@dataclass(frozen=True, slots=True)
class StaleEdit:
    """A correction that was not applied, and why."""

    what: str
    reason: str
    place: Place | None = None
    marker: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Corrections:
    """All that a reader corrected on one slide; regions in µm, in place of those annotated or found."""

    reader: str
    regions: Mapping[str, MultiPolygon] = field(default_factory=dict)  # tumor, tissue, exclude, no_margin
    thresholds: Mapping[str, float] = field(default_factory=dict)  # by marker
    cells: tuple[CellCorrection, ...] = ()
    phenotype: str | None = None
    reason: str = ""  # of the phenotype
    stale: tuple[StaleEdit, ...] = ()  # known not to fit before looking at cells

    def digest(self) -> str:
        """Return a hash of all that changes the numbers."""
        parts = asdict(replace(self, regions={}))
        parts["regions"] = {name: shapely.to_wkb(region, hex=True) for name, region in self.regions.items()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def overridden(call: Call, corrections: Corrections | None) -> Call:
    """Return the reader's class where there is one; the computed one stays as the point class and in the reason."""
    if corrections is None or corrections.phenotype is None:
        return call
    computed = f"computed: {call.call}" + (f", {call.reason}" if call.reason else "")
    reason = f"{corrections.reader}: {corrections.reason}; {computed}"
    return replace(call, call=corrections.phenotype, reason=reason)


def review_flags(corrections: Corrections | None, stale: Sequence[StaleEdit]) -> tuple[str, ...]:
    """Return the flags that say what a reader did to a slide."""
    if corrections is None:
        return ()
    not_applied = {(s.what, s.place, s.marker, s.when) for s in stale}
    cells = [e for e in corrections.cells if (e.what, e.place, e.marker, e.when) not in not_applied]
    cuts = [marker for marker in corrections.thresholds if ("threshold", None, marker, "") not in not_applied]
    flags = {
        "reviewed": bool(corrections.regions or cuts or cells or corrections.phenotype),
        "call_overridden": corrections.phenotype is not None,
        "stale_edit": bool(stale),
    }
    return tuple(flag for flag, holds in flags.items() if holds)


def review_rows(
    slide_id: str, cuts: Mapping[str, MarkerCut], corrections: Corrections | None, stale: Sequence[StaleEdit]
) -> dict[str, list[dict[str, Any]]]:
    """Return a slide's rows of the tables that only a reviewed folder has; none without corrections."""
    if corrections is None:
        return {}
    moved = [cut.threshold for cut in cuts.values() if cut.threshold.method == BY_READER]
    rows = [{**threshold_row(cut), "slide_id": slide_id, "author": corrections.reader} for cut in moved]
    edits = [
        {"slide_id": slide_id, "edit": e.what, "marker": e.marker, "when": e.when, "reason": e.reason}
        | ({"x_um": e.place.x_um, "y_um": e.place.y_um} if e.place else {})
        for e in stale
    ]
    return {"thresholds": rows, "stale_edits": edits}
