"""The first thing a reader sees: which study, and who is reading. Asked once, remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QVBoxLayout, QWidget

from spatial_til.plugin.widgets.parts import button, heading, row, text


class Start(Protocol):
    """Opens a scored folder for a reader."""

    def __call__(self, root: Path, reader: str, *, blinded: bool) -> None:
        """Open it."""


class StartPage(QWidget):
    """Asks for the scored folder and the reader's name."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self._start = start
        self._settings = QSettings("spatial_til", "review")
        self.folder = QLineEdit(str(self._settings.value("folder", "") or ""))
        self.folder.setPlaceholderText("Folder that spatial-til has scored")
        self.reader = QLineEdit(str(self._settings.value("reader", "") or ""))
        self.reader.setPlaceholderText("Your name or initials")
        self.blinded = QCheckBox("Blinded: case numbers, shuffled; no patient, time point or file name")
        self.open = button("Open", self.begin)
        self.message = text()
        layout = QVBoxLayout(self)
        for widget in (
            heading("Scored study"),
            row(self.folder, button("Browse …", self._browse)),
            heading("Reader"),
            self.reader,
            text("Your corrections are kept under this name. Letters, digits, - and _."),
            self.blinded,
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
        self._start(Path(folder), reader, blinded=self.blinded.isChecked())

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder that spatial-til has scored", self.folder.text())
        if chosen:
            self.folder.setText(chosen)
