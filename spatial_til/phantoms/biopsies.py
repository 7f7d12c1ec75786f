"""The biopsies of the sample study: who, when, how infiltrated, how cut, and what must be called."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.phantoms.compartments import evaluable_border
from spatial_til.phantoms.layout import Scene, populate
from spatial_til.phantoms.tissue import Zones, blob, regions, tumor_populations

if TYPE_CHECKING:
    from collections.abc import Mapping

BANDS_UM = 250.0
EDGE_TOLERANCE_UM = 30.0
PIXEL_UM = 0.5
SIZE_UM = (2200.0, 2080.0)


@dataclass(frozen=True, slots=True)
class Infiltrate:
    """CD8+ cells per mm² in core, inner margin, outer margin and outside; PD-L1 that goes with them."""

    cd8_per_mm2: Zones
    pdl1_histiocytes: float = 0.7
    pdl1_near_cd8: float = 0.15


#: By point class. Core and margin lie at least twofold from 295, 100 and a ratio of one half.
INFILTRATES: Mapping[str, Infiltrate] = MappingProxyType(
    {
        "inflamed": Infiltrate((760.0, 720.0, 760.0, 400.0)),
        "excluded": Infiltrate((25.0, 250.0, 1150.0, 500.0)),
        "desert": Infiltrate((28.0, 28.0, 28.0, 28.0), 0.04, 0.08),
    }
)


@dataclass(frozen=True, slots=True)
class Biopsy:
    """One slide of the sample study, with the class it must be given."""

    patient_id: str
    timepoint: str
    phenotype: str
    biopsy_date: str
    modality: str = "brightfield"
    cut: bool = False

    @property
    def slide_id(self) -> str:
        """Name of the slide and of its files."""
        return f"{self.patient_id}_{self.timepoint}"

    @property
    def batch(self) -> str:
        """Staining run: one for each modality."""
        return {"brightfield": "IHC-1", "fluorescence": "mIF-1"}[self.modality]


BIOPSIES = (
    Biopsy("P01", "baseline", "excluded", "2023-01-09"),
    Biopsy("P01", "on_treatment", "inflamed", "2023-03-06"),
    Biopsy("P01", "progression", "excluded", "2024-05-13", cut=True),
    Biopsy("P02", "baseline", "desert", "2023-02-20"),
    Biopsy("P02", "on_treatment", "desert", "2023-04-17"),
    Biopsy("P02", "progression", "desert", "2023-06-05"),
    Biopsy("P03", "baseline", "inflamed", "2023-01-30"),
    Biopsy("P03", "on_treatment", "inflamed", "2023-04-03"),
    Biopsy("P03", "progression", "inflamed", "2024-09-16"),
    Biopsy("P04", "baseline", "inflamed", "2023-05-15", "fluorescence"),
    Biopsy("P04", "progression", "desert", "2024-03-11", "fluorescence"),
)

#: What the study sheet says of each patient, the same in every row.
PATIENTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "P01": {"treatment_start": "2023-01-23", "response": "PR", "response_months": "13"},
        "P02": {"treatment_start": "2023-03-06", "response": "PD", "response_months": "0"},
        "P03": {"treatment_start": "2023-02-13", "response": "PR", "response_months": "17"},
        "P04": {"treatment_start": "2023-05-29", "response": "PR", "response_months": "8"},
    }
)

#: The call that every transition must be given.
TRANSITIONS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("P01", "baseline->on_treatment"): "infiltration_gain",
        ("P01", "on_treatment->progression"): "reversion_to_excluded",
        ("P01", "baseline->progression"): "already_excluded",
        ("P02", "baseline->on_treatment"): "indeterminate",
        ("P02", "on_treatment->progression"): "indeterminate",
        ("P02", "baseline->progression"): "indeterminate",
        ("P03", "baseline->on_treatment"): "sustained_infiltration",
        ("P03", "on_treatment->progression"): "sustained_infiltration",
        ("P03", "baseline->progression"): "sustained_infiltration",
        ("P04", "baseline->on_treatment"): "not_evaluable",
        ("P04", "on_treatment->progression"): "not_evaluable",
        ("P04", "baseline->progression"): "global_loss",
    }
)


def lay_out(biopsy: Biopsy, seed: int) -> Scene:
    """Return the scene of a biopsy: a lobed tumour in a round of tissue, its outline in whole pixels."""
    width, height = SIZE_UM
    x, y = 0.47 * width, 0.53 * height
    tissue: shapely.geometry.base.BaseGeometry = blob(0.5 * width, 0.5 * height, 950.0, lobes=0.015, seed=seed)
    tumor: shapely.geometry.base.BaseGeometry = blob(x, y, 560.0, lobes=0.05, seed=seed + 1)
    if biopsy.cut:
        kept = shapely.affinity.rotate(box(x - 220.0, -width, 2 * width, 2 * width), 20.0, origin=(x, y))
        tissue, tumor = tissue.intersection(kept), tumor.intersection(kept)
    infiltrate = INFILTRATES[biopsy.phenotype]
    populations = tumor_populations(
        infiltrate.cd8_per_mm2,
        pdl1_far=0.001,
        pdl1_histiocytes=infiltrate.pdl1_histiocytes,
        histiocytes_per_mm2=(10.0, 100.0, 350.0, 150.0),
    )
    regions_um = in_pixels(tissue), in_pixels(tumor)
    return populate(
        *(width, height, *regions_um, populations),
        seed=seed,
        border=evaluable_border(*regions_um, EDGE_TOLERANCE_UM),
        width_of_bands_um=BANDS_UM,
        pdl1_near_cd8=infiltrate.pdl1_near_cd8,
    )


def in_pixels(region: shapely.geometry.base.BaseGeometry) -> MultiPolygon:
    """Return a region in µm with its corners on corners of pixels, as an annotation stores it."""
    snapped = [
        Polygon(np.rint(shapely.get_coordinates(part.exterior) / PIXEL_UM) * PIXEL_UM) for part in regions(region).geoms
    ]
    return MultiPolygon(snapped)
