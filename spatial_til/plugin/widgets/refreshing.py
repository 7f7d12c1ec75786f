"""Tiles that have come are drawn: at most every 150 ms, and only where they are in view."""

from __future__ import annotations

import atexit
import gc
import weakref
from typing import Any

import napari
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from spatial_til.plugin.tiles import Loader, Picture, TiledLevel, TileKey, in_view
from spatial_til.plugin.widgets.pacing import Turn, pace

_EVERY_MS = 150
_shared: dict[str, Refresher] = {}


class Refresher(QObject):
    """Draws layers again whose tiles have come. Tiles come from other threads; drawing is the main thread's."""

    loaded = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.loader = Loader()
        self.loader.on_loaded = self.loaded.emit
        self._viewers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._come: dict[Picture | None, list[TileKey]] = {}
        self._turn = Turn(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY_MS)
        self._drawing = self._turn.in_own_turn(self, self.draw)
        self._timer.timeout.connect(self._drawing.start)
        self.loaded.connect(self._note)

    def watch(self, viewer: Any) -> None:
        """Draw the layers of this viewer too, whichever is in front, and its canvas once a turn of the event loop."""
        whole = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a wrapper without the canvas
        self._viewers.add(whole)
        pace(whole, self._turn)

    @property
    def is_due(self) -> bool:
        """Whether tiles have come that are not drawn yet."""
        return bool(self._come)

    def _note(self, picture: Picture, key: TileKey) -> None:
        self._come.setdefault(picture, []).append(key)
        if not self._timer.isActive():
            self._timer.start()

    def draw(self) -> None:
        """Draw every visible layer that shows tiles which have come."""
        come, self._come = self._come, {}
        current = napari.current_viewer()
        if current is not None and current not in self._viewers:
            self.watch(current)
        for viewer in list(self._viewers):
            for layer in list(viewer.layers):
                keys = come.get(picture_of(layer), []) if layer.visible else []
                if any(in_view(key, layer.data_level, layer.corner_pixels) for key in keys):
                    layer.refresh(thumbnail=False, highlight=False, extent=False)


def picture_of(layer: Any) -> Picture | None:
    """Return the picture that a layer shows; None where it is none of ours."""
    if not getattr(layer, "multiscale", False):
        return None
    finest = layer.data[0]
    return finest.picture if isinstance(finest, TiledLevel) else None


def shared_refresher() -> Refresher:
    """Return the one refresher of this program, in which a window system runs."""
    if "one" not in _shared:
        spare_collection()
        _shared["one"] = Refresher()
        # a tile that comes when the window system is gone would end the program with a fault
        atexit.register(_shared["one"].loader.close)
    return _shared["one"]


def spare_collection() -> None:
    """Leave what is loaded by now out of garbage collection.

    With all libraries of a viewer loaded a full collection takes 0.2 s, in which the window stands still; and napari
    collects at every layer it removes, that is at every edit and several times at every change of slide.
    """
    gc.collect()
    gc.freeze()


def shared_loader() -> Loader | None:
    """Return the one loader of this program; None where no window system runs."""
    return None if QApplication.instance() is None else shared_refresher().loader
