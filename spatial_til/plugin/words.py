"""What the viewer says, in a pathologist's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spatial_til.flags import flag_of
from spatial_til.model import Call, Estimate
from spatial_til.report.words import in_words, interval, number, percent, pigment_words, true_minus
from spatial_til.review.events import (
    CallFlip,
    CellAdded,
    CellRemoved,
    ClassOverride,
    Event,
    RegionEdit,
    ThresholdEdit,
)
from spatial_til.segmentation.positivity import PigmentCount

CLASS_SENTENCES: Mapping[str, str] = {
    "inflamed": "T cells are in the tumour.",
    "excluded": "T cells are held at the tumour's edge.",
    "desert": "Few T cells, neither in the tumour nor at its edge.",
    "intermediate": "Fewer T cells inside than at the edge, without a wall.",
    "indeterminate": "The section does not settle which class it is.",
    "not_evaluable": "This section cannot be classed.",
}
REGION_WORDS: Mapping[str, str] = {
    "tumor": "tumour", "tissue": "tissue", "exclude": "excluded area", "no_margin": "edge that is no margin",
}  # fmt: skip
COMPARTMENT_WORDS: Mapping[str, str] = {
    "core": "Core", "inner_margin": "Inner margin", "outer_margin": "Outer margin", "margin": "Margin, both sides",
    "outside": "Outside", "tumor_unresolved": "Tumour without border", "tumor": "Whole tumour",
    "tissue": "All tissue",
}  # fmt: skip


def class_words(call: Call) -> str:
    """Return a class and what it means."""
    return f"{in_words(call.call).capitalize()} — {CLASS_SENTENCES.get(call.call, '')}"


def class_reason(call: Call) -> str:
    """Return why there is no class, or what it would be by the point rule where the call is another."""
    if call.reason:
        return true_minus(call.reason[:1].upper() + call.reason[1:]) + "."
    if call.call == "indeterminate":
        return f"The most likely is {in_words(call.point)}."
    return ""


def probability_words(call: Call) -> list[tuple[str, float, str]]:
    """Return each class with its probability and how to print it, the most probable first."""
    ordered = sorted(call.probabilities.items(), key=lambda item: -item[1])
    return [(in_words(name), p, percent(p)) for name, p in ordered]


def flag_sentences(flags: Sequence[str]) -> list[str]:
    """Return what each flag means and what to do about it; what is code in a text is quoted.

    Examples
    --------
    >>> flag_sentences(["thin_rim"])[0].endswith('or mark them "No margin".')
    True
    """
    found = []
    for code in flags:
        flag = flag_of(code)
        name = code.partition(":")[2]
        found.append(f"{f'{name}: ' if name else ''}{flag.meaning} {flag.remedy}".replace("`", '"'))
    return found


def pigment_sentences(counts: Mapping[str, PigmentCount]) -> list[str]:
    """Return how many cells are taken for pigment, a sentence for each marker that loses some by it.

    Examples
    --------
    >>> pigment_sentences({"CD8": PigmentCount(200, 10, None), "PD-L1": PigmentCount(200, 0, 0)})
    ['Taken for pigment, not for CD8: 10 of 200 brown cells (5 %); not called, in no cut-off.']
    """
    told = ((marker, *pigment_words(*count)) for marker, count in counts.items() if count.taken)
    return [f"Taken for pigment, not for {marker}: {found}; {remark}." for marker, found, remark in told]


def density_words(estimate: Estimate | None) -> tuple[str, str, str]:
    """Return count, area and density with its interval, as a table shows them.

    Examples
    --------
    >>> density_words(None)
    ('', '', 'not available')
    >>> density_words(Estimate(52, 1.3, 40.0, 25.1, 60.2, 0.2, 9))
    ('52', '1.30', '40 (25.1 to 60.2)')
    """
    if estimate is None:
        return "", "", "not available"
    value = interval(estimate.density_per_mm2, estimate.ci_low, estimate.ci_high)
    return f"{estimate.n_cells:,}", number(estimate.area_mm2), value


def event_words(event: Event) -> str:
    """Return what an edit did, as one line of the list of edits."""
    match event:
        case RegionEdit(region=region, geometry=geometry):
            words = REGION_WORDS[region].capitalize()
            text = f"{words} redrawn" if geometry is not None else f"{words} as it was found"
        case ThresholdEdit(marker=marker, value=value):
            text = f"Cut-off of {marker}: " + (f"{value:.3g}" if value is not None else "the batch's own again")
        case CallFlip(marker=marker, positive=positive):
            text = f"Cell is {marker} {'positive' if positive else 'negative'}"
        case CellRemoved():
            text = "Not a cell: removed"
        case CellAdded(calls=calls):
            names = " ".join(f"{name}+" for name, yes in calls.items() if yes) or "negative for all"
            text = f"Missed cell added ({names})"
        case ClassOverride(phenotype=phenotype):
            text = f"Class set to {in_words(phenotype)}" if phenotype else "Computed class again"
        case _:
            text = type(event).__name__
    return f"{text} — {event.why}" if event.why else text


def change_words(before: Mapping[str, float | str | None], after: Mapping[str, float | str | None]) -> str:
    """Return what an edit did to the numbers.

    Examples
    --------
    >>> change_words({"cd8_core_per_mm2": 80.0, "immunophenotype": "excluded"},
    ...              {"cd8_core_per_mm2": 310.0, "immunophenotype": "inflamed"})
    'CD8 core 80 → 310 per mm², excluded → inflamed'
    """
    parts = []
    for key, words in (("cd8_core_per_mm2", "CD8 core"), ("cd8_margin_per_mm2", "CD8 margin")):
        old, new = before.get(key), after.get(key)
        if old != new and not isinstance(old, str) and not isinstance(new, str):
            parts.append(f"{words} {number(old)} → {number(new)} per mm²")
    old, new = before.get("immunophenotype"), after.get("immunophenotype")
    if old != new:
        parts.append(" → ".join(in_words(str(call)) if call else "no class" for call in (old, new)))
    return ", ".join(parts) or "CD8 core, CD8 margin and class as before"


def cell_words(values: Mapping[str, float], calls: Mapping[str, bool], place: str, depth_um: float) -> list[str]:
    """Return a cell's calls, place and measurements, a line each."""
    called = [f"{name} {'positive' if yes else 'negative'}" for name, yes in calls.items()]
    where = f"In: {place.replace('_', ' ')}"
    if depth_um == depth_um:  # noqa: PLR0124 - NaN: no border in this piece of tissue
        side = "inside the border" if depth_um <= 0 else "outside the border"
        where += f", {abs(depth_um):,.0f} µm {side}"
    measured = [f"{name.replace('_', ' ')}: {value:.3g}" for name, value in values.items()]
    return [", ".join(called), where, *measured]
