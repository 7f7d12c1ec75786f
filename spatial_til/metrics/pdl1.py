"""Computer-estimated PD-L1 scores: TPS, CPS, IC and H-score, each with its numerator and denominator.

They count as the published assays count, on cells found by software with a cut-off of the study's own.
They are not the result of an approved assay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.counted import counted
from spatial_til.metrics.ratios import Gates, ratio_percent, share_percent
from spatial_til.metrics.regions import REGIONS, TUMOR_AND_OUTER, in_region, region_parts
from spatial_til.metrics.resampling import TileSums, sum_by_tile
from spatial_til.model import COMPARTMENTS, BoolArray, FloatArray, Value
from spatial_til.units import mm2

#: Markers that tell an immune cell, of which CPS and IC need at least one in the panel.
IMMUNE_MARKERS = ("CD8", "CD3", "CD45", "CD68")
#: The region whose score stands for the slide.
OVERALL: Mapping[str, str] = {
    "tps_percent": "tissue",
    "cps": TUMOR_AND_OUTER,
    "ic_percent": "tumor",
    "h_score": "tissue",
}
CPS_LIMIT = 100.0

_UNKNOWN = Value(None, reason="the panel has no tumour marker", flags=("tumor_cells_unknown",))
_NO_IMMUNE_MARKER = Value(
    None, reason=f"the panel has no immune marker ({', '.join(IMMUNE_MARKERS)}) to tell which PD-L1+ cells count"
)


@dataclass(frozen=True, slots=True)
class Score:
    """One score of one region, with what it was divided by."""

    metric: str  # tps_percent, cps, ic_percent
    compartment: str  # one of `regions.REGIONS`
    value: Value
    numerator: float | None  # cells; mm² for ic_percent
    denominator: float | None  # tumour cells; mm² for ic_percent
    raw: float | None = None  # cps before it is capped at 100


@dataclass(frozen=True, slots=True)
class HScore:
    """The H-score of one region and the shares it is made of."""

    compartment: str
    value: Value
    percent: tuple[float | None, ...]  # 1+, 2+, 3+
    n_tumor: int | None


@dataclass(frozen=True, slots=True)
class Pdl1Cells:
    """What the scores need to know of each cell, (n,) arrays in one order."""

    compartment: NDArray[np.int8]  # codes of model.COMPARTMENTS, or EXCLUDED
    tile: NDArray[np.integer[Any]]  # spatial tile, numbered within the compartment
    pdl1: BoolArray
    tumor_cell: BoolArray | None  # None: the panel has no tumour marker
    immune: BoolArray | None  # any of IMMUNE_MARKERS positive; None: the panel has none of them
    cell_area_um2: FloatArray


def pdl1_scores(cells: Pdl1Cells, tile_area_mm2: Mapping[str, FloatArray], gates: Gates) -> tuple[Score, ...]:
    """Return TPS, CPS and IC of every region.

    Parameters
    ----------
    cells
        The cells of one slide.
    tile_area_mm2
        Areas of the tiles of each base compartment, in the order of the cells' tile numbers; for IC only.
    gates
        Below `min_tumor_cells` tumour cells in a region its scores are empty (`few_tumor_cells`).

    Notes
    -----
    The score of the slide is that of the region named in `OVERALL`.
    """
    return tuple(
        score
        for region in REGIONS
        for score in (
            tumor_proportion(cells, region, gates),
            combined_positive(cells, region, gates),
            immune_area(cells, region, tile_area_mm2, gates),
        )
    )


def tumor_proportion(cells: Pdl1Cells, region: str, gates: Gates) -> Score:
    """Return TPS: 100 x PD-L1+ tumour cells / tumour cells.

    References
    ----------
    Roach et al. (2016), doi:10.1097/PAI.0000000000000408.
    """
    if cells.tumor_cell is None:
        return Score("tps_percent", region, _UNKNOWN, None, None)
    tumor = cells.tumor_cell & in_region(cells.compartment, region)
    positive = cells.pdl1 & tumor
    n_positive, n_tumor = int(positive.sum()), int(tumor.sum())
    value = _too_few(n_tumor, gates)
    if value is None:
        columns = np.column_stack((positive, tumor))[tumor]
        tiles = sum_by_tile(columns, cells.tile[tumor], cells.compartment[tumor])
        value = share_percent(tiles, gates)
    return Score("tps_percent", region, value, n_positive, n_tumor)


def combined_positive(cells: Pdl1Cells, region: str, gates: Gates) -> Score:
    """Return CPS: 100 x (PD-L1+ tumour cells + PD-L1+ immune cells) / tumour cells, capped at 100.

    Notes
    -----
    A PD-L1+ cell that is no tumour cell counts only where an immune marker is positive on it: PD-L1+
    fibroblasts, endothelium or debris do not. Without such a marker in the panel the score is empty.
    Plasma cells, neutrophils and eosinophils carry none of CD8, CD3 and CD68 and mostly not CD45.

    References
    ----------
    Kulangara et al. (2019), doi:10.5858/arpa.2018-0043-OA.
    """
    if cells.tumor_cell is None:
        return Score("cps", region, _UNKNOWN, None, None)
    inside = in_region(cells.compartment, region)
    tumor = cells.tumor_cell & inside
    n_tumor = int(tumor.sum())
    if cells.immune is None:
        return Score("cps", region, _NO_IMMUNE_MARKER, None, n_tumor)
    positive = cells.pdl1 & inside & (cells.tumor_cell | cells.immune)
    n_positive = int(positive.sum())
    value = _too_few(n_tumor, gates)
    if value is not None:
        return Score("cps", region, value, n_positive, n_tumor)
    counted = tumor | positive
    columns = np.column_stack((positive, tumor, positive))[counted]
    tiles = sum_by_tile(columns, cells.tile[counted], cells.compartment[counted])
    uncapped = ratio_percent(tiles, gates, one=1)
    return Score("cps", region, _capped(uncapped, CPS_LIMIT), n_positive, n_tumor, uncapped.value)


def immune_area(cells: Pdl1Cells, region: str, tile_area_mm2: Mapping[str, FloatArray], gates: Gates) -> Score:
    """Return IC: 100 x area of PD-L1+ immune cells / area of the region.

    Notes
    -----
    Cells and area come from the same region; for the slide that is `tumor`. The denominator is an area,
    not a number of cells; a cell's area is that of its nucleus grown to a cell.

    References
    ----------
    Herbst et al. (2014), doi:10.1038/nature14011.
    """
    parts = [part for part in region_parts(region) if part in tile_area_mm2]
    area_mm2 = float(sum(tile_area_mm2[part].sum() for part in parts))
    if cells.tumor_cell is None:
        return Score("ic_percent", region, _UNKNOWN, None, area_mm2)
    if cells.immune is None:
        return Score("ic_percent", region, _NO_IMMUNE_MARKER, None, area_mm2)
    inside = in_region(cells.compartment, region)
    counted = cells.pdl1 & cells.immune & ~cells.tumor_cell & inside
    known = np.isfinite(cells.cell_area_um2)
    all_known = bool(known[counted].all() and known[inside].any())
    covered_mm2 = mm2(float(cells.cell_area_um2[counted].sum())) if all_known else None
    value = _too_few(int((cells.tumor_cell & inside).sum()), gates)
    if value is None and not all_known:
        value = Value(None, reason="the areas of cells are not known")
    if value is None and area_mm2 == 0:
        value = Value(None, reason="the area of the region is not known", flags=("area_unknown",))
    if value is None:
        tiles = _area_by_tile(cells, counted, {part: tile_area_mm2[part] for part in parts})
        one = mm2(float(cells.cell_area_um2[inside & known].mean()))
        value = ratio_percent(tiles, gates, one=one)
    return Score("ic_percent", region, value, covered_mm2, area_mm2)


def h_score(
    cells: Pdl1Cells, intensity: FloatArray, cuts: tuple[float, float, float], region: str, gates: Gates
) -> HScore:
    """Return the H-score of tumour cells: 1 x %1+ + 2 x %2+ + 3 x %3+, from 0 to 300.

    Parameters
    ----------
    cells, region, gates
        As above.
    intensity
        (n,) PD-L1 signal of each cell, in the unit of `cuts`; a cell without one (NaN) is left out.
    cuts
        Lowest signal of 1+, 2+ and 3+, ascending. Of DAB they are ordinal, not amounts of protein.

    References
    ----------
    McCarty et al. (1985), Archives of Pathology & Laboratory Medicine 109, 716-721.
    """
    if cells.tumor_cell is None:
        return HScore(region, _UNKNOWN, (None, None, None), None)
    chosen = cells.tumor_cell & in_region(cells.compartment, region) & ~np.isnan(intensity)
    n_tumor = int(chosen.sum())
    too_few = _too_few(n_tumor, gates)
    if too_few is not None:
        return HScore(region, too_few, (None, None, None), n_tumor)
    grade = np.searchsorted(cuts, intensity[chosen], side="right")
    percent = 100 * np.bincount(grade, minlength=4)[1:] / n_tumor
    columns = np.column_stack((grade, np.ones(n_tumor), grade**2))
    tiles = sum_by_tile(columns, cells.tile[chosen], cells.compartment[chosen])
    value = ratio_percent(tiles, gates, one=1)
    return HScore(region, _capped(value, 300.0), tuple(percent.tolist()), n_tumor)


def _area_by_tile(cells: Pdl1Cells, counted: BoolArray, tile_area_mm2: Mapping[str, FloatArray]) -> TileSums:
    """Return covered area, tile area and squared cell areas of every tile, empty ones included, in mm²."""
    sums, strata = [], []
    for part, tile_area in tile_area_mm2.items():
        code = COMPARTMENTS.index(part)
        here = counted & (cells.compartment == code)
        area = cells.cell_area_um2[here] / 1e6
        covered = np.bincount(cells.tile[here], weights=area, minlength=len(tile_area))
        squares = np.bincount(cells.tile[here], weights=area**2, minlength=len(tile_area))
        sums.append(np.column_stack((covered, tile_area, squares)))
        strata.append(np.full(len(tile_area), code, dtype=np.int64))
    return TileSums(np.concatenate(sums), np.concatenate(strata))


def _too_few(n_tumor: int, gates: Gates) -> Value | None:
    """Return the empty value of a region with too few tumour cells, else None."""
    if n_tumor >= max(gates.min_tumor_cells, 1):
        return None
    reason = f"{counted(n_tumor, 'tumour cell')}, {gates.min_tumor_cells} needed"
    return Value(None, reason=reason, flags=("few_tumor_cells",))


def _capped(value: Value, limit: float) -> Value:
    """Return a score with itself and its interval capped at the top of its scale."""
    capped = {
        name: min(number, limit)
        for name in ("value", "ci_low", "ci_high")
        if (number := getattr(value, name)) is not None
    }
    return replace(value, **capped)
