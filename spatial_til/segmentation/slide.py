"""One slide: pixels -> cells, tissue and quality. The only stage that reads pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import Cells, PixelSource
from spatial_til.segmentation.artefacts import shrunk
from spatial_til.segmentation.blank import check_not_blank
from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.cell_pigment import N_SUMS, colour_sums, pigment_of
from spatial_til.segmentation.cells import grow_cells
from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.foreground import FLOOR_PX
from spatial_til.segmentation.gathered import Gathered, Part
from spatial_til.segmentation.guided import grow_guided
from spatial_til.segmentation.measure import column_names, measure_cells
from spatial_til.segmentation.networks import NucleusFinder, scaled_plane, seams
from spatial_til.segmentation.nuclei import Nuclei, find_nuclei, given_nuclei, support_px
from spatial_til.segmentation.overview import Remembered, read_overview
from spatial_til.segmentation.qc import QC, judge
from spatial_til.segmentation.rays import FRACTION
from spatial_til.segmentation.scratch import Scratch, give_back, lent_scratch
from spatial_til.segmentation.settings import MeasureSettings
from spatial_til.segmentation.thresholds import OD_FLOORS
from spatial_til.segmentation.tiles import Tile, tile_grid
from spatial_til.segmentation.tissue import tissue_boxes
from spatial_til.units import PixelSize

#: A slide of so many tiles gives memory back that lies free between what is held, every few tiles, and the tiles'
#: buffers before its cells are joined. To ask for it anew is little beside its work; of a small slide it is a share.
_LARGE_TILES, _TRIM_TILES = 16, 8


class MeasuredSlide(NamedTuple):
    """What the measure stage hands on."""

    cells: Cells
    tissue: MultiPolygon
    qc: QC
    beside: tuple[Any, ...] = ()  # what each work beside the tiles returned


def measure_slide(
    source: PixelSource,
    overview: PixelSource | None = None,
    *,
    settings: MeasureSettings,
    tissue: MultiPolygon | None = None,
    labels: PixelSource | None = None,
    finder: NucleusFinder | None = None,
    threads: int = 1,
    tile_px: int = 2048,
    progress: Callable[[int, int], None] | None = None,
    beside: Sequence[Callable[[Calibration], object]] = (),
    aside: BinaryIO | None = None,
) -> MeasuredSlide:
    """Find every cell of a slide and measure its markers.

    Parameters
    ----------
    source
        The slide at the pixel size to work at.
    overview
        The same field at low resolution; with None it is made from `source`, which reads it twice.
    tissue
        Annotated tissue in µm; with None it is detected.
    labels
        Nuclei given as a label image on the grid of `source` (one integer channel, 0 background).
    finder
        A network that finds nuclei, see `networks.find_nuclei_with`; with None they are found by shape.
    threads, tile_px
        How the work is cut: tiles are squares of this side, each read with a rim around it. The result does not
        depend on them. A network has tiles of its own (see `networks.seams`).
    progress
        Called with tiles done and tiles in all.
    beside
        Each called once with the slide's constants, in one of the threads, when no tile is left to begin.
    aside
        An empty file for the cells of tiles that are done; with None they are kept in memory.

    Raises
    ------
    SlideError
        If the slide has no tissue, or its nuclear plane is noise.
    """
    picture = read_overview(source, overview)
    sampled = Remembered(source)
    constants = calibrate(sampled, overview, settings, tissue, picture)
    if labels is None:
        check_not_blank(sampled, constants)
    if constants.white is not None:
        picture = shrunk(*picture)
    finder, tile = finder if labels is None else None, (tile_px, tile_px)
    reach_um = constants.settings.guided_expansion_um if constants.guided else 0.0
    halo_px = support_px(constants.settings.nucleus, source.pixel_size.mean_um, reach_um)
    if finder is not None:
        tile, halo_px = (seams.TILE_PX, seams.TILE_PX), seams.HALO_PX
    tiles, inside = _tissue_tiles(source, constants, tile, halo_px)

    def trim(*, buffers: bool = False) -> None:
        if len(tiles) >= _LARGE_TILES:
            give_back(buffers=buffers)

    def run(one: Tile, whole: bool) -> Part:
        with lent_scratch() as scratch:
            return _measure_tile(source, labels, finder, constants, one, whole, scratch)

    trim()
    gathered = Gathered(io.BytesIO() if aside is None else aside)
    with _one_thread_filters(), ThreadPoolExecutor(max(threads, 1)) as pool:
        measured = pool.map(run, tiles, inside)
        quality = pool.submit(judge, constants, sampled, picture=picture)  # last: small pieces even out the threads
        others = [pool.submit(work, constants) for work in beside]
        for part in measured:
            gathered.add(part)
            if len(gathered.counts) % _TRIM_TILES == 0:
                trim()
            if progress is not None:
                progress(len(gathered.counts), len(tiles))
        trim(buffers=True)
        order = _order(gathered, source.pixel_size, doubles=finder is not None)
        cells = _assemble(gathered, order, source.pixel_size, settings.markers)
        found = quality.result()
        cells = _with_pigment(cells, _pigment(gathered, order, found), constants)
        done = tuple(other.result() for other in others)
    trim()
    return MeasuredSlide(cells, constants.tissue, found, done)


@contextmanager
def _one_thread_filters() -> Iterator[None]:
    """Keep image filters from starting threads of their own: the tiles already share the cores."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _tissue_tiles(
    source: PixelSource, constants: Calibration, tile_px: tuple[int, int], halo_px: int
) -> tuple[list[Tile], list[bool]]:
    """Return the tiles that hold tissue, and whether each lies in tissue as a whole."""
    px = source.pixel_size
    tiles = tile_grid(source.shape, tile_px=tile_px, halo_px=halo_px, align_px=FLOOR_PX)
    boxes = np.array([(t.col0 * px.x_um, t.row0 * px.y_um, t.col1 * px.x_um, t.row1 * px.y_um) for t in tiles])
    touches, contains = tissue_boxes(constants.tissue, boxes)
    return [t for t, hit in zip(tiles, touches, strict=True) if hit], contains[touches].tolist()


