"""The longitudinal call in words that a pathologist reads."""

from __future__ import annotations

from spatial_til.flags import flag_of
from spatial_til.metrics.longitudinal import DENSITY_STEP, CutOffs, Infiltrate, Shift, fell, rose
from spatial_til.model import SlideScore, Value

_SENTENCES = {
    "reversion_to_excluded": "CD8+ cells left the tumour core and stay at the margin",
    "infiltration_gain": "CD8+ cells entered the tumour core",
    "sustained_infiltration": "the tumour core is inflamed both times and did not lose CD8+ cells",
    "already_excluded": "CD8+ cells were at the margin and not in the core both times",
    "global_loss": "CD8+ cells were lost from the core, and the margin does not hold them",
    "margin_gain": "CD8+ cells rose at the margin, not in the core",
    "stable": "no change: a two-fold change of core, margin or their ratio is ruled out",
}
_NO_INTERVAL = "too few tiles for an interval, so a change cannot be told from chance"
_SPARSE = " (margin-restricted, sparse: the margin is below the cut-off for a hot tumour)"


def call_reason(call: str, reference: Infiltrate, target: Infiltrate, change: Shift, cut: CutOffs) -> str:
    """Return why a call was made: a sentence, then core, margin and their ratio with intervals."""
    sentence = _SENTENCES.get(call) or _why_indeterminate(target, change, cut)
    if call == "reversion_to_excluded" and target.phenotype.point == "desert":
        sentence += _SPARSE
    return f"{sentence}: {numbers(reference, target, change)}"


def _why_indeterminate(target: Infiltrate, change: Shift, cut: CutOffs) -> str:
    """Return what stands against every other call."""
    if any(value.ci_low is None for value in change):
        return _NO_INTERVAL
    if fell(change.core, DENSITY_STEP) and target.core >= cut.hot_cd8_per_mm2:
        return "CD8+ cells fell in the core, which is still hot"
    if fell(change.core, DENSITY_STEP):
        return "CD8+ cells fell in the core, but not so far below the margin that the tumour is excluded"
    if fell(change.margin, DENSITY_STEP):
        return "CD8+ cells fell at the margin, not clearly in the core"
    return "no change is certain, and a two-fold change cannot be ruled out"


def numbers(reference: Infiltrate, target: Infiltrate, change: Shift) -> str:
    """Return the CD8+ densities of both biopsies and the changes between them in words."""
    return "; ".join(
        (
            f"core {_moved(reference.core, target.core, change.core)}",
            f"margin {_moved(reference.margin, target.margin, change.margin)}",
            f"core:margin ratio {2**reference.log2_ratio:.2g} → {2**target.log2_ratio:.2g} ({_times(change.ratio)})",
        )
    )


def _moved(before: float, after: float, change: Value) -> str:
    """Return one density before and after, and whether that is a change."""
    if change.ci_low is None:
        verdict = "no interval"
    elif fell(change, DENSITY_STEP):
        verdict = f"fell, {_at_most(change) if after == 0 else _times(change)}"
    elif rose(change, DENSITY_STEP):
        verdict = f"rose, {_at_least(change) if before == 0 else _times(change)}"
    else:
        verdict = f"no clear change, {_times(change)}"
    return f"{_density(before)} → {_density(after)} CD8+ per mm² ({verdict})"


def _times(change: Value) -> str:
    """Return a log2 change as a factor with its interval."""
    if change.value is None:
        return "not available"
    factor = f"× {_factor(change.value)}"
    if change.ci_low is None or change.ci_high is None:
        return factor
    return f"{factor}, interval {_factor(change.ci_low)} to {_factor(change.ci_high)}"


def _at_most(change: Value) -> str:
    """Return the upper limit of a fall to no cells at all: how far below says only how much tissue was seen."""
    return "not available" if change.ci_high is None else f"at most × {_factor(change.ci_high)}"


def _at_least(change: Value) -> str:
    """Return the lower limit of a rise from no cells at all."""
    return "not available" if change.ci_low is None else f"at least × {_factor(change.ci_low)}"


def _factor(log2_change: float) -> str:
    """Return two significant digits, never in powers of ten for the factors met in tissue.

    No change, × 1, is told from nearly none: on which side of 1 an interval ends is what it is read for.
    """
    factor = 2.0**log2_change
    text = f"{factor:.0f}" if factor >= 100 else f"{factor:.2g}"
    return f"{factor:.3f}" if text == "1" and log2_change != 0 else text


def _density(per_mm2: float) -> str:
    """Return a density as it is read: whole cells, one decimal below ten."""
    return f"{per_mm2:.0f}" if per_mm2 >= 10 or per_mm2 == 0 else f"{per_mm2:.1f}"


def not_evaluable_reason(score: SlideScore, *, regressed: bool) -> str:
    """Return why a biopsy has no class, in words."""
    if regressed:
        return "no tumour in the biopsy; the tumour is missing, which is not zero infiltration"
    if score.phenotype.reason:
        return score.phenotype.reason
    meanings = [flag_of(code).meaning.rstrip(".") for code in score.phenotype.flags]
    return "; ".join(meanings) or "core or margin has no tissue"
