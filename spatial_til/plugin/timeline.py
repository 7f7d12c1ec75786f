"""The time points of one patient side by side at one scale, with what happened between them. No window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial_til.io.folder import ScoredFolder
from spatial_til.io.scores import read_score
from spatial_til.metrics.records import transition_record
from spatial_til.model import SlideMeta, SlideScore
from spatial_til.pipeline.compare import follow
from spatial_til.plugin.desk import Found, compute
from spatial_til.plugin.layers import LayerTuple, regions_layer
from spatial_til.plugin.opened import Opened, Painted, open_pictures, paint
from spatial_til.plugin.region_picture import BORDER, COMPARTMENT_PART
from spatial_til.plugin.tiles import Loader
from spatial_til.report.words import in_words, level
from spatial_til.review.journal import read_journal
from spatial_til.review.session import Session, open_session, score_reviewed
from spatial_til.review.state import ReviewState, replay

_GAP_SHARE = 0.08
_SHOWN = (COMPARTMENT_PART, BORDER)


@dataclass(frozen=True, slots=True)
class TimePoint:
    """One slide of the row: where its left edge is, its numbers and its pictures."""

    meta: SlideMeta
    session: Session
    opened: Opened
    found: Found
    painted: Painted
    score: SlideScore
    left_um: float

    @property
    def title(self) -> str:
        """Time point and class."""
        call = self.found.numbers.classes.phenotype.call
        return f"{self.meta.timepoint.replace('_', ' ')}\n{in_words(call)}"

    def layers(self) -> list[LayerTuple]:
        """Return the slide, its core, margin and border, and CD8+ cells, each named after the time point."""
        offset = (self.left_um, 0.0)
        layers = [layer for layer in self.opened.layers(offset) if layer[1]["visible"]]
        layers += [regions_layer(self.painted.regions, offset_um=offset), self.painted.cells.layer(offset)]
        when = self.meta.timepoint.replace("_", " ")
        return [(data, settings | {"name": f"{when}: {settings['name']}"}, kind) for data, settings, kind in layers]


def open_time_points(
    root: Path,
    metas: Sequence[SlideMeta],
    reader: str,
    loader: Loader | None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[TimePoint]:
    """Return slides in a row, as the reader has corrected them so far; for a thread.

    Raises
    ------
    SpatialTilError, Cancelled
        Where one of them cannot be opened; where `cancelled()` became true.
    """
    row: list[TimePoint] = []
    left = 0.0
    for meta in metas:
        session = open_session(root, meta.slide_id)
        state = replay(read_journal(session.folder.review(meta.slide_id, reader)).events)
        found = compute(session, state, cancelled)
        opened = open_pictures(session, loader)
        scene = found.numbers.scene
        painted = paint(opened, scene, loader, [name for name in scene.populations if name == "CD8+"], _SHOWN)
        row.append(TimePoint(meta, session, opened, found, painted, _score(session, state), left))
        left += opened.size_um[0] * (1 + _GAP_SHARE)
    return row


def _score(session: Session, state: ReviewState) -> SlideScore:
    """Return the score of a slide: as stored where nothing was corrected."""
    stored = ScoredFolder(session.folder.root).score(session.job.slide_id)
    if not state.done and stored.exists():
        return read_score(stored).score
    return score_reviewed(session, state).score


def transition_rows(row: Sequence[TimePoint]) -> list[Mapping[str, Any]]:
    """Return the transitions of the patient, by the function that makes longitudinal.csv."""
    if not row:
        return []
    courses = follow([point.score for point in row], row[0].session.job.protocol)
    return [transition_record(found) for found in courses.transitions]


def transition_words(row: Mapping[str, Any]) -> str:
    """Return one transition in words: what happened, by how much, and why where it is no call.

    Examples
    --------
    >>> transition_words({"transition": "baseline->progression", "call": "stable", "reason": "",
    ...                   "delta_log2_core_margin_cd8": -0.1, "delta_log2_core_margin_cd8_ci_low": -0.5,
    ...                   "delta_log2_core_margin_cd8_ci_high": 0.3})
    'baseline → progression: stable. Core against margin changed by −0.10 (−0.50 to 0.30) log2.'
    """
    name = "delta_log2_core_margin_cd8"
    change = level(row.get(name), row.get(f"{name}_ci_low"), row.get(f"{name}_ci_high"))
    text = f"{in_words(row['transition'])}: {in_words(row['call'])}."
    if row.get(name) is not None:
        text += f" Core against margin changed by {change} log2."
    reason = str(row.get("reason") or "")
    return f"{text} {reason[:1].upper()}{reason[1:]}." if reason else text