def _measure_tile(
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
    box = (tile.read_row0, tile.read_row1, tile.read_col0, tile.read_col1)
    pixels = source.read(*box)
    nuclear, markers = constants.planes(pixels, scratch)
    membranes = constants.membrane_planes(markers, px.mean_um, scratch)
    guide = constants.guide(membranes)
    if labels is not None:
        found = given_nuclei(labels.read(*box)[:, :, 0])
    elif finder is not None:
        found = given_nuclei(finder(_shown(pixels, nuclear, constants), px.mean_um))
    else:
        contrast = constants.contrast(nuclear, (tile.read_row0, tile.read_col0), px, scratch)
        found = find_nuclei(
            contrast,
            px_um=px.mean_um,
            typical=constants.typical,
            settings=settings.nucleus,
            scratch=scratch,
            shares=settings.shares,
            guide=guide,
        )
    keys = cells_around(found, guide, settings, px, scratch)
    row = tile.read_row0 + found.peak_row + found.row
    col = tile.read_col0 + found.peak_col + found.col
    slack = 0.0 if finder is None else seams.SLACK_UM / px.mean_um
    wanted = (row >= tile.row0 - 0.5 - slack) & (row < tile.row1 - 0.5 + slack)
    wanted &= (col >= tile.col0 - 0.5 - slack) & (col < tile.col1 - 0.5 + slack)
    if finder is not None:
        size_um2 = found.area_px * px.area_um2
        wanted &= (size_um2 >= settings.nucleus.min_area_um2) & (size_um2 <= settings.nucleus.max_area_um2)
    if not whole or slack:
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
    stained = wanted & (rims[:, brown, 1] * constants.membrane_unit[brown] >= OD_FLOORS["robust"][0]).any(axis=1)
    colour = np.zeros((len(row), N_SUMS), dtype=np.int64)
    if constants.density is None:
        stained[:] = False
    elif stained.any():
        colour = colour_sums(keys, centre, stained, pixels, constants.density, px_um=px.mean_um)
    by_column = values[wanted].astype(np.float32).reshape(-1, values.shape[1] * values.shape[2]).T
    kept = (row[wanted], col[wanted], found.area_px[wanted], area[wanted])
    return Part(*kept, by_column, stained[wanted], colour[stained].T)


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


def _order(gathered: Gathered, px: PixelSize, *, doubles: bool) -> NDArray[np.intp]:
    """Return the order of the cells by y, then x; `doubles`: without those that a neighbouring tile has larger."""
    row, col = gathered.column("row"), gathered.column("col")
    order = np.lexsort((col, row))
    if doubles:
        tile = np.repeat(np.arange(len(gathered.counts)), gathered.counts)
        x_um, y_um = (col + 0.5) * px.x_um, (row + 0.5) * px.y_um
        order = order[~seams.claimed_twice(x_um, y_um, gathered.column("nucleus_px"), tile)[order]]
    return order


def _assemble(gathered: Gathered, order: NDArray[np.intp], px: PixelSize, markers: Sequence[str]) -> Cells:
    """Join the tiles' cells in an order."""
    names = [name for marker in markers for name in column_names(marker)]
    return Cells(
        x_um=(gathered.column("col")[order] + 0.5) * px.x_um,
        y_um=(gathered.column("row")[order] + 0.5) * px.y_um,
        nucleus_area_um2=gathered.column("nucleus_px")[order] * px.area_um2,
        cell_area_um2=gathered.column("cell_px")[order] * px.area_um2,
        measurements={name: gathered.column("values", k)[order] for k, name in enumerate(names)},
    )


def _pigment(gathered: Gathered, order: NDArray[np.intp], quality: QC) -> NDArray[np.float32]:
    """Return how far each cell's colour lies off the slide's stains, in an order; NaN where it was not looked at."""
    stained = gathered.column("stained")
    pigment = np.full(len(stained), np.nan, dtype=np.float32)
    colour = np.stack([gathered.column("colour", k) for k in range(N_SUMS)], axis=-1)
    pigment[stained] = pigment_of(colour, quality.stain_normal)
    return pigment[order]


def _with_pigment(cells: Cells, pigment: NDArray[np.float32], constants: Calibration) -> Cells:
    """Return cells with their pigment, for markers that pigment looks like."""
    names = [f"{constants.settings.markers[k]}_membrane_pigment" for k in constants.brown]
    return replace(cells, measurements={**cells.measurements, **dict.fromkeys(names, pigment)})
