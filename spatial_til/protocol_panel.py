"""What was stained: the panel of a protocol, the names that markers go by, and corrections of channels.

Also what every section of a protocol rests on.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from spatial_til.counted import counted

MARKER_ALIASES = {
    "CD8A": "CD8",
    "CD8α": "CD8",
    "PDL1": "PD-L1",
    "PD_L1": "PD-L1",
    "PD L1": "PD-L1",
    "CD274": "PD-L1",
    "B7-H1": "PD-L1",
    "TUMOUR": "tumor",
    "DAPI": "nuclei",
    "HOECHST": "nuclei",
    "HEMATOXYLIN": "nuclei",
    "NUCLEUS": "nuclei",
}
_CANONICAL = {"CD8": "CD8", "PD-L1": "PD-L1", "TUMOR": "tumor", "NUCLEI": "nuclei"} | MARKER_ALIASES
NUCLEI = "nuclei"
TUMOR = "tumor"
#: Roles in a panel that are not markers of cells.
NOT_MARKERS = (NUCLEI, "cytoplasm", "none")

#: Above this condition number channels cannot be told apart (project default; that of stains in `segmentation`).
MAX_CONDITION = 20.0

#: No dye is this dense in one colour: light would be 10⁻¹⁰ of white. A vector above it is a colour of 0 to 255.
MAX_OD = 10.0
#: Brightfield slides are read as 8 bits a colour.
MAX_WHITE = 255.0

#: Colours known by name; their densities are in `segmentation.stains`, of which a protocol knows nothing (a test holds
#: both alike). So a misspelt one is told with the protocol's other problems, not after them.
PRESET_NAMES = (
    "hematoxylin",
    "dab",
    "aec",
    "fast_red",
    "new_fuchsin",
    "hrp_green",
    "fast_blue",
    "methyl_green",
    "eosin",
)

NonNegative = Annotated[float, Field(ge=0)]


def check_marker(name: str) -> str:
    """Return a marker's name where it is the canonical one and can name columns; else raise ValueError."""
    right = _CANONICAL.get(name.upper(), name)
    if right != name:
        msg = f"marker {name!r} goes by the name {right!r} here: write {right!r}"
        raise ValueError(msg)
    if not name or any(c in name for c in "+&|!();,\"'\n") or name != name.strip():
        msg = f"marker {name!r} may not be empty nor contain + & | ! ( ) ; , quotes or outer spaces: rename it"
        raise ValueError(msg)
    return name


def marker_called(name: str) -> str | None:
    """Return the marker that a name in a file stands for; None where it is none that is known by name.

    Examples
    --------
    >>> marker_called("cd274"), marker_called("Dapi"), marker_called("Opal 570")
    ('PD-L1', 'nuclei', None)
    """
    return _CANONICAL.get(name.strip().upper())


class Section(BaseModel):
    """A frozen table of the protocol that knows its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Vector = tuple[NonNegative, NonNegative, NonNegative]


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple, and anything else as it is: TOML has lists only."""
    return tuple(value) if isinstance(value, list) else value


