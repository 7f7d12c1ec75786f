"""One drawing a turn of the event loop: between two drawings mouse and keys are always heard."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer


class Pacer(QObject):
    """Draws a canvas of napari when the event loop comes round, however often it was asked to meanwhile.

    napari takes what is in view of a picture *after* it has drawn, and then draws again, in the same turn of the
    loop. Here it is taken before, in a turn of its own: each move of the camera is one drawing, of the right pixels.
    """

    def __init__(self, canvas: Any) -> None:
        super().__init__(canvas.native)
        self._canvas = weakref.ref(canvas)
        self._take = self._next_turn(self._on_take)
        self._draw = self._next_turn(canvas.native.update)
        self._look = self._next_turn(self._take_view)
        canvas.native._vispy_update = self._take.start  # noqa: SLF001
        drawn = canvas._scene_canvas.events.draw  # noqa: SLF001
        drawn.disconnect(canvas.on_draw)
        drawn.connect(self._on_drawn, position="last")

    def _next_turn(self, action: Callable[[], Any]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(0)
        timer.timeout.connect(action)
        return timer

    def _take_view(self) -> None:
        canvas = self._canvas()
        if canvas is not None:
            canvas.on_draw(None)

    def _on_take(self) -> None:
        self._take_view()
        self._draw.start()

    def _on_drawn(self, _: Any) -> None:
        """Look once more: the camera may have moved between taking and drawing."""
        self._look.start()


def pace(viewer: Any) -> Pacer | None:
    """Pace the canvas of a viewer; None where this napari has none that could be."""
    try:
        canvas = viewer.window._qt_viewer.canvas  # noqa: SLF001
        native = canvas.native
        known = callable(canvas.on_draw) and callable(native._vispy_update)  # noqa: SLF001
        known = known and callable(canvas._scene_canvas.events.draw.disconnect)  # noqa: SLF001
    except AttributeError:  # a viewer without a window, or another napari: it draws as it likes
        return None
    return (native.findChild(Pacer) or Pacer(canvas)) if known else None
