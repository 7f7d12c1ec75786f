"""One slide: pixels -> cells, tissue and quality. The only stage that reads pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from spatial_til.model import Cells, ExpectingSource, PixelSource
from spatial_til.segmentation.artefacts import shrunk
from spatial_til.segmentation.blank import check_not_blank
from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.cell_pigment import N_SUMS
from spatial_til.segmentation.coarser import for_cells
from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.crosstalk import without_crosstalk
from spatial_til.segmentation.foreground import FLOOR_PX
from spatial_til.segmentation.gathered import Gathered, Part
from spatial_til.segmentation.laden import has_rim, likeness, many_laden, pigment_of
from spatial_til.segmentation.measure import column_names
from spatial_til.segmentation.networks import NucleusFinder, seams
from spatial_til.segmentation.nuclei import support_px
from spatial_til.segmentation.overview import Remembered, read_overview
from spatial_til.segmentation.qc import QC, judge
from spatial_til.segmentation.scratch import give_back, lent_scratch
from spatial_til.segmentation.settings import MeasureSettings
from spatial_til.segmentation.tile_cells import measure_tile
from spatial_til.segmentation.tiles import Tile, even_sides, tile_grid
from spatial_til.segmentation.tissue import tissue_boxes
from spatial_til.units import PixelSize

#: A slide of so many tiles gives memory back that lies free between what is held, every few tiles, and the tiles'
#: buffers before its cells are joined. To ask for it anew is little beside its work; of a small slide it is a share.
_LARGE_TILES, _TRIM_TILES = 16, 8
#: Most pixels of a side of a tile, and of one of a large slide, which keeps more beside its tiles: of larger ones fewer
#: pixels are read twice, but more memory is taken.
_TILE_PX, _LARGE_SLIDE_TILE_PX = 1856, 1500
#: Flag of a slide with melanin, which its cells raise, too.
_MELANIN = "melanin_suspected"
#: What a pixel of a tile may take in buffers, and what each marker adds; most is never written to.
_BYTES_A_PIXEL, _BYTES_A_MARKER = 26, 8


class MeasuredSlide(NamedTuple):
    """What the measure stage hands on."""

    cells: Cells
    tissue: MultiPolygon
    qc: QC
    pixel_size: PixelSize  # of the grid that cells were found on
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
    tile_px: int | None = None,
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
        How the work is cut: tiles are squares of this side, each read with a rim around it; with None as large as
        memory allows, and two a thread or more. The result does not depend on them. A network has tiles of its own
        (see `networks.seams`).
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
    as_read = source
    if labels is None and finder is None:
        source = for_cells(source, settings)
    sampled = Remembered(source)
    constants = calibrate(sampled, overview, settings, tissue, picture)
    if labels is None:
        check_not_blank(sampled, constants)
    if constants.white is not None:
        picture = shrunk(*picture)
    finder = finder if labels is None else None
    tiles, inside, room = _plan(source, constants, finder, tile_px, threads)
    if isinstance(source, ExpectingSource):
        source.expect([tile.read_box for tile in tiles])
    trim = give_back if len(tiles) >= _LARGE_TILES else _keep

    def run(one: Tile, whole: bool) -> Part:
        with lent_scratch(room) as scratch:
            return measure_tile(source, labels, finder, constants, one, whole, scratch)

    trim()
    gathered = Gathered(io.BytesIO() if aside is None else aside)
    with _one_thread_filters(), ThreadPoolExecutor(max(threads, 1)) as pool:
        measured = pool.map(run, tiles, inside)
        seen = sampled if source is as_read else as_read
        quality = pool.submit(judge, constants, seen, picture=picture)  # last: small pieces even out the threads
        others = [pool.submit(work, constants) for work in beside]
        for done, part in enumerate(measured, 1):
            gathered.add(part)
            if done % _TRIM_TILES == 0:
                trim()
            if progress is not None:
                progress(done, len(tiles))
        trim(buffers=True)
        order = _order(gathered, source.pixel_size, doubles=finder is not None)
        cells = _assemble(gathered, order, source.pixel_size, settings.markers)
        cells, found = _with_pigment(cells, gathered, order, constants, quality.result())
        if constants.white is not None:
            cells, shares = without_crosstalk(cells, settings.membrane_markers)
            found = replace(found, crosstalk=shares)
        works = tuple(other.result() for other in others)
    trim()
    return MeasuredSlide(cells, constants.tissue, found, source.pixel_size, works)


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


def _keep(*, buffers: bool = False) -> None:
    """Give no memory back."""


def _plan(
    source: PixelSource, constants: Calibration, finder: NucleusFinder | None, tile_px: int | None, threads: int
) -> tuple[list[Tile], list[bool], int]:
    """Return the tiles that hold tissue, whether each lies in tissue as a whole, and the bytes that one may take."""
    sides, halo_px = _sides_and_halo(source, constants, finder, tile_px, threads)
    room_px = prod(side + 2 * (halo_px + FLOOR_PX) for side in sides)
    bytes_a_pixel = _BYTES_A_PIXEL + _BYTES_A_MARKER * len(constants.settings.markers)
    return *_tissue_tiles(source, constants, sides, halo_px), room_px * bytes_a_pixel


def _sides_and_halo(
    source: PixelSource, constants: Calibration, finder: NucleusFinder | None, tile_px: int | None, threads: int
) -> tuple[tuple[int, int], int]:
    """Return rows and columns of the tiles, and how many pixels around them are read."""
    if finder is not None:
        return (seams.TILE_PX, seams.TILE_PX), seams.HALO_PX
    reach_um = constants.settings.guided_expansion_um if constants.guided else 0.0
    halo_px = support_px(constants.settings.nucleus, source.pixel_size.mean_um, reach_um)
    if tile_px is not None:
        return (tile_px, tile_px), halo_px
    large = prod(source.shape) > _LARGE_TILES * _TILE_PX**2
    most_px, least_tiles = _LARGE_SLIDE_TILE_PX if large else _TILE_PX, 2 * threads if threads > 1 else 1
    return even_sides(source.shape, most_px=most_px, least_tiles=least_tiles), halo_px


def _tissue_tiles(
    source: PixelSource, constants: Calibration, tile_px: tuple[int, int], halo_px: int
) -> tuple[list[Tile], list[bool]]:
    """Return the tiles that hold tissue, and whether each lies in tissue as a whole."""
    px = source.pixel_size
    tiles = tile_grid(source.shape, tile_px=tile_px, halo_px=halo_px, align_px=FLOOR_PX)
    boxes = np.array([(t.col0 * px.x_um, t.row0 * px.y_um, t.col1 * px.x_um, t.row1 * px.y_um) for t in tiles])
    touches, contains = tissue_boxes(constants.tissue, boxes)
    return [t for t, hit in zip(tiles, touches, strict=True) if hit], contains[touches].tolist()


def _order(gathered: Gathered, px: PixelSize, *, doubles: bool) -> NDArray[np.intp]:
    """Return the order of the cells by y, then x; `doubles`: without those that a neighbouring tile has larger."""
    row, col = gathered.column("row"), gathered.column("col")
    order = np.argsort(row + 1j * col, kind="stable")  # a tenth of what two keys take: runs that are sorted stay
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


def _with_pigment(
    cells: Cells, gathered: Gathered, order: NDArray[np.intp], constants: Calibration, quality: QC
) -> tuple[Cells, QC]:
    """Return cells with their pigment, for markers that pigment looks like, and quality flagged where many have it."""
    columns, tissue_mm2 = dict(cells.measurements), constants.tissue.area * 1e-6
    brown = [constants.settings.markers[k] for k in constants.brown]
    if not brown:
        return cells, quality
    stained, normal = gathered.column("stained"), quality.stain_normal
    colour = np.stack([gathered.column("colour", k) for k in range(N_SUMS)], axis=-1)
    ridges = [list(columns).index(f"{marker}_membrane_ridge") for marker in brown]
    rim = np.logical_or.reduce([has_rim(gathered.column("values", k)) for k in ridges])[stained]
    together = likeness(colour, normal, rim, tissue_mm2)

    def of_cells(usual: NDArray[np.bool_] | None) -> NDArray[np.float32]:
        pigment = np.full(len(stained), np.nan, dtype=np.float32)
        pigment[stained] = pigment_of(colour, normal, usual, together=together)
        return pigment[order]

    pigment = of_cells(np.ones(len(rim), dtype=np.bool_))
    if together is not None or any(
        many_laden(pigment, columns[f"{marker}_membrane_ridge"], tissue_mm2) for marker in brown
    ):
        quality = quality.with_flag(_MELANIN)
    pigment = of_cells(rim if _MELANIN in quality.flags else None)
    columns |= {f"{marker}_membrane_pigment": pigment for marker in brown}
    return replace(cells, measurements=columns), quality
