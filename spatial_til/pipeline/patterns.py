"""Point patterns, nests and per-compartment PD-L1 scores of one slide, as rows of spatial.csv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
import shapely
from shapely.geometry import MultiPolygon

from spatial_til.flags import join_flags
from spatial_til.metrics.deltas import column_name
from spatial_til.metrics.pointpatterns.pairs import Pair, PatternSettings, Region, pair_rows
from spatial_til.metrics.spatial_rows import (
    SpatialRow,
    h_score_rows,
    induction_row,
    loss_rows,
    nest_rows,
    profile_rows,
    score_rows,
)
from spatial_til.model import COMPARTMENTS, BoolArray, Compartments
from spatial_til.pipeline.nests import nests_of
from spatial_til.pipeline.numbers import Scene
from spatial_til.pipeline.pdl1 import TumorCellNumbers

#: Regions in which patterns are measured, and their compartments.
REGIONS = {"core": ("core",), "margin": ("inner_margin", "outer_margin")}
_JOIN_UM = 1e-3  # corners of a shared line that differ by rounding only are one


def table_rows(scene: Scene, tumor_cells: TumorCellNumbers) -> list[dict[str, Any]]:
    """Return the slide's rows of spatial.csv."""
    slide_id = scene.slide_id
    rows = [*_patterns(scene), *score_rows(slide_id, tumor_cells.scores), *h_score_rows(slide_id, tumor_cells.h_scores)]
    for marker, losses in groupby(tumor_cells.losses, key=lambda loss: loss.marker):
        rows += loss_rows(slide_id, column_name(marker), losses)
    for marker, found in tumor_cells.inductions.items():
        rows.append(induction_row(slide_id, column_name(marker), found))
        rows += profile_rows(slide_id, column_name(marker), found)
    rows += nest_rows(slide_id, nests_of(scene))
    return [_plain(row) for row in rows]


def _plain(row: SpatialRow) -> dict[str, Any]:
    return asdict(row) | {"flags": join_flags(row.flags)}


def _patterns(scene: Scene) -> Iterator[SpatialRow]:
    statistics = scene.protocol.statistics
    settings = PatternSettings(
        radii_um=statistics.radii_um,
        permutations=statistics.permutations,
        bootstrap=statistics.bootstrap,
        min_tiles=scene.protocol.gates.min_tiles,
        confidence=statistics.confidence,
        seed=statistics.seed,
    )
    for name, parts in REGIONS.items():
        chosen = np.isin(scene.placement.compartment, [COMPARTMENTS.index(part) for part in parts])
        window = window_of(scene.compartments, parts)
        if window.is_empty or not chosen.any():
            continue
        region = Region(
            slide_id=scene.slide_id,
            name=name,
            window=window,
            xy_um=scene.measured.cells.xy_um[chosen],
            compartment=scene.placement.compartment[chosen],
            tile=scene.tiles.tile[chosen],
            tile_area_mm2={part: scene.tiles.counts[part].area_mm2 for part in parts},
        )
        for pair in _pairs(scene, chosen):
            yield from pair_rows(region, pair, settings)


def window_of(compartments: Compartments, parts: Sequence[str]) -> MultiPolygon:
    """Return the region that compartments make together, in µm, without the lines that they share.

    Its boundary is where neighbours are no longer seen. The tumour border between inner and outer margin is no such
    line: a cell on one side of it has neighbours on the other.
    """
    regions = [compartments.regions[part] for part in parts]
    if len(regions) == 1:
        return regions[0]
    joined = shapely.union_all(regions, grid_size=_JOIN_UM)
    return MultiPolygon([part for part in shapely.get_parts(joined) if part.geom_type == "Polygon"])


def _pairs(scene: Scene, chosen: BoolArray) -> Iterator[Pair]:
    """Yield tumour cells against CD8+ cells where tumour cells are known, and PD-L1+ against CD8+ cells."""
    positive, tumor = scene.calls.positive, scene.calls.tumor_cell
    if "CD8" not in positive:
        return
    cd8 = positive["CD8"][chosen]
    if tumor is not None:
        only = tumor[chosen] & ~cd8  # no cell is both here, so labels are shuffled among the others
        yield Pair("tumor", "CD8+", only, cd8, ~only)
    if "PD-L1" in positive:
        yield Pair("PD-L1+", "CD8+", positive["PD-L1"][chosen], cd8, np.ones_like(cd8))
