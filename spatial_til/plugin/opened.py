"""A slide ready to be looked at: its pictures, its cells, what its tissue was divided into. No window."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from shapely.geometry.base import BaseGeometry

from spatial_til.errors import AnnotationError, SlideError
from spatial_til.io.annotations import check_cells_fit
from spatial_til.io.regions import named_regions
from spatial_til.io.slides import Slide, open_slide
from spatial_til.model import XY, BoolArray
from spatial_til.pipeline.numbers import Scene
from spatial_til.plugin.cell_picture import CellPicture, codes_of
from spatial_til.plugin.colors import population_colors
from spatial_til.plugin.layers import ORIGIN, LayerTuple, Offset, cells_layer, image_layer
from spatial_til.plugin.pictures import SlideView, slide_factors, slide_pictures, stain_pictures
from spatial_til.plugin.region_picture import PARTS, RegionPicture
from spatial_til.plugin.tiles import Loader
from spatial_til.region_colors import Color
from spatial_til.review.session import Session
from spatial_til.units import PixelSize

#: Pixel of the cell picture where cells came as a table, without an image.
_TABLE_PX = PixelSize(0.5, 0.5)
_MARGIN_UM = 50.0


@dataclass(frozen=True, slots=True)
class Opened:
    """Pictures of one slide. `problem` says why there is no image; cells and regions are shown all the same."""

    slide: Slide | None
    px: PixelSize
    views: tuple[SlideView, ...]
    shapes: tuple[tuple[int, int], ...]  # rows and columns of each resolution
    problem: str = ""

    @property
    def size_um(self) -> tuple[float, float]:
        """Width and height of the slide."""
        return self.shapes[0][1] * self.px.x_um, self.shapes[0][0] * self.px.y_um

    def layers(self, offset_um: Offset = ORIGIN) -> list[LayerTuple]:
        """Return the image layers."""
        return [image_layer(view, self.px, offset_um) for view in self.views]


def open_pictures(session: Session, loader: Loader | None) -> Opened:
    """Open the image of a slide under review, with the stains it was measured by."""
    job = session.job
    if job.image is None:
        return _without_image(session, "")
    try:
        slide = open_slide(job.image, pixel_size_um=job.pixel_size_um)
        px = slide.require_pixel_size()
        views = slide_pictures(slide, loader, job.protocol.panel.roles)
        if slide.is_rgb:
            views += _stains(session, slide, loader)
    except (SlideError, OSError) as error:
        return _without_image(session, f"the image cannot be shown: {error}")
    shapes = tuple((level.shape[0], level.shape[1]) for level in views[0].picture.levels)
    return Opened(slide, px, tuple(views), shapes)


def open_file(path: Path, loader: Loader | None) -> Opened:
    """Open a slide that is not scored. Without a pixel size it is shown in pixels, and says so.

    Raises
    ------
    SlideError
        Where the slide cannot be read.
    """
    slide = open_slide(path)
    problem = ""
    if slide.pixel_size is None:
        slide.close()
        slide = open_slide(path, pixel_size_um=1.0)
        problem = "the file does not say how large its pixels are: lengths are pixels, not µm"
    views = slide_pictures(slide, loader)
    shapes = tuple((level.shape[0], level.shape[1]) for level in views[0].picture.levels)
    return Opened(slide, slide.require_pixel_size(), tuple(views), shapes, problem)


def _stains(session: Session, slide: Slide, loader: Loader | None) -> list[SlideView]:
    numbers, stains = session.measured.numbers, session.job.protocol.panel.stains
    vectors, white = numbers.get("vectors"), numbers.get("white")
    if not vectors or not white:
        return []
    names = {
        key: f"{key.capitalize()} ({stains[key].marker})" if key in stains else key.capitalize() for key in vectors
    }
    return stain_pictures(slide, loader, vectors, white, names)


def _without_image(session: Session, problem: str) -> Opened:
    measured = session.measured
    px = measured.pixel_size or _TABLE_PX
    if measured.image_box is not None:
        far = np.asarray(measured.image_box[2:])
    else:
        far = np.max(measured.cells.xy_um, axis=0, initial=1.0) + _MARGIN_UM
    shape = (int(np.ceil(far[1] / px.y_um)), int(np.ceil(far[0] / px.x_um)))
    shapes = tuple((max(shape[0] // f, 1), max(shape[1] // f, 1)) for f in slide_factors(shape))
    return Opened(None, px, (), shapes, problem)


@dataclass(slots=True)
class ShownCells:
    """Cells as they are painted: which populations are switched on, the first on top, and their colours."""

    picture: CellPicture
    px: PixelSize
    members: Mapping[str, BoolArray]
    names: tuple[str, ...]
    colors: dict[str, Color]
    shown: tuple[str, ...]

    def layer(self, offset_um: Offset = ORIGIN) -> LayerTuple:
        """Return the layer of cells."""
        return cells_layer(self.picture, self.shown_colors(), self.px, offset_um)

    def shown_colors(self) -> list[Color]:
        """Return the colours of codes from 1 on."""
        return [self.colors[name] for name in reversed(self.shown)]

    def show(self, shown: Sequence[str]) -> None:
        """Paint the cells of these populations only."""
        self.shown = tuple(name for name in self.names if name in shown)
        self.picture.show(codes_of(self.members, self.shown, self.picture.n_cells))


def population_names(members: Mapping[str, BoolArray], own: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the populations that can be switched on, those on top first: own, several markers, one, tumour, rest.

    What is a population only by where the cell lies (`CD8+tumor`) has the colour of its marker.
    """
    markers = [name for name in members if name.endswith("+")]
    pairs = [name for name in markers if name.count("+") > 1]
    named = [name for name in own if name in members]
    rest = [name for name in ("tumor", "all") if name in members]
    return tuple(dict.fromkeys([*named, *pairs, *markers, *rest]))


