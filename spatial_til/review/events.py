"""Everything that can happen while a reader reviews a slide, as frozen types.

An event says who, when and why, and a few numbers before and after it. Edits change the numbers; `Undo` and
`Redo` move between edits; the rest is what an audit asks for. Positions and geometry are in µm, x to the
right, y down, origin at the slide's top-left corner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from shapely.geometry import MultiPolygon

#: Regions that a reader may redraw.
RegionName: TypeAlias = Literal["tumor", "tissue", "exclude", "no_margin"]
REGION_NAMES: tuple[RegionName, ...] = ("tumor", "tissue", "exclude", "no_margin")
#: A few numbers of the slide, for the record: densities, the log2 ratio, the class; None where not available.
Figures: TypeAlias = Mapping[str, float | str | None]


def now() -> str:
    """Return the time as events carry it: ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event says: when (ISO 8601, UTC), who, and why where there is a reason to give."""

    who: str
    when: str = field(default_factory=now)
    why: str = ""
    before: Figures = field(default_factory=dict)
    after: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Event):
    """A change of the numbers, and which cells and image it was made on."""

    measure_key: str = ""  # of the stored cells
    image_sha256: str = ""  # of the slide's file; empty where cells came as a table


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionEdit(Edit):
    """A region is now this one: all of it, not a difference. None: as annotated or found."""

    region: RegionName
    geometry: MultiPolygon | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdEdit(Edit):
    """A marker's cut-off on this slide, in the unit of its score. None: the batch's own."""

    marker: str
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFlip(Edit):
    """The cell at this place is positive for a marker, or is not. `tumor` is a marker."""

    x_um: float
    y_um: float
    marker: str
    positive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRemoved(Edit):
    """What was found at this place is no cell."""

    x_um: float
    y_um: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAdded(Edit):
    """A cell was missed here; `calls` says what it is positive for, markers not named are negative."""

    x_um: float
    y_um: float
    calls: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassOverride(Edit):
    """The reader's own immunophenotype; `why` must say the reason. None: the computed one."""

    phenotype: str | None

    def __post_init__(self) -> None:
        """Refuse a class without a reason."""
        if self.phenotype is not None and not self.why.strip():
            msg = "a class that replaces the computed one needs a reason (why)"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo(Event):
    """The last `n` edits that hold are taken back."""

    n: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Redo(Event):
    """The last `n` edits that were taken back hold again."""

    n: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """A reader opened the slide."""

    slide_id: str
    measure_key: str
    image_sha256: str = ""
    blinded: bool = False
    version: str = ""  # of this package


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """The reader closed the slide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblinded(Event):
    """Patient, time point, response and file names were shown to the reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSetAside(Event):
    """A line that a crash tore off counts for nothing; `line` is its number, from 1."""

    line: int


EVENTS: tuple[type[Event], ...] = (
    RegionEdit, ThresholdEdit, CallFlip, CellRemoved, CellAdded, ClassOverride,
    Undo, Redo, SessionOpened, SessionClosed, Unblinded, LineSetAside,
)  # fmt: skip
