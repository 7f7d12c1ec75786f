"""What the slide came to: class with probabilities, flags in words, densities, and the profile by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QByteArray, Qt
from qtpy.QtSvgWidgets import QSvgWidget
from qtpy.QtWidgets import QComboBox, QHeaderView, QProgressBar, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from spatial_til.plugin import words
from spatial_til.plugin.depth_picture import depth_svg
from spatial_til.plugin.widgets.parts import button, heading, reason, row, text
from spatial_til.report.words import in_words
from spatial_til.review.events import ClassOverride

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock

_CLASSES = ("inflamed", "excluded", "desert", "intermediate", "not_evaluable")
_REGIONS = ("core", "inner_margin", "outer_margin", "margin", "tumor", "outside", "tissue")
_PLOTTED = ("CD8+", "PD-L1+")
_PLOT_HEIGHT = 230
_NO_PLOT = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'


class ResultTab(QWidget):
    """The result of the open slide."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self.verdict = text(large=True)
        self.why = text()
        self.bars = QWidget()
        self.bars.setLayout(QVBoxLayout())
        self.bars.layout().setContentsMargins(0, 0, 0, 0)
        self.own_class = QComboBox()
        for name in _CLASSES:
            self.own_class.addItem(in_words(name), name)
        self.own_reason = reason("Why (needed)")
        self.own_button = button("Set class", self.override, "Your class in place of the computed one, with a reason")
        self.computed_button = button("Computed class", self.take_back, "Back to the computed class")
        self.population = QComboBox()
        self.population.currentTextChanged.connect(self._fill_table)
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels(["", "Cells", "mm²", "per mm² (interval)"])
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.plot = QSvgWidget()
        self.plot.setFixedHeight(_PLOT_HEIGHT)
        self.plot.renderer().setAspectRatioMode(Qt.AspectRatioMode.KeepAspectRatio)
        self.plot_words = text()
        self.flags = text()
        layout = QVBoxLayout(self)
        for widget in (
            self.verdict,
            self.why,
            self.bars,
            row(self.own_class, self.own_reason),
            row(self.own_button, self.computed_button),
            heading("What to know about this slide"),
            self.flags,
            heading("Cells per mm²"),
            self.population,
            self.table,
            heading("By distance to the border"),
            self.plot,
            self.plot_words,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)

    def refresh(self) -> None:
        """Show the numbers of the desk."""
        desk = self._dock.desk
        found = desk.found if desk else None
        if desk is None or found is None:
            self._show_nothing()
            return
        call, scene = found.numbers.classes.phenotype, found.numbers.scene
        own = desk.state.override
        self.verdict.setText(words.class_words(call))
        self.why.setText(f"Set by you: {own.why}" if own else desk.hide(words.class_reason(call)))
        self._fill_bars(words.probability_words(call))
        lines = [*words.flag_sentences(found.numbers.flags), *words.pigment_sentences(found.numbers.pigment)]
        self.flags.setText("\n".join(f"• {line}" for line in lines) or "Nothing was flagged.")
        chosen = self.population.currentText() or "CD8+"
        self.population.blockSignals(True)  # noqa: FBT003
        self.population.clear()
        self.population.addItems(list(scene.populations))
        self.population.setCurrentText(chosen)
        self.population.blockSignals(False)  # noqa: FBT003
        self._fill_table()
        self.refresh_depth()

    def _show_nothing(self) -> None:
        """Show no number: those of the slide before must not stand beside the picture of one that has none."""
        for shown in (self.verdict, self.why, self.flags, self.plot_words):
            shown.setText("")
        self._fill_bars([])
        self._fill_table()
        self.plot.load(QByteArray(_NO_PLOT))

    def refresh_depth(self) -> None:
        """Show the profile, once it is computed."""
        found = self._dock.desk.found if self._dock.desk else None
        if found is None or found.depth is None:
            self.plot_words.setText("The profile follows …")
            return
        scene = found.numbers.scene
        widths = {"inner_um": scene.compartments.inner_um, "outer_um": scene.compartments.outer_um}
        svg, said = depth_svg(found.depth, [n for n in _PLOTTED if n in scene.populations], **widths)
        self.plot.load(QByteArray(svg.encode()))
        self.plot_words.setText(said)

    def override(self) -> None:
        """Set the class that is chosen, where a reason is given."""
        why = self.own_reason.text().strip()
        if not why:
            self._dock.say("A class of your own needs a reason: write it in the line beside it.")
            self.own_reason.setFocus()
            return
        chosen = self.own_class.currentData()
        self.own_reason.clear()
        self._dock.propose_edit(ClassOverride, "setting the class", phenotype=chosen, why=why)

    def take_back(self) -> None:
        """Return to the computed class."""
        if self._dock.desk is not None and self._dock.desk.state.override is not None:
            self._dock.propose_edit(ClassOverride, "back to the computed class", phenotype=None)

    def _fill_bars(self, found: list[tuple[str, float, str]]) -> None:
        layout = self.bars.layout()
        while layout.count():
            layout.takeAt(0).widget().deleteLater()
        for name, probability, printed in found:
            bar = QProgressBar()
            bar.setRange(0, 1000)
            bar.setValue(round(1000 * probability))
            bar.setFormat(f"{name}  {printed}")
            bar.setMaximumHeight(18)
            layout.addWidget(bar)

    def _fill_table(self, _: str = "") -> None:
        desk = self._dock.desk
        if desk is None:
            return
        population = self.population.currentText()
        known = [region for region in _REGIONS if desk.density(population, region) is not None]
        self.table.setRowCount(len(known))
        for i, region in enumerate(known):
            cells = (words.COMPARTMENT_WORDS[region], *words.density_words(desk.density(population, region)))
            for j, value in enumerate(cells):
                self.table.setItem(i, j, QTableWidgetItem(value))
        height = self.table.horizontalHeader().sizeHint().height() + 4
        self.table.setFixedHeight(height + sum(self.table.rowHeight(i) for i in range(len(known))))
