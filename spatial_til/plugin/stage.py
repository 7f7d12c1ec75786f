"""What stands in the viewer: layers added, replaced and taken away. Works on any viewer model; no window needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from shapely.geometry.base import BaseGeometry

from spatial_til.model import XY
from spatial_til.plugin.colors import steps
from spatial_til.plugin.layers import (
    BORDER,
    CELLS,
    COMPARTMENT_LAYER,
    EXCLUDED,
    ORIGIN,
    TISSUE,
    TUMOR,
    LayerTuple,
    Offset,
    drawing_layer,
    mark_layer,
    preview_layer,
    region_layers,
)
from spatial_til.plugin.opened import Opened, ShownCells

DRAWING, PREVIEW, MARK = "Your outline", "What it would be", "Chosen cell"
_MARK_UM = 16.0
LINE_PX = 2.0
#: Region layers from the back to the front, with how many times the line's width they are drawn.
_LINES = {TISSUE: 1.0, EXCLUDED: 2.0, TUMOR: 1.0, BORDER: 2.0}
_REGIONS = (COMPARTMENT_LAYER, *_LINES)


class Stage:
    """The layers of one slide in a viewer. What the user switched off stays off when a layer is made again."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._ours: list[Any] = []
        self._line_um = 1.0
        viewer.scale_bar.visible = True
        viewer.scale_bar.unit = "um"
        viewer.camera.events.zoom.connect(self._on_zoom)

    def clear(self) -> None:
        """Take all our layers away."""
        for layer in self._ours:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._ours.clear()

    def add(self, layers: Iterable[LayerTuple]) -> list[Any]:
        """Add layers on top and return them."""
        return [self._add(layer) for layer in layers]

    def show_slide(self, opened: Opened, offset_um: Offset = ORIGIN) -> None:
        """Show the pictures of a slide, and all of it in the window."""
        self.add(opened.layers(offset_um))
        self.viewer.reset_view()

    def show_regions(self, regions: Mapping[str, BaseGeometry], offset_um: Offset = ORIGIN) -> None:
        """Show what the tissue was divided into, in place of what was shown before."""
        self._line_um = self._wanted_line_um()
        self._replace(region_layers(regions, self._line_um, offset_um), _REGIONS)

    def show_cells(self, cells: ShownCells, offset_um: Offset = ORIGIN) -> None:
        """Show cells in place of those shown before."""
        self._replace([cells.layer(offset_um)], (CELLS,))

    def repaint_cells(self, cells: ShownCells) -> None:
        """Draw the cells again after other populations were switched on."""
        layer = self.layer(CELLS)
        if layer is not None:
            layer.colormap = steps(CELLS, cells.shown_colors())
            layer.refresh(extent=False)

    def layer(self, name: str) -> Any | None:
        """Return our layer of this name; None where there is none."""
        return next((la for la in self._ours if la.name == name and la in self.viewer.layers), None)

    def start_drawing(self, *, freehand: bool) -> Any:
        """Return a new layer in which the reader draws; it is the active one, on top."""
        self.stop_drawing()
        layer = self._add(drawing_layer(DRAWING, 2 * self._wanted_line_um()))
        self.viewer.layers.selection.active = layer
        layer.mode = "add_polygon_lasso" if freehand else "add_polygon"
        return layer

    def start_corners(self, outlines_um: Sequence[XY]) -> Any:
        """Return a new layer with outlines whose corners the reader drags; it is the active one, on top."""
        self.stop_drawing()
        layer = self._add(drawing_layer(DRAWING, self._wanted_line_um(), outlines_um))
        self.viewer.layers.selection.active = layer
        layer.mode = "direct"
        layer.selected_data = set(range(len(outlines_um)))
        return layer

    def stop_drawing(self) -> None:
        """Take the layer away in which the reader draws, and what the outline would come to."""
        self._remove(DRAWING)
        self.hide_preview()

    def show_preview(self, region: BaseGeometry) -> None:
        """Show what a region would become; the reader goes on drawing where he was."""
        active = self.viewer.layers.selection.active
        self.hide_preview()
        self._add(preview_layer(PREVIEW, region, 2 * self._wanted_line_um()))
        self.viewer.layers.selection.active = active

    def hide_preview(self) -> None:
        """Take the preview away."""
        self._remove(PREVIEW)

    def show_mark(self, xy_um: Any) -> None:
        """Put a ring around one cell."""
        active = self.viewer.layers.selection.active
        self.hide_mark()
        self._add(mark_layer(MARK, xy_um, _MARK_UM))
        self.viewer.layers.selection.active = active

    def hide_mark(self) -> None:
        """Take the ring away."""
        self._remove(MARK)

    def _remove(self, name: str) -> None:
        layer = self.layer(name)
        if layer is not None:
            self.viewer.layers.remove(layer)
            self._ours.remove(layer)

    def _replace(self, layers: Iterable[LayerTuple], names: tuple[str, ...]) -> None:
        order: Callable[[Any], int] = self.viewer.layers.index
        old = {name: layer for name in names if (layer := self.layer(name)) is not None}
        for found in layers:
            before = old.get(found[1]["name"])
            if before is None:
                self._add(found, below=self.layer(CELLS) if found[1]["name"] != CELLS else None)
                continue
            at = order(before)
            kept = {key: getattr(before, key) for key in ("visible", "opacity")}
            self.viewer.layers.remove(before)
            self._ours.remove(before)
            new = self._add((found[0], found[1] | kept, found[2]))
            if order(new) != at:
                self.viewer.layers.move(order(new), at)

    def _add(self, layer_tuple: LayerTuple, below: Any | None = None) -> Any:
        data, settings, kind = layer_tuple
        layer = getattr(self.viewer, f"add_{kind}")(data, **settings)
        self._ours.append(layer)
        drawing = self.layer(DRAWING)
        below = below if below is not None else (drawing if layer is not drawing else None)
        if below is not None:
            index = self.viewer.layers.index
            self.viewer.layers.move(index(layer), index(below))
        return layer

    def _wanted_line_um(self) -> float:
        """Return how many µm a line is wide now; it changes by steps, so that lines are not made anew all the time."""
        return float(LINE_PX * 2.0 ** round(-math.log2(max(self.viewer.camera.zoom, 1e-6))))

    def _on_zoom(self, _: Any = None) -> None:
        wanted = self._wanted_line_um()
        if wanted == self._line_um:
            return
        self._line_um = wanted
        for name, times in _LINES.items():
            layer = self.layer(name)
            if layer is not None:
                layer.edge_width = times * wanted
