"""Point patterns, nests and per-compartment PD-L1 scores of one slide, as rows of spatial.csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from shapely.geometry import MultiPolygon

from spatial_til.metrics.pointpatterns.pairs import Pair, PatternSettings, Region, pair_rows
from spatial_til.metrics.spatial_rows import SpatialRow
from spatial_til.model import COMPARTMENTS, BoolArray, Estimate, Value
from spatial_til.pipeline.nests import nests_of
from spatial_til.pipeline.numbers import Scene
from spatial_til.pipeline.pdl1 import TumorCellNumbers

#: Regions in which patterns are measured, and their compartments.
REGIONS = {"core": ("core",), "margin": ("inner_margin", "outer_margin")}


def spatial_rows(scene: Scene, tumor_cells: TumorCellNumbers) -> list[dict[str, Any]]:
    """Return the slide's rows of spatial.csv."""
    rows = [*_patterns(scene), *_scores(scene, tumor_cells), *_profiles(scene, tumor_cells), *_nests(scene)]
    return [_plain(row) for row in rows]


def _plain(row: SpatialRow) -> dict[str, Any]:
    values = asdict(row)
    values["flags"] = ";".join(row.flags)
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in values.items()}


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
        window = MultiPolygon([p for part in parts for p in scene.compartments.regions[part].geoms])
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


def _scores(scene: Scene, tumor_cells: TumorCellNumbers) -> Iterator[SpatialRow]:
    for score in tumor_cells.scores:
        n_to = None if score.numerator is None else int(score.numerator)
        n_from = None if score.denominator is None else int(score.denominator)
        cells = score.metric != "ic_percent"
        yield _row(
            scene, score.metric, ("PD-L1+", "tumor"), score.compartment, score.value, (n_from, n_to) if cells else None
        )
    for h in tumor_cells.h_scores:
        yield _row(scene, "h_score", ("PD-L1+", "tumor"), h.compartment, h.value, (h.n_tumor, None))
        for grade, percent in zip(("1+", "2+", "3+"), h.percent, strict=True):
            share = Value(percent, reason=h.value.reason)
            yield _row(scene, f"h_score_percent_{grade}", ("PD-L1+", "tumor"), h.compartment, share, (h.n_tumor, None))
    for loss in tumor_cells.losses:
        n = (loss.n_tumor, loss.n_negative)
        yield _row(scene, "loss_percent", (loss.marker, "tumor"), loss.compartment, loss.percent, n)


def _profiles(scene: Scene, tumor_cells: TumorCellNumbers) -> Iterator[SpatialRow]:
    for marker, found in tumor_cells.inductions.items():
        for entry in found.profile:
            row = _row(
                scene,
                "positive_percent_by_distance",
                (f"{marker}+tumor", "CD8+"),
                "core+inner_margin",
                entry.percent,
                (entry.n_cells, entry.n_positive),
            )
            yield SpatialRow(**(asdict(row) | {"radius_um": entry.to_um if np.isfinite(entry.to_um) else None}))


def _nests(scene: Scene) -> Iterator[SpatialRow]:
    for found in nests_of(scene):
        for name, estimate in (("nest", found.nest), ("stroma", found.stroma)):
            yield _density_row(scene, found.population, name, estimate)
        yield _row(scene, "log2_nest_stroma", (found.population, ""), "tumor", found.log2_nest_stroma, None)


def _density_row(scene: Scene, population: str, where: str, estimate: Estimate) -> SpatialRow:
    value = Value(estimate.density_per_mm2, estimate.ci_low, estimate.ci_high, flags=estimate.flags)
    return _row(scene, "density_per_mm2", (population, ""), where, value, (None, estimate.n_cells))


def _row(
    scene: Scene,
    metric: str,
    populations: tuple[str, str],
    compartment: str,
    value: Value,
    n: tuple[int | None, int | None] | None,
) -> SpatialRow:
    n_from, n_to = n or (None, None)
    return SpatialRow(
        slide_id=scene.slide_id,
        metric=metric,
        population_from=populations[0],
        population_to=populations[1],
        compartment=compartment,
        radius_um=None,
        value=value.value,
        ci_low=value.ci_low,
        ci_high=value.ci_high,
        n_from=n_from,
        n_to=n_to,
        reason=value.reason,
        flags=value.flags,
    )
