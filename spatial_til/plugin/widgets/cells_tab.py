"""Cells: which populations are shown, what a clicked one measures, and corrections of single cells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from spatial_til.plugin.opened import ShownCells
from spatial_til.plugin.picking import Picked, pick_cell
from spatial_til.plugin.widgets.parts import button, heading, reason, row, text
from spatial_til.review.events import CallFlip, CellAdded, CellRemoved

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock


class CellsTab(QWidget):
    """Populations and single cells of the open slide."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self.picked: Picked | None = None
        self.boxes: dict[str, QCheckBox] = {}
        self._populations = _stacked()
        self.told = text("Click a cell in the picture.")
        self.flips: dict[str, Any] = {}
        self._flips = _stacked()
        self.remove = button("Not a cell", self.remove_cell, "Take it out of every count")
        self.missed: dict[str, QCheckBox] = {}
        self._missed = _stacked()
        self.add = button("Add a missed cell: click where it is", self._on_add, checkable=True)
        self.why = reason()
        layout = QVBoxLayout(self)
        for widget in (
            heading("Show"),
            self._populations,
            heading("The cell you clicked"),
            self.told,
            self._flips,
            row(self.remove),
            heading("A cell was missed"),
            self._missed,
            self.add,
            self.why,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.forget()

    def refresh(self) -> None:
        """Show the populations and markers of the open slide."""
        self.forget()
        cells, found = self._dock.cells, self._dock.desk.found if self._dock.desk else None
        if cells is None or found is None:
            self.boxes = {}
            _fill(self._populations, [])  # they say how many cells the slide before had
            return
        if tuple(self.boxes) != cells.names:
            self._make_boxes(cells)
        for name, box in self.boxes.items():
            box.blockSignals(True)  # noqa: FBT003
            box.setChecked(name in cells.shown)
            box.setText(f"{'all cells' if name == 'all' else name} ({int(cells.members[name].sum()):,})")
            box.blockSignals(False)  # noqa: FBT003
        markers = tuple(found.numbers.scene.calls.positive)
        if tuple(self.missed) != markers:
            self.missed = {name: QCheckBox(f"{name} positive") for name in markers}
            _fill(self._missed, list(self.missed.values()))
            self.flips = {name: button("", partial(self.flip_cell, name)) for name in markers}
            _fill(self._flips, list(self.flips.values()))
            self.forget()

    def _make_boxes(self, cells: ShownCells) -> None:
        self.boxes = {name: QCheckBox() for name in cells.names}
        for name, box in self.boxes.items():
            swatch = QPixmap(12, 12)
            swatch.fill(QColor(*cells.colors[name]))
            box.setIcon(QIcon(swatch))
            box.toggled.connect(self._on_toggled)
        _fill(self._populations, list(self.boxes.values()))

    def _on_toggled(self, _: bool = False) -> None:  # noqa: FBT001, FBT002
        self._dock.show_populations([name for name, box in self.boxes.items() if box.isChecked()])

    def forget(self) -> None:
        """Let go of the cell that was clicked."""
        self.picked = None
        self.told.setText("Click a cell in the picture.")
        self.remove.setEnabled(False)
        for made in self.flips.values():
            made.hide()

    def clicked(self, x_um: float, y_um: float) -> None:
        """Take a click in the picture: add a missed cell there, or show the cell that lies there."""
        found = self._dock.desk.found if self._dock.desk else None
        if found is None:
            return
        if self.add.isChecked():
            self._add_cell(x_um, y_um)
            return
        self.picked = pick_cell(found, x_um, y_um)
        if self.picked is None:
            self.forget()
            self._dock.stage.hide_mark()
            return
        self._dock.stage.show_mark(np.array([[self.picked.x_um, self.picked.y_um]]))
        self.told.setText("\n".join(self.picked.lines))
        self.remove.setEnabled(True)
        for marker, made in self.flips.items():
            made.setText(f"Make it {marker} {'negative' if self.picked.calls[marker] else 'positive'}")
            made.show()

    def flip_cell(self, marker: str) -> None:
        """Turn the call of the clicked cell for one marker."""
        if self.picked is not None:
            self._propose(
                CallFlip,
                "numbers with the cell's new call",
                x_um=self.picked.x_um,
                y_um=self.picked.y_um,
                marker=marker,
                positive=not self.picked.calls[marker],
            )

    def remove_cell(self) -> None:
        """Say that the clicked cell is none."""
        if self.picked is not None:
            where = {"x_um": self.picked.x_um, "y_um": self.picked.y_um}
            self._propose(CellRemoved, "numbers without the cell", **where)

    def _on_add(self) -> None:
        self._dock.say("Click where the cell is." if self.add.isChecked() else "")

    def _add_cell(self, x_um: float, y_um: float) -> None:
        self.add.setChecked(False)
        calls = {name: box.isChecked() for name, box in self.missed.items()}
        self._propose(CellAdded, "numbers with the missed cell", x_um=x_um, y_um=y_um, calls=calls)

    def _propose(self, kind: Any, words: str, **fields: Any) -> None:
        why = self.why.text().strip()
        self.why.clear()
        self._dock.stage.hide_mark()
        self._dock.propose_edit(kind, words, why=why, **fields)


def _stacked() -> QWidget:
    made = QWidget()
    made.setLayout(QVBoxLayout())
    made.layout().setContentsMargins(0, 0, 0, 0)
    made.layout().setSpacing(2)
    return made


def _fill(holder: QWidget, widgets: list[Any]) -> None:
    layout = holder.layout()
    while layout.count():
        layout.takeAt(0).widget().deleteLater()
    for widget in widgets:
        layout.addWidget(widget)
