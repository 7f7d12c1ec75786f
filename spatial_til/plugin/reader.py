"""What napari's own menus call: slides, scored folders and sample slides as layer data tuples."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from spatial_til.errors import SpatialTilError
from spatial_til.io.cells import StoredCells, read_cells
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.regions import read_regions
from spatial_til.metrics.populations import TUMOR, select_populations, standard_populations
from spatial_til.model import BoolArray
from spatial_til.plugin.desk import slides_of
from spatial_til.plugin.layers import ORIGIN, LayerTuple, Offset, regions_layer
from spatial_til.plugin.opened import Opened, open_file, open_pictures, show_cells, show_regions
from spatial_til.plugin.tiles import Loader
from spatial_til.review.session import open_session

Read: TypeAlias = Callable[[str | Sequence[str]], list[LayerTuple]]
#: Key of a layer's metadata that says which folder and slide it shows.
METADATA = "spatial_til"
_GAP_SHARE = 0.08
_SAMPLE_PATIENT = "P01"


def get_reader(path: str | Sequence[str]) -> Read | None:
    """Return what reads this path; None where it is neither a scored folder nor a slide of ours."""
    if not isinstance(path, str):
        return None
    place = Path(path)
    if place.is_dir() and (place / "run.json").exists():
        return _read_folder
    if place.is_dir() and place.suffix != ".zarr":
        return None
    return _read_slide


def _read_slide(path: str | Sequence[str]) -> list[LayerTuple]:
    opened = open_file(Path(str(path)), live_loader())
    _warn(opened)
    return opened.layers()


def _read_folder(path: str | Sequence[str]) -> list[LayerTuple]:
    root = Path(str(path))
    slides = slides_of(root)
    if not slides:
        msg = f"{root}: no slide of it was measured: run score again"
        raise SpatialTilError(msg)
    return stored_layers(root, slides[0].slide_id)


def stored_layers(root: Path, slide_id: str, offset_um: Offset = ORIGIN) -> list[LayerTuple]:
    """Return one slide of a scored folder as it was scored: nobody's corrections."""
    folder, loader = ScoredFolder(root), live_loader()
    session = open_session(root, slide_id)
    opened = open_pictures(session, loader)
    _warn(opened)
    layers = opened.layers(offset_um)
    if folder.regions(slide_id).exists():
        regions = read_regions(folder.regions(slide_id), pixel_size=session.measured.pixel_size or opened.px)
        layers.append(regions_layer(show_regions(opened, regions, loader), offset_um=offset_um))
    if folder.cells(slide_id).exists():
        stored = read_cells(folder.cells(slide_id))
        shown = show_cells(opened, stored.cells.xy_um, stored_populations(stored), loader)
        layers.append(shown.layer(offset_um))
    for _, settings, _ in layers:
        settings["metadata"] = {METADATA: {"folder": str(root), "slide_id": slide_id}}
    return layers


def stored_populations(stored: StoredCells) -> dict[str, BoolArray]:
    """Return the members of the standard populations of stored cells."""
    markers = [*stored.positive, *([TUMOR] if stored.tumor_cell is not None else [])]
    return select_populations(
        standard_populations(markers), stored.positive, n_cells=len(stored.cells), tumor_cell=stored.tumor_cell
    )


def sample_slides() -> list[LayerTuple]:
    """Return the sample slides of one patient, side by side at one scale, in order of time."""
    from spatial_til.batch import sample_study

    layers: list[LayerTuple] = []
    left = 0.0
    for job in sample_study().jobs:
        if job.meta.patient_id == _SAMPLE_PATIENT and job.image is not None:
            opened = open_file(job.image, live_loader())
            for data, settings, kind in opened.layers((left, 0.0)):
                layers.append((data, settings | {"name": job.meta.timepoint.replace("_", " ")}, kind))
            left += opened.size_um[0] * (1 + _GAP_SHARE)
    return layers


def live_loader() -> Loader | None:
    """Return who fetches tiles in the background; None where no window is there to be drawn again."""
    if "napari" not in sys.modules:
        return None
    from spatial_til.plugin.widgets.refreshing import shared_loader

    return shared_loader()


def _warn(opened: Opened) -> None:
    if opened.problem:
        import warnings

        warnings.warn(opened.problem, stacklevel=2)
