"""Divided tissue and calls of one slide to all its numbers: densities, ratios, depths, PD-L1 scores, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from spatial_til.geometry.bands import band_areas, band_of
from spatial_til.geometry.sectors import DepthSamples, border_sectors, sample_depths
from spatial_til.io.measured import Measured
from spatial_til.metrics.activity import activity_site, combine_sites
from spatial_til.metrics.deltas import column_name
from spatial_til.metrics.density import estimate_table
from spatial_til.metrics.depth import DepthBand, band_edges, depth_profile
from spatial_til.metrics.levels import Failure
from spatial_til.metrics.log_ratios import log2_ratios
from spatial_til.metrics.penetration import depth_fraction, penetration_index
from spatial_til.metrics.phenotype import check_gates, phenotype
from spatial_til.metrics.tiles import SlideTiles, tile_slide
from spatial_til.model import COMPARTMENTS, BoolArray, Call, Compartments, Estimate, Placement, Value
from spatial_til.pipeline.calls import SlideCalls
from spatial_til.protocol import Protocol
from spatial_til.units import mm2

BAND_UM = 50.0
ARC_UM = 200.0
_SAMPLES = 200_000
#: Populations that have their own columns in slide_scores.csv, by the columns' word.
SCORED: Mapping[str, str] = {"cd8": "CD8+", "pdl1": "PD-L1+", "pdl1_tumor": "PD-L1+tumor"}


#: Tissue divided, and where each cell lies in it.
Divided: TypeAlias = tuple[Compartments, Placement]


@dataclass(frozen=True, slots=True)
class Scene:
    """One slide, called, divided and tiled: what every number is computed from."""

    slide_id: str
    protocol: Protocol
    measured: Measured
    calls: SlideCalls
    compartments: Compartments
    placement: Placement
    populations: Mapping[str, BoolArray]
    tiles: SlideTiles
    estimates: Mapping[tuple[str, str], Estimate]

    def of(self, population: str) -> dict[str, Estimate]:
        """Return the estimates of one population by region."""
        return {region: e for (name, region), e in self.estimates.items() if name == population}


@dataclass(frozen=True, slots=True)
class Classes:
    """The calls of one slide and what they were gated by."""

    phenotype: Call
    activity: Mapping[str, Call]
    gates: Mapping[str, float | None]
    failures: tuple[Failure, ...] = field(default=())


def tile_scene(
    slide_id: str,
    protocol: Protocol,
    measured: Measured,
    calls: SlideCalls,
    divided: Divided,
    populations: Mapping[str, BoolArray],
) -> Scene:
    """Return the slide with its tiles and the density of every population in every region."""
    statistics, gates = protocol.statistics, protocol.gates
    compartments, placement = divided
    tiles = tile_slide(
        compartments,
        placement,
        measured.cells.xy_um,
        populations,
        slide_id=slide_id,
        tile_um=statistics.tile_um,
        min_tiles=gates.min_tiles,
        correlated=list(SCORED.values()),
        seed=statistics.seed,
    )
    estimates = estimate_table(
        tiles.counts,
        confidence=statistics.confidence,
        bootstrap=statistics.bootstrap,
        min_tiles=gates.min_tiles,
        seed=statistics.seed,
    )
    return Scene(slide_id, protocol, measured, calls, compartments, placement, populations, tiles, estimates)


def classify(scene: Scene) -> Classes:
    """Return immunophenotype and site of activity."""
    gates = gate_values(scene)
    keys = scene.protocol.gates
    failures = check_gates(
        gates,
        min_core_mm2=keys.min_core_mm2,
        min_margin_mm2=keys.min_margin_mm2,
        min_border_um=keys.min_border_um,
        max_artefact_fraction=keys.max_artefact_fraction,
    )
    return Classes(_phenotype(scene, failures), _activity(scene, failures), gates, failures)


def gate_values(scene: Scene) -> dict[str, float | None]:
    """Return what the gates are applied to."""
    regions, border = scene.compartments.regions, scene.compartments.border
    areas = {f"{name}_mm2": mm2(regions[name].area) for name in ("core", "inner_margin", "outer_margin")}
    artefact = scene.measured.numbers.get("artefact_fraction")
    return {
        "tumor_mm2": mm2(scene.compartments.tumor.area),
        "border_um": float(border.evaluable.length),
        **areas,
        "artefact_fraction": None if artefact is None else float(artefact),
    }


def _phenotype(scene: Scene, failures: tuple[Failure, ...]) -> Call:
    scores, statistics = scene.protocol.scores, scene.protocol.statistics
    stain = _stain_failures(scene, "CD8")
    if scores.rule == "grid":
        from spatial_til.pipeline.nests import grid_call

        return grid_call(scene, (*failures, *stain))
    return phenotype(
        scene.of("CD8+"),
        rule=scores.rule,
        hot_cd8_per_mm2=scores.hot_cd8_per_mm2,
        excluded_log2_ratio=scores.excluded_log2_ratio,
        min_class_probability=scores.min_class_probability,
        draws=statistics.bootstrap,
        seed=statistics.seed,
        key=scene.slide_id,
        failures=(*failures, *stain),
    )


def _stain_failures(scene: Scene, marker: str) -> tuple[Failure, ...]:
    if marker not in scene.calls.positive:
        return (Failure("stain_unverified", f"the panel has no {marker}"),)
    return scene.calls.failures.get(marker, ())


def _activity(scene: Scene, failures: tuple[Failure, ...]) -> dict[str, Call]:
    scores, statistics = scene.protocol.scores, scene.protocol.statistics
    floors = {"cd8": ("CD8", scores.activity_cd8_per_mm2), "pdl1": ("PD-L1", scores.activity_pdl1_per_mm2)}
    sites = {
        key: activity_site(
            scene.of(f"{marker}+"),
            floor_per_mm2=floor,
            min_class_probability=scores.min_class_probability,
            draws=statistics.bootstrap,
            seed=statistics.seed,
            key=scene.slide_id,
            failures=(*failures, *_stain_failures(scene, marker)),
        )
        for key, (marker, floor) in floors.items()
        if marker in scene.calls.positive
    }
    if "cd8" in sites:
        sites["combined"] = combine_sites(sites["cd8"], sites.get("pdl1"))
    return sites


def ratio_values(scene: Scene) -> dict[str, Value]:
    """Return the log2 ratios of every scored population that was counted."""
    confidence = scene.protocol.statistics.confidence
    return {
        f"{ratio}_{word}": value
        for word, population in SCORED.items()
        if (population, "core") in scene.estimates
        for ratio, value in log2_ratios(scene.of(population), confidence=confidence).items()
    }


def depth_samples(scene: Scene) -> DepthSamples:
    """Return depths all over the tumour: what the index and the profile of depth are both made from."""
    return sample_depths(scene.compartments, arc_um=ARC_UM, n_samples=_SAMPLES)


def depth_values(scene: Scene, samples: DepthSamples) -> dict[str, Value]:
    """Return the penetration depth index of every population but `all`."""
    statistics = scene.protocol.statistics
    populations = {name: members for name, members in scene.populations.items() if name != "all"}
    if len(samples.depth_um) == 0:
        missing = Value(None, reason="no evaluable border", flags=("no_border",))
        return {f"pdi_{column_name(name)}": missing for name in populations}
    distance = scene.placement.border_distance_um
    tumor_codes = [COMPARTMENTS.index(name) for name in ("core", "inner_margin")]
    cells = np.flatnonzero(np.isin(scene.placement.compartment, tumor_codes) & np.isfinite(distance))
    fraction = depth_fraction(-distance[cells], samples.depth_um)
    sector = border_sectors(scene.measured.cells.xy_um[cells], scene.compartments, arc_um=ARC_UM)
    return {
        f"pdi_{column_name(name)}": penetration_index(
            fraction[members[cells]],
            sector[members[cells]],
            confidence=statistics.confidence,
            bootstrap=statistics.bootstrap,
            seed=statistics.seed,
            key=f"{scene.slide_id} {name}",
        )
        for name, members in populations.items()
    }


def depth_bands(scene: Scene, samples: DepthSamples) -> list[DepthBand]:
    """Return the density of every population by signed distance, from the deepest tumour to the outer width."""
    compartments = scene.compartments
    if compartments.border.evaluable.is_empty:
        return []
    edges = band_edges(-float(samples.depth_um.max(initial=0.0)), compartments.outer_um, BAND_UM).tolist()
    return depth_profile(
        edges,
        band_areas(compartments, edges_um=edges),
        band_of(scene.placement.border_distance_um, edges),
        scene.populations,
        scene.tiles.counts,
        inner_um=compartments.inner_um,
        outer_um=compartments.outer_um,
        confidence=scene.protocol.statistics.confidence,
    )


def comparable_settings(scene: Scene, cuts: Mapping[str, Any]) -> dict[str, str]:
    """Return what must agree between two time points, by the words a reason would use."""
    widths = {
        "inner width": f"{scene.compartments.inner_um:g} µm",
        "outer width": f"{scene.compartments.outer_um:g} µm",
    }
    keys = scene.protocol.compartments
    region = {
        "tumour region": scene.protocol.tumor.method,
        "holes": keys.holes,
        "tissue edge": keys.tissue_edge,
        "edge tolerance": f"{keys.edge_tolerance_um:g} µm",
    }
    thresholds = {
        f"threshold of {marker}": "none" if cut.threshold.threshold is None else f"{cut.threshold.threshold:.4g}"
        for marker, cut in cuts.items()
        if marker not in scene.measured.cells.calls
    }
    return {**scene.measured.settings, **widths, **region, **thresholds}
