"""What napari shows of a slide, as layer data tuples: (data, settings, type of layer). No napari here.

All layers are in µm. Nothing that is shown can be moved or deleted with the mouse: cells and regions are pictures,
painted where one looks. The one layer of shapes is the outline a reader is drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from spatial_til.model import XY
from spatial_til.plugin.cell_picture import CellPicture
from spatial_til.plugin.colors import ramp, steps
from spatial_til.plugin.convert import place_image, to_napari
from spatial_til.plugin.pictures import SlideView
from spatial_til.plugin.region_picture import RegionPicture
from spatial_til.plugin.tiles import Picture
from spatial_til.region_colors import Color
from spatial_til.units import PixelSize

LayerTuple: TypeAlias = tuple[Any, dict[str, Any], str]
Offset: TypeAlias = tuple[float, float]

CELLS, REGIONS = "Cells", "Regions"
ORIGIN: Offset = (0.0, 0.0)
#: Which outline of a region a shape is.
RING = "ring"
UNITS = ("um", "um")
_TITLE_SIZE = 11


def image_layer(view: SlideView, px: PixelSize, offset_um: Offset = ORIGIN) -> LayerTuple:
    """Return the layer of one picture of a slide."""
    settings: dict[str, Any] = {
        "name": view.name,
        "multiscale": True,
        "rgb": view.picture.samples != (),
        **_placed(px, offset_um),
        "visible": view.visible,
    }
    if view.color is not None:
        settings["colormap"] = ramp(view.name, view.color, on_white=view.on_white)
        settings["contrast_limits"] = view.limits
        settings["blending"] = "opaque" if view.on_white else "additive"
    return list(view.picture.levels), settings, "image"


def cells_layer(cells: CellPicture, colors: Sequence[Color], px: PixelSize, offset_um: Offset = ORIGIN) -> LayerTuple:
    """Return the layer of cells; `colors` are of the populations from code 1 on."""
    return _coded(CELLS, cells.picture, steps(CELLS, colors), px, offset_um)


def regions_layer(regions: RegionPicture, name: str = REGIONS, offset_um: Offset = ORIGIN) -> LayerTuple:
    """Return the layer of what the tissue was divided into: filled compartments, outlines, the border by type."""
    colors, alphas = [paint.color for paint in regions.paints], [paint.alpha for paint in regions.paints]
    return _coded(name, regions.picture, steps(name, colors, alphas), regions.px, offset_um)


def _coded(name: str, picture: Picture, colormap: dict[str, Any], px: PixelSize, offset_um: Offset) -> LayerTuple:
    """Return the layer of a picture whose pixels are numbers that stand for colours."""
    settings = {
        "name": name,
        "multiscale": True,
        "rgb": False,
        **_placed(px, offset_um),
        "colormap": colormap,
        "contrast_limits": (0, 255),
        "blending": "translucent_no_depth",
        "interpolation2d": "nearest",
    }
    return list(picture.levels), settings, "image"


def _placed(px: PixelSize, offset_um: Offset) -> dict[str, Any]:
    placed = place_image(px, offset_um)
    return {"scale": placed.scale, "translate": placed.translate, "units": UNITS}


def drawing_layer(name: str, line_um: float, outlines_um: Sequence[XY] = ()) -> LayerTuple:
    """Return the layer in which a reader draws an outline; or drags the corners of some, numbered in its features."""
    settings: dict[str, Any] = {
        "name": name,
        "ndim": 2,
        "edge_width": line_um,
        "edge_color": "#ff00ff",
        "face_color": "#ff00ff26",
        "units": UNITS,
    }
    if outlines_um:
        settings |= {"shape_type": "polygon", "features": {RING: np.arange(len(outlines_um))}}
    return [to_napari(outline) for outline in outlines_um], settings, "shapes"


def mark_layer(name: str, xy_um: Any, size_um: float) -> LayerTuple:
    """Return a ring around one cell."""
    settings = {
        "name": name,
        "ndim": 2,
        "size": size_um,
        "symbol": "disc",
        "face_color": "#00000000",
        "border_color": "#00ffff",
        "border_width": 0.12,
        "units": UNITS,
    }
    return to_napari(xy_um), settings, "points"


def title_layer(name: str, titles: Sequence[str], xy_um: Any) -> LayerTuple:
    """Return words at places, in the middle above them."""
    settings = {
        "name": name,
        "text": {"string": list(titles), "size": _TITLE_SIZE, "color": "white", "anchor": "center"},
        "size": 1,
        "face_color": "#00000000",
        "border_color": "#00000000",
        "units": UNITS,
    }
    return to_napari(xy_um), settings, "points"
