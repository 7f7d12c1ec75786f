"""How strokes were found that were left out of the training: accuracy, and what was taken for what."""

from __future__ import annotations

from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from spatial_til.io.tissue_model import TrainedModel
from spatial_til.plugin.example_words import accuracy_words, confusion_cells
from spatial_til.plugin.widgets.parts import text


class HeldOutTables(QWidget):
    """Accuracy in words, and the table of confusion of held-out strokes: painted in rows, found in columns."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = text()
        self.table = QTableWidget(0, 0)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setToolTip("Share of squares of 4 µm, and how many, of strokes that were left out of the training")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.accuracy)
        layout.addWidget(self.table)

    def show_of(self, trained: TrainedModel | None) -> None:
        """Show how a model did; nothing of None."""
        self.accuracy.setText("" if trained is None else accuracy_words(trained))
        held = None if trained is None else next(iter(trained.training.held_out), None)
        self.table.setVisible(held is not None)
        if trained is None or held is None:
            return
        classes = trained.model.classes
        self.table.setRowCount(len(classes))
        self.table.setColumnCount(len(classes))
        self.table.setHorizontalHeaderLabels([f"found {name}" for name in classes])
        self.table.setVerticalHeaderLabels([f"painted {name}" for name in classes])
        for i, cells in enumerate(confusion_cells(held)):
            for j, value in enumerate(cells):
                self.table.setItem(i, j, QTableWidgetItem(value))
        rows = sum(self.table.rowHeight(i) for i in range(len(classes)))
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height() + rows + 4)
