"""What the measure stage is told, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

Vector: TypeAlias = tuple[float, float, float]

#: The marker name of the nuclear stain or channel.
NUCLEI = "nuclei"
#: How many times as large pixels of a coarser grid are, and the largest side in µm that they may have.
COARSER, COARSEST_UM = 1.5, 0.8


class Shares(NamedTuple):
    """Shares of contrast that decide what a nucleus is. Project defaults, see `MeasureSettings.shares`."""

    typical: float  # foreground: of the slide's typical contrast, where `NucleusSettings.threshold` is None
    local: float  # foreground: of the level of nuclei nearby
    grown: float  # a nucleus grows by a pixel to where its contrast falls to this share of its mean
    edge: float  # mean edge gradient per µm, of the typical contrast; large nuclei may have less, see `nuclei`
    cleft: float | None  # how far below its ridges a cleft between nuclei lies; None: clefts are not looked for


#: Cytoplasm and fibres take up hematoxylin, and chromatin looks like clefts; DAPI shows nuclei alone.
BRIGHTFIELD = Shares(typical=0.45, local=0.65, grown=0.5, edge=0.2, cleft=0.25)
FLUORESCENCE = Shares(typical=0.3, local=0.55, grown=0.45, edge=0.12, cleft=0.15)


@dataclass(frozen=True, slots=True)
class NucleusSettings:
    """Sizes in µm that decide what a nucleus is. Project defaults."""

    min_area_um2: float = 10.0
    max_area_um2: float = 400.0
    threshold: float | None = None  # of the nuclear plane above background; None: a share of the typical contrast
    local_most: float = 1.3  # the level of nuclei nearby counts up to this many times the typical contrast
    blur_um: float = 0.45
    block_um: float = 2.0
    background_um: float = 15.0
    local_um: float = 8.0
    max_radius_um: float = 9.0  # from the deepest point
    max_depth_um: float = 6.0
    landscape_blur_um: float = 0.4
    max_hole_um: float = 2.5
    cleft_um: float = 1.0  # from a cleft between nuclei to its ridges
    packed_um: float = 6.0  # clefts are looked for where within this distance …
    packed_share: float = 0.7  # … foreground covers this share


@dataclass(frozen=True, slots=True)
class Stain:
    """One stain of a brightfield panel: its marker, and a preset's name, ``auto``, or a vector."""

    name: str
    marker: str
    vector: str | Vector


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a fluorescence panel: its name in the file or its index, and its marker."""

    name: str
    marker: str


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """Everything that decides which cells come out of a slide; defaults are the protocol's.

    Attributes
    ----------
    nuclear_markers
        Markers whose stain lies in nuclei: it helps to find nuclei, where membrane stain parts them.
    spillover
        Rows of the spill-over matrix over `channels`, in their order.
    autofluorescence
        Name of the channel that carries autofluorescence only.
    coarser_grid
        Find cells of brightfield on pixels one and a half times as large as read, see `coarser`; not where a marker
        stains nuclei.
    cytoplasm_markers
        Markers whose stain fills cells: it guides their growth, up to `guided_expansion_um`; none: it is blind.
    """

    modality: Literal["brightfield", "fluorescence"]
    stains: tuple[Stain, ...] = ()
    channels: tuple[Channel, ...] = ()
    white: Vector | None = None
    nuclear_markers: frozenset[str] = frozenset()
    spillover: tuple[tuple[float, ...], ...] | None = None
    autofluorescence: str | None = None
    coarser_grid: bool = True
    nucleus: NucleusSettings = field(default_factory=NucleusSettings)
    cell_expansion_um: float = 2.0
    large_nucleus_um2: float = 45.0
    large_expansion_um: float = 5.0
    cytoplasm_markers: tuple[str, ...] = ()
    guided_expansion_um: float = 8.0
    membrane_um: float = 1.0
    membrane_blur_um: float = 0.5
    min_tissue_mm2: float = 0.05
    max_tissue_hole_mm2: float = 0.01
    max_artefact_fraction: float = 0.3

    @property
    def shares(self) -> Shares:
        """Shares of contrast that decide what a nucleus is in this modality."""
        return BRIGHTFIELD if self.modality == "brightfield" else FLUORESCENCE

    def cell_pixel_um(self, read_um: float) -> float:
        """Return the side of the pixels that cells are found on, where those read have this side, see `coarser`."""
        larger_um = COARSER * read_um
        asked = self.modality == "brightfield" and self.coarser_grid and not self.nuclear_markers
        return larger_um if asked and larger_um <= COARSEST_UM else read_um

    @property
    def markers(self) -> tuple[str, ...]:
        """Names of the measured markers, in panel order, without the nuclear stain."""
        rows = self.stains if self.modality == "brightfield" else self.channels
        return tuple(row.marker for row in rows if row.marker != NUCLEI)

    @property
    def membrane_markers(self) -> tuple[str, ...]:
        """Names of the measured markers that do not stain nuclei."""
        return tuple(name for name in self.markers if name not in self.nuclear_markers)
