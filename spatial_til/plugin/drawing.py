"""What a reader may draw, and what becomes of an outline in napari's coordinates. No window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from shapely.geometry import MultiPolygon

from spatial_til.model import XY
from spatial_til.plugin.convert import from_napari
from spatial_til.plugin.desk import Found
from spatial_til.review.corners import Ring, commit_corners
from spatial_til.review.drawing import Commit, Operation, commit_polygon
from spatial_til.review.events import RegionName
from spatial_til.review.session import Session

Tool: TypeAlias = Operation | Literal["corners"]
_Tool = tuple[Tool, str, str]
_CORNERS: _Tool = ("corners", "Move corners", "Drag single corners; stretches left alone keep every point")
_REGION_TOOLS: tuple[_Tool, ...] = (
    ("draw", "Draw a part", "A new part, or a first one"),
    ("extend", "Extend", "An outline that touches it is added"),
    ("cut", "Cut away", "What is outlined is taken out"),
    ("replace", "Replace all", "The outline is the whole region from now on"),
    _CORNERS,
)
_EXCLUDE_TOOLS: tuple[_Tool, ...] = (
    ("draw", "Exclude an area", "Cells and area in it count for nothing"),
    ("cut", "Count it again", "What is outlined is no longer excluded"),
    _CORNERS,
)


@dataclass(frozen=True, slots=True)
class Target:
    """Something a reader may draw. Necrosis and artefacts are one region; the record says which was meant."""

    words: str
    short: str
    region: RegionName
    tools: tuple[_Tool, ...]
    why: str = ""


TARGETS = (
    Target("Tumour", "tumour", "tumor", _REGION_TOOLS),
    Target("Tissue", "tissue", "tissue", _REGION_TOOLS),
    Target("Necrosis (left out)", "excluded area", "exclude", _EXCLUDE_TOOLS, "necrosis"),
    Target("Artefact: fold, pen, blur (left out)", "excluded area", "exclude", _EXCLUDE_TOOLS, "artefact"),
    Target("Edge that is no margin: epidermis, ulcer", "edge", "no_margin", _EXCLUDE_TOOLS),
)


def current_region(region: RegionName, found: Found | None) -> MultiPolygon | None:
    """Return a region as it is now; None where there is none."""
    if found is None:
        return None
    value: MultiPolygon | None = getattr(found.numbers.regions, region)
    return value


def outline_of(shapes: Sequence[Any]) -> XY | None:
    """Return the outline drawn last, x and y in µm; None where nothing was drawn yet."""
    return from_napari(np.asarray(shapes[-1])) if len(shapes) else None


def try_outline(
    vertices_um: XY, operation: Operation, target: Target, found: Found | None, session: Session | None
) -> Commit:
    """Return what a region would become. Tissue is kept to where cells were measured: elsewhere none were looked for.

    Nothing is written; the reader sees it first.
    """
    return commit_polygon(vertices_um, operation, current_region(target.region, found), within=_within(target, session))


def try_corners(
    rings: Sequence[Ring], shapes: Sequence[Any], numbers: Sequence[int], target: Target, session: Session | None
) -> Commit:
    """Return what a region would become after its corners were dragged.

    Parameters
    ----------
    shapes, numbers
        The shapes that are left, in napari's coordinates, and the number of the outline that each was made of.
    """
    if len(set(numbers)) < len(numbers):
        return Commit(None, "an outline was added: new parts are drawn with the first tool")
    dragged = [(rings[int(n)], from_napari(np.asarray(shape))) for n, shape in zip(numbers, shapes, strict=True)]
    return commit_corners(dragged, within=_within(target, session), may_be_empty=target.region == "exclude")


def _within(target: Target, session: Session | None) -> MultiPolygon | None:
    return session.measured.tissue if session is not None and target.region == "tissue" else None
