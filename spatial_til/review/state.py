"""A journal replayed: which edits hold, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from shapely.geometry import MultiPolygon

from spatial_til.pipeline.corrections import CellCorrection, Corrections, Place, StaleEdit
from spatial_til.review.events import (
    CallFlip,
    CellAdded,
    CellRemoved,
    ClassOverride,
    Edit,
    Event,
    Redo,
    RegionEdit,
    SessionOpened,
    ThresholdEdit,
    Unblinded,
    Undo,
)


@dataclass(frozen=True, slots=True)
class ReviewState:
    """Edits that hold, in order, and those that were taken back and may be redone, the next one last.

    What the edits come to is worked out from them, so that undo, redo and reopening cannot differ.
    """

    done: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()
    blinded: bool = False  # the session under way, or the last one
    unblinded: bool = False  # the reader has seen who the patient is, in any session

    @property
    def regions(self) -> Mapping[str, MultiPolygon]:
        """Regions that are the reader's, by name; the others are as annotated or found."""
        latest = {edit.region: edit.geometry for edit in self.done if isinstance(edit, RegionEdit)}
        return {name: region for name, region in latest.items() if region is not None}

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The reader's cut-offs by marker; the others are the batch's."""
        latest = {edit.marker: edit.value for edit in self.done if isinstance(edit, ThresholdEdit)}
        return {marker: value for marker, value in latest.items() if value is not None}

    @property
    def flips(self) -> tuple[CallFlip, ...]:
        """The last flip of each cell and marker."""
        latest = {(e.x_um, e.y_um, e.marker): e for e in self.done if isinstance(e, CallFlip)}
        return tuple(latest.values())

    @property
    def removed(self) -> tuple[CellRemoved, ...]:
        """Measured cells that are none."""
        return self._cells()[0]

    @property
    def added(self) -> tuple[CellAdded, ...]:
        """Cells that were missed, less those that were added and removed again."""
        return self._cells()[1]

    def _cells(self) -> tuple[tuple[CellRemoved, ...], tuple[CellAdded, ...]]:
        removed: dict[tuple[float, float], CellRemoved] = {}
        added: dict[tuple[float, float], CellAdded] = {}
        for edit in self.done:
            if isinstance(edit, CellAdded):
                added[edit.x_um, edit.y_um] = edit
            elif isinstance(edit, CellRemoved) and added.pop((edit.x_um, edit.y_um), None) is None:
                removed[edit.x_um, edit.y_um] = edit
        return tuple(removed.values()), tuple(added.values())

    @property
    def override(self) -> ClassOverride | None:
        """The reader's own class; None where the computed one stands."""
        latest = [edit for edit in self.done if isinstance(edit, ClassOverride)]
        return latest[-1] if latest and latest[-1].phenotype is not None else None

    @property
    def holding(self) -> tuple[Edit, ...]:
        """Edits that decide what holds: later ones did not replace them, and none went back to what was computed."""
        regions = {e.region: e for e in self.done if isinstance(e, RegionEdit)}
        cuts = {e.marker: e for e in self.done if isinstance(e, ThresholdEdit)}
        kept = [e for e in regions.values() if e.geometry is not None]
        moved = [e for e in cuts.values() if e.value is not None]
        override = self.override
        return (*kept, *moved, *self.removed, *self.added, *self.flips, *([override] if override else []))


def apply(state: ReviewState, event: Event) -> ReviewState:
    """Return the state after one more event.

    A new edit drops what could be redone. `Undo` and `Redo` go no further than there are edits.
    """
    match event:
        case Edit():
            return replace(state, done=(*state.done, event), undone=())
        case Undo(n=n):
            cut = max(len(state.done) - n, 0)
            return replace(state, done=state.done[:cut], undone=(*state.undone, *reversed(state.done[cut:])))
        case Redo(n=n):
            cut = max(len(state.undone) - n, 0)
            return replace(state, done=(*state.done, *reversed(state.undone[cut:])), undone=state.undone[:cut])
        case SessionOpened(blinded=blinded):
            return replace(state, blinded=blinded, unblinded=state.unblinded or not blinded)
        case Unblinded():
            return replace(state, blinded=False, unblinded=True)
        case _:
            return state


def replay(events: Iterable[Event]) -> ReviewState:
    """Return the state that a journal comes to."""
    return reduce(apply, events, ReviewState())


def corrections_of(state: ReviewState, image_sha256: str) -> Corrections | None:
    """Return what a state comes to for scoring; None where no edit holds.

    Parameters
    ----------
    image_sha256
        Of the slide as it is measured now: edits that were made on another image are stale, all of them.
    """
    if not state.done:
        return None
    fits = [not image_sha256 or edit.image_sha256 in {"", image_sha256} for edit in state.done]
    kept = ReviewState(tuple(edit for edit, fit in zip(state.done, fits, strict=True) if fit))
    cells = [
        *(CellCorrection("remove", _place(e), e.measure_key, when=e.when) for e in kept.removed),
        *(CellCorrection("add", _place(e), e.measure_key, calls=e.calls, when=e.when) for e in kept.added),
        *(CellCorrection("flip", _place(e), e.measure_key, e.marker, e.positive, when=e.when) for e in kept.flips),
    ]
    override = kept.override
    return Corrections(
        state.done[-1].who,
        kept.regions,
        kept.thresholds,
        tuple(cells),
        override.phenotype if override else None,
        override.why if override else "",
        tuple(_of_other_image(edit) for edit, fit in zip(state.done, fits, strict=True) if not fit),
    )


def _place(edit: CallFlip | CellRemoved | CellAdded) -> Place:
    return Place(edit.x_um, edit.y_um)


def _of_other_image(edit: Edit) -> StaleEdit:
    place = _place(edit) if isinstance(edit, CallFlip | CellRemoved | CellAdded) else None
    marker = edit.marker if isinstance(edit, CallFlip | ThresholdEdit) else ""
    return StaleEdit(type(edit).__name__, "it was made on another image of this slide", place, marker, edit.when)
