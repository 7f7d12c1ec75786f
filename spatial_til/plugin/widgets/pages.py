"""The pages of the dock, all in sight: a row of buttons for the open slide, one for the study."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)  # fmt: skip

from spatial_til.plugin.widgets.parts import text


class Pages(QWidget):
    """Pages under rows of buttons, one of them pressed. Nine tabs in one row would hide behind arrows."""

    def __init__(self, rows: dict[str, dict[str, QWidget]]) -> None:
        super().__init__()
        self._stack = QStackedWidget()
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        chooser = QGridLayout()
        chooser.setContentsMargins(0, 0, 0, 0)
        chooser.setVerticalSpacing(2)
        chooser.setColumnStretch(1, 1)
        for at, (words, pages) in enumerate(rows.items()):
            label = text(words)
            label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
            chooser.addWidget(label, at, 0, Qt.AlignmentFlag.AlignVCenter)
            chooser.addLayout(self._row(pages), at, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(chooser)
        layout.addWidget(self._stack, stretch=1)
        self._group.idClicked.connect(self._stack.setCurrentIndex)
        self._group.button(0).setChecked(True)

    @property
    def current(self) -> str:
        """Title of the page in sight."""
        at: int = self._stack.currentIndex()
        return list(self.buttons)[at]

    def show_page(self, title: str) -> None:
        """Bring a page into sight."""
        self.buttons[title].setChecked(True)
        self._stack.setCurrentIndex(list(self.buttons).index(title))

    def _row(self, pages: dict[str, QWidget]) -> QHBoxLayout:
        made = QHBoxLayout()
        made.setSpacing(2)
        for title, page in pages.items():
            button = QPushButton(title)
            button.setCheckable(True)
            button.setStyleSheet("padding: 4px 6px;")
            self._group.addButton(button, len(self.buttons))
            self.buttons[title] = button
            made.addWidget(button)
            area = QScrollArea()
            area.setWidgetResizable(True)
            area.setWidget(page)
            self._stack.addWidget(area)
        made.addStretch(1)
        return made
