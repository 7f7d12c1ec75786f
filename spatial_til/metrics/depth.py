"""Density by signed distance to the tumour border, in bands parallel to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.density import density_of_count, dispersion
from spatial_til.model import BoolArray, Estimate, FloatArray, TileCounts

#: A band with less tissue than this is the rounding of a difference of areas: 1 µm².
_NO_AREA_MM2 = 1e-6


class DepthBand(NamedTuple):
    """Density of one population between two signed distances; negative ones lie in the tumour."""

    population: str
    from_um: float
    to_um: float
    estimate: Estimate


def band_edges(nearest_um: float, farthest_um: float, band_um: float) -> FloatArray:
    """Return band limits at multiples of `band_um`, 0 among them, that hold all distances between the two.

    Examples
    --------
    >>> band_edges(-120.0, 90.0, 50.0).tolist()
    [-150.0, -100.0, -50.0, 0.0, 50.0, 100.0]
    """
    first = min(int(np.floor(nearest_um / band_um)), 0)
    last = max(int(np.ceil(farthest_um / band_um)), 0)
    return np.arange(first, last + 1, dtype=np.float64) * band_um


def depth_profile(
    edges_um: Sequence[float],
    area_mm2: FloatArray,
    band: NDArray[np.integer[Any]],
    populations: Mapping[str, BoolArray],
    tiles: Mapping[str, TileCounts],
    *,
    inner_um: float,
    outer_um: float,
    confidence: float,
) -> list[DepthBand]:
    """Return the density of every population in every band, with its interval.

    Parameters
    ----------
    edges_um
        (b + 1,) limits of the bands, rising; negative inside the tumour.
    area_mm2
        (b,) evaluable tissue in each band.
    band
        (n,) band of each cell, -1 where none.
    populations
        (n,) members of each population, by name.
    tiles
        Tile counts by base compartment; how clustered cells are in a band is taken from the compartment
        that holds its middle.
    inner_um, outer_um
        Widths of the margins.
    confidence
        Such as 0.95.

    Notes
    -----
    Quasi-Poisson, never narrower than exact Poisson. Tiles are wider than most bands and a density that
    changes with depth adds to their variance, so the interval errs on the wide side.
    """
    ratios = {name: dispersion(counts) for name, counts in tiles.items()}
    limits = [(float(a), float(b)) for a, b in pairwise(edges_um)]
    areas = np.where(area_mm2 > _NO_AREA_MM2, area_mm2, 0.0).tolist()
    profile = []
    for population, members in populations.items():
        n_cells = np.bincount(band[members & (band >= 0)], minlength=len(limits))
        for n, area, (low, high) in zip(n_cells.tolist(), areas, limits, strict=True):
            name = _compartment_at((low + high) / 2, inner_um, outer_um)
            ratio, dof = ratios[name].get(population, float("nan")), len(tiles[name].area_mm2) - 1
            estimate = density_of_count(n, area, ratio, dof, confidence)
            profile.append(DepthBand(population, low, high, estimate))
    return profile


def _compartment_at(distance_um: float, inner_um: float, outer_um: float) -> str:
    """Return the base compartment at a signed distance."""
    if distance_um <= 0:
        return "core" if distance_um < -inner_um else "inner_margin"
    return "outer_margin" if distance_um <= outer_um else "outside"
