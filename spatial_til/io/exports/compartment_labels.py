"""Compartments as a label image: the code of the compartment that each pixel's centre lies in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon
from shapely.geometry.base import BaseGeometry

from spatial_til.errors import SlideError
from spatial_til.geometry.locate import locate
from spatial_til.io.exports.exported import ExportSlide
from spatial_til.io.labels import write_labels
from spatial_til.io.regions import read_regions
from spatial_til.model import COMPARTMENTS
from spatial_til.units import PixelSize, centres_to_um

#: Values of the labels; 0 is glass.
LABELS: Mapping[int, str] = {i + 1: name for i, name in enumerate((*COMPARTMENTS, "Exclude"))}
_BAND_PX = 1 << 22


def write_compartment_labels(path: Path, slide: ExportSlide, pixel_size_um: float) -> None:
    """Write the compartments of one slide as a pyramidal OME-TIFF of labels, whole or not at all.

    Cells are not among the labels: their outlines are not stored, and discs of their size would only look like
    a segmentation.

    Parameters
    ----------
    pixel_size_um
        About; each side is a whole number of full-resolution pixels, and the grid starts at the image's corner.

    Raises
    ------
    SlideError
        The slide has no regions, or its pixel size is not known.
    """
    labels, px = compartment_labels(slide, pixel_size_um)
    name = "; ".join(f"{code} {label}" for code, label in LABELS.items())
    write_labels(path, labels, pixel_size=px, name=f"compartments: {name}")


def compartment_labels(slide: ExportSlide, pixel_size_um: float) -> tuple[NDArray[np.uint8], PixelSize]:
    """Return (rows, cols) labels and their pixel size."""
    regions = slide_regions(slide)
    if slide.pixel_size is None or slide.extent_um is None:
        msg = f"{slide.slide_id}: the size of its image is not stored, so labels have no grid: score it from the image"
        raise SlideError(msg)
    full = slide.pixel_size
    px = full.scaled(*(max(1, round(pixel_size_um / side)) for side in (full.x_um, full.y_um)))
    cols, rows = (max(1, int(size // side)) for size, side in zip(slide.extent_um, (px.x_um, px.y_um), strict=True))
    groups = [polygons(regions.get(name)) for name in LABELS.values()]
    labels = np.empty((rows, cols), dtype=np.uint8)
    step = max(1, _BAND_PX // cols)
    for top in range(0, rows, step):
        row, col = np.mgrid[top : min(top + step, rows), 0:cols]
        found = locate(centres_to_um(row.ravel(), col.ravel(), px), groups) + 1
        labels[top : top + step] = found.reshape(row.shape)
    return labels, px


def slide_regions(slide: ExportSlide) -> Mapping[str, BaseGeometry]:
    """Return the slide's regions in µm.

    Raises
    ------
    SlideError
        It has none.
    """
    if slide.regions is None or slide.pixel_size is None or not slide.regions.exists():
        msg = (
            f"{slide.slide_id}: no regions are stored for this slide: score it from its image, or leave it out; of a "
            "folder of `rescore --out`, export the one that `score` has written"
        )
        raise SlideError(msg)
    return read_regions(slide.regions, pixel_size=slide.pixel_size)


def polygons(region: BaseGeometry | None) -> MultiPolygon:
    """Return a region as polygons; empty where there is none."""
    return MultiPolygon() if region is None else MultiPolygon(list(shapely.get_parts(region)))
