"""A tissue classifier as a small JSON file: read without running anything in it, and refused unless it is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spatial_til.errors import ModelError
from spatial_til.io.annotations.classes import meaning_of
from spatial_til.io.atomic import write_text
from spatial_til.segmentation.examples.classifier import Painted, TissueModel
from spatial_til.segmentation.examples.features import feature_names
from spatial_til.segmentation.examples.planes import PLANE_UM

#: A model of 32 channels and as many classes has less than half of this.
MAX_BYTES = 8_000_000
_FORMAT, _VERSION = "spatial-til tissue model", 4
_MAX_NAMES = 32
_MAX_LOOKS = 2 * _MAX_NAMES

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Level = Annotated[int, Field(ge=-32768, le=32767)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingSlide(_Part):
    """A slide that examples were painted on: its image by content, and the share of its tissue unlike the examples."""

    slide_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")]
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    unlike: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class HeldOutRecord(_Part):
    """How examples left out of the training were found: squares painted as (rows) and found as (columns) each class."""

    by: Literal["strokes", "slides"]
    accuracy: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    confusion: tuple[tuple[Count, ...], ...]


class Training(_Part):
    """What a model learned from, and how far to trust it."""

    slides: tuple[TrainingSlide, ...]
    strokes: dict[Name, Count]
    squares: dict[Name, Count]
    left_out: Count = 0  # squares claimed by two classes
    held_out: tuple[HeldOutRecord, ...]
    software: str = ""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A classifier and its training."""

    model: TissueModel
    training: Training

    @property
    def tumor_index(self) -> int:
        """Index of the class that is tumour."""
        return next(k for k, name in enumerate(self.model.classes) if meaning_of(name) == "tumor")


class _Painted(_Part):
    """What the looks were painted like: see `Painted`."""

    share: tuple[Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)], ...]
    mean: tuple[tuple[tuple[Number, ...], ...], ...]
    spread: tuple[tuple[tuple[tuple[Number, ...], ...], ...], ...]

    def problems(self, looks: int, channels: int) -> dict[str, bool]:
        """Return what may be wrong with it, and whether it is."""
        n = Painted.per_channel()
        lengths = [[len(own) for own in look] for look in self.mean]
        sides = [[[len(row) for row in own] for own in look] for look in self.spread]
        return {
            f"painted must have a share and a mean of {channels} x {n} for each of {looks} looks": (
                len(self.share) != looks or lengths != [[n] * channels] * looks
            ),
            f"painted must have a covariance of {n} x {n} for each look and channel": (
                sides != [[[n] * n] * channels] * looks or not _are_covariances(self.spread)
            ),
        }


def _are_covariances(matrices: Any) -> bool:
    found = np.array(matrices, dtype=np.float64)
    scale = np.abs(found).max() + 1.0
    return bool(np.allclose(found, found.swapaxes(-1, -2)) and (np.linalg.eigvalsh(found) >= -1e-9 * scale).all())


class _File(_Part):
    """The file, as far as single values go."""

    format: Literal["spatial-til tissue model"]
    version: Literal[4]
    modality: Literal["brightfield", "fluorescence"]
    plane_um: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    channels: Annotated[tuple[Name, ...], Field(min_length=1, max_length=_MAX_NAMES)]
    references: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    classes: Annotated[tuple[Name, ...], Field(min_length=2, max_length=_MAX_NAMES)]
    look_of: Annotated[tuple[Count, ...], Field(min_length=2, max_length=_MAX_LOOKS)]
    features: tuple[Name, ...]
    weights: tuple[tuple[Number, ...], ...]
    intercepts: tuple[Number, ...]
    low: tuple[Level, ...]
    high: tuple[Level, ...]
    painted: _Painted | None
    training: Training

    @model_validator(mode="after")
    def _fits_together(self) -> _File:
        n, k, looks = len(self.features), len(self.classes), len(self.look_of)
        tumors = [name for name in self.classes if meaning_of(name) == "tumor"]
        wrong = {
            "channels are named twice": len(set(self.channels)) < len(self.channels),
            "classes are named twice": len({name.casefold() for name in self.classes}) < k,
            f"exactly one class must be Tumor, found {len(tumors)}": len(tumors) != 1,
            f"this version looks at planes of {PLANE_UM:g} µm": self.plane_um != PLANE_UM,
            "a fluorescence model has a reference intensity for each channel, a brightfield model none": (
                len(self.references) != (len(self.channels) if self.modality == "fluorescence" else 0)
            ),
            "its features are not those of this version": self.features != feature_names(self.channels),
            "look_of must name every class by its index": set(self.look_of) != set(range(k)),
            f"weights must be {looks} x {n}": [len(row) for row in self.weights] != [n] * looks,
            f"there must be {looks} intercepts": len(self.intercepts) != looks,
            f"low and high must have {n} values each, low not above high": (
                len(self.low) != n
                or len(self.high) != n
                or any(a > b for a, b in zip(self.low, self.high, strict=False))
            ),
            "a brightfield model says what was painted, a fluorescence model does not": (
                (self.painted is None) != (self.modality == "fluorescence")
            ),
            f"tables of confusion must be {k} x {k}": any(
                [len(row) for row in held.confusion] != [k] * k for held in self.training.held_out
            ),
        }
        wrong |= self.painted.problems(looks, len(self.channels)) if self.painted else {}
        found = [problem for problem, is_wrong in wrong.items() if is_wrong]
        if found:
            raise ValueError("; ".join(found))
        return self


