"""The frozen types that flow between the rooms. They hold data and say what it means; they do nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import GeometryCollection, MultiLineString, MultiPolygon

from spatial_til.units import PixelSize

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
XY: TypeAlias = NDArray[np.float64]  # (n, 2): x, y in µm

#: Disjoint compartments, in the order of their codes in `Placement.compartment`.
COMPARTMENTS = ("core", "inner_margin", "outer_margin", "outside", "tumor_unresolved")
#: Code of a cell that lies in no compartment: in an exclusion, or off the tissue.
EXCLUDED = -1
#: Sums of compartments, reported beside them.
AGGREGATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "margin": ("inner_margin", "outer_margin"),
        "tumor": ("core", "inner_margin", "tumor_unresolved"),
        "tissue": COMPARTMENTS,
    }
)
#: Types of tumour boundary, first match first; `stroma` is the evaluable border.
BORDER_TYPES = ("image_edge", "tissue_edge", "exclusion", "no_margin", "stroma")

_EMPTY_MAP: Mapping[str, Any] = MappingProxyType({})


class PixelSource(Protocol):
    """A grid of pixels at one size that can be read piece by piece.

    Brightfield sources have the channels ("red", "green", "blue") in uint8.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""

    @property
    def pixel_size(self) -> PixelSize:
        """Size of one pixel of the grid, in µm."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in the order of the last axis of `read`."""

    def read(self, row0: int, row1: int, col0: int, col1: int) -> NDArray[Any]:
        """Return (rows, cols, channels); the box must lie inside the grid."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one slide, ordered by y, then x.

    Positions are centroids of nuclei in µm. `measurements` maps names such as ``CD8_membrane_mean``
    to (n,) arrays; NaN where a compartment of a cell is empty. `calls` holds positivity that came with
    a cell table, by marker; `tumor_cell` the same for tumour cells; `category` a vendor's tissue label.
    """

    x_um: FloatArray
    y_um: FloatArray
    nucleus_area_um2: FloatArray
    cell_area_um2: FloatArray
    measurements: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=lambda: _EMPTY_MAP)
    calls: Mapping[str, BoolArray] = field(default_factory=lambda: _EMPTY_MAP)
    category: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.x_um)

    @property
    def xy_um(self) -> XY:
        """Positions as (n, 2) x, y in µm."""
        return np.column_stack((self.x_um, self.y_um))


@dataclass(frozen=True, slots=True)
class Annotations:
    """Regions drawn on one slide, in µm; None where the class was not drawn."""

    tumor: MultiPolygon | None = None
    tissue: MultiPolygon | None = None
    exclude: MultiPolygon | None = None
    no_margin: MultiPolygon | None = None
    ignored_classes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()  # one sentence for each ring that was made valid, with its area change


@dataclass(frozen=True, slots=True)
class Border:
    """The boundary of the tumour, by type, in µm."""

    by_type: Mapping[str, MultiLineString]
    thin_rim: MultiLineString

    @property
    def evaluable(self) -> MultiLineString:
        """The stretches that face stroma: the invasive border."""
        return self.by_type["stroma"]


@dataclass(frozen=True, slots=True)
class Compartments:
    """Tissue of one slide, divided. Geometries in µm; `COMPARTMENTS` and `excluded` are disjoint."""

    regions: Mapping[str, MultiPolygon]  # keys: COMPARTMENTS
    excluded: MultiPolygon
    tissue: MultiPolygon  # before exclusions
    tumor: MultiPolygon  # evaluable tumour: core + inner + unresolved
    border: Border
    pieces: tuple[MultiPolygon, ...]  # evaluable tissue of each connected component of tissue
    inner_um: float
    outer_um: float
    hole_area_mm2: float
    core_censored_fraction: float
    closure_error: float  # |sum of parts - tissue| / tissue
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each cell lies: compartment code (index into COMPARTMENTS or EXCLUDED) and signed distance."""

    compartment: NDArray[np.int8]
    border_distance_um: FloatArray  # <= 0 in the tumour; NaN without evaluable border in the piece


@dataclass(frozen=True, slots=True)
class Threshold:
    """One cut-off for one marker of one staining batch."""

    batch: str
    marker: str
    threshold: float | None  # None: no second population, so no cell is positive
    method: str
    separation: float | None
    n_cells: int
    n_positive: int
    evaluable: bool
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A count over an area, with what is needed for its interval and for pooling.

    `sigma_ln` is the standard error of the natural logarithm of the density from spatial tiles;
    None where there are too few tiles. `dof` = tiles - 1.
    """

    n_cells: int
    area_mm2: float
    sigma_ln: float | None
    dof: int
    density_per_mm2: float | None  # None where the area is 0
    ci_low: float | None
    ci_high: float | None
    flags: tuple[str, ...] = ()


EMPTY_POLYGON = MultiPolygon()
EMPTY_LINE = MultiLineString()
EMPTY = GeometryCollection()
