"""The first thing a reader sees: which study, and who is reading. Asked once, remembered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from spatial_til.plugin.widgets.parts import button, heading, row, text


class StartPage(QWidget):
    """Asks for the scored folder and the reader's name."""

    def __init__(self, start: Callable[[Path, str], None]) -> None:
        super().__init__()
        self._start = start
        self._settings = QSettings("spatial_til", "review")
        self.folder = QLineEdit(str(self._settings.value("folder", "") or ""))
        self.folder.setPlaceholderText("Folder that spatial-til has scored")
        self.reader = QLineEdit(str(self._settings.value("reader", "") or ""))
        self.reader.setPlaceholderText("Your name or initials")
        self.open = button("Open", self.begin)
        self.message = text()
        layout = QVBoxLayout(self)
        for widget in (
            heading("Scored study"),
            row(self.folder, button("Browse …", self._browse)),
            heading("Reader"),
            self.reader,
            text("Your corrections are kept under this name. Letters, digits, - and _."),
            self.open,
            self.message,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)

    def begin(self) -> None:
        """Open what was asked for, and remember it."""
        folder, reader = self.folder.text().strip(), self.reader.text().strip()
        if not folder or not reader:
            self.message.setText("Give the folder and your name.")
            return
        self._settings.setValue("folder", folder)
        self._settings.setValue("reader", reader)
        self._start(Path(folder), reader)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder that spatial-til has scored", self.folder.text())
        if chosen:
            self.folder.setText(chosen)
