"""Worklist, blinded reading and two readers in the window, driven as a reader would."""

import numpy as np
import pytest

from tests.gui import require_gui

require_gui()

from qtpy.QtCore import Qt  # noqa: E402
from qtpy.QtWidgets import QComboBox, QLabel, QListWidget  # noqa: E402

from spatial_til.plugin.rescoring import Written  # noqa: E402
from spatial_til.plugin.stage import MARK  # noqa: E402
from tests.test_plugin_readers import NAMES  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # napari's, vispy's and Qt's own


@pytest.fixture
def dock(new_dock):
    return new_dock


def settle(dock, qtbot):
    busy = (dock.working, dock.later, dock.worklist.working)
    qtbot.waitUntil(lambda: not any(working.is_busy for working in busy), timeout=60_000)
    dock.loader.wait()
    qtbot.wait(100)


def show(dock, title):
    dock.tabs.show_page(title)


def click(qtbot, listed, row):
    """Click a row of a list."""
    where = listed.visualItemRect(listed.item(row)).center()
    qtbot.mouseClick(listed.viewport(), Qt.MouseButton.LeftButton, pos=where)


def on_screen(dock):
    """Return every word that the dock and the list of layers show."""
    said = [label.text() for label in dock.findChildren(QLabel)]
    for box in dock.findChildren(QComboBox):
        said += [box.itemText(i) for i in range(box.count())]
    for listed in dock.findChildren(QListWidget):
        said += [listed.item(i).text() for i in range(listed.count())]
    return [*said, *(layer.name for layer in dock.stage.viewer.layers), dock.stage.viewer.title]


def test_a_click_in_the_worklist_opens_the_slide(dock, folder, qtbot):
    dock.start(folder, "anna", "A_base")
    settle(dock, qtbot)
    show(dock, "Slides")
    listed = dock.worklist.list
    assert [listed.item(i).data(Qt.ItemDataRole.UserRole) for i in range(3)] == ["A_base", "A_on", "A_prog"]
    assert listed.currentRow() == 0
    dock.worklist.order.setCurrentIndex(0)
    dock.worklist.order.activated.emit(0)
    order = [listed.item(i).data(Qt.ItemDataRole.UserRole) for i in range(listed.count())]
    assert order[0] == "never_measured"
    click(qtbot, listed, 0)  # it was not measured: nothing happens
    assert not dock.working.is_busy
    wanted = next(i for i in (1, 2) if order[i] != "A_base")
    click(qtbot, listed, wanted)
    settle(dock, qtbot)
    assert dock.session.job.slide_id == order[wanted]
    assert [dock.slides.itemData(i) for i in range(dock.slides.count())] == order[1:]  # one goes on in this order
    assert dock.slides.currentData() == order[wanted]


def test_a_blinded_reader_finds_no_name_in_the_window_until_unblinded(dock, folder, qtbot):
    dock.start_page.folder.setText(str(folder))
    dock.start_page.reader.setText("anna")
    dock.start_page.blinded.setChecked(True)
    qtbot.mouseClick(dock.start_page.open, Qt.MouseButton.LeftButton)
    assert dock.status.text().startswith("Opening case ")
    settle(dock, qtbot)
    show(dock, "Slides")
    dock.timeline.show_all()
    shown = on_screen(dock)
    leaks = [words for words in shown for name in (*NAMES, "on treatment") if name in words]
    assert leaks == []
    show(dock, "Edits")
    tables = dock.edits.tables
    tables._on_written([Written("anna", folder / "reviewed" / "anna", ())])
    assert "reviewed" in tables.told.text()
    assert not tables.open_report.isVisible()  # which names patients and time points
    assert not tables.open_folder.isVisible()
    show(dock, "Slides")
    assert dock.desk.state.blinded
    assert "the record says so" in dock.worklist.blinded.text()
    slide_id = dock.session.job.slide_id
    dock.worklist.why.setText("query of the sponsor")
    qtbot.mouseClick(dock.worklist.unblind, Qt.MouseButton.LeftButton)
    assert slide_id in dock.worklist.blinded.text()
    assert slide_id in dock.slides.currentText()
    others = [name for name in ("A_base", "A_on", "A_prog") if name != slide_id]
    assert not any(name in words for words in on_screen(dock) for name in others)
    assert not dock.desk.state.blinded


def test_a_disagreement_is_opened_with_a_click_and_decided(dock, read_folder, qtbot):
    dock.start(read_folder, "carl", "A_on")
    settle(dock, qtbot)
    show(dock, "Readers")
    qtbot.mouseClick(dock.readers.compare, Qt.MouseButton.LeftButton)
    settle(dock, qtbot)
    listed = dock.readers.list
    border = next(i for i in range(listed.count()) if "Border: up to 100 µm apart" in listed.item(i).text())
    assert "A_base" in listed.item(border).text()
    click(qtbot, listed, border)
    settle(dock, qtbot)
    assert dock.session.job.slide_id == "A_base"
    camera = dock.stage.viewer.camera
    assert camera.center[-1] == pytest.approx(1100, abs=5)  # x: where the two borders are farthest apart
    assert 350 <= camera.center[-2] <= 1050
    assert np.allclose(dock.stage.layer(MARK).data[0], camera.center[-2:])
    qtbot.mouseClick(dock.readers.consensus, Qt.MouseButton.LeftButton)
    settle(dock, qtbot)
    assert dock.desk.reader == "consensus"
    assert dock.session.job.slide_id == "A_base"
    assert camera.center[-1] == pytest.approx(1100, abs=5)
