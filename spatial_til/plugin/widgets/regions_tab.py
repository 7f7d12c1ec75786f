"""Tumour, tissue and what is left out: draw an outline, see what would become of it, commit or cancel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QButtonGroup, QCheckBox, QComboBox, QVBoxLayout, QWidget
from shapely.geometry import MultiPolygon

from spatial_til.errors import AnnotationError
from spatial_til.plugin.drawing import TARGETS, Target, Tool, current_region, outline_of, try_corners, try_outline
from spatial_til.plugin.layers import RING
from spatial_til.plugin.widgets.legend import Legend
from spatial_til.plugin.widgets.parts import button, heading, reason, row, text
from spatial_til.review.corners import Ring, rings_of
from spatial_til.review.drawing import Commit
from spatial_til.review.events import RegionEdit

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock

_HOW = "Draw around the area with the mouse held down. Then commit or cancel."
_HOW_CLICKS = "Click from corner to corner; double-click to close. Then commit or cancel."
_HOW_CORNERS = "Drag a corner with the mouse. Stretches you leave alone keep every point. Then commit or cancel."


class RegionsTab(QWidget):
    """Tools for regions. Nothing changes before Commit."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self._layer: Any = None
        self._tool: Tool = "draw"
        self._rings: list[Ring] = []
        self.commit_found: Commit | None = None
        self.target = QComboBox()
        for target in TARGETS:
            self.target.addItem(target.words, target)
        self.target.currentIndexChanged.connect(self._on_target)
        self.tools = QButtonGroup(self)
        self.tool_buttons: dict[str, Any] = {}
        self._tools = QWidget()
        self._tools.setLayout(QVBoxLayout())
        self._tools.layout().setContentsMargins(0, 0, 0, 0)
        self.freehand = QCheckBox("Freehand")
        self.freehand.setChecked(True)
        self.message = text()
        self.why = reason()
        self.commit = button("Commit", self.commit_outline, "Use it; the numbers follow")
        self.cancel = button("Cancel", self.cancel_outline, "Leave the region as it is")
        self.parts = Legend(dock.show_parts)
        layout = QVBoxLayout(self)
        for widget in (
            heading("Show"),
            self.parts,
            heading("Correct"),
            self.target,
            heading("How"),
            self._tools,
            self.freehand,
            self.message,
            self.why,
            row(self.commit, self.cancel),
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        self._on_target()
        self._idle()

    @property
    def chosen(self) -> Target:
        """What is being edited."""
        found: Target = self.target.currentData()
        return found

    def _on_target(self, _: int = 0) -> None:
        self.cancel_outline()
        layout = self._tools.layout()
        while layout.count():
            layout.takeAt(0).widget().deleteLater()
        self.tool_buttons = {}
        for operation, words, tip in self.chosen.tools:
            made = button(words, partial(self.start, operation), tip, checkable=True)
            self.tools.addButton(made)
            self.tool_buttons[operation] = made
            layout.addWidget(made)

    def start(self, tool: Tool) -> None:
        """Let the reader draw an outline for this tool, or drag the corners of the region as it is."""
        if self._dock.desk is None or self._dock.session is None:
            self._dock.say("Open a slide first.")
            return
        self._forget_drawing()
        self._tool = tool
        try:
            self._layer = self._drawing()
        except AnnotationError as error:
            self._idle()
            self.message.setText(f"Not possible: {error}.")
            return
        self._layer.events.data.connect(self._on_drawn)
        self.cancel.setEnabled(True)

    def _drawing(self) -> Any:
        """Return the layer to draw in, and say how.

        Raises
        ------
        AnnotationError
            Where the region has no corners to drag, or too many outlines.
        """
        if self._tool == "corners":
            self._rings = rings_of(self.region() or MultiPolygon())
            self.message.setText(_HOW_CORNERS)
            return self._dock.stage.start_corners([ring.handles for ring in self._rings])
        self.message.setText(_HOW if self.freehand.isChecked() else _HOW_CLICKS)
        return self._dock.stage.start_drawing(freehand=self.freehand.isChecked())

    def _on_drawn(self, event: Any = None) -> None:
        """Check an outline as soon as it is closed, and show what the region would become."""
        action = str(getattr(getattr(event, "action", ""), "value", getattr(event, "action", "")))
        if action in ("adding", "changing", "removing") or self._layer is None:
            return
        self.commit_found = self._tried()
        if self.commit_found is None:
            self.commit.setEnabled(False)
            return
        self.commit.setEnabled(not self.commit_found.refused)
        if self.commit_found.region is None:
            self._dock.stage.hide_preview()
            self.message.setText(f"Refused: {self.commit_found.message}.")
            return
        self._dock.stage.show_preview(self.commit_found.region)
        said = self.commit_found.message
        self.message.setText(f"{said[:1].upper()}{said[1:]}. Commit or cancel." if said else "Commit or cancel.")

    def _tried(self) -> Commit | None:
        """Return what the region would become; None where nothing was drawn yet."""
        shapes, session = self._layer.data, self._dock.session
        if self._tool == "corners":
            return try_corners(self._rings, shapes, list(self._layer.features[RING]), self.chosen, session)
        vertices = outline_of(shapes)
        found = self._dock.desk.found if self._dock.desk else None
        return None if vertices is None else try_outline(vertices, self._tool, self.chosen, found, session)

    def commit_outline(self) -> None:
        """Use the outline: the numbers are computed, then the edit is written to the record."""
        found = self.commit_found
        if found is None or found.region is None:
            return
        target = self.chosen
        why = "; ".join(filter(None, (target.why, self.why.text().strip())))
        self._idle()
        self._dock.propose_edit(
            RegionEdit, f"numbers with the new {target.short}", region=target.region, geometry=found.region, why=why
        )

    def cancel_outline(self) -> None:
        """Forget the outline."""
        if self._layer is not None:
            self._dock.say("Outline dropped; nothing was changed.")
        self._idle()

    def region(self) -> Any:
        """Return the chosen region as it is now."""
        return current_region(self.chosen.region, self._dock.desk.found if self._dock.desk else None)

    def _forget_drawing(self) -> None:
        self._layer, self.commit_found = None, None
        self._dock.stage.stop_drawing()

    def _idle(self) -> None:
        self._forget_drawing()
        self.message.setText("")
        self.why.clear()
        self.tools.setExclusive(False)
        for made in self.tool_buttons.values():
            made.setChecked(False)
        self.tools.setExclusive(True)
        self.commit.setEnabled(False)
        self.cancel.setEnabled(False)
