"""An outline drawn by hand to a region: repaired where it can be trusted, refused with the reason where not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from shapely.geometry import LinearRing, MultiPolygon, Polygon

from spatial_til.errors import AnnotationError
from spatial_til.geometry.polygons import joined, polygonal, shared, without
from spatial_til.geometry.validity import make_valid_polygon
from spatial_til.units import mm2

Operation: TypeAlias = Literal["draw", "cut", "extend", "replace"]
#: A repair that changes more of the area than this is no slip of the hand (project default).
MAX_REPAIR_CHANGE = 0.1
#: An outline smaller than this, about one cell, was not meant (project default).
MIN_AREA_UM2 = 50.0


@dataclass(frozen=True, slots=True)
class Commit:
    """What an outline came to: the whole new region in µm, or None where it is refused; and why, in words.

    `message` is empty where nothing had to be repaired or clipped.
    """

    region: MultiPolygon | None
    message: str = ""

    @property
    def refused(self) -> bool:
        """Whether the region stays as it was."""
        return self.region is None


def commit_polygon(
    vertices_um: ArrayLike,
    operation: Operation,
    current: MultiPolygon | None,
    *,
    within: MultiPolygon | None = None,
    may_be_empty: bool = False,
) -> Commit:
    """Return the region after an outline was drawn.

    Parameters
    ----------
    vertices_um
        (n, 2) x, y in µm, closed or not.
    operation
        ``draw``: the outline joins the region, as a new part or overlapping it; ``extend``: the same, and it must
        touch the region; ``cut``: it is taken out of the region; ``replace``: it becomes the whole region.
    current
        The region as it is; None where there is none.
    within
        Where cells were measured: what lies outside is clipped, and the message says so.
    may_be_empty
        Cutting may leave nothing, as of exclusions; of tumour and tissue something has to be left.
    """
    outline, repaired = checked_outline(vertices_um)
    if outline is None:
        return Commit(None, repaired)
    present = current if current is not None else MultiPolygon()
    inside, clipped = kept_within(outline, within if operation != "cut" else None)
    if inside is None:
        return Commit(None, clipped)
    region, refusal = _combine(inside, operation, present, 0.0 if may_be_empty else MIN_AREA_UM2)
    notes = "; ".join(filter(None, (repaired, clipped)))
    return Commit(region, notes) if region is not None else Commit(None, refusal)


def kept_within(outline: MultiPolygon, within: MultiPolygon | None) -> tuple[MultiPolygon | None, str]:
    """Return what of an outline lies where cells were measured, and what was left out; None where nothing does."""
    if within is None:
        return outline, ""
    inside = polygonal(shared(outline, within))
    if inside.area < MIN_AREA_UM2:
        return None, "the outline lies where no cells were measured: draw on the measured tissue"
    lost = outline.area - inside.area
    return inside, f"{mm2(lost):.3g} mm² where no cells were measured were left out" if lost > MIN_AREA_UM2 else ""


def checked_outline(vertices_um: ArrayLike) -> tuple[MultiPolygon | None, str]:
    """Return the polygon of an outline and what was repaired, or None and why it is refused."""
    xy = np.asarray(vertices_um, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(xy).all():
        return None, "an outline needs finite coordinates: draw it again"
    n_points = len(np.unique(xy, axis=0))
    if n_points < 3:
        return None, f"an outline needs three different points, this has {n_points}: draw it again"
    try:
        polygon, change = make_valid_polygon(Polygon(LinearRing(xy)))
    except AnnotationError as error:
        return None, str(error)
    if polygon.area < MIN_AREA_UM2:
        return None, f"the outline encloses {polygon.area:.2g} µm², less than a cell: draw it larger"
    if change > MAX_REPAIR_CHANGE:
        return None, (
            f"the outline crosses itself, and a repair would change {100 * change:.0f} % of its area "
            f"({100 * MAX_REPAIR_CHANGE:.0f} % at most): draw it again without crossing"
        )
    return polygon, f"the outline crossed itself: repaired, {100 * change:.2g} % of its area changed" if change else ""


def _combine(
    outline: MultiPolygon, operation: Operation, present: MultiPolygon, least_um2: float
) -> tuple[MultiPolygon | None, str]:
    """Return the new region, or None and the reason."""
    if operation == "replace":
        return outline, ""
    if operation == "draw":
        return joined([present, outline]), ""
    if not outline.intersects(present):
        return None, f"the outline does not touch the region: there is nothing to {operation}"
    if operation == "extend":
        return joined([present, outline]), ""
    rest = polygonal(without(present, outline))
    return (rest, "") if rest.area >= least_um2 else (None, "nothing of the region would be left: draw it anew")
