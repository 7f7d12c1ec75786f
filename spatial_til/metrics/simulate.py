"""Slides with a stated truth: tile counts drawn from given densities, then scored as real slides are.

For known-truth studies and tests. Cells cluster: counts are negative binomial with a given variance-to-mean ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.pooling import PoolingKeys, pool_slides
from spatial_til.model import Call, FloatArray, SlideMeta, SlideScore, TileCounts

#: Density per mm² of a population in core, inner and outer margin.
Densities: TypeAlias = tuple[float, float, float]
_PARTS = ("core", "inner_margin", "outer_margin")
TILE_MM2 = 0.04  # 200 µm squares
_UNJUDGED = Call("", "", {})


def negative_binomial(mean: FloatArray, vmr: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Return counts of the given means whose variance is `vmr` times the mean; Poisson at 1.

    Examples
    --------
    >>> counts = negative_binomial(np.full(100_000, 8.0), 3.0, np.random.default_rng(0))
    >>> round(float(counts.mean()), 1), round(float(counts.var() / counts.mean()), 1)
    (8.0, 3.0)
    """
    if vmr <= 1:
        return random.poisson(mean)
    positive = np.maximum(mean, 1e-12)
    counts: NDArray[np.int64] = random.negative_binomial(positive / (vmr - 1), 1 / vmr)
    return counts


def simulate_slide(
    meta: SlideMeta,
    densities: Mapping[str, Densities],
    *,
    core_mm2: float,
    margin_mm2: float,
    vmr: float,
    random: np.random.Generator,
    keys: PoolingKeys,
    settings: Mapping[str, str] | None = None,
) -> SlideScore:
    """Return the score of a slide drawn from stated densities.

    Parameters
    ----------
    meta
        What the sheet would say.
    densities
        By population: true densities per mm² in core, inner and outer margin.
    core_mm2, margin_mm2
        Areas; the margin's is shared equally by inner and outer.
    vmr
        Variance-to-mean ratio of the counts in tiles, whatever their size: clusters are smaller than tiles.
    random
        Generator.
    keys
        The protocol's keys.
    settings
        How the slide was scored.
    """
    areas = (core_mm2, margin_mm2 / 2, margin_mm2 / 2)
    tiles = {}
    for i, (part, area) in enumerate(zip(_PARTS, areas, strict=True)):
        tile_areas = _tile_areas(area, keys.min_tiles)
        tiles[part] = TileCounts(
            slide_id=meta.slide_id,
            compartment=part,
            tile_um=1000 * float(tile_areas[0]) ** 0.5,
            area_mm2=tile_areas,
            counts={p: negative_binomial(d[i] * tile_areas, vmr, random) for p, d in densities.items()},
            x_um=np.zeros(len(tile_areas)),
            y_um=np.zeros(len(tile_areas)),
        )
    return score_tiles(meta, tiles, keys, settings=settings or {})


def score_tiles(
    meta: SlideMeta, tiles: Mapping[str, TileCounts], keys: PoolingKeys, *, settings: Mapping[str, str]
) -> SlideScore:
    """Return the score of a slide from its tile counts alone; its border is long enough."""
    area = {part: tiles[part].total_area_mm2 for part in _PARTS}
    populations = tiles["core"].counts
    bare = SlideScore(
        meta=meta,
        tiles=tiles,
        estimates={},
        values={},
        phenotype=_UNJUDGED,
        activity={marker: _UNJUDGED for marker, p in (("cd8", "CD8+"), ("pdl1", "PD-L1+")) if p in populations},
        gates={
            "tumor_mm2": area["core"] + area["inner_margin"],
            "border_um": max(1000 * area["outer_margin"] / 0.5, keys.min_border_um),
            "core_mm2": area["core"],
            "inner_margin_mm2": area["inner_margin"],
            "outer_margin_mm2": area["outer_margin"],
            "artefact_fraction": 0.0,
        },
        settings=settings,
    )
    judged = pool_slides([bare], keys)
    return replace(judged, meta=meta, tiles=tiles)


def _tile_areas(area_mm2: float, min_tiles: int) -> FloatArray:
    """Return equal tiles that make up an area: of 200 µm, halved twice at most until there are enough."""
    n_tiles = next((n for n in (round(area_mm2 / TILE_MM2 * 4**k) for k in range(3)) if n >= min_tiles), 1)
    return np.full(n_tiles, area_mm2 / n_tiles)
