"""Two populations in one region: every metric with its interval, and its null by random labelling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from spatial_til.metrics.pointpatterns.marks import first_marks, second_marks
from spatial_til.metrics.pointpatterns.neighbours import IntArray, build_grid
from spatial_til.metrics.pointpatterns.nulls import draw_labels, label_strata, null_summary
from spatial_til.metrics.pointpatterns.parts import MOST_REFERENCES, Parts, find_parts, thinned
from spatial_til.metrics.pointpatterns.spread import (
    Tiles,
    critical_value,
    interval_of_positive,
    interval_of_share,
    spread,
)
from spatial_til.metrics.pointpatterns.statistics import Key, pair_statistics, statistic_keys
from spatial_til.metrics.regions import region_parts
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.metrics.spatial_rows import SpatialRow
from spatial_til.model import COMPARTMENTS, XY, BoolArray, FloatArray
from spatial_til.units import UM2_PER_MM2

#: Why a metric, by the first word of its name, may have no value though both populations have cells.
_MISSING = {
    "nearest": "too few cells have a neighbour before the region's edge",
    "mixing": "no pair of cells within the reference population at this radius",
    "k": "no pair of cells",
    "l": "no pair of cells",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two populations of one slide, (n,) masks over its cells.

    `pool` holds the cells among which the label of the second is shuffled; it includes the second. Where
    no cell can be in both (tumour cells, CD8+ cells), it is all cells but the first. Where cells can be
    (PD-L1+, CD8+), it is all cells.
    """

    first: str
    second: str
    is_first: BoolArray
    is_second: BoolArray
    pool: BoolArray


@dataclass(frozen=True, slots=True)
class Region:
    """The cells of one region of one slide, (n,) in one order, and the region itself."""

    slide_id: str
    name: str
    window: Polygon | MultiPolygon  # µm
    xy_um: XY
    compartment: NDArray[np.integer[Any]]  # base compartment: labels are shuffled within
    tile: NDArray[np.integer[Any]]  # spatial tile, numbered within the compartment
    tile_area_mm2: Mapping[str, FloatArray]  # by base compartment, in the order of their tiles' numbers


@dataclass(frozen=True, slots=True)
class PatternSettings:
    """The protocol's statistics keys."""

    radii_um: tuple[float, ...]
    permutations: int
    bootstrap: int
    min_tiles: int
    confidence: float
    seed: int


def pair_rows(region: Region, pair: Pair, settings: PatternSettings) -> tuple[SpatialRow, ...]:
    """Return every metric of a pair of populations in one region.

    Parameters
    ----------
    region
        Cells and window. All cells lie in the window.
    pair
        Masks over the cells of the region.
    settings
        Radii, draws, gates and seed.

    Returns
    -------
    One row for each entry of `statistic_keys`; without a cell of one population all are empty.
    """
    if not np.all(pair.pool[pair.is_second]):
        msg = f"The pool of a null must hold all {pair.second} cells. Add them to `Pair.pool`."
        raise ValueError(msg)
    radii = np.array(sorted(settings.radii_um), dtype=np.float64)
    keys = statistic_keys(radii)
    missing = [name for name, mask in ((pair.first, pair.is_first), (pair.second, pair.is_second)) if not mask.any()]
    if missing:
        reason = f"no {' and no '.join(missing)} cell in {region.name}"
        return tuple(_row(region, pair, key, np.full(5, np.nan), reason) for key in keys)
    random = seeded_generator(settings.seed, region.slide_id, region.name, "patterns", pair.first, pair.second)
    parts = find_parts(region.xy_um, pair.is_first, pair.is_second, pair.pool, region.window, radii, random)
    labelled = np.flatnonzero(pair.is_second[parts.pool_cell])
    references = thinned(labelled, random)
    observed = pair_statistics(parts, labelled, references)
    low, high = _intervals(observed, parts, region, labelled, references, settings, random)
    null = _null(parts, region.compartment[parts.pool_cell], labelled, settings, random)
    null_mean, p_value = null_summary(observed, null)
    columns = np.column_stack((observed, low, high, null_mean, p_value))
    return tuple(_row(region, pair, key, column) for key, column in zip(keys, columns, strict=True))


