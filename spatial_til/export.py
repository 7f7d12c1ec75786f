"""A scored folder in the formats of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spatial_til.errors import SpatialTilError
from spatial_til.io.cells import read_cells
from spatial_til.io.exports.exported import ExportSlide
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured
from spatial_til.io.scores import read_score
from spatial_til.run_record import jobs_from_record, read_record
from spatial_til.study import Job

#: Formats named after the package that they need, which is the name of the extra too.
_NEEDS = ("anndata", "spatialdata")
#: Pixel size of images and labels that are written, about.
PIXEL_SIZE_UM = 2.0


def export_folder(folder: Path, form: str, out: Path | None = None) -> list[Path]:
    """Write a scored folder in another tool's format and return the files written.

    Parameters
    ----------
    folder
        A folder that ``score`` or ``rescore`` has written.
    form
        ``qupath``: one GeoJSON a slide with cells as detections and regions as annotations. ``anndata``: one
        ``cells.h5ad`` of all slides. ``spatialdata``: one Zarr a slide. ``ome-tiff``: one pyramid of compartment
        labels a slide.
    out
        Where to; ``folder/export/<form>`` by default.

    Returns
    -------
    list of Path
        What was written, slides in the order of the study.

    Raises
    ------
    SpatialTilError
        The folder is none of ours, the format is unknown or needs a package that is not installed, or no slide has
        what the format needs.
    """
    if form not in FORMATS:
        msg = f"format must be one of {', '.join(FORMATS)}; found {form!r}"
        raise SpatialTilError(msg)
    stored = ScoredFolder(folder)
    study = jobs_from_record(stored.run)
    jobs = [job for job in study.jobs if not job.control and stored.cells(job.slide_id).exists()]
    if form != "anndata":  # what came as a table without regions has no place on an image
        jobs = [job for job in jobs if job.cells is None or job.annotations]
    if not jobs:
        msg = f"{folder}: it holds no scored cells that {form} can take: score the study first"
        raise SpatialTilError(msg)
    if form in _NEEDS:
        require(form)
    target = out if out is not None else folder / "export" / form
    target.mkdir(parents=True, exist_ok=True)
    return FORMATS[form](stored, jobs, target)


def require(package: str) -> None:
    """Say how to install an optional package where it is missing.

    Raises
    ------
    SpatialTilError
        It is not installed.
    """
    if find_spec(package) is None:
        msg = f"this export needs {package}, which is not installed: pip install 'spatial-til[{package}]'"
        raise SpatialTilError(msg)


def _facts(stored: ScoredFolder) -> dict[str, Any]:
    run = read_record(stored.run)
    return {
        "versions": json.dumps(run.get("versions")),
        "protocol": json.dumps(run.get("protocol")),
        "protocol_fingerprint": str(run.get("protocol_fingerprint", "")),
    }


def _slide(stored: ScoredFolder, job: Job) -> ExportSlide:
    """Return what exports write of one slide."""
    path = stored.measured(job.slide_id)
    measured = read_measured(path, markers=()) if path.exists() else None
    box = None if measured is None else measured.image_box
    panel = job.protocol.panel
    return ExportSlide(
        meta=job.meta,
        cells=read_cells(stored.cells(job.slide_id)),
        scores=read_score(stored.score(job.slide_id)).rows["slide_scores"][0],
        compartment_of={marker: job.protocol.marker(marker).compartment for marker in panel.markers},
        pixel_size=None if measured is None else measured.pixel_size,
        extent_um=None if box is None else (box[2], box[3]),
        regions=stored.regions(job.slide_id),
        image=job.image,
        channels=tuple(panel.channels),
    )


def _qupath(stored: ScoredFolder, jobs: list[Job], target: Path) -> list[Path]:
    from spatial_til.io.exports.qupath import write_qupath

    paths = [target / f"{job.slide_id}.geojson" for job in jobs]
    for path, job in zip(paths, jobs, strict=True):
        write_qupath(path, _slide(stored, job))
    return paths


def _anndata(stored: ScoredFolder, jobs: list[Job], target: Path) -> list[Path]:
    from spatial_til.io.atomic import writing
    from spatial_til.io.exports.scverse import cells_anndata

    path = target / "cells.h5ad"
    table = cells_anndata([_slide(stored, job) for job in jobs], _facts(stored))
    with writing(path) as part:
        table.write_h5ad(part, compression="gzip")
    return [path]


def _spatialdata(stored: ScoredFolder, jobs: list[Job], target: Path) -> list[Path]:
    from spatial_til.io.exports.spatialdata_zarr import write_spatialdata

    paths = [target / f"{job.slide_id}.zarr" for job in jobs]
    for path, job in zip(paths, jobs, strict=True):
        write_spatialdata(path, _slide(stored, job), _facts(stored), PIXEL_SIZE_UM)
    return paths


def _ome_tiff(stored: ScoredFolder, jobs: list[Job], target: Path) -> list[Path]:
    from spatial_til.io.exports.compartment_labels import write_compartment_labels

    paths = [target / f"{job.slide_id}_compartments.ome.tif" for job in jobs]
    for path, job in zip(paths, jobs, strict=True):
        write_compartment_labels(path, _slide(stored, job), PIXEL_SIZE_UM)
    return paths


FORMATS: dict[str, Callable[[ScoredFolder, list[Job], Path], list[Path]]] = {
    "anndata": _anndata,
    "spatialdata": _spatialdata,
    "qupath": _qupath,
    "ome-tiff": _ome_tiff,
}
