"""What the colours of the regions mean; each part is switched on and off here."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from spatial_til.plugin.region_picture import PARTS, part_colors
from spatial_til.plugin.widgets.parts import text
from spatial_til.region_colors import Color

_SWATCH_PX = 12


class Legend(QWidget):
    """One box a part of the regions, and below it the names of its colours where it has several."""

    def __init__(self, on_changed: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._on_changed = on_changed
        self.boxes = {part: QCheckBox(part) for part in PARTS}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for part, box in self.boxes.items():
            colors = part_colors(part)
            box.setChecked(True)
            box.toggled.connect(self._toggled)
            layout.addWidget(box)
            if len(colors) == 1:
                box.setIcon(QIcon(_swatch(*colors.values())))
            else:
                names = text(" &nbsp;".join(_square(name, color) for name, color in colors.items()))
                names.setContentsMargins(2 * _SWATCH_PX, 0, 0, 0)
                layout.addWidget(names)

    @property
    def shown(self) -> list[str]:
        """Parts that are switched on."""
        return [part for part, box in self.boxes.items() if box.isChecked()]

    def _toggled(self, _: bool = False) -> None:  # noqa: FBT001, FBT002
        self._on_changed(self.shown)


def _square(name: str, color: Color) -> str:
    """Return a coloured square with its name, on one line."""
    return f'<span style="color: {QColor(*color).name()}">■</span>&nbsp;{name.replace(" ", "&nbsp;")}'


def _swatch(color: Color) -> QPixmap:
    made = QPixmap(_SWATCH_PX, _SWATCH_PX)
    made.fill(QColor(*color))
    painter = QPainter(made)
    painter.setPen(QColor(150, 150, 150))  # so that black is seen on a dark window
    painter.drawRect(0, 0, _SWATCH_PX - 1, _SWATCH_PX - 1)
    painter.end()
    return made
