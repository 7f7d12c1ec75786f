"""Where two readers see a slide differently, with the place to look, and what they agree on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from spatial_til.geometry.outlines import outline_distance
from spatial_til.review.events import CallFlip, CellAdded, CellRemoved, Edit, now
from spatial_til.review.readings import Reading
from spatial_til.review.state import ReviewState

#: Outlines of the tumour that lie nearer than this everywhere are the same (project default).
SAME_BORDER_UM = 50.0


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing that two readers see differently; the place is None where it is the whole slide."""

    slide_id: str
    what: str  # class, border, threshold, call, removed, added
    marker: str = ""
    value_a: str | float | bool | None = None
    value_b: str | float | bool | None = None
    distance_um: float | None = None
    place_um: tuple[float, float] | None = None


def disagreements(a: Reading, b: Reading, slide_id: str) -> Iterator[Disagreement]:
    """Yield what two readers see differently on one slide, what matters most first."""
    score_a, score_b = a.score(slide_id), b.score(slide_id)
    if score_a and score_b and score_a.phenotype.call != score_b.phenotype.call:
        yield Disagreement(slide_id, "class", "", score_a.phenotype.call, score_b.phenotype.call)
    tumor_a, tumor_b = a.tumor(slide_id), b.tumor(slide_id)
    if tumor_a is not None and tumor_b is not None and tumor_a != tumor_b:
        apart = outline_distance(tumor_a, tumor_b)
        if apart is None or apart.farthest_um > SAME_BORDER_UM:
            far, place = (apart.farthest_um, (apart.x_um, apart.y_um)) if apart else (None, None)
            yield Disagreement(slide_id, "border", distance_um=far, place_um=place)
    yield from _of_states(slide_id, a.states[slide_id], b.states[slide_id])


def _of_states(slide_id: str, a: ReviewState, b: ReviewState) -> Iterator[Disagreement]:
    for marker in sorted({*a.thresholds, *b.thresholds}):
        cuts = a.thresholds.get(marker), b.thresholds.get(marker)
        if cuts[0] != cuts[1]:
            yield Disagreement(slide_id, "threshold", marker, *cuts)
    for what, of_a, of_b in (
        ("call", _by_place(a.flips), _by_place(b.flips)),
        ("removed", _by_place(a.removed), _by_place(b.removed)),
        ("added", _by_place(a.added), _by_place(b.added)),
    ):
        for key in sorted({*of_a, *of_b}):
            if of_a.get(key) != of_b.get(key):
                y_um, x_um, marker = key
                yield Disagreement(slide_id, what, marker, of_a.get(key), of_b.get(key), None, (x_um, y_um))


def _by_place(edits: tuple[CallFlip | CellRemoved | CellAdded, ...]) -> dict[tuple[float, float, str], bool | str]:
    """Return what a reader says of each cell, by place and marker."""
    found: dict[tuple[float, float, str], bool | str] = {}
    for edit in edits:
        if isinstance(edit, CallFlip):
            found[edit.y_um, edit.x_um, edit.marker] = edit.positive
        elif isinstance(edit, CellAdded):
            found[edit.y_um, edit.x_um, ""] = " ".join(sorted(m for m, v in edit.calls.items() if v)) or "negative"
        else:
            found[edit.y_um, edit.x_um, ""] = True
    return found


def agreed_edits(a: ReviewState, b: ReviewState, *, who: str, readers: str) -> list[Edit]:
    """Return the edits that two readers both came to, as a third reader's own: where a consensus begins.

    Parameters
    ----------
    who
        The third reader, such as ``consensus``.
    readers
        The two, in words, for the reason of each edit.
    """
    of_b = [_content(edit) for edit in b.holding]
    return [
        replace(
            edit,
            who=who,
            when=now(),
            why=f"agreed by {readers}" + f": {edit.why}" * bool(edit.why),
            before={},
            after={},
        )
        for edit in a.holding
        if _content(edit) in of_b
    ]


def _content(edit: Edit) -> tuple[Any, ...]:
    """Return what an edit changes, without who, when, why and on which cells it was made."""
    general = {field.name for field in fields(Edit)}
    return type(edit), *(getattr(edit, field.name) for field in fields(edit) if field.name not in general)
