"""What one slide of a scored folder was scored with, in run.json and back: cut-offs and widths to the last digit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from spatial_til.errors import SpatialTilError
from spatial_til.model import Threshold
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.divide import Widths


def record_cuts(cuts: Mapping[str, MarkerCut], widths: Widths) -> dict[str, Any]:
    """Return cut-offs and widths of one slide as plain values."""
    return {
        "cuts": {m: {**asdict(cut.threshold), "verified": cut.verified} for m, cut in cuts.items()},
        "widths_um": list(widths),
    }


def cuts_from_record(slide: Mapping[str, Any]) -> tuple[dict[str, MarkerCut], Widths]:
    """Return cut-offs and widths of one slide of run.json; the inverse of `record_cuts`.

    Raises
    ------
    SpatialTilError
        Where they are not there: the slide was not measured, or an earlier version scored it.
    """
    try:
        cuts = {marker: _cut(**entry) for marker, entry in slide["cuts"].items()}
        return cuts, Widths(*slide["widths_um"])
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"run.json does not say what the slide was scored with ({error}): run rescore first"
        raise SpatialTilError(msg) from None


def _cut(*, verified: bool, flags: list[str], **threshold: Any) -> MarkerCut:
    return MarkerCut(Threshold(**threshold, flags=tuple(flags)), verified)
