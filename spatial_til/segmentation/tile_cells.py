"""One tile of a slide: pixels -> the cells it owns."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from spatial_til.model import BoolArray, FloatArray, PixelSource
from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.cell_pigment import N_SUMS, colour_sums
from spatial_til.segmentation.cells import grow_cells
from spatial_til.segmentation.gathered import Part
from spatial_til.segmentation.guided import grow_guided
from spatial_til.segmentation.measure import measure_cells
from spatial_til.segmentation.networks import NucleusFinder, scaled_plane, seams
from spatial_til.segmentation.nuclei import Nuclei, find_nuclei, given_nuclei
from spatial_til.segmentation.rays import FRACTION
from spatial_til.segmentation.ringed import part_ringed
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import MeasureSettings
from spatial_til.segmentation.tiles import Tile
from spatial_til.units import PixelSize

#: How far stain falls outside a membrane that is a nucleus's only trace; project default.
_RING_OD = 0.08
#: Least ridge of brown that is looked at for pigment: less is a trace, alike in red and blue; project default.
_LOOKED_AT_OD = 0.022


def measure_tile(
    source: PixelSource,
    labels: PixelSource | None,
    finder: NucleusFinder | None,
    constants: Calibration,
    tile: Tile,
    whole: bool,
    scratch: Scratch,
) -> Part:
    """Return the cells whose centre the tile owns and tissue holds."""
    settings, px = constants.settings, source.pixel_size
    pixels = source.read(*tile.read_box)
    nuclear, markers = constants.planes(pixels, scratch)
    guide = constants.guide(markers, px.mean_um, scratch)
    if labels is not None:
        found = given_nuclei(labels.read(*tile.read_box)[:, :, 0])
    elif finder is not None:
        found = given_nuclei(finder(_shown(pixels, nuclear, constants), px.mean_um))
    else:
        found = _nuclei_in(nuclear, guide, constants, (tile.read_row0, tile.read_col0), px, scratch)
    membranes = constants.membrane_planes(markers, px.mean_um, scratch)
    if labels is None and finder is None:
        found = with_ringed(found, membranes, constants, px)
    keys = cells_around(found, guide, settings, px, scratch)
    row, col = tile.read_row0 + found.peak_row + found.row, tile.read_col0 + found.peak_col + found.col
    wanted = _owned(row, col, tile, 0.0 if finder is None else seams.SLACK_UM / px.mean_um)
    if finder is not None:
        size_um2 = found.area_px * px.area_um2
        wanted &= (size_um2 >= settings.nucleus.min_area_um2) & (size_um2 <= settings.nucleus.max_area_um2)
    if not whole or finder is not None:
        wanted &= shapely.contains_xy(constants.tissue, (col + 0.5) * px.x_um, (row + 0.5) * px.y_um)
    centre = _centre_px(found)
    levels, rims, area = measure_cells(
        keys,
        centre,
        wanted,
        markers,
        membranes,
        px_um=px.mean_um,
        membrane_um=settings.membrane_um,
        scratch=scratch,
        leak=constants.leak,
    )
    values = np.concatenate((levels * constants.marker_unit, rims * constants.membrane_unit[:, None]), axis=2)
    brown = constants.brown
    stained = wanted & (rims[:, brown, 1] * constants.membrane_unit[brown] >= _LOOKED_AT_OD).any(axis=1)
    colour = np.zeros((len(row), N_SUMS), dtype=np.int64)
    if constants.density is None:
        stained[:] = False
    elif stained.any():
        colour = colour_sums(keys, centre, stained, pixels, constants.density, px_um=px.mean_um)
    by_column = values[wanted].astype(np.float32).reshape(-1, values.shape[1] * values.shape[2]).T
    kept = (row[wanted], col[wanted], found.area_px[wanted], area[wanted])
    return Part(*kept, by_column, stained[wanted], colour[stained].T)


def _owned(row: FloatArray, col: FloatArray, tile: Tile, slack_px: float) -> BoolArray:
    """Return which centres lie in the box that a tile owns, or within some pixels of it."""
    down = (row >= tile.row0 - 0.5 - slack_px) & (row < tile.row1 - 0.5 + slack_px)
    across = (col >= tile.col0 - 0.5 - slack_px) & (col < tile.col1 - 0.5 + slack_px)
    return np.asarray(down & across)


def _nuclei_in(
    nuclear: NDArray[Any],
    guide: NDArray[np.int16] | None,
    constants: Calibration,
    corner: tuple[int, int],
    px: PixelSize,
    scratch: Scratch,
) -> Nuclei:
    """Return the nuclei of a box that starts at `corner`; of what it takes to find them only their labels stay."""
    scratch.array("labels", nuclear.shape, np.int32)
    with scratch.aside():
        return find_nuclei(
            constants.contrast(nuclear, corner, px, scratch),
            px_um=px.mean_um,
            typical=constants.typical,
            settings=constants.settings.nucleus,
            scratch=scratch,
            shares=constants.settings.shares,
            guide=guide,
        )


def with_ringed(found: Nuclei, membranes: NDArray[np.int16], constants: Calibration, px: PixelSize) -> Nuclei:
    """Return nuclei and those told by their membranes, see `ringed`; in fluorescence none."""
    settings = constants.settings
    if constants.table is None:
        return found
    others = {*settings.nuclear_markers, *settings.cytoplasm_markers}  # stain that fills has no rim of its own
    outside = [k for k, marker in enumerate(settings.markers) if marker not in others]
    return part_ringed(
        found,
        [membranes[k] for k in outside],
        px_um=px.mean_um,
        least=round(_RING_OD / float(constants.membrane_unit[0])),
        large_nucleus_um2=settings.large_nucleus_um2,
        settings=settings.nucleus,
    )


def cells_around(
    found: Nuclei, guide: NDArray[np.int16] | None, settings: MeasureSettings, px: PixelSize, scratch: Scratch
) -> NDArray[np.uint32]:
    """Return the keys of cells grown from nuclei, see `cells.grow_cells`: along the guide where there is one."""
    if guide is not None:
        return grow_guided(
            found.labels,
            guide,
            px_um=px.mean_um,
            cell_expansion_um=settings.cell_expansion_um,
            guided_expansion_um=settings.guided_expansion_um,
            scratch=scratch,
        )
    return grow_cells(
        found.labels,
        found.area_px * px.area_um2,
        px_um=px.mean_um,
        cell_expansion_um=settings.cell_expansion_um,
        large_nucleus_um2=settings.large_nucleus_um2,
        large_expansion_um=settings.large_expansion_um,
        scratch=scratch,
    )


def _shown(pixels: NDArray[Any], nuclear: NDArray[Any], constants: Calibration) -> NDArray[Any]:
    """Return what a network is shown: the picture in brightfield, the scaled nuclear plane in fluorescence."""
    return pixels if constants.table is not None else scaled_plane(nuclear, constants.typical)


def _centre_px(found: Nuclei) -> NDArray[np.int64]:
    """Return nuclear centroids from the array's corner in fractions of a pixel, exact relative to the peak."""
    row = found.peak_row * FRACTION + np.round((found.row + 0.5) * FRACTION)
    col = found.peak_col * FRACTION + np.round((found.col + 0.5) * FRACTION)
    return np.column_stack((row, col)).astype(np.int64)
