"""What napari shows of a slide, as layer data tuples: (data, settings, type of layer). No napari here.

All layers are in µm. Nothing that is shown can be moved or deleted with the mouse: pictures, triangles and line
segments, none of them shapes. The one layer of shapes is the outline a reader is drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from spatial_til.io.regions import BORDER_COLORS, COMPARTMENT_COLORS, THIN_RIM_COLOR
from spatial_til.model import BORDER_TYPES, COMPARTMENTS, EMPTY, XY
from spatial_til.plugin.cell_picture import CellPicture
from spatial_til.plugin.colors import Color, ramp, steps
from spatial_til.plugin.convert import Mesh, fill, from_napari, lines, outlines, place_image, to_napari
from spatial_til.plugin.pictures import SlideView
from spatial_til.units import PixelSize

LayerTuple: TypeAlias = tuple[Any, dict[str, Any], str]
Offset: TypeAlias = tuple[float, float]

CELLS, COMPARTMENT_LAYER, TISSUE, TUMOR, EXCLUDED, BORDER = (
    "Cells", "Core and margin", "Tissue", "Tumour", "Excluded", "Border",
)  # fmt: skip
ORIGIN: Offset = (0.0, 0.0)
#: Which outline of a region a shape is.
RING = "ring"
UNITS = ("um", "um")
#: Lines are thinned to this for show, far below what an eye or a screen tells apart.
_SHOWN_UM = 0.5
_TISSUE_COLOR, _TUMOR_COLOR, _EXCLUDED_COLOR = (90, 90, 90), (200, 0, 0), (0, 0, 0)
_PREVIEW_COLOR = (255, 0, 255)
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
    settings = {
        "name": CELLS,
        "multiscale": True,
        "rgb": False,
        **_placed(px, offset_um),
        "colormap": steps(CELLS, colors),
        "contrast_limits": (0, 255),
        "blending": "translucent_no_depth",
        "interpolation2d": "nearest",
    }
    return list(cells.picture.levels), settings, "image"


def region_layers(regions: Mapping[str, BaseGeometry], line_um: float, offset_um: Offset = ORIGIN) -> list[LayerTuple]:
    """Return what the tissue was divided into: filled compartments, outlines, and the border by type.

    Parameters
    ----------
    regions
        As `io.regions` names them; those that are missing are empty.
    line_um
        Width of lines in µm: what is a few pixels on the screen now.
    """
    outlined = (
        (TISSUE, "Tissue", _TISSUE_COLOR, line_um),
        (EXCLUDED, "Exclude", _EXCLUDED_COLOR, 2 * line_um),
        (TUMOR, "Tumor", _TUMOR_COLOR, line_um),
    )
    return [
        _filled(regions, offset_um),
        *(_outline(name, regions.get(key, EMPTY), color, width, offset_um) for name, key, color, width in outlined),
        _border(regions, 2 * line_um, offset_um),
    ]


def _placed(px: PixelSize, offset_um: Offset) -> dict[str, Any]:
    placed = place_image(px, offset_um)
    return {"scale": placed.scale, "translate": placed.translate, "units": UNITS}


def _filled(regions: Mapping[str, BaseGeometry], offset_um: Offset) -> LayerTuple:
    """Return core, margins and unresolved tumour as coloured triangles, `Exclude` in grey; `outside` stays clear."""
    shown = [name for name in (*COMPARTMENTS, "Exclude") if name != "outside"]
    meshes = [fill(regions.get(name, EMPTY).simplify(_SHOWN_UM), offset_um) for name in shown]
    vertices, faces, values = _stacked(meshes)
    looks = dict(zip(COMPARTMENTS, COMPARTMENT_COLORS, strict=True)) | {"Exclude": _EXCLUDED_COLOR}
    settings = {
        "name": COMPARTMENT_LAYER,
        "colormap": steps(COMPARTMENT_LAYER, [looks[name] for name in shown]),
        "contrast_limits": (0, 255),
        "opacity": 0.25,
        "shading": "none",
        "blending": "translucent_no_depth",
        "units": UNITS,
    }
    return (vertices, faces, values), settings, "surface"


def _stacked(meshes: Sequence[Mesh]) -> tuple[Any, Any, Any]:
    """Return meshes as one, each vertex with the number of its mesh from 1; a speck where there is none."""
    sizes = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    if sizes[-1] == 0:
        return np.zeros((3, 2)), np.array([[0, 1, 2]]), np.zeros(3, np.float32)
    faces = [mesh.faces + start for mesh, start in zip(meshes, sizes[:-1], strict=True)]
    values = [np.full(len(mesh.vertices), i, np.float32) for i, mesh in enumerate(meshes, start=1)]
    return np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces), np.concatenate(values)


def _outline(name: str, region: BaseGeometry, color: Color, width_um: float, offset_um: Offset) -> LayerTuple:
    shells, holes = outlines(region.simplify(_SHOWN_UM), offset_um)
    return _segments(name, [(path, color) for path in (*shells, *holes)], width_um)


def _border(regions: Mapping[str, BaseGeometry], width_um: float, offset_um: Offset) -> LayerTuple:
    kinds = (*BORDER_TYPES, "thin_rim")
    looks = zip(kinds, (*BORDER_COLORS, THIN_RIM_COLOR), strict=True)
    found = [(regions.get(f"Border {kind}", EMPTY), color) for kind, color in looks]
    drawn = [(path, color) for line, color in found for path in lines(line.simplify(_SHOWN_UM), offset_um)]
    return _segments(BORDER, drawn, width_um)


def _segments(name: str, paths: Sequence[tuple[Any, Color]], width_um: float) -> LayerTuple:
    """Return paths as a layer of line segments: (n, 2, 2) beginnings and directions."""
    pieces = [np.stack((path[:-1], np.diff(path, axis=0)), axis=1) for path, _ in paths]
    colors = [np.tile((*(c / 255 for c in color), 1.0), (len(path) - 1, 1)) for path, color in paths]
    empty = not pieces
    settings = {
        "name": name,
        "vector_style": "line",
        "edge_width": width_um,
        "edge_color": np.zeros((1, 4)) if empty else np.concatenate(colors),
        "units": UNITS,
    }
    return np.zeros((1, 2, 2)) if empty else np.concatenate(pieces), settings, "vectors"


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


def preview_layer(name: str, region: BaseGeometry, line_um: float) -> LayerTuple:
    """Return the outline of what a region would become."""
    return _outline(name, region, _PREVIEW_COLOR, line_um, ORIGIN)


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


def segments_of(layer_tuple: LayerTuple) -> shapely.MultiLineString:
    """Return what a layer of segments draws, in our x, y: for tests and for saving what was seen."""
    starts, ways = layer_tuple[0][:, 0], layer_tuple[0][:, 1]
    ends = np.stack((from_napari(starts), from_napari(starts + ways)), axis=1)
    return shapely.MultiLineString([line for line in ends if not np.array_equal(*line)])
