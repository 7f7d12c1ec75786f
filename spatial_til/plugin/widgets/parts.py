"""Small pieces that every tab is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget


def button(text: str, action: Callable[[], Any], tip: str = "", *, checkable: bool = False) -> QPushButton:
    """Return a button that does something."""
    made = QPushButton(text)
    made.setToolTip(tip or text)
    made.setCheckable(checkable)
    made.clicked.connect(lambda _=False: action())
    return made


def text(words: str = "", *, large: bool = False) -> QLabel:
    """Return words that wrap, and that can be copied."""
    made = QLabel(words)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    if large:
        made.setStyleSheet("font-size: 15pt; font-weight: 600;")
    return made


def heading(words: str) -> QLabel:
    """Return the heading of a part of a tab."""
    made = QLabel(words)
    made.setStyleSheet("font-weight: 600; margin-top: 8px;")
    return made


def reason(hint: str = "Why (goes into the record)") -> QLineEdit:
    """Return a line for a reason."""
    made = QLineEdit()
    made.setPlaceholderText(hint)
    return made


def row(*widgets: QWidget) -> QWidget:
    """Return widgets beside each other."""
    return _laid(QHBoxLayout(), widgets)


def column(*widgets: QWidget) -> QWidget:
    """Return widgets below each other, at the top."""
    laid = _laid(QVBoxLayout(), widgets)
    laid.layout().addStretch(1)
    return laid


def _laid(layout: Any, widgets: tuple[QWidget, ...]) -> QWidget:
    holder = QWidget()
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    holder.setLayout(layout)
    return holder
