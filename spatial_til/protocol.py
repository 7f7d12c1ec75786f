"""The protocol: one TOML file that says how a study is scored, as one validated, frozen object.

Every key has a default except the panel; `protocol_panel` and `protocol_sections` have them all.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from spatial_til.errors import ProtocolError
from spatial_til.protocol_panel import NUCLEI, TUMOR, Fluorescence, Panel, Section, check_marker
from spatial_til.protocol_sections import (
    CellColumns,
    CompartmentKeys,
    Gates,
    Longitudinal,
    Marker,
    QcKeys,
    Scores,
    Segmentation,
    Statistics,
    Tumor,
)

_MAX_SHOWN = 100
MAX_BYTES = 1 << 20  # the template, with every key and its comment, has a hundredth of it


class Protocol(Section):
    """How a study is scored. Frozen; `resolved` gives it with every default filled in."""

    panel: Panel
    fluorescence: Fluorescence = Fluorescence()
    markers: dict[str, Marker] = Field(default_factory=dict)
    populations: dict[str, str] = Field(default_factory=dict)
    segmentation: Segmentation = Segmentation()
    tumor: Tumor = Tumor()
    compartments: CompartmentKeys = CompartmentKeys()
    gates: Gates = Gates()
    scores: Scores = Scores()
    statistics: Statistics = Statistics()
    longitudinal: Longitudinal = Longitudinal()
    cells: CellColumns = CellColumns()
    qc: QcKeys = QcKeys()

    @field_validator("markers")
    @classmethod
    def _canonical(cls, markers: dict[str, Marker]) -> dict[str, Marker]:
        for name in markers:
            check_marker(name)
        return markers

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        problems = [
            *self._section_problems(),
            *self._population_problems(),
            *self._change_problems(),
            *self._fluorescence_problems(),
            *self._cytoplasm_problems(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _section_problems(self) -> Iterator[str]:
        """Tell keys that need another key."""
        if self.segmentation.min_nucleus_area_um2 >= self.segmentation.max_nucleus_area_um2:
            yield "segmentation.min_nucleus_area_um2 must be below max_nucleus_area_um2"
        if self.tumor.method == "marker" and TUMOR not in self.panel.markers:
            yield 'tumor.method = "marker" needs a panel entry with marker = "tumor"'
        if self.tumor.method == "classifier" and not self.tumor.model:
            yield 'tumor.method = "classifier" needs tumor.model, the path of a trained classifier'

    def _cytoplasm_problems(self) -> Iterator[str]:
        """Tell cytoplasm markers that the panel does not have: they would guide nothing."""
        known = [name for name in self.panel.roles.values() if name not in (NUCLEI, "none")]
        for name in self.segmentation.cytoplasm_markers:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
                msg = f"segmentation.cytoplasm_markers: {name!r} is no marker of the panel"
                yield msg + (f"; the nearest known marker is {near[0]!r}" if near else ": take it out")

    def _fluorescence_problems(self) -> Iterator[str]:
        """Tell what of `[fluorescence]` does not fit the panel, or that nothing would come of."""
        given, channels = self.fluorescence, self.panel.channels
        if self.panel.modality == "brightfield" and given != Fluorescence():
            yield "[fluorescence] does nothing for a brightfield panel: take it out, or set panel.modality"
            return
        if given.spillover and len(given.spillover) != len(channels):
            msg = f"fluorescence.spillover must be {len(channels)} x {len(channels)}, one row and column a channel of "
            yield msg + f"the panel ({', '.join(channels)}), found {len(given.spillover)} x {len(given.spillover)}"
        if given.autofluorescence.casefold() in {name.casefold() for name in channels}:
            msg = f"fluorescence.autofluorescence {given.autofluorescence!r} is a channel of the panel: name one that "
            yield msg + "carries no marker, and leave it out of [panel.channels]"

    def _population_problems(self) -> Iterator[str]:
        """Tell `[populations]` with terms that the panel does not have, or under a standard name."""
        known = {*(f"{m}{sign}" for m in self.panel.markers for sign in "+-")} | ({TUMOR} & {*self.panel.markers})
        named = [m for m in self.panel.markers if m != TUMOR]
        standard = {*self._reported(), *(f"{a}+{b}+" for a in named for b in named)}
        for name, text in self.populations.items():
            if name in standard:
                yield f"populations.{name}: {name} is always reported and may not mean anything else: rename it"
            terms = [term.strip() for term in re.split(r"[&|!()]", text) if term.strip()]
            unknown = [term for term in terms if re.sub(r"\s+(?=[+-]$)", "", term) not in known]
            if unknown or not terms:
                yield (
                    f"populations.{name}: {', '.join(unknown) or 'nothing'} is no term of this panel: "
                    f"use {', '.join(sorted(known))} with &, |, ! and brackets"
                )

    def _change_problems(self) -> Iterator[str]:
        """Tell `longitudinal.changes_of` with a population that no slide reports: its change would be empty."""
        known = {*self._reported(), *self.populations}
        unknown = ", ".join(name for name in self.longitudinal.changes_of if name not in known)
        if unknown:
            terms = ", ".join(sorted(known))
            yield f"longitudinal.changes_of: {unknown} is no population that slides report: use {terms}"

    def _reported(self) -> set[str]:
        """Return every population that slides may report by itself; cells that came as a table may know the tumour."""
        named = sorted(m for m in self.panel.markers if m != TUMOR)
        names = {"all", TUMOR} | {f"{m}+{rest}" for m in named for rest in ("", TUMOR, f"non{TUMOR}")}
        return names | {f"{a}+{b}+" for a, b in itertools.combinations(named, 2)}

    def marker(self, name: str) -> Marker:
        """Return how a marker is called: its own section, or the defaults.

        The default of the tumour marker is the mean of the whole cell, since such markers may be
        nuclear (SOX10) or cytoplasmic (cytokeratin). The robust statistic is one of membranes: in any
        other compartment it stands for the mean.
        """
        default = Marker(compartment="cell", statistic="mean") if name == TUMOR else Marker()
        marker = self.markers.get(name, default)
        if marker.statistic == "robust" and marker.compartment != "membrane":
            return marker.model_copy(update={"statistic": "mean"})
        return marker

    def resolved(self) -> dict[str, Any]:
        """Return every key with its value, defaults filled in, ready for JSON."""
        values = self.model_dump(mode="json")
        values["markers"] = {m: self.marker(m).model_dump(mode="json") for m in self.panel.markers}
        return values

    def fingerprint(self) -> str:
        """Return a hash of the resolved protocol, wherever its folder is: the HASH of ``check --locked HASH``."""
        values = self.resolved()
        for marker in values["markers"].values():
            marker["thresholds_from"] = Path(marker["thresholds_from"]).name
        values["tumor"]["model"] = Path(values["tumor"]["model"]).name
        values["segmentation"]["weights"] = Path(values["segmentation"]["weights"]).name
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _nearest(location: tuple[Any, ...], root: type[BaseModel] = Protocol) -> str:
    """Return the known key nearest to an unknown one, as a hint; empty where none is near."""
    keys: list[str] = []
    model: Any = root
    for part in location[:-1]:
        model = _annotation_of(model, str(part))
    if isinstance(model, type) and issubclass(model, BaseModel):
        keys = list(model.model_fields)
    match = difflib.get_close_matches(str(location[-1]), keys, n=1, cutoff=0.0)
    return f"; the nearest known key is {match[0]!r}" if match else ""


def _annotation_of(model: Any, part: str) -> Any:
    if isinstance(model, type) and issubclass(model, BaseModel):
        entry = model.model_fields.get(part)
        return entry.annotation if entry else None
    arguments = getattr(model, "__args__", ())  # dict[str, Section] -> Section
    return arguments[-1] if arguments else None


def _problems(error: Any, where: str) -> list[str]:
    """Return what one error of pydantic says to a user: a line each, since a check of ours may have found several."""
    location = tuple(p for p in error["loc"] if not str(p).startswith(("literal[", "tuple[", "constrained-", "float")))
    key = ".".join(str(p) for p in location) or "protocol"
    if error["type"] == "extra_forbidden":
        return [f"{where}: unknown key {key!r}{_nearest(location)}"]
    if error["type"] == "missing":
        return [f"{where}: key {key!r} is missing: every protocol must give it"]
    text = str(error["msg"]).removeprefix("Value error, ")
    text = text.replace("Input should be", "must be").replace("a valid tuple", "a list in [ ]")
    found = "" if isinstance(error.get("input"), dict | BaseModel) else f", found {_shown(error.get('input'))}"
    return [f"{where}: key {key!r}: {line}{found}" for line in text.splitlines()]


def _shown(value: Any) -> str:
    """Return a value as a message shows it: one line that fits on a screen."""
    try:
        text = repr(value)
    except ValueError:  # a whole number with more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} …"


def parse_protocol(values: dict[str, Any], where: str = "protocol") -> Protocol:
    """Return a protocol from the values of a TOML file.

    Raises
    ------
    ProtocolError
        With every problem at once: unknown keys (naming the nearest known one), wrong types, values
        out of range, and markers under another name than the canonical one.
    """
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        problems = dict.fromkeys(problem for e in error.errors() for problem in _problems(e, where))
        raise ProtocolError(list(problems)) from None


def load_protocol(path: Path) -> Protocol:
    """Read and validate a protocol file.

    Raises
    ------
    ProtocolError
        Where the file cannot be read as TOML, or as `parse_protocol`.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ProtocolError([f"{path}: more than {MAX_BYTES >> 20} MiB: give the path of a protocol"])
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ProtocolError([f"{path}: cannot be read ({error.strerror}): give the path of a protocol"]) from None
    except UnicodeDecodeError as error:
        raise ProtocolError([f"{path}: is not valid TOML: not UTF-8 (byte {error.start}): save it as UTF-8"]) from None
    except ValueError as error:  # also of a number with more digits than Python reads
        raise ProtocolError([f"{path}: is not valid TOML: {error}"]) from None
    except RecursionError:
        raise ProtocolError([f"{path}: is not valid TOML: it is nested too deeply"]) from None
    return _rooted(parse_protocol(values, str(path)), path.parent)


def _rooted(protocol: Protocol, folder: Path) -> Protocol:
    """Return a protocol whose paths, written relative to its own folder, hold from any folder."""
    markers = {
        name: marker.model_copy(update={"thresholds_from": str((folder / marker.thresholds_from).absolute())})
        if marker.thresholds_from
        else marker
        for name, marker in protocol.markers.items()
    }
    tumor = protocol.tumor
    if tumor.model:
        tumor = tumor.model_copy(update={"model": str((folder / tumor.model).absolute())})
    segmentation = protocol.segmentation
    if segmentation.weights:
        segmentation = segmentation.model_copy(update={"weights": str((folder / segmentation.weights).absolute())})
    return protocol.model_copy(update={"markers": markers, "tumor": tumor, "segmentation": segmentation})
