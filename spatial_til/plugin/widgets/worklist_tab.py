"""The slides of the study, by patient or by what needs eyes most; a click opens one. Blinded reading and its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from spatial_til.errors import SpatialTilError
from spatial_til.plugin.waiting import entries, waiting_slides
from spatial_til.plugin.widgets.parts import button, heading, reason, row, text
from spatial_til.plugin.widgets.working import Working
from spatial_til.review.worklist import Waiting

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock

_LIST_HEIGHT = 380
_POINTS = "Points sort, they measure nothing: failures, classes in doubt, closeness to another class, flags."


class WorklistTab(QWidget):
    """All slides, and which one to open next."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self._desk: Any = None
        self._waiting: Sequence[Waiting] = ()
        self.working = Working()
        self.order = QComboBox()
        self.order.addItem("what needs eyes most first", "need")
        self.order.addItem("by patient and time", "given")
        self.order.activated.connect(lambda _: self._fill())
        self.again = button("Look again", self.look, "Read the tables once more")
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setMinimumHeight(_LIST_HEIGHT)
        self.list.itemClicked.connect(self._on_clicked)
        self.told = text()
        self.blinded = text()
        self.why = reason("Why (goes into the record)")
        self.unblind = button("Unblind this slide", self.unblind_slide, "Show who and when it is; the record says so")
        self.working.said.connect(lambda words: self.told.setText(words) if words else None)
        layout = QVBoxLayout(self)
        for widget in (
            row(text("In order"), self.order, self.again),
            self.list,
            self.told,
            heading("Reading"),
            self.blinded,
            row(self.why, self.unblind),
        ):
            layout.addWidget(widget)
        layout.addStretch(1)

    def refresh(self) -> None:
        """Show where the reader is; read the tables where the desk is another one."""
        desk = self._dock.desk
        if desk is None:
            return
        if desk is not self._desk:
            self._desk = desk
            # the slide that is open now was opened by patient and time, or by case
            self.order.setItemText(1, "by case number" if desk.blinding is not None else "by patient and time")
            self.order.setCurrentIndex(1)
            self.look()
        self._show_here()
        self._show_blinding()

    def look(self) -> None:
        """Read the tables."""
        if self._desk is not None:
            self.working.start("Looking through the tables …", waiting_slides, self._on_waiting, self._desk.root)

    def _on_waiting(self, found: Sequence[Waiting]) -> None:
        if self._desk is not self._dock.desk:  # another study was opened meanwhile
            return
        self._waiting = found
        self.told.setText(_POINTS)
        self._fill()

    def _fill(self) -> None:
        """List the slides; the list of the dock, in which one goes on, has the same order."""
        listed = entries(self._desk, self._waiting, self.order.currentData())
        self.list.clear()
        for number, entry in enumerate(listed, start=1):
            item = QListWidgetItem(f"{number}. {entry.title}\n    {entry.why}")
            item.setData(Qt.ItemDataRole.UserRole, entry.slide_id)
            if not entry.can_open:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.list.addItem(item)
        self._dock.list_slides([entry.slide_id for entry in listed if entry.can_open])
        self._show_here()

    def _show_here(self) -> None:
        session = self._dock.session
        here = session.job.slide_id if session is not None else None
        for k in range(self.list.count()):
            if self.list.item(k).data(Qt.ItemDataRole.UserRole) == here:
                self.list.setCurrentRow(k)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        session = self._dock.session
        slide_id = item.data(Qt.ItemDataRole.UserRole)
        if item.flags() and (session is None or session.job.slide_id != slide_id):
            self._dock.open_slide(slide_id)

    def _show_blinding(self) -> None:
        desk, session = self._desk, self._dock.session
        blind_now = desk.blinding is not None and session is not None and desk.state.blinded
        if desk.blinding is None:
            words = "Not blinded. To read blinded, tick it on the first page, or: spatial-til review … --blinded"
        elif blind_now and desk.state.unblinded:
            words = "Blinded; but you have seen who this is before. The record says so."
        elif blind_now:
            words = "Blinded: patient, time point, response and file names are not shown; the record says so."
        elif session is not None:
            words = f"Unblinded: {desk.name_of(session.job.slide_id)}"
        else:
            words = ""
        self.blinded.setText(words)
        self.why.setVisible(blind_now)
        self.unblind.setVisible(blind_now)

    def unblind_slide(self) -> None:
        """Show who and when the open slide is; the journal says so first."""
        try:
            self._desk.unblind(self.why.text())
        except SpatialTilError as error:
            self._dock.say(str(error))
            self.why.setFocus()
            return
        self.why.clear()
        self._fill()
        self._show_blinding()
