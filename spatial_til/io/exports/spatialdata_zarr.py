"""One slide as a SpatialData Zarr: image, compartment labels, regions and cells as shapes, and the cell table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from spatial_til.io.exports.compartment_labels import LABELS, compartment_labels, polygons, slide_regions
from spatial_til.io.exports.exported import ExportSlide
from spatial_til.io.exports.scverse import cells_anndata
from spatial_til.io.slides import Slide, open_slide, select_channels
from spatial_til.model import XY

if TYPE_CHECKING:
    from spatialdata import SpatialData

_CHUNK = 1024
_SMALLEST_LEVEL = 256


def write_spatialdata(path: Path, slide: ExportSlide, study: dict[str, Any], pixel_size_um: float) -> None:
    """Write one slide as a SpatialData Zarr folder; an earlier one is replaced once the new one is whole.

    Parameters
    ----------
    path
        The folder, ending in ``.zarr``.
    study
        Versions and protocol.
    pixel_size_um
        Of image and labels, about.

    Notes
    -----
    Elements, all in µm in the coordinate system ``global``: ``image`` (left out where the slide's image is not at its
    place any more), ``compartments`` (labels), ``regions`` (polygons by name), ``nuclei_circles``: a circle of each
    nucleus' area at its centre, since outlines are not stored, and ``cells``, the table that annotates the circles.
    """
    part = path.with_name(f".{path.stem}.part.zarr")
    shutil.rmtree(part, ignore_errors=True)
    if slide.image is not None and slide.image.exists():
        with open_slide(slide.image) as image:
            _elements(slide, study, pixel_size_um, image).write(part)
    else:
        _elements(slide, study, pixel_size_um, None).write(part)
    shutil.rmtree(path, ignore_errors=True)
    part.rename(path)


def _elements(slide: ExportSlide, study: dict[str, Any], pixel_size_um: float, image: Slide | None) -> SpatialData:
    import dask.array as da
    import spatialdata as sd
    from spatialdata.models import Labels2DModel, TableModel
    from spatialdata.transformations import Scale

    labels, px = compartment_labels(slide, pixel_size_um)
    to_um = Scale([px.y_um, px.x_um], axes=("y", "x"))
    table = cells_anndata([slide], study | {"labels": "; ".join(f"{c} {n}" for c, n in LABELS.items())})
    table.obs["region"] = "nuclei_circles"
    table.obs["region"] = table.obs["region"].astype("category")
    elements: dict[str, Any] = {
        "compartments": Labels2DModel.parse(
            da.from_array(labels, chunks=(_CHUNK, _CHUNK)), dims=("y", "x"), transformations={"global": to_um}
        ),
        "nuclei_circles": _circles(slide.cells.cells.xy_um, slide.cells.cells.nucleus_area_um2),
        "regions": _regions(slide),
        "cells": TableModel.parse(table, region="nuclei_circles", region_key="region", instance_key="cell_id"),
    }
    if image is not None:
        elements["image"] = _image(slide, image, pixel_size_um)
    return sd.SpatialData.init_from_elements(elements)


def _circles(xy_um: XY, area_um2: np.ndarray) -> Any:
    from spatialdata.models import ShapesModel

    radius = np.sqrt(np.maximum(area_um2, 1e-6) / np.pi)
    return ShapesModel.parse(xy_um, geometry=0, radius=radius, index=np.arange(1, len(xy_um) + 1))


def _regions(slide: ExportSlide) -> Any:
    import geopandas
    from spatialdata.models import ShapesModel

    regions = {name: region for name, region in slide_regions(slide).items() if not name.startswith("Border")}
    names, parts = [], []
    for name, region in regions.items():
        of = list(polygons(region).geoms)
        names += [name] * len(of)
        parts += of
    return ShapesModel.parse(geopandas.GeoDataFrame({"region": names}, geometry=[shapely.make_valid(p) for p in parts]))


class _Lazy:
    """An image that is read box by box, as dask wants it: (y, x, channel)."""

    def __init__(self, grid: Any, dtype: np.dtype[Any]) -> None:
        self.grid, self.dtype = grid, dtype
        self.shape = (*grid.shape, len(grid.channels))
        self.ndim = 3

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        rows, cols, channels = key
        return np.asarray(self.grid.read(rows.start, rows.stop, cols.start, cols.stop)[..., channels])


def _image(slide: ExportSlide, image: Slide, pixel_size_um: float) -> Any:
    import dask.array as da
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Scale

    chosen = select_channels(image, list(slide.channels)) if slide.channels else None
    grid = image.at(pixel_size_um, channels=chosen)
    dtype = grid.read(0, 1, 0, 1).dtype
    lazy = _Lazy(grid, dtype)
    array = da.from_array(
        lazy, chunks=(_CHUNK, _CHUNK, lazy.shape[2]), asarray=False, lock=True, meta=np.empty(0, dtype)
    )
    levels = max(0, int(np.log2(max(grid.shape) / _SMALLEST_LEVEL)))
    return Image2DModel.parse(
        da.moveaxis(array, -1, 0),
        dims=("c", "y", "x"),
        c_coords=list(slide.channels or grid.channels),
        scale_factors=[2] * levels or None,
        transformations={"global": Scale([grid.pixel_size.y_um, grid.pixel_size.x_um], axes=("y", "x"))},
    )