class Stain(Section):
    """One stain of a brightfield slide."""

    marker: str
    vector: str | Vector

    _marker = field_validator("marker")(check_marker)

    @field_validator("vector", mode="wrap")
    @classmethod
    def _preset_or_densities(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """Say in one sentence what a vector is: the union's own errors are one for each of its members."""
        try:
            vector = read(as_tuple(value))
        except ValidationError:
            msg = 'must be the name of a preset, "auto", or three optical densities [r, g, b], each 0 or more'
            raise ValueError(msg) from None
        if isinstance(vector, str) and vector not in (*PRESET_NAMES, "auto"):
            near = difflib.get_close_matches(vector.lower(), PRESET_NAMES, n=1, cutoff=0.0)[0]
            msg = f'must be "auto", three optical densities [r, g, b] or a preset ({", ".join(PRESET_NAMES)}); the '
            msg += f"nearest preset is {near!r}"
            raise ValueError(msg)
        if not isinstance(vector, str) and max(vector) > MAX_OD:
            msg = f"must be optical densities, not a colour: none is above {MAX_OD:g}; a colour c of 255 has the "
            msg += "density log10(255 / c)"
            raise ValueError(msg)
        return vector


class Channel(Section):
    """One channel of a fluorescence slide."""

    marker: str

    _marker = field_validator("marker")(check_marker)


class Panel(Section):
    """What was stained."""

    modality: Literal["brightfield", "fluorescence"] = Field(description="brightfield or fluorescence")
    white: Literal["auto"] | Vector = Field(
        default="auto", description="brightfield: the slide's own background white, or [r, g, b]"
    )
    stains: dict[str, Stain] = Field(default_factory=dict, description="brightfield: at most three stains")
    channels: dict[str, Channel] = Field(
        default_factory=dict, description="fluorescence: channel name in the file, or its index"
    )

    @field_validator("white", mode="wrap")
    @classmethod
    def _auto_or_color(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        try:
            white = read(as_tuple(value))
        except ValidationError:
            white = None
        if white is None or (white != "auto" and not all(0 < v <= MAX_WHITE for v in white)):
            msg = f'must be "auto", or [r, g, b], each above 0 and at most {MAX_WHITE:g}: slides have 8 bits a colour'
            raise ValueError(msg)
        return white

    @model_validator(mode="after")
    def _fits_modality(self) -> Panel:
        table = "stains" if self.modality == "brightfield" else "channels"
        given = getattr(self, table)
        if not given:
            msg = f"a {self.modality} panel needs [panel.{table}]: list what was stained there"
            raise ValueError(msg)
        if self.modality == "brightfield" and len(self.stains) > 3:
            msg = f"an RGB picture separates at most three stains, found {len(self.stains)}: remove some"
            raise ValueError(msg)
        roles = [entry.marker for entry in given.values()]
        if roles.count(NUCLEI) != 1:
            msg = f'exactly one entry must have marker = "nuclei", found {roles.count(NUCLEI)}: nuclei are found in it'
            raise ValueError(msg)
        twice = sorted({r for r in roles if roles.count(r) > 1 and r != "none"})
        if twice:
            msg = f"a marker may stand once in the panel, found twice: {', '.join(twice)}"
            raise ValueError(msg)
        exchanged = [f"{key} ({says} by name or vector) given to {role}" for key, says, role in self._misnamed()]
        if exchanged:
            advice = "exchange them" if self.modality == "brightfield" else "exchange them, or give the channel's index"
            msg = f"a stain or channel has its own marker, found {'; '.join(exchanged)}: {advice}"
            raise ValueError(msg)
        return self

    def _misnamed(self) -> list[tuple[str, str, str]]:
        """Return key, marker by its name, and marker given, where these differ: exchanged, they would be scored."""
        if self.modality == "brightfield":
            named = [(key, NUCLEI, of.marker) for key, of in self.stains.items() if of.vector == "hematoxylin"]
        else:
            named = [(key, _CANONICAL.get(key.upper(), of.marker), of.marker) for key, of in self.channels.items()]
        return [(key, says, given) for key, says, given in named if given not in {says, "none"}]

    @property
    def roles(self) -> dict[str, str]:
        """Marker of each stain or channel, by its key."""
        entries = self.stains if self.modality == "brightfield" else self.channels
        return {key: entry.marker for key, entry in entries.items()}

    @property
    def markers(self) -> tuple[str, ...]:
        """Markers that cells can be positive for, in the order of the panel."""
        return tuple(m for m in self.roles.values() if m not in NOT_MARKERS)


class Fluorescence(Section):
    """Corrections of fluorescence channels: background, then autofluorescence, then spill-over."""

    spillover: tuple[tuple[NonNegative, ...], ...] = Field(
        default=(),
        description="spillover matrix, channels in the panel's order, unit diagonal; row: what one sends to each",
    )
    autofluorescence: str = Field(
        default="",
        description="channel without a marker (name in the file, or index) whose share is taken off all others",
    )

    _spillover = field_validator("spillover", mode="before")(
        lambda v: tuple(tuple(row) if isinstance(row, list) else row for row in v) if isinstance(v, list) else v
    )

    @field_validator("spillover")
    @classmethod
    def _can_be_undone(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if not rows:
            return rows
        if any(len(row) != len(rows) for row in rows):
            lengths = ", ".join(counted(len(row), "number") for row in rows)
            msg = f"must be square, found {counted(len(rows), 'row')} of {lengths}: one row and one column a channel"
            raise ValueError(msg)
        if any(row[i] != 1 for i, row in enumerate(rows)):
            msg = "must have 1 all along its diagonal: divide each row by what the dye shows in its own channel"
            raise ValueError(msg)
        condition = float(np.linalg.cond(np.array(rows)))
        if not condition <= MAX_CONDITION:
            msg = f"cannot be undone: its condition number is {condition:.3g}, above {MAX_CONDITION:g}; its channels "
            msg += "show almost the same light: choose dyes further apart, or measure the matrix again"
            raise ValueError(msg)
        return rows
