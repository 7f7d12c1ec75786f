"""A brush: the line that the mouse draws across the picture with its button held down. Works on any viewer model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from spatial_til.model import XY
from spatial_til.plugin.convert import from_napari
from spatial_til.plugin.example_picture import stroke_layer, stroke_segments
from spatial_til.plugin.stage import Stage
from spatial_til.region_colors import Color

#: Points nearer to the one before than this share of the brush's width are left out.
_STEP = 0.1


class Brush:
    """While it is held, a drag paints instead of moving the picture; zooming goes on as ever."""

    def __init__(self, stage: Stage, done: Callable[[XY], None]) -> None:
        self._stage, self._done = stage, done
        self._layer: Any = None
        self._width_um = 0.0

    @property
    def is_held(self) -> bool:
        """Whether a drag paints."""
        return self._layer is not None and self._layer in self._stage.viewer.layers

    def hold(self, width_um: float, color: Color) -> None:
        """Paint from now on, with this width and colour."""
        self.drop()
        self._width_um = width_um
        (self._layer,) = self._stage.add([stroke_layer(width_um, color)])
        self._layer.mouse_pan = False
        self._layer.mouse_drag_callbacks.append(self._on_drag)
        self._stage.viewer.layers.selection.active = self._layer

    def drop(self) -> None:
        """Move the picture again."""
        if self.is_held:
            self._stage.viewer.layers.remove(self._layer)
        self._layer = None

    def _on_drag(self, layer: Any, event: Any) -> Generator[None]:
        points = [from_napari([event.position])[0]]
        layer.data = stroke_segments(points)
        yield
        while event.type == "mouse_move":
            point = from_napari([event.position])[0]
            if np.linalg.norm(point - points[-1]) >= _STEP * self._width_um:
                points.append(point)
                layer.data = stroke_segments(points)
            yield
        layer.data = np.zeros((1, 2, 2))
        self._done(np.array(points))
