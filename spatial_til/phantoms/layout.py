"""Where cells lie and what they are: the exact truth of a synthetic slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from spatial_til.phantoms import fields, hardcore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry import MultiPolygon
    from shapely.geometry.base import BaseGeometry

    from spatial_til.model import XY, BoolArray, FloatArray

#: Kinds of cell, in the order of their codes.
KINDS = ("tumor", "lymphocyte", "fibroblast", "histiocyte", "melanophage")
#: Directions at which the outline of a nucleus is stored.
ANGLES = 64
#: Zones that densities are stated for: by signed distance to the tumour border, then tissue far from it.
ZONES = ("core", "inner", "outer", "outside")
_GRID_UM = 4.0


@dataclass(frozen=True, slots=True)
class SceneCells:
    """Cells of a scene. `radii_um` holds the nucleus' radius at ANGLES directions from its centre."""

    x_um: FloatArray
    y_um: FloatArray
    kind: NDArray[np.int8]
    cd8: BoolArray
    pdl1: BoolArray
    radii_um: NDArray[np.float32]
    expansion_um: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.x_um)

    @property
    def outlines_um(self) -> FloatArray:
        """Nucleus outlines, (n, ANGLES, 2) in µm."""
        theta = np.arange(ANGLES) * (2 * np.pi / ANGLES)
        xy = np.stack((np.cos(theta), np.sin(theta)), axis=-1)
        centres = np.stack((self.x_um, self.y_um), axis=-1)[:, None, :]
        outlines: FloatArray = centres + self.radii_um[:, :, None] * xy
        return outlines

    @property
    def centroids_um(self) -> XY:
        """Centroids of the nuclei, (n, 2) in µm: what a segmentation is compared with."""
        return shapely.get_coordinates(shapely.centroid(shapely.polygons(self.outlines_um)))

    @property
    def nucleus_area_um2(self) -> FloatArray:
        """Areas of the nuclei in µm²."""
        return np.asarray(shapely.area(shapely.polygons(self.outlines_um)))

    def kinds(self) -> NDArray[np.str_]:
        """Return the kind of each cell by name."""
        return np.array(KINDS)[self.kind]

    def take(self, index: NDArray[np.intp] | BoolArray) -> SceneCells:
        """Return some of the cells."""
        return SceneCells(*(getattr(self, name)[index] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Scene:
    """A piece of slide: its cells, tissue and tumour, in µm from the top-left corner."""

    width_um: float
    height_um: float
    tissue: MultiPolygon
    tumor: MultiPolygon
    cells: SceneCells
    seed: int


@dataclass(frozen=True, slots=True)
class Population:
    """One population of cells: densities per mm² in each of ZONES, sizes in µm, shares of positives."""

    kind: str
    per_mm2: tuple[float, float, float, float]
    radius_um: float
    radius_cv: float = 0.12
    aspect: float = 1.15
    irregular: float = 0.04
    expansion_um: tuple[float, float] = (1.0, 1.8)
    cd8: bool = False
    pdl1: float = 0.0
    cluster: float = 0.0  # 0: even; 1: strongly clustered


@dataclass(frozen=True, slots=True)
class Crowding:
    """How close nuclei may lie: the smallest centre distance as a share of the sum of their radii."""

    usual: float = 1.0
    tight: float = 0.72
    tight_share: float = 0.15


def populate(
    width_um: float,
    height_um: float,
    tissue: MultiPolygon,
    tumor: MultiPolygon,
    populations: Sequence[Population],
    *,
    seed: int,
    border: BaseGeometry | None = None,
    width_of_bands_um: float = 250.0,
    crowding: Crowding | None = None,
    pdl1_near_cd8: float = 0.0,
    near_um: float = 20.0,
) -> Scene:
    """Return a scene whose cells follow a hard-core process with stated densities.

    Cells are laid population by population. Each candidate is uniform in its zone (thinned by a smooth
    field where `cluster` is set) and kept if it is far enough from every cell before it, so that the
    number in each zone is the stated density times the zone's area, as long as there is room.

    Parameters
    ----------
    width_um, height_um
        Size of the slide.
    tissue, tumor
        Regions in µm.
    populations
        What to lay, in order of precedence.
    seed
        Seed of everything random.
    border
        The part of the tumour's boundary that the bands follow; all of it by default.
    width_of_bands_um
        Width of the inner and outer bands that ZONES speak of.
    crowding
        How close nuclei may lie.
    pdl1_near_cd8, near_um
        Share of tumour cells within `near_um` of a CD8+ cell that are PD-L1+ (adaptive expression).
    """
    rng = np.random.default_rng([seed, 1])
    ground = _Ground(width_um, height_um, tissue, tumor, width_of_bands_um, border)
    crowding = crowding or Crowding()
    grid = hardcore.empty_grid(width_um, height_um)
    parts = [_lay(rng, ground, p, grid, crowding, seed + i) for i, p in enumerate(populations)]
    cells = SceneCells(*(np.concatenate([getattr(c, n) for c in parts]) for n in SceneCells.__slots__))
    if pdl1_near_cd8 > 0:
        cells = _induce(rng, cells, pdl1_near_cd8, near_um)
    order = np.lexsort((cells.x_um, cells.y_um))
    return Scene(width_um, height_um, tissue, tumor, cells.take(order), seed)


class _Ground:
    """Signed distances to the tumour, and the zone, on a coarse grid."""

    def __init__(
        self,
        width_um: float,
        height_um: float,
        tissue: MultiPolygon,
        tumor: MultiPolygon,
        band_um: float,
        border: BaseGeometry | None,
    ) -> None:
        x = np.arange(_GRID_UM / 2, width_um, _GRID_UM)
        y = np.arange(_GRID_UM / 2, height_um, _GRID_UM)
        xy = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        shape = (len(y), len(x))
        depth = fields.signed_distance(xy, tumor)
        if border is not None:
            depth = np.copysign(fields.distance_to_lines(xy, border), depth)
        self.depth = depth.reshape(shape)
        in_tissue = (fields.signed_distance(xy, tissue) < -5.0).reshape(shape)
        zone = np.digitize(self.depth, (-band_um, 0.0, band_um)).astype(np.int8)
        self.zone = np.where(in_tissue, zone, np.int8(-1))
        dy, dx = np.gradient(np.clip(self.depth, -1e5, 1e5))
        self.tangent = np.arctan2(dy, dx) + np.pi / 2

    def cells_of(self, zone: int) -> NDArray[np.intp]:
        return np.flatnonzero(self.zone == zone)

    def at(self, x: FloatArray, y: FloatArray) -> NDArray[np.intp]:
        col = np.minimum((x / _GRID_UM).astype(np.intp), self.zone.shape[1] - 1)
        row = np.minimum((y / _GRID_UM).astype(np.intp), self.zone.shape[0] - 1)
        flat: NDArray[np.intp] = row * self.zone.shape[1] + col
        return flat


def _lay(
    rng: np.random.Generator,
    ground: _Ground,
    population: Population,
    grid: hardcore.Grid,
    crowding: Crowding,
    seed: int,
) -> SceneCells:
    laid = [
        _lay_zone(rng, ground, population, zone, grid, crowding, seed)
        for zone in range(len(ZONES))
        if population.per_mm2[zone] > 0
    ]
    xyar = np.concatenate(laid) if laid else np.empty((0, 4))
    n = len(xyar)
    low, high = population.expansion_um
    return SceneCells(
        x_um=xyar[:, 0],
        y_um=xyar[:, 1],
        kind=np.full(n, KINDS.index(population.kind), np.int8),
        cd8=np.full(n, population.cd8),
        pdl1=rng.random(n) < population.pdl1,
        radii_um=outlines(rng, xyar[:, 3], population.aspect, xyar[:, 2], population.irregular),
        expansion_um=rng.uniform(low, high, n).astype(np.float32),
    )


def _lay_zone(
    rng: np.random.Generator,
    ground: _Ground,
    population: Population,
    zone: int,
    grid: hardcore.Grid,
    crowding: Crowding,
    seed: int,
) -> FloatArray:
    """Return (n, 4): x, y, angle of the long axis, mean radius."""
    squares = ground.cells_of(zone)
    quota = round(population.per_mm2[zone] * len(squares) * _GRID_UM**2 / 1e6)
    if not quota:
        return np.empty((0, 4))
    tries = rng.choice(squares, quota * 40)
    row, col = np.divmod(tries, ground.zone.shape[1])
    x = (col + rng.random(len(tries))) * _GRID_UM
    y = (row + rng.random(len(tries))) * _GRID_UM
    if population.cluster > 0:
        field = fields.smooth_field(fields.noise_texture(seed, 1.0, 4.0), x, y, 60.0)
        keep = rng.random(len(x)) < np.exp(population.cluster * (field - 2.0))
        x, y, tries = x[keep], y[keep], tries[keep]
    radius = population.radius_um * np.exp(population.radius_cv * rng.standard_normal(len(x)))
    along = ground.tangent.ravel()[tries] + 0.25 * rng.standard_normal(len(x))
    angle = along if population.aspect > 1.6 else rng.uniform(0, np.pi, len(x))
    share = np.where(rng.random(len(x)) < crowding.tight_share, crowding.tight, crowding.usual)
    kept = hardcore.thin(x, y, radius, angle, population.aspect, share, quota, grid)
    return np.column_stack((x, y, angle, radius))[kept]


def outlines(
    rng: np.random.Generator, radius_um: FloatArray, aspect: float, angle: FloatArray, irregular: float
) -> NDArray[np.float32]:
    """Return radii of wavy ellipses with the area of circles of `radius_um`, (n, ANGLES)."""
    n = len(radius_um)
    theta = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    stretch = np.maximum(1.0, aspect * np.exp(0.12 * rng.standard_normal(n)))
    a = radius_um * np.sqrt(stretch)
    b = radius_um / np.sqrt(stretch)
    t = theta[None, :] - angle[:, None]
    r = (a * b)[:, None] / np.hypot(b[:, None] * np.cos(t), a[:, None] * np.sin(t))
    for k in range(2, 6):
        wave = rng.standard_normal((n, 1)) * irregular / (k - 1)
        r *= 1 + wave * np.cos(k * theta[None, :] + rng.uniform(0, 2 * np.pi, (n, 1)))
    return r.astype(np.float32)


def _induce(rng: np.random.Generator, cells: SceneCells, share: float, near_um: float) -> SceneCells:
    """Return the cells with PD-L1 on a share of the tumour cells near CD8+ cells."""
    from scipy.spatial import cKDTree

    xy = np.column_stack((cells.x_um, cells.y_um))
    draw = rng.random(len(cells)) < share
    if not cells.cd8.any():
        return cells
    distance, _ = cKDTree(xy[cells.cd8]).query(xy)
    pdl1 = cells.pdl1 | ((cells.kind == KINDS.index("tumor")) & (distance <= near_um) & draw)
    fields_of = {name: getattr(cells, name) for name in SceneCells.__slots__}
    return SceneCells(**{**fields_of, "pdl1": pdl1})
