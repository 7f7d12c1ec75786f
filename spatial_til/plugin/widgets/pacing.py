"""One drawing a turn of the event loop: between two drawings mouse and keys are always heard."""

from __future__ import annotations

import weakref
from typing import Any

from qtpy.QtCore import QObject, QTimer


class Pacer(QObject):
    """Draws a canvas of napari when the event loop comes round, however often it was asked to meanwhile.

    napari takes what is in view of a picture *after* it has drawn, and then draws again, in the same turn of the
    loop. Here it is taken before: each move of the camera is one drawing, of the right pixels.
    """

    def __init__(self, canvas: Any) -> None:
        super().__init__(canvas.native)
        self._canvas = weakref.ref(canvas)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._draw)
        canvas.native._vispy_update = self._timer.start  # noqa: SLF001

    def _draw(self) -> None:
        canvas = self._canvas()
        if canvas is not None:
            canvas.on_draw(None)
            canvas.native.update()


def pace(viewer: Any) -> Pacer | None:
    """Pace the canvas of a viewer; None where this napari has none that could be."""
    try:
        canvas = viewer.window._qt_viewer.canvas  # noqa: SLF001
        native = canvas.native
        known = callable(canvas.on_draw) and callable(native._vispy_update)  # noqa: SLF001
    except AttributeError:  # a viewer without a window, or another napari: it draws as it likes
        return None
    return (native.findChild(Pacer) or Pacer(canvas)) if known else None