def _null(
    parts: Parts,
    stratum: NDArray[np.integer[Any]],
    labelled: IntArray,
    settings: PatternSettings,
    random: np.random.Generator,
) -> FloatArray:
    """Return the statistics of every relabelling, (N, m)."""
    carries = np.zeros(len(stratum), dtype=np.bool_)
    carries[labelled] = True
    strata = label_strata(stratum, carries)

    def relabel(own: np.random.Generator) -> FloatArray:
        drawn = draw_labels(strata, own)
        return pair_statistics(parts, drawn, thinned(drawn, own))

    draws = [relabel(own) for own in random.spawn(settings.permutations)]
    return np.array(draws).reshape(settings.permutations, -1)


def _intervals(
    observed: FloatArray,
    parts: Parts,
    region: Region,
    labelled: IntArray,
    references: IntArray,
    settings: PatternSettings,
    random: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return the limits of every statistic, in their order."""
    k = len(parts.radii_um)
    low, high = np.full(len(observed), np.nan), np.full(len(observed), np.nan)
    grid = build_grid(parts.pool_um[labelled], parts.pool_cell[labelled])
    tile, tiles = _number_tiles(region)
    seen = first_marks(parts, labelled, grid, tile), second_marks(parts, references, grid, tile)
    spreads = [spread(marks, tiles, parts.radii_um, settings.bootstrap, random) for marks in seen]
    t = critical_value(spreads[0], settings.min_tiles, settings.confidence)  # of all tiles of the region, both ways
    at = 0
    for part in spreads:
        blocks = [
            (part.nearest, interval_of_positive),
            (part.counts, interval_of_positive),
            (part.g, interval_of_share),
            (part.auc, interval_of_share),
            (part.mixing, interval_of_positive),
        ]
        for error, interval in blocks:
            here = slice(at, at + len(error))
            low[here], high[here] = interval(observed[here], error, t)
            at += len(error)
    of_k = spreads[0].k  # K is asked from the first; L is its square root: half the relative error
    for here, error in ((slice(-2 * k, -k), of_k), (slice(-k, None), of_k / 2)):
        low[here], high[here] = interval_of_positive(observed[here], error, t)
    return low, high


def _number_tiles(region: Region) -> tuple[NDArray[np.integer[Any]], Tiles]:
    """Return the tile of each cell numbered through the whole region, and those tiles."""
    areas = [region.tile_area_mm2[part] for part in region_parts(region.name)]
    codes = [COMPARTMENTS.index(part) for part in region_parts(region.name)]
    offset = np.zeros(len(COMPARTMENTS), dtype=np.int64)
    sizes = [len(area) for area in areas]
    offset[codes] = np.cumsum([0, *sizes[:-1]])
    tiles = Tiles(np.concatenate(areas) * UM2_PER_MM2, np.repeat(np.array(codes, dtype=np.int64), sizes))
    return region.tile + offset[region.compartment], tiles


def _row(region: Region, pair: Pair, key: Key, numbers: FloatArray, reason: str = "") -> SpatialRow:
    """Return one row from value, limits, null mean and p, each NaN where there is none."""
    sizes = {pair.first: int(pair.is_first.sum()), pair.second: int(pair.is_second.sum())}
    population_from, population_to = (pair.first, pair.second) if key.from_first else (pair.second, pair.first)
    value, ci_low, ci_high, null_mean, p_value = (float(x) if np.isfinite(x) else None for x in numbers)
    if value is None and not reason:
        reason = _MISSING[key.metric.partition("_")[0]]
    elif value is not None and sizes[population_from] > MOST_REFERENCES:
        reason = f"{MOST_REFERENCES} of {sizes[population_from]} reference cells drawn"
    return SpatialRow(
        slide_id=region.slide_id,
        metric=key.metric,
        population_from=population_from,
        population_to=population_to,
        compartment=region.name,
        radius_um=key.radius_um,
        value=value,
        ci_low=ci_low,
        ci_high=ci_high,
        null_mean=null_mean,
        p_value=p_value,
        n_from=sizes[population_from],
        n_to=sizes[population_to],
        reason=reason,
    )