def write_tissue_model(path: Path, trained: TrainedModel) -> None:
    """Write a model, whole or not at all.

    Raises
    ------
    ModelError
        Where there is a folder of that name, or nothing may be written.
    """
    model = trained.model
    values: Mapping[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "modality": model.modality,
        "plane_um": PLANE_UM,
        "channels": list(model.channels),
        "references": list(model.references),
        "classes": list(model.classes),
        "training": trained.training.model_dump(mode="json"),
        "features": list(feature_names(model.channels)),
        "look_of": model.look_of.tolist(),
        "weights": model.weights.tolist(),
        "intercepts": model.intercepts.tolist(),
        "low": model.low.tolist(),
        "high": model.high.tolist(),
        "painted": _told_of(model.painted),
    }
    try:
        write_text(path, json.dumps(values, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror}): give the model another place or name"
        raise ModelError([msg]) from None


def read_tissue_model(path: Path) -> TrainedModel:
    """Read a model.

    Raises
    ------
    ModelError
        With all that is wrong with the file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError([f"{path}: a model has less than {MAX_BYTES / 1e6:g} MB: give the file that train wrote"])
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise ModelError([f"{path}: cannot be read ({error.strerror}): give the path of a model"]) from None
    except (ValueError, RecursionError) as error:
        raise ModelError([f"{path}: is no model of ours ({error}): give the file that train wrote"]) from None
    _refuse_other_version(path, values)
    try:
        file = _File.model_validate(values)
    except ValidationError as error:
        problems = [f"{path}: {_where(e['loc'])}{_said(e)}: train the model again" for e in error.errors()[:20]]
        raise ModelError(problems) from None
    model = TissueModel(
        modality=file.modality,
        channels=file.channels,
        references=file.references,
        classes=file.classes,
        look_of=np.array(file.look_of, dtype=np.intp),
        weights=np.array(file.weights, dtype=np.float64),
        intercepts=np.array(file.intercepts, dtype=np.float64),
        low=np.array(file.low, dtype=np.int16),
        high=np.array(file.high, dtype=np.int16),
        painted=_painted(file.painted),
    )
    return TrainedModel(model, file.training)


def _told_of(painted: Painted | None) -> dict[str, Any] | None:
    if painted is None:
        return None
    return {name: getattr(painted, name).tolist() for name in ("share", "mean", "spread")}


def _painted(told: _Painted | None) -> Painted | None:
    if told is None:
        return None
    return Painted(*(np.array(values, dtype=np.float64) for values in (told.share, told.mean, told.spread)))


def _refuse_other_version(path: Path, values: Any) -> None:
    """Refuse a model whose numbers are of other features; what has no version is judged as a whole."""
    found = values.get("version") if isinstance(values, dict) and values.get("format") == _FORMAT else _VERSION
    if isinstance(found, int) and found != _VERSION:
        msg = (
            f"{path}: is a tissue model of version {found}, this program reads version {_VERSION}, which looks at "
            "other features: train the model again from the same strokes"
        )
        raise ModelError([msg])


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no number"
    raise ValueError(msg)


def _where(location: tuple[Any, ...]) -> str:
    return f"{'.'.join(str(part) for part in location)}: " if location else ""


def _said(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")
