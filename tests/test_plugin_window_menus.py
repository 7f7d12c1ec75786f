"""napari's own menus, driven as a user would: the dock, a slide, a scored folder, the sample slides."""

import warnings
from pathlib import Path

import pytest

from tests.gui import LANDMARK, SETTINGS, require_gui

require_gui()

from napari.settings import get_settings  # noqa: E402
from qtpy.QtCore import QPoint, QSettings, Qt  # noqa: E402
from qtpy.QtWidgets import QFileDialog  # noqa: E402

from spatial_til.plugin.widgets.dock import ReviewDock  # noqa: E402
from spatial_til.plugin.widgets.pacing import Pacer  # noqa: E402
from spatial_til.plugin.widgets.refreshing import shared_refresher  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # napari's, vispy's and Qt's own


@pytest.fixture
def viewer(window, monkeypatch):
    def asked(*_, **__):
        pytest.fail("napari asks which plugin to open it with, which no test can answer")

    monkeypatch.setattr("napari._qt.qt_viewer.handle_gui_reading", asked)
    get_settings().plugins.extension2reader = {"*": "spatial-til"}
    yield window
    window.layers.clear()


def choose(viewer, menu, *words):
    """Choose an entry of a menu by the beginnings of its words, through submenus."""
    for word in words:
        menu.aboutToShow.emit()
        action = next(a for a in menu.actions() if a.text().replace("&", "").startswith(word))
        menu = action.menu()
    action.trigger()


def test_the_dock_is_opened_from_the_menu_and_leaves_nothing_behind(viewer, folder, qtbot):
    callbacks = list(viewer.mouse_drag_callbacks)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        choose(viewer, viewer.window.plugins_menu, "Review a scored study")
        dock = viewer.window._qt_window.findChild(ReviewDock)
        dock.start(folder, "anna", "A_base")
        qtbot.waitUntil(lambda: not (dock.working.is_busy or dock.later.is_busy), timeout=60_000)
    assert not [w for w in told if "Private attribute" in str(w.message)]
    assert {"CD8 (A)", "Regions", "Cells"} <= {layer.name for layer in viewer.layers}
    native = viewer.window._qt_viewer.canvas.native
    assert len(native.findChildren(Pacer)) == 1
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(50)
    assert viewer.mouse_drag_callbacks == callbacks
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=QPoint(200, 200))  # asks no widget that is gone


def test_a_slide_is_opened_from_the_menu(viewer, folder, qtbot, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_, **__: ([str(folder / "none.tif")], ""))
    choose(viewer, viewer.window.file_menu, "Open File")
    layer = next(la for la in viewer.layers if la.name == "A")
    row, col, side = LANDMARK
    assert layer.multiscale
    assert layer.source.reader_plugin == "spatial-til"
    viewer.camera.zoom, viewer.camera.center = 20.0, (0, (row + side / 2) * 0.5, (col + side / 2) * 0.5)
    qtbot.wait(100)
    assert shared_refresher().loader.wait()
    qtbot.waitUntil(lambda: layer.data_level == 0 and layer._data_view.max() > 200, timeout=10_000)


def test_a_scored_folder_is_opened_from_the_menu(viewer, folder, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(folder))
    choose(viewer, viewer.window.file_menu, "Open Folder")
    assert {"CD8 (A)", "Regions", "Cells"} <= {la.name for la in viewer.layers}
    assert viewer.layers["Cells"].metadata["spatial_til"]["slide_id"] == "A_base"


def test_the_sample_slides_are_opened_from_the_menu(viewer):
    choose(viewer, viewer.window.file_menu, "Open Sample", "One patient")
    assert [layer.name for layer in viewer.layers] == ["baseline", "on treatment", "progression"]
    lefts = [layer.translate[1] for layer in viewer.layers]
    assert lefts == sorted(lefts)
    assert len({tuple(layer.scale) for layer in viewer.layers}) == 1


def test_what_tests_set_is_kept_apart_from_the_users_own_settings(viewer):
    assert Path(get_settings().config_path).parent == SETTINGS
    assert Path(QSettings("spatial_til", "review").fileName()).is_relative_to(SETTINGS)
