"""Quality of one slide in numbers and flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shapely.geometry import MultiPolygon

from spatial_til.model import EMPTY_POLYGON


@dataclass(frozen=True, slots=True)
class QC:
    """What was found about the quality of one slide.

    Attributes
    ----------
    flags
        Codes of the flag table.
    numbers
        Named figures behind the flags; None where one could not be measured.
    white
        Grey levels of glass (brightfield).
    vectors
        Stain name to the unit vector that was used (brightfield).
    artefact
        Pen, folds and debris, in µm; part of `tissue`.
    artefact_fraction
        Share of tissue that is artefact.
    warnings
        Sentences about the stains.
    """

    flags: tuple[str, ...] = ()
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    white: tuple[float, float, float] | None = None
    vectors: Mapping[str, Any] = field(default_factory=dict)
    artefact: MultiPolygon = EMPTY_POLYGON
    artefact_fraction: float = 0.0
    warnings: tuple[str, ...] = ()


def judge(constants: Any, source: Any) -> QC:
    """Return the quality of one slide from its constants and a sample of its pixels."""
    flags = []
    if source.pixel_size.mean_um > 0.6:
        flags.append("pixel_size_coarse")
    white = constants.white
    return QC(
        flags=tuple(flags),
        numbers={"typical_nuclear_contrast": constants.typical},
        white=None if white is None else white.rgb,
        vectors=constants.vectors or {},
        warnings=constants.warnings,
    )
