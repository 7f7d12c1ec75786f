"""Densities with intervals that know cells cluster.

One calculation serves a compartment, an aggregate (strata: its compartments) and pooled slides (strata:
compartments x slides). Within a stratum the variance of the count is taken from its spatial tiles; strata
are independent and their areas known, so variances add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spatial_til.metrics.intervals import garwood, t_quantile, welch_dof, whole_dof
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import AGGREGATES, COMPARTMENTS, Estimate, FloatArray, TileCounts

#: An expected count below this many variance-to-mean ratios has an interval that may cover less.
_LOW_COUNT = 15.0
#: Bootstrap weights held at once: 500,000 take 14 MB, and as long as more at once.
_WEIGHTS_AT_ONCE = 500_000
#: Areas are summed as whole numbers of these (2^-40 mm²), so that no order of summation changes a digit.
_AREA_UNIT = 2.0**-40
#: Added to a count before its logarithm.
HALF_COUNT = 0.5


@dataclass(frozen=True, slots=True)
class Stratum:
    """Counts of one compartment of one slide and their variance from its tiles, by population.

    `quasi` is the quasi-Poisson variance of the count, phi x n; `bootstrap` that of resampled tiles.
    Both are NaN with a single tile.
    """

    populations: tuple[str, ...]
    area_mm2: float
    n_tiles: int
    n_cells: FloatArray  # (P,)
    quasi: FloatArray  # (P,)
    bootstrap: FloatArray  # (P,)
    enlarged: bool


def summarise_stratum(tiles: TileCounts, *, bootstrap: int, seed: int) -> Stratum:
    """Return counts and their variances for every population of a compartment.

    Parameters
    ----------
    tiles
        Tile counts of one base compartment of one slide.
    bootstrap
        Number of resamples of the tiles.
    seed
        The protocol's `statistics.seed`; random numbers depend on it, the slide and the compartment.

    Notes
    -----
    phi = 1 / (T - 1) sum((n_t - D a_t)^2 / (D a_t)), the Pearson estimate. Resampled densities are the
    ratio of sums, never the mean of tile densities.
    """
    names = tuple(tiles.counts)
    counts = _count_matrix(tiles)
    area, n_tiles, n = tiles.area_mm2, len(tiles.area_mm2), counts.sum(axis=1)
    quasi = np.full(len(names), np.nan)
    resampled = np.full(len(names), np.nan)
    if n_tiles > 1:
        quasi = np.where(n > 0, _pearson_ratio(counts, area) * n, 0.0)
        random = seeded_generator(seed, tiles.slide_id, tiles.compartment)
        resampled = _bootstrap_variance(counts, area, bootstrap, random)
    return Stratum(names, float(area.sum()), n_tiles, n, quasi, resampled, enlarged="tiles_enlarged" in tiles.flags)


def dispersion(tiles: TileCounts) -> dict[str, float]:
    """Return the variance-to-mean ratio of each population over tiles: Pearson's estimate.

    1 where no cell was found, NaN with a single tile or none.
    """
    if len(tiles.area_mm2) < 2:
        return dict.fromkeys(tiles.counts, float("nan"))
    ratio = _pearson_ratio(_count_matrix(tiles), tiles.area_mm2)
    return dict(zip(tiles.counts, ratio.tolist(), strict=True))


def _count_matrix(tiles: TileCounts) -> FloatArray:
    """Return the (P, T) counts."""
    return np.stack(list(tiles.counts.values())).astype(np.float64)


def _pearson_ratio(counts: FloatArray, area: FloatArray) -> FloatArray:
    """Return the (P,) variance-to-mean ratios of counts that expect the same density in all tiles."""
    n = counts.sum(axis=1)
    expected = np.maximum(n, 1.0)[:, None] * (area / area.sum())
    ratio: FloatArray = ((counts - expected) ** 2 / expected).sum(axis=1) / (len(area) - 1)
    return np.where(n > 0, ratio, 1.0)


def _bootstrap_variance(counts: FloatArray, area: FloatArray, draws: int, random: np.random.Generator) -> FloatArray:
    """Return the variance of (P,) counts, at the known area, over resamples of the tiles."""
    n_tiles = len(area)
    columns = np.column_stack((np.rint(area / _AREA_UNIT), counts.T))
    at_once = max(1, _WEIGHTS_AT_ONCE // n_tiles)
    densities = []
    for start in range(0, draws, at_once):
        rows = min(at_once, draws - start)
        chosen = random.integers(n_tiles, size=(rows, n_tiles), dtype=np.int32)
        chosen += np.arange(rows, dtype=np.int32)[:, None] * n_tiles
        weights = np.bincount(chosen.ravel(), minlength=rows * n_tiles).reshape(rows, n_tiles)
        totals = weights.astype(np.float64) @ columns
        densities.append(totals[:, 1:] / totals[:, :1])
    whole = float(area.sum()) / _AREA_UNIT
    variance: FloatArray = np.concatenate(densities).var(axis=0, ddof=1) * whole**2
    return variance


def estimate(
    strata: Sequence[TileCounts],
    population: str,
    *,
    confidence: float,
    bootstrap: int,
    min_tiles: int,
    seed: int,
) -> Estimate:
    """Return the density of one population over disjoint strata, with its interval.

    Parameters
    ----------
    strata
        Tile counts of the parts: base compartments, of one slide or of several.
    population
        Name of the population.
    confidence
        Such as 0.95.
    bootstrap
        Number of resamples.
    min_tiles
        With fewer tiles in all the estimate is flagged `few_tiles`.
    seed
        The protocol's `statistics.seed`.

    Notes
    -----
    Density = n / A. The interval is D exp(±t sigma) with sigma the larger of the quasi-Poisson and the
    tile bootstrap standard error over D, and t Student's at T - 1 (Welch's over strata); it is never
    narrower than the exact Poisson interval. `sigma_ln` is its half-width on the logarithmic scale over
    t, so that whatever is drawn from sigma agrees with the interval. No cell found: 0 with the exact upper
    limit, and a sigma whose upper end about (n + 0.5) / A is that limit. No area: no density.
    """
    parts = [summarise_stratum(_only(tiles, population), bootstrap=bootstrap, seed=seed) for tiles in strata]
    return combine_strata(parts, confidence=confidence, min_tiles=min_tiles)[population]


def estimate_table(
    tiles: Mapping[str, TileCounts], *, confidence: float, bootstrap: int, min_tiles: int, seed: int
) -> dict[tuple[str, str], Estimate]:
    """Return the density of every population in every base compartment and aggregate of a slide.

    Parameters
    ----------
    tiles
        Tile counts by base compartment.
    confidence, bootstrap, min_tiles, seed
        As in `estimate`.

    Returns
    -------
    dict
        By (population, compartment).
    """
    strata = {name: summarise_stratum(t, bootstrap=bootstrap, seed=seed) for name, t in tiles.items()}
    regions = {name: (name,) for name in COMPARTMENTS} | dict(AGGREGATES)
    table = {}
    for region, members in regions.items():
        parts = [strata[name] for name in members if name in strata]
        if parts:
            estimates = combine_strata(parts, confidence=confidence, min_tiles=min_tiles)
            table.update({(population, region): e for population, e in estimates.items()})
    return table


def _only(tiles: TileCounts, population: str) -> TileCounts:
    """Return the tile counts of one population."""
    return TileCounts(
        tiles.slide_id,
        tiles.compartment,
        tiles.tile_um,
        tiles.area_mm2,
        {population: tiles.counts[population]},
        tiles.x_um,
        tiles.y_um,
        tiles.flags,
    )


def combine_strata(strata: Sequence[Stratum], *, confidence: float, min_tiles: int) -> dict[str, Estimate]:
    """Return the density of every population over disjoint strata; see `estimate`.

    Raises
    ------
    ValueError
        If the strata do not count the same populations.
    """
    with_area = [s for s in strata if s.area_mm2 > 0]
    populations = strata[0].populations
    if any(s.populations != populations for s in strata):
        msg = f"strata must count the same populations in the same order: {[s.populations for s in strata]}"
        raise ValueError(msg)
    if not with_area:
        counts = sum(s.n_cells for s in strata)
        return {p: _without_area(int(n)) for p, n in zip(populations, np.atleast_1d(counts), strict=True)}
    area = sum(s.area_mm2 for s in with_area)
    n = np.sum([s.n_cells for s in strata], axis=0)
    variances = _variances(with_area)  # (2, S, P)
    wider = variances[np.argmax(variances.sum(axis=1), axis=0), :, np.arange(len(populations))]  # (P, S)
    dofs = [s.n_tiles - 1 for s in with_area]
    n_tiles = sum(s.n_tiles for s in with_area)
    flags = ("few_tiles",) * (n_tiles < min_tiles) + ("tiles_enlarged",) * any(s.enlarged for s in with_area)
    return {p: _estimate(int(n[i]), area, wider[i], dofs, confidence, flags) for i, p in enumerate(populations)}


def _variances(strata: Sequence[Stratum]) -> FloatArray:
    """Return the (2, S, P) quasi-Poisson and bootstrap variances of the counts of each stratum.

    A stratum of one tile has none of its own; it takes the variance-to-mean ratio of the others, and where there are
    no others Poisson's, which no interval is made of: it has no degree of freedom.
    """
    own = np.array([[s.quasi for s in strata], [s.bootstrap for s in strata]])
    n = np.array([s.n_cells for s in strata])
    single = np.array([s.n_tiles < 2 for s in strata])
    ratio = own[:, ~single].sum(axis=1) / np.maximum(n[~single].sum(axis=0), 1.0)
    own[:, single] = np.maximum(ratio, 1.0)[:, None, :] * n[single]
    return own


def _estimate(
    n: int, area: float, variances: FloatArray, dofs: Sequence[int], confidence: float, flags: tuple[str, ...]
) -> Estimate:
    """Return one density from its count, its area and the variances of the count in each stratum."""
    low, high = (float(limit) for limit in garwood(n, confidence))
    if n == 0:
        dof = max(sum(dofs), 0)
        sigma = float(np.log(high / HALF_COUNT)) / t_quantile(dof, confidence) if dof else None
        return Estimate(0, area, 0.0, 0.0, high / area, sigma, dof, ("zero_count", "low_count", *flags))
    variance = float(variances.sum())
    dof = whole_dof(welch_dof(variances, dofs)) if np.isfinite(variance) else 0
    if variance == 0 and np.isfinite(variance):  # counts exactly proportional to areas
        dof = sum(dofs)
    sigma = None
    if dof > 0:
        t = t_quantile(dof, confidence)
        reach = np.exp(t * np.sqrt(variance) / n)
        low, high = min(low, n / reach), max(high, n * reach)
        sigma = float(np.log(high / low)) / (2 * t)
    ratio = variance / n if dof > 0 else 1.0
    few = ("low_count",) if n < _LOW_COUNT * max(ratio, 1.0) else ()
    return Estimate(n, area, n / area, low / area, high / area, sigma, dof, (*few, *flags))


def density_of_count(n: int, area_mm2: float, ratio: float, dof: int, confidence: float) -> Estimate:
    """Return the density of a count whose variance-to-mean ratio was learnt elsewhere; see `estimate`.

    Parameters
    ----------
    n, area_mm2
        Count, and the area it is of.
    ratio, dof
        Variance-to-mean ratio and its degrees of freedom; NaN where it is not known.
    confidence
        Such as 0.95.
    """
    if area_mm2 <= 0:
        return _without_area(n)
    flags = () if np.isfinite(ratio) and dof > 0 else ("few_tiles",)
    return _estimate(n, area_mm2, np.array([ratio * n]), [dof], confidence, flags)


def _without_area(n: int) -> Estimate:
    """Return the estimate where there is no tissue, or its area is not known."""
    return Estimate(n, 0.0, None, None, None, None, 0)
