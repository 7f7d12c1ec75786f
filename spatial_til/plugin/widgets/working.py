"""One computation at a time, in a thread, that can be cancelled; what comes of it arrives in the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal

from spatial_til.errors import SpatialTilError
from spatial_til.review.session import Cancelled


class Working(QObject):
    """Runs functions that take ``cancelled=``, a function that says whether to stop.

    A new one takes the place of the one under way, whose result is dropped.
    """

    said = Signal(str)
    busy = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._stop: threading.Event | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being computed."""
        return self._stop is not None

    def start(
        self, words: str, function: Callable[..., Any], done: Callable[[Any], None], *arguments: Any, **named: Any
    ) -> None:
        """Say `words`, compute, and hand what came of it to `done`."""
        self._drop()
        stop = self._stop = threading.Event()
        # errors are told below, not raised in the main thread as well
        how = {"_start_thread": False, "_ignore_errors": True}
        worker = create_worker(function, *arguments, cancelled=stop.is_set, **named, **how)
        worker.returned.connect(lambda result: self._returned(stop, result, done))
        worker.errored.connect(lambda error: self._errored(stop, error))
        self.said.emit(words)
        self.busy.emit(True)  # noqa: FBT003
        worker.start()

    def cancel(self) -> None:
        """Stop what is under way; nothing comes of it."""
        if self._stop is not None:
            self._drop()
            self.said.emit("Cancelled; nothing was changed.")

    def _drop(self) -> None:
        if self._stop is not None:
            self._stop.set()
            self._stop = None
            self.busy.emit(False)  # noqa: FBT003

    def _ended(self, stop: threading.Event) -> bool:
        """Say whether this is the end of the computation that is wanted, not of one that was dropped."""
        if self._stop is not stop:
            return False
        self._stop = None
        self.busy.emit(False)  # noqa: FBT003
        return True

    def _returned(self, stop: threading.Event, result: Any, done: Callable[[Any], None]) -> None:
        if self._ended(stop):
            self.said.emit("")
            done(result)

    def _errored(self, stop: threading.Event, error: BaseException) -> None:
        if not self._ended(stop) or isinstance(error, Cancelled):
            return
        if isinstance(error, SpatialTilError):
            self.said.emit(f"Not done: {error}")
            return
        self.said.emit(f"Not done, and the fault is the program's: {type(error).__name__}: {error}. Please report it.")
