"""Strokes drawn in QuPath as lines, or areas painted with its brush, as examples of tissue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import shapely
from shapely.geometry import mapping

from spatial_til.errors import AnnotationError, TrainingError
from spatial_til.io.annotations.classes import UNCLASSIFIED, meaning_of
from spatial_til.io.annotations.qupath import read_shapes
from spatial_til.io.atomic import write_text
from spatial_til.segmentation.examples.strokes import STROKE_UM, Stroke, painted
from spatial_til.units import PixelSize, corners_to_um, um_to_corners

#: Classes that are no tissue; what they mark on a slide is not learned from.
_NOT_LEARNED = ("tissue", "exclude", "no_margin")


def read_strokes(path: Path, *, pixel_size: PixelSize, width_um: float = STROKE_UM) -> tuple[Stroke, ...]:
    """Read the examples drawn on one slide.

    Parameters
    ----------
    path
        QuPath GeoJSON: line annotations become strokes of some width, areas are taken as they are. Their class
        is what they are examples of; `Tissue`, exclusions and `No margin` are left out.
    pixel_size
        Of the full-resolution image, whose pixel corners the file's coordinates are.
    width_um
        Width of a stroke drawn as a line.

    Raises
    ------
    AnnotationError
        The file cannot be read.
    TrainingError
        With every shape that has no class.
    """
    try:
        shapes = read_shapes(path)
    except OSError as error:
        msg = f"{path}: the strokes cannot be opened ({error.strerror}). Correct the path."
        raise AnnotationError(msg) from error
    strokes, problems = [], []
    for number, (name, shape) in enumerate(shapes, start=1):
        in_um = shapely.transform(shape, lambda xy: corners_to_um(xy, pixel_size))
        meaning = meaning_of(name)
        if not name.strip():
            problems.append(f"{path}: shape {number} has no class {UNCLASSIFIED}: set one, such as Tumor or Stroma")
        elif meaning not in _NOT_LEARNED:
            region = in_um.buffer(width_um / 2) if in_um.geom_type == "LineString" else in_um
            strokes.append(painted("Tumor" if meaning == "tumor" else " ".join(name.split()), region))
    if problems:
        raise TrainingError(problems)
    return tuple(strokes)


def write_strokes(path: Path, strokes: Sequence[Stroke], *, pixel_size: PixelSize) -> None:
    """Write the examples painted on one slide as areas of QuPath, whole or not at all; `read_strokes` reads them."""
    features = [
        {
            "type": "Feature",
            "geometry": mapping(shapely.transform(part, lambda xy: um_to_corners(xy, pixel_size))),
            "properties": {"objectType": "annotation", "classification": {"name": stroke.name}},
        }
        for stroke in strokes
        for part in stroke.region.geoms
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False) + "\n")
