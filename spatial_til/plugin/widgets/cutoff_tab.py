"""A marker's cut-off: drag it on the histogram, the cells in the picture follow; then use it or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from spatial_til.counted import counted
from spatial_til.plugin.cutoffs import members_with_cut, scene_scores
from spatial_til.plugin.widgets.histogram import Histogram
from spatial_til.plugin.widgets.parts import button, heading, reason, row, text
from spatial_til.review.events import ThresholdEdit

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock

_FOLLOW_MS = 80


class CutoffTab(QWidget):
    """The cut-off of one marker on the open slide."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self._scores: Any = None
        self.marker = QComboBox()
        self.marker.currentTextChanged.connect(self._on_marker)
        self.histogram = Histogram()
        self.histogram.moved.connect(self._on_moved)
        self.histogram.released.connect(self._on_moved)
        self.told = text()
        self.why = reason()
        self.use = button("Use this cut-off", self.use_cut, "On this slide; the numbers follow")
        self.own = button("The batch's cut-off", self.take_back, "Back to the cut-off of the staining batch")
        self._follow = QTimer(self)
        self._follow.setSingleShot(True)
        self._follow.setInterval(_FOLLOW_MS)
        self._follow.timeout.connect(self._show_moved)
        layout = QVBoxLayout(self)
        for widget in (
            heading("Marker"),
            self.marker,
            self.histogram,
            self.told,
            self.why,
            row(self.use, self.own),
        ):
            layout.addWidget(widget)
        layout.addStretch(1)

    def refresh(self) -> None:
        """Show the markers of the open slide."""
        desk = self._dock.desk
        if desk is None or desk.found is None:
            self._scores = None  # of the slide before
            self.histogram.set_scores(np.empty(0), None)
            self.told.setText("")
            self.use.setEnabled(False)
            self.own.setEnabled(False)
            return
        names = list(desk.session.cuts)
        if [self.marker.itemText(i) for i in range(self.marker.count())] != names:
            self.marker.blockSignals(True)  # noqa: FBT003
            self.marker.clear()
            self.marker.addItems(names)
            self.marker.blockSignals(False)  # noqa: FBT003
        self._on_marker(self.marker.currentText())

    @property
    def cut(self) -> float | None:
        """The cut-off that holds now."""
        desk = self._dock.desk
        marker = self.marker.currentText()
        if desk is None or marker not in desk.session.cuts:
            return None
        return desk.state.thresholds.get(marker, desk.session.cuts[marker].threshold.threshold)

    def _on_marker(self, marker: str) -> None:
        desk = self._dock.desk
        if desk is None or desk.found is None or not marker:
            return
        self._scores = scene_scores(desk.found.numbers.scene, marker)
        self.histogram.set_scores(np.empty(0) if self._scores is None else self._scores, self.cut)
        self.use.setEnabled(False)
        self.own.setEnabled(marker in desk.state.thresholds)
        self._tell()

    def _on_moved(self, _: float) -> None:
        self.use.setEnabled(True)
        self._tell()
        if not self._follow.isActive():
            self._follow.start()

    def _tell(self) -> None:
        cut, scores = self.histogram.cut, self._scores
        if scores is None:
            self.told.setText("These cells came with their calls; there is no cut-off to move.")
        elif cut is None:
            self.told.setText("No cut-off: the batch shows one population, so no cell is positive. Click to set one.")
        else:
            n = int(np.count_nonzero(scores >= cut))
            share = 100 * n / max(len(scores), 1)
            self.told.setText(f"{n:,} of {counted(len(scores), 'cell')} at or above {cut:.3g} ({share:.1f} %)")

    def _show_moved(self) -> None:
        desk, cut = self._dock.desk, self.histogram.cut
        if desk is not None and desk.found is not None and cut is not None and self._scores is not None:
            marker = self.marker.currentText()
            self._dock.show_members(members_with_cut(desk.found.numbers.scene, marker, self._scores, cut))

    def use_cut(self) -> None:
        """Use the cut-off where the line stands."""
        if self.histogram.cut is not None:
            self._propose(f"numbers with the new cut-off of {self.marker.currentText()}", self.histogram.cut)

    def take_back(self) -> None:
        """Return to the batch's cut-off."""
        self._propose("numbers with the batch's cut-off", None)

    def _propose(self, words: str, value: float | None) -> None:
        why = self.why.text().strip()
        self.why.clear()
        self._dock.propose_edit(ThresholdEdit, words, marker=self.marker.currentText(), value=value, why=why)
