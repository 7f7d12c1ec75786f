"""All time points of the patient side by side at one scale, and what happened between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from spatial_til.counted import counted
from spatial_til.model import SlideMeta
from spatial_til.plugin.layers import title_layer
from spatial_til.plugin.tiles import Loader
from spatial_til.plugin.timeline import TimePoint, open_time_points, transition_rows, transition_words
from spatial_til.plugin.widgets.parts import button, heading, text

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock


#: Titles stand this share of a slide's height above it.
_ABOVE = 0.18


class TimelineTab(QWidget):
    """The patient over time."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self.show_button = button("Show all time points side by side", self.show_all)
        self.back_button = button("Back to the one slide", self.go_back)
        self.told = text()
        layout = QVBoxLayout(self)
        for widget in (self.show_button, self.back_button, heading("What happened"), self.told):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.refresh()

    def refresh(self) -> None:
        """Make ready for the open slide."""
        self.told.setText("Said here once the time points are shown.")
        self.back_button.setEnabled(False)

    def show_all(self) -> None:
        """Open all time points, as the reader has corrected them so far."""
        desk = self._dock.desk
        if desk is None or self._dock.session is None:
            self._dock.say("Open a slide first.")
            return
        if desk.blinding is not None:
            self.told.setText("You read blinded: which slides are one patient's is not shown.")
            return
        metas = desk.time_points()
        self._dock.working.start(
            f"Opening {counted(len(metas), 'time point')} …",
            open_with_transitions,
            self._shown,
            desk.root,
            metas,
            desk.reader,
            self._dock.loader,
        )

    def _shown(self, result: tuple[list[TimePoint], list[Any]]) -> None:
        row, transitions = result
        stage = self._dock.stage
        self._dock.leave_slide()
        for point in row:
            stage.add(point.layers())
        above = -_ABOVE * max(point.opened.size_um[1] for point in row)
        places = [(point.left_um + point.opened.size_um[0] / 2, above) for point in row]
        stage.add([title_layer("Time points", [point.title for point in row], places)])
        stage.viewer.reset_view()
        self.told.setText("\n\n".join(transition_words(found) for found in transitions))
        self.back_button.setEnabled(True)

    def go_back(self) -> None:
        """Show the one slide again."""
        if self._dock.desk is not None:
            self._dock.open_slide(self._dock.slides.currentData())


def open_with_transitions(
    root: Path, metas: list[SlideMeta], reader: str, loader: Loader | None, *, cancelled: Callable[[], bool]
) -> tuple[list[TimePoint], list[Any]]:
    """Return the time points and the transitions between them; for a thread."""
    row = open_time_points(root, metas, reader, loader, cancelled)
    return row, transition_rows(row)
