"""The frozen types that flow between the rooms. They hold data and say what it means; they do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import GeometryCollection, MultiLineString, MultiPolygon

from spatial_til.units import PixelSize

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
XY: TypeAlias = NDArray[np.float64]  # (n, 2): x, y in µm
Box: TypeAlias = tuple[int, int, int, int]  # row0, row1, col0, col1 in pixels

#: Disjoint compartments, in the order of their codes in `Placement.compartment`.
COMPARTMENTS = ("core", "inner_margin", "outer_margin", "outside", "tumor_unresolved")
#: Code of a cell that lies in no compartment: in an exclusion, or off the tissue.
EXCLUDED = -1
#: The compartment of cells of a slide whose regions are not known.
UNPLACED = -2
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


@runtime_checkable
class ExpectingSource(Protocol):
    """A source that reads with less work when it knows what it will be asked for."""

    def expect(self, boxes: Sequence[Box]) -> None:
        """Say which boxes will be read from now on, and in which order; others may be read as well."""


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
    measurements: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    calls: Mapping[str, BoolArray] = field(default_factory=dict)
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
    hole_tissue: MultiPolygon = field(default_factory=MultiPolygon)  # part of `outside` with no distance


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each cell lies: compartment code (index into COMPARTMENTS, EXCLUDED, UNPLACED) and signed distance."""

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
class TileCounts:
    """Counts of every population in the spatial tiles of one base compartment of one slide.

    Tiles partition the compartment: areas and counts sum to the compartment's own. All statistics of
    densities rest on these, for one slide, for aggregates (strata: compartments) and for pooled
    slides (strata: compartments x slides) alike.
    """

    slide_id: str
    compartment: str
    tile_um: float
    area_mm2: FloatArray  # (T,)
    counts: Mapping[str, NDArray[np.int64]]  # population -> (T,)
    x_um: FloatArray  # (T,) centres
    y_um: FloatArray
    flags: tuple[str, ...] = ()

    def n_cells(self, population: str) -> int:
        """Return the number of cells of a population in the compartment."""
        return int(self.counts[population].sum())

    @property
    def total_area_mm2(self) -> float:
        """Area of the compartment in mm²."""
        return float(self.area_mm2.sum())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A density: a count over an area, with its interval.

    `sigma_ln` is the standard error of the natural logarithm of the density from spatial tiles, and
    `dof` its degrees of freedom; None and 0 where there are too few tiles for one.
    """

    n_cells: int
    area_mm2: float
    density_per_mm2: float | None  # None where the area is 0
    ci_low: float | None
    ci_high: float | None
    sigma_ln: float | None
    dof: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """Any other number with its interval; None with a reason where it is not available.

    `sigma` is the standard error on the value's own scale, `dof` its degrees of freedom.
    """

    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    sigma: float | None = None
    dof: int = 0
    reason: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A class by its point rule, the call after uncertainty, and the probability of each class."""

    point: str
    call: str
    probabilities: Mapping[str, float]
    reason: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlideMeta:
    """What the study sheet says of one slide."""

    slide_id: str
    patient_id: str
    timepoint: str
    lesion: str = ""
    site: str = ""
    batch: str = ""
    biopsy_date: date | None = None
    treatment_start: date | None = None
    biopsy_type: str = ""
    therapy: str = ""
    tumor_type: str = ""
    interval_therapy: str = ""
    response: str = ""
    response_months: float | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SlideScore:
    """All that the compare stage knows of one scored slide."""

    meta: SlideMeta
    tiles: Mapping[str, TileCounts]  # base compartment -> tiles
    estimates: Mapping[tuple[str, str], Estimate]  # (population, compartment or aggregate)
    values: Mapping[str, Value]  # pdi_cd8, pdl1_induction_log2, tps_percent ...
    phenotype: Call
    activity: Mapping[str, Call]  # "cd8", "pdl1", "combined"
    gates: Mapping[str, float | None]  # what the gates are applied to: areas, border_um, artefact_fraction
    settings: Mapping[str, str]  # what must agree between time points: modality, widths, thresholds ...
    flags: tuple[str, ...] = ()


EMPTY_POLYGON = MultiPolygon()
EMPTY = GeometryCollection()
