"""CD8+ cells inside nests of tumour cells and in the stroma between them.

This is what "excluded" means where a tumour is a mesh of nests and stroma: T cells in the stroma, not in
the nests. It stands beside core and margin, which compare depths, and is never mixed with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import shapely
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.metrics.density import estimate
from spatial_til.metrics.log_ratios import log2_ratio
from spatial_til.metrics.tiles import tile_compartment
from spatial_til.model import XY, BoolArray, Estimate, Value

NEST, STROMA = "nest", "stroma"


@dataclass(frozen=True, slots=True)
class NestDensities:
    """Densities of one population in nests and between them, and log2 of nest over stroma."""

    population: str
    nest: Estimate
    stroma: Estimate
    log2_nest_stroma: Value


@dataclass(frozen=True, slots=True)
class NestSettings:
    """The protocol's statistics keys, and the slide that random numbers are seeded for."""

    slide_id: str
    tile_um: float
    min_tiles: int
    confidence: float
    bootstrap: int
    seed: int


def nest_densities(
    tumor: MultiPolygon,
    nests: MultiPolygon,
    xy_um: XY,
    in_nest: BoolArray,
    populations: Mapping[str, BoolArray],
    settings: NestSettings,
) -> tuple[NestDensities, ...]:
    """Return the density of each population in the nests and in the stroma between them.

    Parameters
    ----------
    tumor
        Evaluable tumour in µm; stroma is what of it lies in no nest.
    nests
        Nests of tumour cells in µm, inside the tumour.
    xy_um
        (n, 2) cells of the tumour.
    in_nest
        (n,) cells in a nest.
    populations
        (n,) members of each population, by name.
    settings
        Tile side, gates and seed.

    References
    ----------
    Mariathasan et al. (2018), doi:10.1038/nature25501.
    """
    parts = {NEST: (nests, in_nest), STROMA: (_polygons(shapely.difference(tumor, nests)), ~in_nest)}
    tiles = {
        name: tile_compartment(
            region,
            xy_um[inside],
            {population: members[inside] for population, members in populations.items()},
            slide_id=settings.slide_id,
            compartment=name,
            tile_um=settings.tile_um,
            min_tiles=settings.min_tiles,
            correlated=tuple(populations),
            seed=settings.seed,
        )[0]
        for name, (region, inside) in parts.items()
    }
    found = []
    for population in populations:
        nest, stroma = (
            estimate(
                [tiles[name]],
                population,
                confidence=settings.confidence,
                bootstrap=settings.bootstrap,
                min_tiles=settings.min_tiles,
                seed=settings.seed,
            )
            for name in (NEST, STROMA)
        )
        ratio = log2_ratio(nest, stroma, confidence=settings.confidence)
        found.append(NestDensities(population, nest, stroma, ratio))
    return tuple(found)


def _polygons(geometry: shapely.Geometry) -> MultiPolygon:
    """Return the polygons of a geometry; lines and points have no area and hold no cell."""
    return MultiPolygon([part for part in shapely.get_parts(geometry).tolist() if isinstance(part, Polygon)])
