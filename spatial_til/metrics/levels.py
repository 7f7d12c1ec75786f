"""Core and margin levels of one population: the point, and replicates drawn from the intervals.

All calls rest on these, of a slide and of pooled slides alike: estimates by base compartment go in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.seeding import seeded_generator
from spatial_til.model import AGGREGATES, Call, Estimate, FloatArray

MARGIN = AGGREGATES["margin"]
#: Compartments that decide a call.
DECIDING = ("core", *MARGIN)
NOT_EVALUABLE = "not_evaluable"
INDETERMINATE = "indeterminate"
_HALF_COUNT = 0.5
#: A replicate lies at most so far from the density, in ln: farther changes no class, and is no number any more.
_FARTHEST_LN = 300.0


class Failure(NamedTuple):
    """Why no class can be given: a flag of the closed table, and a sentence with the numbers."""

    flag: str
    reason: str


@dataclass(frozen=True, slots=True)
class Levels:
    """Densities per mm² and log2 of core over margin; one element, or one for each replicate."""

    core: FloatArray
    margin: FloatArray
    outer: FloatArray
    log2_ratio: FloatArray

    def __str__(self) -> str:
        """Say the first element in words."""
        core, margin = float(self.core[0]), float(self.margin[0])
        ratio = f", log2 core/margin {self.log2_ratio[0]:z.2f}" if core or margin else ""  # of areas, where both are 0
        return f"core {core:.0f}/mm², margin {margin:.0f}/mm²{ratio}"


def missing_levels(estimates: Mapping[str, Estimate]) -> tuple[Failure, ...]:
    """Return what stands against drawing replicates: a compartment without area, or too few tiles."""
    failures = []
    for name in DECIDING:
        estimate = estimates.get(name)
        if estimate is None or estimate.density_per_mm2 is None:
            flag = "core_too_small" if name == "core" else "margin_too_small"
            failures.append(Failure(flag, f"{name} has no tissue"))
        elif estimate.sigma_ln is None or estimate.dof < 1 or "few_tiles" in estimate.flags:
            failures.append(Failure("few_tiles", f"{name} has too few spatial tiles for a call"))
    return tuple(failures)


def point_levels(estimates: Mapping[str, Estimate]) -> Levels:
    """Return the levels as they were counted; half a cell is added in the logarithm only."""
    area = {name: estimates[name].area_mm2 for name in DECIDING}
    n = {name: estimates[name].n_cells for name in DECIDING}
    margin_n, margin_area = sum(n[m] for m in MARGIN), sum(area[m] for m in MARGIN)
    ratio = (n["core"] + _HALF_COUNT) / area["core"] / ((margin_n + _HALF_COUNT) / margin_area)
    return Levels(
        core=np.array([n["core"] / area["core"]]),
        margin=np.array([margin_n / margin_area]),
        outer=np.array([n["outer_margin"] / area["outer_margin"]]),
        log2_ratio=np.array([np.log2(ratio)]),
    )


def draw_levels(estimates: Mapping[str, Estimate], *, draws: int, seed: int, key: str) -> Levels:
    """Return replicates of the levels.

    Parameters
    ----------
    estimates
        By base compartment; count, area, `sigma_ln` and `dof` are used.
    draws
        Number of replicates.
    seed, key
        The protocol's `statistics.seed` and the name of the slide or group.

    Notes
    -----
    L* = log2((n + 0.5) / A) + sigma / ln 2 x t(dof) in each base compartment, independently; the margin
    is rebuilt from inner and outer by area.
    """
    drawn = {}
    for name in DECIDING:
        e = estimates[name]
        t = seeded_generator(seed, key, name, "replicates").standard_t(e.dof, draws)
        away_ln = np.clip((e.sigma_ln or 0.0) * t, -_FARTHEST_LN, _FARTHEST_LN)
        drawn[name] = (e.n_cells + _HALF_COUNT) / e.area_mm2 * np.exp(away_ln)
    area = [estimates[m].area_mm2 for m in MARGIN]
    margin = np.average([drawn[m] for m in MARGIN], axis=0, weights=area)
    return Levels(drawn["core"], margin, drawn["outer_margin"], np.log2(drawn["core"] / margin))


def call_class(
    classes: Sequence[str],
    point: NDArray[np.integer[Any]],
    replicates: NDArray[np.integer[Any]],
    *,
    min_class_probability: float,
    reason: str,
) -> Call:
    """Return the call: the most probable class, or `indeterminate` where none is probable enough.

    Parameters
    ----------
    classes
        Names; `point` (one element) and `replicates` are indices into them.
    min_class_probability
        Smallest probability of a call.
    reason
        What the point class rests on, in words.
    """
    probability = np.bincount(replicates, minlength=len(classes)) / len(replicates)
    best = int(probability.argmax())
    sure = bool(probability[best] >= min_class_probability)
    found = f"; {classes[best]} has probability {probability[best]:.2f}, {min_class_probability:g} needed"
    return Call(
        point=classes[int(point[0])],
        call=classes[best] if sure else INDETERMINATE,
        probabilities={name: float(p) for name, p in zip(classes, probability, strict=True)},
        reason=reason if sure else reason + found,
    )


def not_evaluable(failures: Sequence[Failure]) -> Call:
    """Return the call of what cannot be evaluated, with every reason."""
    flags = tuple(dict.fromkeys(f.flag for f in failures))
    return Call(NOT_EVALUABLE, NOT_EVALUABLE, {}, "; ".join(f.reason for f in failures), flags)
