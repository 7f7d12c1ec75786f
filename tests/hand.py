"""What a reader does in the window: press, drag and draw with the mouse, in places in µm, and wait for the picture."""

from itertools import pairwise

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from spatial_til.plugin.widgets.refreshing import shared_refresher


def draw(dock, qtbot, corners):
    """Draw an outline with the mouse: press and drag freehand in the canvas through places in µm."""
    drag_through(dock, qtbot, [*corners, corners[0]])


def drag_through(dock, qtbot, path):
    """Press the mouse at the first of these places in µm and drag it in small steps through the others to the last."""
    viewer = dock.stage.viewer
    canvas = viewer.window._qt_viewer.canvas
    native = canvas.native
    zoom, center = viewer.camera.zoom, np.array(viewer.camera.center[-2:])
    middle = np.array([native.height(), native.width()]) / 2
    points = []
    for a, b in pairwise(path):
        points += [np.array(a) + (np.array(b) - np.array(a)) * t for t in np.linspace(0, 1, 6, endpoint=False)]
    points.append(np.array(path[-1]))
    places = [QPoint(*(int(v) for v in (middle + (np.array([y, x]) - center) * zoom)[::-1])) for x, y in points]
    qtbot.mouseMove(native, places[0])
    qtbot.mousePress(native, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        drag(native, place)
    qtbot.mouseRelease(native, Qt.MouseButton.LeftButton, pos=places[-1])
    qtbot.wait(50)


def drag(native, place):
    """Move the mouse with its button held down, which qtbot's own move has not."""
    at, none, held = QPointF(place), Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
    move = QMouseEvent(QEvent.Type.MouseMove, at, native.mapToGlobal(at), none, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(native, move)
    QTest.qWait(20)  # napari takes no more than one move a turn, and a frame is drawn in a turn of its own


def press(qtbot, widget):
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not (dock.working.is_busy or dock.later.is_busy), timeout=60_000)
    rest(dock, qtbot)


def rest(dock, qtbot):
    """Wait until the tiles in view have come and are drawn."""
    qtbot.wait(50)  # the view asks for its tiles
    assert dock.loader.wait()
    qtbot.wait(50)  # their coming is heard of
    qtbot.waitUntil(lambda: not shared_refresher().is_due, timeout=10_000)
    qtbot.wait(50)
