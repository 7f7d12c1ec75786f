"""Two readers: what they see differently, opened with a click; and a third one, in whom they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from spatial_til.errors import SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.plugin.comparing import Compared, Difference, compare_readers, open_consensus
from spatial_til.plugin.convert import to_napari
from spatial_til.plugin.widgets.parts import button, heading, text
from spatial_til.plugin.widgets.tables_part import TablesPart
from spatial_til.review.consensus import CONSENSUS
from spatial_til.review.journal import readers

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock

_LIST_HEIGHT = 300
#: Screen pixels a µm when a place is looked at: about 300 µm are in view.
_ZOOM = 3.0


class ReadersTab(QWidget):
    """Disagreements of the readers of the study."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self._desk: Any = None
        self._wanted: Difference | None = None
        self.compare = button("Compare the readers", self.compare_readers)
        self.tables = TablesPart(dock, "Write every reader's tables", self._all_readers)
        self.tables.written.connect(self.compare_readers)
        self.agreement = text()
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setMinimumHeight(_LIST_HEIGHT)
        self.list.itemClicked.connect(self._on_clicked)
        self.notices = text()
        self.consensus = button(
            "Decide it as the consensus", self.decide, "A third reader begins with what the two agree on"
        )
        layout = QVBoxLayout(self)
        for widget in (
            self.compare,
            self.notices,
            self.tables,
            self.agreement,
            heading("Seen differently: click to look"),
            self.list,
            self.consensus,
            text("The consensus is a reader of its own, with a journal and results of its own."),
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        self._show(Compared((), (), ()))

    def refresh(self) -> None:
        """Go to the place that was clicked, once its slide is open."""
        desk, session = self._dock.desk, self._dock.session
        if desk is not self._desk:
            self._desk = desk
            self.tables.forget()
            self._show(Compared((), (), ()))
        wanted = self._wanted
        if wanted is not None and session is not None and session.job.slide_id == wanted.slide_id:
            self._wanted = None
            self._look_at(wanted)

    def _all_readers(self) -> list[str]:
        return [] if self._dock.desk is None else list(readers(ScoredFolder(self._dock.desk.root)))

    def compare_readers(self) -> None:
        """Read all journals and results."""
        if self._dock.desk is not None and not self._dock.working.is_busy:
            self._dock.working.start("Comparing the readers …", compare_readers, self._show, self._dock.desk.root)

    def _show(self, found: Compared) -> None:
        desk = self._dock.desk
        self.list.clear()
        for difference in found.differences:
            item = QListWidgetItem(f"{desk.name_of(difference.slide_id)}\n    {difference.words}" if desk else "")
            item.setData(Qt.ItemDataRole.UserRole, difference)
            self.list.addItem(item)
        self.agreement.setText("\n".join(found.agreement))
        said = [*([] if found.agreement else ["No two readers were compared."]), *found.notices]
        self.notices.setText(desk.hide("\n".join(said)) if desk is not None else "")
        self.consensus.setEnabled(False)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        difference: Difference = item.data(Qt.ItemDataRole.UserRole)
        self.consensus.setEnabled(True)
        session = self._dock.session
        if session is not None and session.job.slide_id == difference.slide_id:
            self._look_at(difference)
        else:
            self._wanted = difference
            self._dock.open_slide(difference.slide_id)

    def _look_at(self, difference: Difference) -> None:
        if difference.place_um is None:
            return
        camera = self._dock.stage.viewer.camera
        camera.zoom = _ZOOM
        camera.center = (0.0, *to_napari([difference.place_um])[0])
        self._dock.stage.show_mark([difference.place_um])

    def decide(self) -> None:
        """Go on as the consensus, at the difference that is chosen."""
        item, desk = self.list.currentItem(), self._dock.desk
        if item is None or desk is None:
            return
        difference: Difference = item.data(Qt.ItemDataRole.UserRole)
        blinded = desk.blinding is not None
        try:
            open_consensus(desk.root, difference, blinded=blinded)
        except SpatialTilError as error:
            self._dock.say(str(error))
            return
        self._wanted = difference
        self._dock.start(desk.root, CONSENSUS, difference.slide_id, blinded=blinded)
