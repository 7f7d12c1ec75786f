"""The tumour of the whole slide by example: smoothing and sizes, finding, accepting, saving the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QProgressBar, QScrollArea, QVBoxLayout, QWidget

from spatial_til.pipeline.examples import FoundTumor
from spatial_til.plugin.example_words import accept_reason, across_words, found_words, protocol_lines
from spatial_til.plugin.examples import Learned, find, save_model
from spatial_til.plugin.widgets.paint_tools import number
from spatial_til.plugin.widgets.parts import button, heading, reason, row, text
from spatial_til.plugin.widgets.working import Working
from spatial_til.protocol_sections import Tumor
from spatial_til.review.events import RegionEdit

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock


class WholeSlide(QWidget):
    """What a model finds on the open slide."""

    told = Signal(float)  # share that is done; comes from the thread
    accepted = Signal()

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self.learned: Learned | None = None
        self.found: FoundTumor | None = None
        self.finding = Working()
        self.finding.said.connect(dock.say)
        self.finding.busy.connect(self._on_busy)
        defaults = Tumor()
        self.smooth = number(defaults.bandwidth_um, 1.0, 500.0, " µm", 0)
        self.island = number(defaults.min_area_mm2, 0.0, 10.0, " mm²", 4)
        self.hole = number(defaults.max_hole_mm2, 0.0, 10.0, " mm²", 4)
        self.sizes = text()
        for made in (self.smooth, self.island, self.hole):
            made.valueChanged.connect(self._on_keys)
        self.find = button("Find tumour on the whole slide", self.find_tumor, "The magenta line will show it")
        self.progress = QProgressBar()
        self.told.connect(lambda share: self.progress.setValue(round(100 * share)))
        self.stop = button("Cancel", self.finding.cancel, "Stop; nothing is changed")
        self.result = text()
        self.why = reason()
        self.accept = button("Accept as the tumour", self.accept_tumor, "The numbers follow, the record says so")
        self.save = button("Save the model …", self.save_to, "To find the tumour of other slides, in a batch")
        self.saved = text()
        self._scroll = QTimer(self)  # once what was said above has its place
        self._scroll.setSingleShot(True)
        self._scroll.timeout.connect(self._show_accept)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            heading("The whole slide"),
            row(text("Smoothed by"), self.smooth),
            row(text("Islands dropped below"), self.island),
            row(text("Holes filled below"), self.hole),
            self.sizes,
            self.find,
            row(self.progress, self.stop),
            self.result,
            self.why,
            row(self.accept, self.save),
            self.saved,
        ):
            layout.addWidget(widget)
        self._on_keys()
        self._on_busy(busy=False)

    @property
    def keys(self) -> Tumor:
        """Smoothing and sizes, as a protocol names them."""
        return Tumor(bandwidth_um=self.smooth.value(), min_area_mm2=self.island.value(), max_hole_mm2=self.hole.value())

    def use(self, learned: Learned | None) -> None:
        """Find with this model from now on; what another found no longer holds."""
        self.drop()
        self.learned = learned
        self.find.setEnabled(learned is not None)
        self.save.setEnabled(learned is not None)

    def drop(self) -> None:
        """Forget the tumour that was found."""
        self.finding.cancel()
        if self.found is not None:
            self._dock.stage.hide_preview()
        self.found = None
        self.result.setText("")
        self.accept.setEnabled(False)

    def find_tumor(self) -> None:
        """Find the tumour of the whole slide."""
        if self.learned is not None:
            self.drop()
            self.finding.start("Finding the tumour …", find, self._on_found, self.learned, self.keys, self.told.emit)

    def accept_tumor(self) -> None:
        """Make what was found the tumour of the slide: an edit like any other, with its origin in the record."""
        if self.found is None or self.learned is None:
            return
        if self._dock.working.is_busy:
            self._dock.say("Wait until the numbers are there, or cancel.")
            return
        origin = accept_reason(self.learned.trained, self.found, self.keys)
        why = "; ".join(filter(None, (self.why.text().strip(), origin)))
        region = self.found.found.region
        self.why.clear()
        self.drop()
        self.accepted.emit()
        self._dock.propose_edit(RegionEdit, "numbers with the tumour found", region="tumor", geometry=region, why=why)

    def save_to(self, path: Path | None = None) -> None:
        """Write the model to this file, or to one that is asked for."""
        if self.learned is None:
            return
        if path is None:
            start = str(self.learned.lesson.folder.root / "tumor.json")
            chosen, _ = QFileDialog.getSaveFileName(self, "Save the model", start, "Tissue model (*.json)")
            if not chosen:
                return
            path = Path(chosen)
        self.finding.start(f"Saving {path.name} …", save_model, self._on_saved, self.learned.lesson, path)

    def _on_keys(self, _: float = 0.0) -> None:
        island, hole = across_words(self.keys.min_area_mm2), across_words(self.keys.max_hole_mm2)
        self.sizes.setText(f"A round island of that size is {island}, a round hole {hole}.")
        self.drop()

    def _on_busy(self, busy: bool) -> None:  # noqa: FBT001
        self.progress.setValue(0)
        self.progress.setVisible(busy)
        self.stop.setVisible(busy)

    def _on_found(self, found: FoundTumor) -> None:
        self.found = found
        self.result.setText("\n".join(f"• {line}" for line in found_words(found)))
        self.accept.setEnabled(not found.found.region.is_empty)
        selection = self._dock.stage.viewer.layers.selection
        active = selection.active
        self._dock.stage.show_preview(found.found.region)
        selection.active = active  # a brush in hand stays in hand
        self._scroll.start(0)

    def _show_accept(self) -> None:
        """Scroll to what can be done with what was found: on a low screen it lies below."""
        area = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            area.ensureWidgetVisible(self.accept)

    def _on_saved(self, path: Path) -> None:
        self.saved.setText(f"Saved. For all slides, in a protocol beside it:\n{protocol_lines(path.name, self.keys)}")
