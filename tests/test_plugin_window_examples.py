"""Tumour by example in the window, driven as a reader would: paint, look, find, accept, reopen."""

import json

import numpy as np
import pytest

from tests.gui import require_gui

require_gui()

from qtpy.QtCore import QEvent, QPoint, QPointF, Qt  # noqa: E402
from qtpy.QtGui import QMouseEvent  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from spatial_til.plugin.example_picture import PROBABILITY, STROKES  # noqa: E402
from spatial_til.plugin.stage import PREVIEW  # noqa: E402
from tests.hand import press  # noqa: E402
from tests.scored_folder import TUMOR  # noqa: E402
from tests.stained import write_stains  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # napari's, vispy's and Qt's own


@pytest.fixture
def opened(new_dock, folder, qtbot):
    write_stains(folder, "A_base")
    dock = new_dock
    dock.start(folder, "anna", "A_base")
    settle(dock, qtbot)
    dock.tabs.show_page("By example")
    return dock


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not (dock.working.is_busy or dock.later.is_busy or dock.examples.is_busy), timeout=180_000)
    dock.loader.wait()
    qtbot.wait(150)


def stroke(dock, qtbot, xy_um):
    """Drag through places in µm with the button held down, and return half a screen pixel in µm."""
    viewer = dock.stage.viewer
    native = viewer.window._qt_viewer.canvas.native
    middle = np.array([native.width(), native.height()]) / 2
    center = np.array(viewer.camera.center[:-3:-1])
    places = [QPoint(*(int(v) for v in middle + (np.array(xy) - center) * viewer.camera.zoom)) for xy in xy_um]
    qtbot.mouseMove(native, places[0])
    qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        at, none, held = QPointF(place), Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
        moved = QMouseEvent(
            QEvent.Type.MouseMove, at, native.mapToGlobal(at), none, held, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(native, moved)
        QApplication.processEvents()
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=places[-1])
    qtbot.wait(30)
    return 1.0 / viewer.camera.zoom


def line(start, end):
    return np.linspace(start, end, 12)


def paint_all(dock, qtbot):
    for name, x0, x1, ys in (("Tumor", 450, 700, (450, 650, 850)), ("Stroma", 140, 340, (250, 650, 1050))):
        dock.examples.tools.classes.setCurrentRow(dock.examples.examples.classes.index(name))
        for y in ys:
            stroke(dock, qtbot, line((x0, y), (x1, y + 30)))
    settle(dock, qtbot)


def test_tumour_is_painted_found_accepted_and_there_again(opened, folder, qtbot, tmp_path):
    tab, viewer = opened.examples, opened.stage.viewer
    press(qtbot, tab.tools.paint)
    center = viewer.camera.center
    px_um = stroke(opened, qtbot, line((450, 450), (700, 480)))
    assert viewer.camera.center == center  # a drag paints, it does not move the picture
    (painted,) = tab.examples.strokes
    assert painted.region.bounds == pytest.approx((440, 440, 710, 490), abs=2 * px_um)  # a hand's precision
    settle(opened, qtbot)
    assert "paint 2 more, elsewhere" in tab.state.text()
    assert not tab.whole.find.isEnabled()
    press(qtbot, tab.tools.back)
    paint_all(opened, qtbot)
    assert "100.0 % of held-out strokes found right" in tab.tables.accuracy.text(), tab.state.text()
    assert tab.tables.table.item(0, 0).text().startswith("100.0 % (")
    assert viewer.layers.index(opened.stage.layer(PROBABILITY)) < viewer.layers.index(opened.stage.layer("Cells"))
    assert opened.cells_tab.picked is None  # no stroke was taken for a click on a cell
    tab.whole.smooth.setValue(20.0)
    press(qtbot, tab.whole.find)
    settle(opened, qtbot)
    found = tab.whole.found.found.region
    assert found.intersection(TUMOR).area / found.union(TUMOR).area > 0.95
    assert opened.stage.layer(PREVIEW) is not None
    assert tab.whole.accept.visibleRegion().boundingRect() == tab.whole.accept.rect()
    tab.whole.save_to(tmp_path / "tumor.json")
    settle(opened, qtbot)
    assert json.loads((tmp_path / "tumor.json").read_text())["training"]["strokes"] == {"Tumor": 3, "Stroma": 3}
    assert "bandwidth_um = 20" in tab.whole.saved.text()
    tab.whole.why.setText("no tumour marker")
    press(qtbot, tab.whole.accept)
    settle(opened, qtbot)
    assert not tab.tools.is_held
    assert opened.desk.state.regions["tumor"].equals(found)
    why = opened.desk.state.done[-1].why
    assert why.startswith("no tumour marker; tumour by example: 6 strokes of Tumor, Stroma")
    assert viewer.camera.mouse_pan
    opened.open_slide("A_base")
    settle(opened, qtbot)
    assert len(tab.examples.strokes) == 6
    assert opened.stage.layer(STROKES) is not None
    assert tab.learned is not None
    assert opened.desk.found.numbers.regions.tumor.equals(found)
    opened.tabs.show_page("Result")
    assert not opened.stage.layer(PROBABILITY).visible  # the picture is left to the other tabs
    opened.open_slide("A_on")
    settle(opened, qtbot)
    assert "was measured without its stains" in tab.state.text()
    assert not tab.isEnabled()


def test_the_probability_stands_where_the_tumour_is(opened, qtbot):
    """Near the tumour's left edge, at x = 400 µm, the picture changes from dark to the class's colour."""
    tab, viewer = opened.examples, opened.stage.viewer
    press(qtbot, tab.tools.paint)
    paint_all(opened, qtbot)
    press(qtbot, tab.tools.erase)
    stroke(opened, qtbot, line((240, 1000), (240, 1110)))
    settle(opened, qtbot)
    assert len(tab.examples.strokes) == 5
    assert "paint 1 more, elsewhere" in tab.state.text()
    assert opened.stage.layer(PROBABILITY) is None
    press(qtbot, tab.tools.paint)
    stroke(opened, qtbot, line((140, 1050), (340, 1080)))
    settle(opened, qtbot)
    for layer in viewer.layers:
        layer.visible = layer.name == PROBABILITY
    viewer.scale_bar.visible = False
    viewer.camera.zoom, viewer.camera.center = 2.0, (0, 700, 400)
    opened.stage.layer(PROBABILITY).opacity = 1.0
    settle(opened, qtbot)
    shot = viewer.screenshot(flash=False)[..., :3].astype(int)
    red = (shot[..., 0] > 128).mean(axis=0)
    edge = int(np.argmax(red > 0.5))
    assert (red[edge + 60 :] > 0.9).all()
    assert abs(edge - shot.shape[1] / 2) / 2.0 < 16  # µm: what a place looks like is averaged over as much
