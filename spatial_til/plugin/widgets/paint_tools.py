"""What to paint with: tissues, brush and eraser, the stains that are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from spatial_til.plugin.example_picture import class_color
from spatial_til.plugin.widgets.parts import button, heading, row, text
from spatial_til.region_colors import Color
from spatial_til.segmentation.examples.strokes import STROKE_UM

_LIST_HEIGHT = 100
_ERASER_COLOR: Color = (255, 255, 255)


class PaintTools(QWidget):
    """Which tissue is painted, with what, and what is learned from.

    Parameters
    ----------
    add_class
        Takes in a tissue by the name that was typed, and returns its place in the list; None where it is refused.
    take_back
        Takes the last stroke away.
    """

    held = Signal()  # another tool, tissue or width
    chosen = Signal()  # other stains or slides to learn from

    def __init__(self, add_class: Callable[[str], int | None], take_back: Callable[[], None]) -> None:
        super().__init__()
        self._add_class = add_class
        self.classes = QListWidget()
        self.classes.setFixedHeight(_LIST_HEIGHT)
        self.classes.currentRowChanged.connect(self.held)
        self.new_class = QLineEdit()
        self.new_class.setPlaceholderText("Another tissue, such as Gland")
        self.new_class.returnPressed.connect(self._on_add)
        self.add = button("Add", self._on_add)
        self.paint = button("Paint", self._on_paint, "Draw examples with the mouse held down (Alt+P)", checkable=True)
        self.erase = button("Erase", self._on_erase, "Strokes that you draw across go", checkable=True)
        self.back = button("Undo stroke", take_back, "Take the last stroke away")
        self.width = number(STROKE_UM, 2.0, 500.0, " µm", 1)
        self.width.valueChanged.connect(self.held)
        self.stains: dict[str, QCheckBox] = {}
        self._stains = QWidget()
        self._stains.setLayout(QVBoxLayout())
        self._stains.layout().setContentsMargins(0, 0, 0, 0)
        self._stains.layout().setSpacing(2)
        self.others = QCheckBox()
        self.others.toggled.connect(self.chosen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            heading("Paint examples"),
            self.classes,
            row(self.new_class, self.add),
            row(self.paint, self.erase, self.back),
            row(text("Width of the brush"), self.width),
            heading("Stains looked at"),
            self._stains,
            self.others,
        ):
            layout.addWidget(widget)

    @property
    def index(self) -> int:
        """Place of the chosen tissue in the list."""
        return max(int(self.classes.currentRow()), 0)

    @property
    def is_held(self) -> bool:
        """Whether brush or eraser is in hand."""
        return bool(self.paint.isChecked() or self.erase.isChecked())

    @property
    def color(self) -> Color:
        """Colour of what is drawn now."""
        return _ERASER_COLOR if self.erase.isChecked() else class_color(self.index)

    @property
    def channels(self) -> list[str]:
        """The stains that are looked at."""
        return [name for name, box in self.stains.items() if box.isChecked()]

    def put_away(self) -> None:
        """Put brush and eraser away."""
        for made in (self.paint, self.erase):
            made.setChecked(False)
        self.held.emit()

    def show_classes(self, counts: Mapping[str, int]) -> None:
        """List the tissues with their strokes on this slide."""
        at = self.index
        self.classes.blockSignals(True)  # noqa: FBT003
        self.classes.clear()
        for k, (name, n) in enumerate(counts.items()):
            swatch = QPixmap(14, 14)
            swatch.fill(QColor(*class_color(k)))
            self.classes.addItem(QListWidgetItem(QIcon(swatch), f"{name} ({n} stroke{'s' * (n != 1)})"))
        self.classes.setCurrentRow(at)
        self.classes.blockSignals(False)  # noqa: FBT003

    def show_stains(self, channels: Mapping[str, bool]) -> None:
        """List the stains of a slide, and whether each is looked at unless told otherwise."""
        if tuple(channels) == tuple(self.stains):
            return
        layout = self._stains.layout()
        while layout.count():
            layout.takeAt(0).widget().deleteLater()
        self.stains = {}
        for name, looked_at in channels.items():
            box = QCheckBox(name if looked_at else f"{name}: counted in what is found here, better not")
            box.setChecked(looked_at)
            box.toggled.connect(self.chosen)
            self.stains[name] = box
            layout.addWidget(box)

    def show_others(self, n: int) -> None:
        """Offer to learn from the reader's strokes on other slides."""
        self.others.setText(f"Learn from your strokes on {n} other slide{'s' * (n != 1)}, too")
        self.others.setVisible(n > 0)
        if n == 0:
            self.others.setChecked(False)

    def _on_paint(self) -> None:
        self.erase.setChecked(False)
        self.held.emit()

    def _on_erase(self) -> None:
        self.paint.setChecked(False)
        self.held.emit()

    def _on_add(self) -> None:
        at = self._add_class(self.new_class.text())
        if at is not None:
            self.new_class.clear()
            self.classes.setCurrentRow(at)


def number(value: float, low: float, high: float, suffix: str, decimals: int) -> QDoubleSpinBox:
    """Return a box for a number; it counts when it is complete, not at each key."""
    made = QDoubleSpinBox()
    made.setDecimals(decimals)
    made.setRange(low, high)
    made.setValue(value)
    made.setSuffix(suffix)
    made.setKeyboardTracking(False)
    return made
