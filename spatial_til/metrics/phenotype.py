"""Immunophenotype: inflamed, excluded, desert or intermediate, from CD8+ densities in core and margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.levels import (
    Failure,
    Levels,
    call_class,
    draw_levels,
    missing_levels,
    not_evaluable,
    point_levels,
)
from spatial_til.model import Call, Estimate

CLASSES = ("inflamed", "excluded", "desert", "intermediate")
#: Rules that need densities of core and margin only; the third, `grid`, is in `grid.py`.
DENSITY_RULES = ("density_ratio", "kather2018")


def check_gates(
    gates: Mapping[str, float | None],
    *,
    min_core_mm2: float,
    min_margin_mm2: float,
    min_border_um: float,
    max_artefact_fraction: float,
) -> tuple[Failure, ...]:
    """Return the gates that a slide, or the sums of a group of slides, does not pass.

    Parameters
    ----------
    gates
        `tumor_mm2`, `border_um`, `core_mm2`, `inner_margin_mm2`, `outer_margin_mm2`, `artefact_fraction`.
        An artefact fraction of None is not known and passes; any other that is missing counts as 0.
    min_core_mm2, min_margin_mm2, min_border_um, max_artefact_fraction
        The protocol's `[gates]`; the margin's holds for inner and outer each.
    """
    if not gates.get("tumor_mm2"):
        return (Failure("no_tumor_region", "no tumour region"),)
    border = gates.get("border_um") or 0.0
    if border == 0:
        return (Failure("no_border", "no stretch of the tumour boundary faces stroma"),)
    failures = []
    if border < min_border_um:
        failures.append(Failure("short_border", f"border {border:.0f} µm, {min_border_um:g} needed"))
    core = gates.get("core_mm2") or 0.0
    if core < min_core_mm2:
        failures.append(Failure("core_too_small", f"core {core:.3f} mm², {min_core_mm2:g} needed"))
    for side in ("inner", "outer"):
        area = gates.get(f"{side}_margin_mm2") or 0.0
        if area < min_margin_mm2:
            failures.append(Failure("margin_too_small", f"{side} margin {area:.3f} mm², {min_margin_mm2:g} needed"))
    artefact = gates.get("artefact_fraction") or 0.0
    if artefact > max_artefact_fraction:
        failures.append(
            Failure("high_artefact", f"artefacts cover {artefact:.0%}, {max_artefact_fraction:.0%} allowed")
        )
    return tuple(failures)


def phenotype(
    estimates: Mapping[str, Estimate],
    *,
    rule: str,
    hot_cd8_per_mm2: float,
    excluded_log2_ratio: float,
    min_class_probability: float,
    draws: int,
    seed: int,
    key: str,
    failures: Sequence[Failure] = (),
) -> Call:
    """Call the immunophenotype of a slide or of a group of slides.

    Parameters
    ----------
    estimates
        CD8+ densities of `core`, `inner_margin` and `outer_margin`. Count, area, `sigma_ln` and `dof` are
        used, so sums over slides serve as well as one slide.
    rule
        `density_ratio` or `kather2018`.
    hot_cd8_per_mm2, excluded_log2_ratio, min_class_probability
        The protocol's `[scores]`.
    draws
        Replicates for the probabilities.
    seed, key
        The protocol's `statistics.seed` and the name of the slide or group.
    failures
        Gates not passed and a CD8 threshold that is not evaluable: with any, the class is `not_evaluable`.

    Notes
    -----
    `density_ratio` (project default): inflamed if core >= c; else excluded if margin >= c and log2 core /
    margin <= the protocol's ratio; else desert if margin < c; else intermediate, a gradient rather than a wall.
    `kather2018`: core and outer margin, one cut-off; its hot and cold are named inflamed and desert here.

    References
    ----------
    Kather et al. 2018, eLife 7:e36967, doi:10.7554/eLife.36967: the cut-off and the rule `kather2018`.
    """
    problems = (*failures, *(() if failures else missing_levels(estimates)))
    if problems:
        return not_evaluable(problems)
    classify = {"density_ratio": _density_ratio, "kather2018": _kather2018}[rule]
    point = point_levels(estimates)
    drawn = draw_levels(estimates, draws=draws, seed=seed, key=key)
    return call_class(
        CLASSES,
        classify(point, hot_cd8_per_mm2, excluded_log2_ratio),
        classify(drawn, hot_cd8_per_mm2, excluded_log2_ratio),
        min_class_probability=min_class_probability,
        reason=str(point),
    )


def _density_ratio(levels: Levels, hot: float, excluded_log2_ratio: float) -> NDArray[np.integer[Any]]:
    """Return indices into CLASSES."""
    inflamed = levels.core >= hot
    desert = levels.margin < hot
    excluded = ~desert & (levels.log2_ratio <= excluded_log2_ratio)
    return np.select([inflamed, excluded, desert], [0, 1, 2], 3)


def _kather2018(levels: Levels, hot: float, _excluded_log2_ratio: float) -> NDArray[np.integer[Any]]:
    """Return indices into CLASSES; there is no intermediate."""
    return np.select([levels.core > hot, levels.outer > hot], [0, 1], 2)
