"""What stands in the viewer: layers added, replaced and taken away. Works on any viewer model; no window needed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from shapely.geometry.base import BaseGeometry

from spatial_til.model import XY
from spatial_til.plugin.colors import steps
from spatial_til.plugin.layers import (
    CELLS,
    ORIGIN,
    REGIONS,
    LayerTuple,
    Offset,
    drawing_layer,
    mark_layer,
    regions_layer,
)
from spatial_til.plugin.opened import Opened, ShownCells
from spatial_til.plugin.region_picture import RegionPicture, outline_paint

DRAWING, PREVIEW, MARK = "Your outline", "What it would be", "Chosen cell"
_MARK_UM = 16.0
LINE_PX = 2.0
_PREVIEW_COLOR = (255, 0, 255)


class Stage:
    """The layers of one slide in a viewer. What the user switched off stays off when a layer is made again."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._ours: list[Any] = []
        self._opened: Opened | None = None
        viewer.scale_bar.visible = True
        with warnings.catch_warnings():  # napari below 0.9 needs it; later ones take the unit of the layers, and warn
            warnings.simplefilter("ignore", FutureWarning)
            viewer.scale_bar.unit = "um"

    def clear(self) -> None:
        """Take all our layers away."""
        for layer in self._ours:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._ours.clear()
        self._opened = None

    def add(self, layers: Iterable[LayerTuple]) -> list[Any]:
        """Add layers on top and return them."""
        return [self._add(layer) for layer in layers]

    def show_slide(self, opened: Opened, offset_um: Offset = ORIGIN) -> None:
        """Show the pictures of a slide, and all of it in the window."""
        self._opened = opened
        self.add(opened.layers(offset_um))
        self.viewer.reset_view()

    def show_regions(self, regions: RegionPicture, offset_um: Offset = ORIGIN) -> None:
        """Show what the tissue was divided into, in place of what was shown before."""
        self._replace(regions_layer(regions, offset_um=offset_um), below=self.layer(CELLS))

    def show_cells(self, cells: ShownCells, offset_um: Offset = ORIGIN) -> None:
        """Show cells in place of those shown before."""
        self._replace(cells.layer(offset_um))

    def hide_overlay(self) -> None:
        """Take regions and cells away: the slide has no numbers."""
        for name in (REGIONS, CELLS):
            self._remove(name)

    def repaint_cells(self, cells: ShownCells) -> None:
        """Draw the cells again after other populations were switched on."""
        layer = self.layer(CELLS)
        if layer is not None:
            layer.colormap = steps(CELLS, cells.shown_colors())
            layer.refresh(extent=False)

    def repaint_regions(self) -> None:
        """Draw the regions again after other parts were switched on."""
        layer = self.layer(REGIONS)
        if layer is not None:
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
        if self._opened is None:
            return
        active = self.viewer.layers.selection.active
        self.hide_preview()
        paints = (outline_paint(PREVIEW, _PREVIEW_COLOR),)
        picture = RegionPicture({PREVIEW: region}, self._opened.shapes[0], self._opened.px, None, paints, (PREVIEW,))
        self._add(regions_layer(picture, PREVIEW))
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

    def _replace(self, layer_tuple: LayerTuple, *, below: Any | None = None) -> None:
        """Show a picture of the same slide in the layer that stands there, or in a new one: making one takes 0.1 s."""
        levels, settings, _ = layer_tuple
        layer = self.layer(settings["name"])
        if layer is None:
            self._add(layer_tuple, below)
            return
        for shown, wanted in zip(layer.data, levels, strict=True):
            shown.picture = wanted.picture
        layer.colormap = settings["colormap"]
        layer.refresh(extent=False)

    def _add(self, layer_tuple: LayerTuple, below: Any | None = None) -> Any:
        data, settings, kind = layer_tuple
        with self._selection_kept():
            layer = getattr(self.viewer, f"add_{kind}")(data, **settings)
        self._ours.append(layer)
        drawing = self.layer(DRAWING)
        below = below if below is not None else (drawing if layer is not drawing else None)
        if below is not None:
            index = self.viewer.layers.index
            self.viewer.layers.move(index(layer), index(below))
        return layer

    @contextmanager
    def _selection_kept(self) -> Iterator[None]:
        """Keep the layer chosen that is: napari chooses every new one, and to show its controls takes half the time."""
        layers = self.viewer.layers
        chooses = getattr(layers, "_activate_on_insert", False) and layers.selection.active is not None
        if chooses:
            layers._activate_on_insert = False  # noqa: SLF001
        try:
            yield
        finally:
            if chooses:
                layers._activate_on_insert = True  # noqa: SLF001

    def _wanted_line_um(self) -> float:
        """Return how many µm a line is wide that is begun now."""
        return float(LINE_PX * 2.0 ** round(-math.log2(max(self.viewer.camera.zoom, 1e-6))))