def show_cells(
    opened: Opened,
    xy_um: XY,
    members: Mapping[str, BoolArray],
    loader: Loader | None,
    shown: Sequence[str] | None = None,
    own: Sequence[str] = (),
) -> ShownCells:
    """Return cells, painted. Without `shown`, populations of markers are on, tumour cells and the rest off."""
    names = population_names(members, own)
    picture = CellPicture(xy_um, opened.shapes, opened.px, loader)
    cells = ShownCells(picture, opened.px, members, names, population_colors(names), ())
    cells.show([n for n in names if n not in ("tumor", "all")] if shown is None else shown)
    return cells


def show_regions(
    opened: Opened, regions: Mapping[str, BaseGeometry], loader: Loader | None, shown: Collection[str] = PARTS
) -> RegionPicture:
    """Return regions by the names of `io.regions`, painted."""
    return RegionPicture(regions, opened.shapes[0], opened.px, loader, shown=shown)


@dataclass(frozen=True, slots=True)
class Painted:
    """What lies over a slide: its regions and its cells."""

    regions: RegionPicture
    cells: ShownCells

    def switch(self, populations: Sequence[str] | None, parts: Collection[str]) -> None:
        """Switch on what is wanted by now: somebody may have chosen while it was painted."""
        if set(parts) != set(self.regions.shown):
            self.regions.show(parts)
        if populations is not None and set(populations) != set(self.cells.shown):
            self.cells.show(populations)


def paint(
    opened: Opened,
    scene: Scene,
    loader: Loader | None,
    populations: Sequence[str] | None = None,
    parts: Collection[str] = PARTS,
) -> Painted:
    """Return the regions and cells of a scene, painted; for a thread, since a million cells take most of a second.

    Parameters
    ----------
    populations, parts
        What is switched on of cells, None for what is at first, and of regions.
    """
    regions = show_regions(opened, named_regions(scene.compartments), loader, parts)
    own = list(scene.protocol.populations)
    cells = show_cells(opened, scene.measured.cells.xy_um, scene.populations, loader, populations, own)
    return Painted(regions, cells)


def overlay_problem(scene: Scene) -> str:
    """Say so where most cells lie off the tissue: coordinates of another image, or turned or flipped ones."""
    try:
        return check_cells_fit(scene.measured.cells.xy_um, scene.compartments.tissue)
    except AnnotationError as error:  # fatal where slides are scored; here the reader can see what is wrong
        return str(error)
