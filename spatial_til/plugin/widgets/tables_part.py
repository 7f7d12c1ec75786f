"""A button that writes readers' tables, how far that has come, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from spatial_til.counted import counted
from spatial_til.plugin.rescoring import Written, write_tables
from spatial_til.plugin.widgets.parts import button, row, text
from spatial_til.plugin.widgets.working import Working

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock


class TablesPart(QWidget):
    """Writes the tables of some readers in a thread; reviewing goes on meanwhile."""

    heard = Signal(str, int, int)
    written = Signal()

    def __init__(self, dock: ReviewDock, words: str, readers: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._dock, self._readers = dock, readers
        self._folder: Path | None = None
        self.working = Working()
        self.write = button(words, self.start, "Every table again with the corrections; the tables as computed stay")
        self.stop = button("Stop", self.working.cancel, "Leave the tables as they were")
        self.bar = QProgressBar()
        self.told = text()
        self.open_folder = button("Open the folder", lambda: self._open("tables"))
        self.open_report = button("Open the report", lambda: self._open("report.html"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (row(self.write, self.stop), self.bar, self.told, row(self.open_folder, self.open_report)):
            layout.addWidget(widget)
        self.heard.connect(self._on_heard)
        self.working.said.connect(self._say)
        self.working.busy.connect(self._on_busy)
        self.forget()

    def forget(self) -> None:
        """Say nothing of tables that were written before."""
        self.working.cancel()
        self._on_busy(False)  # noqa: FBT003
        self._folder = None
        self.told.setText("")
        self._show_doors()

    def start(self) -> None:
        """Write the tables."""
        desk, readers = self._dock.desk, self._readers()
        if desk is None:
            return
        if not readers:
            self._say("Nobody has reviewed a slide of this study yet.")
            return
        self.working.start(
            "Reading the journals …", write_tables, self._on_written, desk.root, readers, self.heard.emit
        )

    def _say(self, words: str) -> None:
        if words:
            self.told.setText(self._dock.desk.hide(words) if self._dock.desk is not None else words)

    def _on_heard(self, words: str, done: int, total: int) -> None:
        if self.working.is_busy:
            self.bar.setRange(0, total)
            self.bar.setValue(done)
            self._say(f"{words}: {done} of {counted(total, 'slide')}")

    def _on_written(self, found: list[Written]) -> None:
        self._folder = found[-1].folder if len(found) == 1 else found[-1].folder.parent
        self._say("\n".join(one.words for one in found))
        self._show_doors(several=len(found) > 1)
        self.written.emit()

    def _on_busy(self, busy: bool) -> None:  # noqa: FBT001
        self.bar.setRange(0, 0)
        self.bar.setVisible(busy)
        self.stop.setVisible(busy)
        self.write.setEnabled(not busy)

    def _show_doors(self, *, several: bool = False) -> None:
        """Show the ways to what was written; not to a blinded reader, whom it would tell patients and time points."""
        is_blind = self._dock.desk is not None and self._dock.desk.blinding is not None
        known = self._folder is not None and not is_blind
        self.open_folder.setVisible(known)
        self.open_report.setVisible(known and not several)

    def _open(self, name: str) -> None:
        if self._folder is not None:
            place = self._folder / name
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(place if place.exists() else self._folder)))
