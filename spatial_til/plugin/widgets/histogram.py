"""A marker's scores as a histogram with a cut-off that the mouse moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QWidget

from spatial_til.plugin.cutoffs import Bars, axis_labels, bars_of, end_words

_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 8, 22
_NEGATIVE, _POSITIVE, _LINE = QColor(150, 150, 150), QColor(0, 160, 90), QColor(213, 94, 0)


class Histogram(QWidget):
    """Bars of counts on a logarithmic scale; a click or a drag moves the cut-off."""

    moved = Signal(float)  # while the mouse is held
    released = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(190)
        self.setCursor(Qt.CursorShape.SizeHorCursor)
        self.setToolTip("Drag the line: cells at or above it are positive")
        self._bars: Bars | None = None
        self.cut: float | None = None

    def set_scores(self, scores: NDArray[Any], cut: float | None) -> None:
        """Show the scores of cells with a cut-off; None where there is no cut-off."""
        self._bars, self.cut = bars_of(scores, cut), cut
        self.update()

    def set_cut(self, cut: float | None) -> None:
        """Move the line."""
        self.cut = cut
        self.update()

    def x_of(self, value: float) -> float:
        """Return where a score stands, in pixels."""
        low, high = self._range()
        return _LEFT + (value - low) / (high - low) * self._width()

    def value_at(self, x: float) -> float:
        """Return the score that stands at a pixel, kept to what is shown."""
        low, high = self._range()
        return float(np.clip(low + (x - _LEFT) / self._width() * (high - low), low, high))

    def _range(self) -> tuple[float, float]:
        return (0.0, 1.0) if self._bars is None else (float(self._bars.edges[0]), float(self._bars.edges[-1]))

    def _width(self) -> float:
        return float(max(self.width() - _LEFT - _RIGHT, 1))

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Take the line to where the mouse is."""
        self._move(event, self.moved)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802
        """Move the line with the mouse."""
        self._move(event, self.moved)

    def mouseReleaseEvent(self, event: Any) -> None:  # noqa: N802
        """Leave the line where it is."""
        self._move(event, self.released)

    def _move(self, event: Any, signal: Any) -> None:
        if self._bars is not None:
            self.set_cut(self.value_at(event.position().x()))
            signal.emit(self.cut)

    def paintEvent(self, _: Any) -> None:  # noqa: N802
        """Draw bars, line and axis."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(255, 255, 255))
        if self._bars is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "cells are not called by a cut-off")
            return
        floor, height = self.height() - _BOTTOM, self.height() - _BOTTOM - _TOP
        for count, left, right in zip(self._bars.heights, self._bars.edges[:-1], self._bars.edges[1:], strict=True):
            x0, x1 = self.x_of(float(left)), self.x_of(float(right))
            color = _NEGATIVE if self.cut is None or left < self.cut else _POSITIVE
            painter.fillRect(QRectF(x0, floor - height * count, max(x1 - x0 - 0.5, 0.5), height * count), color)
        if self.cut is not None:
            painter.setPen(QPen(_LINE, 2))
            x = round(self.x_of(self.cut))
            painter.drawLine(x, _TOP, x, floor)
        self._label_axis(painter)

    def _label_axis(self, painter: QPainter) -> None:
        """Write the cut-off, and the ends of the axis where it leaves them room."""
        low, high = self._range()
        ends = [(end_words(low, low, high), float(_LEFT)), (end_words(high, low, high), float(self.width()))]
        cut = [] if self.cut is None else [(f"{self.cut:.3g}", self.x_of(self.cut) + 4)]
        metrics = painter.fontMetrics()
        for text, left in axis_labels([*cut, *ends], metrics.horizontalAdvance, float(self.width() - _RIGHT)):
            painter.setPen(QPen(_LINE if cut and text == cut[0][0] else QColor(60, 60, 60)))
            painter.drawText(round(left), self.height() - 6, text)
