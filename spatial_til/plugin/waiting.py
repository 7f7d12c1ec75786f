"""The slides of a study in a list, in one order or another. No window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from spatial_til.counted import counted
from spatial_til.plugin.desk import Desk
from spatial_til.review.session import Cancelled
from spatial_til.review.worklist import Waiting, worklist

Order: TypeAlias = Literal["given", "need"]
#: So many reasons are told of a slide; the others weigh less.
_TOLD = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One slide of the list: how it is called, why it needs eyes, and whether it can be opened."""

    slide_id: str
    title: str
    why: str
    can_open: bool = True


def waiting_slides(root: Path, *, cancelled: Callable[[], bool]) -> list[Waiting]:
    """Return the worklist of a scored folder; for a thread."""
    found = worklist(root)
    if cancelled():
        raise Cancelled
    return found


def entries(desk: Desk, waiting: Sequence[Waiting], order: Order) -> list[Entry]:
    """Return the slides as they are listed.

    Parameters
    ----------
    order
        ``given``: by patient and time, blinded by the number of the case; ``need``: what needs eyes most first. Slides
        that cannot be opened come last in the one, and where their points put them in the other.
    """
    openable = [meta.slide_id for meta in desk.slides]
    place = {slide_id: k for k, slide_id in enumerate(openable)}
    if desk.blinding is not None:  # equal points in the order of the tables would tell who is who
        place |= {case.slide_id: k for k, case in enumerate(desk.blinding.cases)}
    if order == "need":
        chosen = sorted(waiting, key=lambda w: (-w.points, place.get(w.slide_id, len(place))))
    else:
        chosen = sorted(waiting, key=lambda w: (w.slide_id not in openable, place.get(w.slide_id, len(place))))
    return [_entry(desk, w, can_open=w.slide_id in openable) for w in chosen]


def _entry(desk: Desk, waiting: Waiting, *, can_open: bool) -> Entry:
    told = [counted(round(waiting.points), "point"), *(why.rstrip(".") for why in waiting.reasons[:_TOLD])]
    if not waiting.reasons:
        told = ["nothing stands out"]
    read = f"read by {', '.join(waiting.readers)}" if waiting.readers else "not read yet"
    return Entry(waiting.slide_id, desk.name_of(waiting.slide_id), desk.hide(f"{'; '.join(told)}; {read}"), can_open)
