"""The longitudinal call: what happened to CD8+ cells in core and margin between two biopsies."""

from __future__ import annotations

from typing import NamedTuple

from spatial_til.metrics.changes import log2_contrast, log2_density
from spatial_til.model import Call, SlideScore, Value

CALLS = (
    "reversion_to_excluded",
    "infiltration_gain",
    "sustained_infiltration",
    "already_excluded",
    "global_loss",
    "margin_gain",
    "stable",
    "indeterminate",
    "not_evaluable",
)
#: Smallest change that counts, in log2: of a density, and of the ratio core to margin (project defaults).
DENSITY_STEP = 0.5
RATIO_STEP = 1.0
#: Nothing changed only where the intervals of all three changes lie within ± this, in log2 (project default).
STABLE_WITHIN = 1.0
#: The population that the call rests on.
CD8 = "CD8+"


class CutOffs(NamedTuple):
    """The protocol's cut-offs of the call: densities per mm², and log2 of core over margin."""

    hot_cd8_per_mm2: float
    excluded_log2_ratio: float
    min_margin_cd8_per_mm2: float


class Infiltrate(NamedTuple):
    """CD8+ cells of one biopsy in core and margin per mm², log2 of core over margin, and the class."""

    core: float
    margin: float
    log2_ratio: float
    phenotype: Call


class Shift(NamedTuple):
    """Changes of CD8+ cells from reference to target, in log2."""

    core: Value
    margin: Value
    ratio: Value


def infiltrate(score: SlideScore) -> Infiltrate | None:
    """Return the CD8+ infiltrate of a biopsy, or None where core or margin has no area."""
    core, margin = score.estimates.get((CD8, "core")), score.estimates.get((CD8, "margin"))
    if core is None or margin is None or core.density_per_mm2 is None or margin.density_per_mm2 is None:
        return None
    ratio = log2_density(core)[0] - log2_density(margin)[0]
    return Infiltrate(core.density_per_mm2, margin.density_per_mm2, ratio, score.phenotype)


def shift(reference: SlideScore, target: SlideScore, confidence: float) -> Shift:
    """Return the changes of CD8+ cells between two biopsies that both have core and margin."""
    r_core, r_margin = reference.estimates[CD8, "core"], reference.estimates[CD8, "margin"]
    t_core, t_margin = target.estimates[CD8, "core"], target.estimates[CD8, "margin"]
    return Shift(
        core=log2_contrast([t_core], [r_core], confidence),
        margin=log2_contrast([t_margin], [r_margin], confidence),
        ratio=log2_contrast([t_core, r_margin], [t_margin, r_core], confidence),
    )


def fell(change: Value, step: float) -> bool:
    """Return whether a change is a fall: at least `step`, and its interval excludes no change."""
    return change.value is not None and change.ci_high is not None and change.value <= -step and change.ci_high < 0


def rose(change: Value, step: float) -> bool:
    """Return whether a change is a rise: at least `step`, and its interval excludes no change."""
    return change.value is not None and change.ci_low is not None and change.value >= step and change.ci_low > 0


def longitudinal_call(reference: Infiltrate, target: Infiltrate, change: Shift, cut: CutOffs) -> str:
    """Return one of `CALLS` for two comparable, evaluable biopsies of one lesion: the first rule that holds.

    Parameters
    ----------
    reference, target
        CD8+ infiltrate of the earlier and of the later biopsy.
    change
        Changes between them with intervals.
    cut
        The protocol's cut-offs.

    Notes
    -----
    All cut-offs are project defaults. Without an interval (too few tiles) nothing can be said to have
    changed or not, and the call is `indeterminate`.
    """
    if any(value.ci_low is None for value in change):
        return "indeterminate"
    core_rose, core_fell = rose(change.core, DENSITY_STEP), fell(change.core, DENSITY_STEP)
    margin_rose, margin_fell = rose(change.margin, DENSITY_STEP), fell(change.margin, DENSITY_STEP)
    inflamed_twice = reference.phenotype.call == target.phenotype.call == "inflamed"
    rules = (
        ("already_excluded", is_excluded(reference, cut) and is_excluded(target, cut) and not core_rose),
        (
            "reversion_to_excluded",
            _was_not_excluded(reference, cut)
            and is_excluded(target, cut)
            and fell(change.ratio, RATIO_STEP)
            and core_fell,
        ),
        ("global_loss", core_fell and (target.margin < cut.min_margin_cd8_per_mm2 or margin_fell)),
        ("infiltration_gain", core_rose),
        ("margin_gain", margin_rose and not core_fell),
        ("sustained_infiltration", inflamed_twice and not core_fell),
        ("stable", all(_within(value, STABLE_WITHIN) for value in change)),
    )
    return next((call for call, holds in rules if holds), "indeterminate")


def is_excluded(site: Infiltrate, cut: CutOffs) -> bool:
    """Return whether CD8+ cells are kept at the margin: a poor core, and a margin that has them."""
    return (
        site.core < cut.hot_cd8_per_mm2
        and site.log2_ratio <= cut.excluded_log2_ratio
        and site.margin >= cut.min_margin_cd8_per_mm2
    )


def _was_not_excluded(site: Infiltrate, cut: CutOffs) -> bool:
    """Return whether the core was hot, or not poorer than the margin; a poor margin does not make it so."""
    return site.core >= cut.hot_cd8_per_mm2 or site.log2_ratio > cut.excluded_log2_ratio


def _within(change: Value, limit: float) -> bool:
    """Return whether the whole interval of a change lies within ± limit."""
    return (
        change.ci_low is not None and change.ci_high is not None and change.ci_low >= -limit and change.ci_high <= limit
    )
