"""Densities of several slides of one biopsy: counts and areas summed, variance within and between slides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spatial_til.metrics.density import Stratum, combine_strata, summarise_stratum
from spatial_til.model import AGGREGATES, COMPARTMENTS, Estimate, SlideScore

_REGIONS: Mapping[str, tuple[str, ...]] = {**{name: (name,) for name in COMPARTMENTS}, **AGGREGATES}
UNVERIFIED = "stain_unverified"
#: From this many slides on their differences say how much slides differ.
ENOUGH_SLIDES = 3


def pooled_estimates(
    slides: Sequence[SlideScore], *, confidence: float, bootstrap: int, min_tiles: int, seed: int
) -> dict[tuple[str, str], Estimate]:
    """Return the density of every population in every compartment and aggregate over several slides.

    Parameters
    ----------
    slides
        Scored slides with their tile counts.
    confidence, bootstrap, min_tiles, seed
        As in `density.estimate`.

    Notes
    -----
    A population is summed over the slides that count it, so that serial sections with one marker each
    serve. Variance from tiles, stratified by slide and compartment; with three slides or more, the
    larger of that and the ratio estimator's between slides, K / (K - 1) sum((n_i - D a_i)^2).

    References
    ----------
    Cochran, Sampling Techniques, 3rd ed. 1977, section 2.11: variance of a ratio of sums.
    """
    strata = [
        {name: summarise_stratum(tiles, bootstrap=bootstrap, seed=seed) for name, tiles in slide.tiles.items()}
        for slide in slides
    ]
    table: dict[tuple[str, str], Estimate] = {}
    for members, populations in _counted_together(strata).items():
        for region, parts in _REGIONS.items():
            by_slide = [[_only(strata[i][p], populations) for p in parts if p in strata[i]] for i in members]
            by_slide = [found for found in by_slide if found]
            if by_slide:
                estimates = _over_slides(by_slide, confidence=confidence, min_tiles=min_tiles)
                table |= {(population, region): e for population, e in estimates.items()}
    doubtful = {key for s in slides for key, e in s.estimates.items() if UNVERIFIED in e.flags}
    for key in doubtful & set(table):  # one slide whose stain may have failed leaves the sum in doubt
        table[key] = replace(table[key], flags=(*table[key].flags, UNVERIFIED))
    return table


def _counted_together(strata: Sequence[Mapping[str, Stratum]]) -> dict[tuple[int, ...], tuple[str, ...]]:
    """Return the populations that the same slides count, by the positions of those slides."""
    counted: dict[str, list[int]] = defaultdict(list)
    for i, of_slide in enumerate(strata):
        for population in dict.fromkeys(p for stratum in of_slide.values() for p in stratum.populations):
            counted[population].append(i)
    together: dict[tuple[int, ...], tuple[str, ...]] = {}
    for population, members in counted.items():
        together[tuple(members)] = (*together.get(tuple(members), ()), population)
    return together


def _only(stratum: Stratum, populations: tuple[str, ...]) -> Stratum:
    """Return a stratum of the named populations, in their order."""
    chosen = [stratum.populations.index(name) for name in populations]
    return replace(
        stratum,
        populations=populations,
        n_cells=stratum.n_cells[chosen],
        quasi=stratum.quasi[chosen],
        bootstrap=stratum.bootstrap[chosen],
    )


def _over_slides(by_slide: Sequence[Sequence[Stratum]], *, confidence: float, min_tiles: int) -> dict[str, Estimate]:
    """Return the densities of one region over slides: the wider of within and between slides."""
    every = [stratum for of_slide in by_slide for stratum in of_slide]
    within = combine_strata(every, confidence=confidence, min_tiles=min_tiles)
    with_area = [of_slide for of_slide in by_slide if sum(s.area_mm2 for s in of_slide) > 0]
    if len(with_area) < ENOUGH_SLIDES:
        return within
    between = combine_strata([_slides_as_tiles(with_area)], confidence=confidence, min_tiles=0)
    return {p: _wider(within[p], between[p]) for p in within}


def _slides_as_tiles(by_slide: Sequence[Sequence[Stratum]]) -> Stratum:
    """Return one stratum whose tiles are the slides, with the variance between them."""
    n = np.array([np.sum([s.n_cells for s in of_slide], axis=0) for of_slide in by_slide])  # (K, P)
    area = np.array([sum(s.area_mm2 for s in of_slide) for of_slide in by_slide])  # (K,)
    residual = n - area[:, None] * (n.sum(axis=0) / area.sum())
    variance = len(area) / (len(area) - 1) * (residual**2).sum(axis=0)
    return Stratum(
        populations=by_slide[0][0].populations,
        area_mm2=float(area.sum()),
        n_tiles=len(area),
        n_cells=n.sum(axis=0),
        quasi=variance,
        bootstrap=variance,
        enlarged=False,
    )


def _wider(within: Estimate, between: Estimate) -> Estimate:
    """Return the estimate with the larger standard error; the flags are those of the tiles."""
    if between.sigma_ln is None or (within.sigma_ln is not None and within.sigma_ln >= between.sigma_ln):
        return within
    return replace(between, flags=within.flags)
