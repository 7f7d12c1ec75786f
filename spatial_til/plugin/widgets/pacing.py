"""One piece of work a turn of the event loop: between two of them mouse and keys are always heard."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer


class Turn(QObject):
    """Gives each turn of the event loop to one piece of work: a drawing, what is in view, tiles that have come."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._taken = False
        self._over = QTimer(self)
        self._over.setSingleShot(True)
        self._over.setInterval(0)
        self._over.timeout.connect(self._free)

    def take(self) -> bool:
        """Say whether this turn is still free, and take it."""
        was_free = not self._taken
        self._taken = True
        # timers of one turn fire in the order they were started: whoever is refused, and starts anew, comes after
        if was_free:
            self._over.start()
        return was_free

    def in_own_turn(self, owner: QObject, action: Callable[[], Any]) -> QTimer:
        """Return a timer that, once started, does something in a turn of its own; it goes when its owner does."""
        timer = QTimer(owner)
        timer.setSingleShot(True)
        timer.setInterval(0)
        timer.timeout.connect(lambda: action() if self.take() else timer.start(0))
        return timer

    def _free(self) -> None:
        self._taken = False


class Pacer(QObject):
    """Draws a canvas of napari when the event loop comes round, however often it was asked to meanwhile.

    napari takes what is in view of a picture *after* it has drawn, and then draws again, in the same turn of the
    loop. Here it is taken before, in a turn of its own: each move of the camera is one drawing, of the right pixels.
    """

    def __init__(self, canvas: Any, turn: Turn) -> None:
        super().__init__(canvas.native)
        self._canvas = weakref.ref(canvas)
        self._turn = turn
        self._take = turn.in_own_turn(self, self._on_take)
        self._look = turn.in_own_turn(self, self._take_view)
        self._update = canvas.native.update
        canvas.native._vispy_update = self._take.start  # noqa: SLF001
        drawn = canvas._scene_canvas.events.draw  # noqa: SLF001
        drawn.disconnect(canvas.on_draw)
        drawn.connect(self._on_drawn, position="last")

    def _take_view(self) -> None:
        canvas = self._canvas()
        if canvas is not None:
            canvas.on_draw(None)

    def _on_take(self) -> None:
        self._take_view()
        if self._canvas() is not None:
            self._update()  # drawn in the next turn

    def _on_drawn(self, _: Any) -> None:
        """Look once more: the camera may have moved between taking and drawing."""
        self._turn.take()
        self._look.start()


def pace(viewer: Any, turn: Turn) -> Pacer | None:
    """Pace the canvas of a viewer; None where this napari has none that could be."""
    try:
        canvas = viewer.window._qt_viewer.canvas  # noqa: SLF001
        native = canvas.native
        known = callable(canvas.on_draw) and callable(native._vispy_update)  # noqa: SLF001
        known = known and callable(canvas._scene_canvas.events.draw.disconnect)  # noqa: SLF001
    except AttributeError:  # a viewer without a window, or another napari: it draws as it likes
        return None
    return (native.findChild(Pacer) or Pacer(canvas, turn)) if known else None
