"""What was corrected on this slide, newest first; undo and redo; corrections that no longer fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QListWidget, QVBoxLayout, QWidget

from spatial_til.plugin.widgets.parts import button, heading, row, text
from spatial_til.plugin.widgets.tables_part import TablesPart
from spatial_til.plugin.words import change_words, event_words

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock


class EditsTab(QWidget):
    """The reader's edits of the open slide."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self.undo = button("Undo", dock.undo, "Take the last edit back (Alt+Left)")
        self.redo = button("Redo", dock.redo, "Make it again (Alt+Right)")
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.stale = text()
        self.notices = text()
        self.tables = TablesPart(dock, "Write my tables", lambda: [dock.desk.reader] if dock.desk else [])
        self._desk: object = None
        layout = QVBoxLayout(self)
        for widget in (row(self.undo, self.redo), self.list, heading("Not applied"), self.stale, self.notices):
            layout.addWidget(widget)
        layout.addWidget(heading("Tables"))
        layout.addWidget(text("Edits are saved as you make them. The tables follow when you write them."))
        layout.addWidget(self.tables)

    def refresh(self) -> None:
        """Show the edits that hold."""
        desk = self._dock.desk
        self.list.clear()
        if desk is None:
            return
        if desk is not self._desk:
            self._desk = desk
            self.tables.forget()
        for number, edit in reversed(list(enumerate(desk.state.done, start=1))):
            when = edit.when.replace("T", " ")[:16]
            self.list.addItem(f"{number}. {event_words(edit)}\n    {change_words(edit.before, edit.after)}\n    {when}")
        self.undo.setEnabled(bool(desk.state.done))
        self.redo.setEnabled(bool(desk.state.undone))
        stale = desk.found.numbers.stale if desk.found else ()
        lines = [f"• {edit.what} {edit.marker}: {edit.reason}" for edit in stale]
        self.stale.setText("\n".join(lines) or "Every edit fits the cells as they are.")
        self.notices.setText(desk.hide("\n".join(desk.notices)))
