"""Tiles that have come are drawn: at most every 150 ms, and only where they are in view."""

from __future__ import annotations

import weakref
from typing import Any

import napari
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from spatial_til.plugin.tiles import Loader, Picture, TiledLevel

_EVERY_MS = 150
_shared: dict[str, Refresher] = {}


class Refresher(QObject):
    """Draws layers again whose tiles have come. Tiles come from other threads; drawing is the main thread's."""

    loaded = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.loader = Loader()
        self.loader.on_loaded = self.loaded.emit
        self._viewers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._changed: set[Picture] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self.draw)
        self.loaded.connect(self._note)

    def watch(self, viewer: Any) -> None:
        """Draw the layers of this viewer too, whichever is in front."""
        self._viewers.add(viewer)

    def _note(self, picture: Picture) -> None:
        self._changed.add(picture)
        if not self._timer.isActive():
            self._timer.start()

    def draw(self) -> None:
        """Draw every visible layer whose picture has new tiles."""
        changed, self._changed = self._changed, set()
        current = napari.current_viewer()
        for viewer in {*self._viewers, *([current] if current is not None else [])}:
            for layer in list(viewer.layers):
                if layer.visible and picture_of(layer) in changed:
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
        _shared["one"] = Refresher()
    return _shared["one"]


def shared_loader() -> Loader | None:
    """Return the one loader of this program; None where no window system runs."""
    return None if QApplication.instance() is None else shared_refresher().loader
