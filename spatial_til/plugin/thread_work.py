"""What the dock has a thread do: open a slide, and compute what a state of it comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spatial_til.errors import AnnotationError
from spatial_til.plugin.desk import Found, compute
from spatial_til.plugin.opened import Opened, Painted, open_pictures, paint
from spatial_til.review.session import Cancelled, Session, open_session
from spatial_til.review.state import ReviewState


def compute_and_paint(
    session: Session,
    state: ReviewState,
    shown: tuple[Any, ...],
    last: Any = None,
    *,
    undone: bool = False,
    cancelled: Any,
) -> tuple[Found, Painted] | None:
    """Return what a state comes to, and how it is shown; for a thread.

    None where an edit was taken back before which there were no numbers: what failed for want of a tumour, and was
    given one, can be left without it again.
    """
    try:
        found = compute(session, state, cancelled, last)
    except AnnotationError:
        if undone:
            return None
        raise
    opened, loader, populations, parts = shown
    return found, paint(opened, found.numbers.scene, loader, populations, parts)


def open_for_review(root: Path, slide_id: str, loader: Any, *, cancelled: Any) -> tuple[Session, Opened]:
    """Return a slide's stored cells and its pictures; for a thread."""
    session = open_session(root, slide_id)
    if cancelled():
        raise Cancelled
    return session, open_pictures(session, loader)
