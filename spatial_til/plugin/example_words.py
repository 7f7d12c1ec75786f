"""What a tissue model is worth, in words and as a table. No window."""

from __future__ import annotations

import math

from spatial_til.counted import counted
from spatial_til.io.tissue_model import HeldOutRecord, TrainedModel
from spatial_til.pipeline.examples import (
    FoundTumor,
    brightened_words,
    doubtful_words,
    exposed_words,
    strength_words,
    taught_words,
)
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.classifier import MAX_UNLIKE
from spatial_til.units import UM2_PER_MM2, mm2


def accuracy_words(trained: TrainedModel) -> str:
    """Return how strokes were found that were left out of the training."""
    said = [f"{100 * held.accuracy:.1f} % of held-out {held.by} found right" for held in trained.training.held_out]
    left = trained.training.left_out
    said += [f"painted as two classes and left out: {counted(left, 'square')}"] if left else []
    return "; ".join(said) or "Not tested: too few strokes to hold some out."


def confusion_cells(held: HeldOutRecord) -> list[list[str]]:
    """Return the table of confusion as shares of each painted class, with squares.

    Examples
    --------
    >>> confusion_cells(HeldOutRecord(by="strokes", accuracy=0.9, confusion=((90, 10), (0, 0))))
    [['90.0 % (90)', '10.0 % (10)'], ['– (0)', '– (0)']]
    """
    return [[f"{100 * n / sum(row):.1f} % ({n:,})" if sum(row) else f"– ({n})" for n in row] for row in held.confusion]


def found_words(found: FoundTumor) -> list[str]:
    """Return what was found on the whole slide, a line each."""
    tumor = found.found
    doubt = [f"Look twice: {doubtful_words(found.doubtful)}"] if found.doubtful else []
    if tumor.region.is_empty:
        return ["No tumour was found: paint more of it, or smooth less", *doubt]
    parts, dropped, filled = len(tumor.region.geoms), tumor.dropped_islands_mm2, tumor.filled_holes_mm2
    lines = [f"{mm2(tumor.region.area):.3g} mm² of tumour in {counted(parts, 'part')}"]
    lines += [f"{counted(len(dropped), 'island')} dropped ({sum(dropped):.3g} mm²)"] if dropped else []
    lines += [f"{counted(len(filled), 'hole')} filled ({sum(filled):.3g} mm²)"] if filled else []
    lines.append(f"{100 * found.unlike:.2g} % of the tissue is unlike anything that was painted")
    lines += [f"Look twice: {exposed_words(found.exposed)}"] if found.exposed else []
    lines += [f"Look twice: {brightened_words()}"] if found.brightened else []
    lines += doubt
    if found.is_unlike:
        lines.append(
            f"Look twice: more than {100 * MAX_UNLIKE:g} % is unlike what was painted (yellow in the picture). "
            "Paint some of that, too"
        )
    return lines


def across_words(area_mm2: float) -> str:
    """Return how wide a round area is.

    Examples
    --------
    >>> across_words(0.01)
    '113 µm across'
    """
    return f"{2 * math.sqrt(area_mm2 * UM2_PER_MM2 / math.pi):.0f} µm across"


def accept_reason(trained: TrainedModel, found: FoundTumor, keys: Tumor) -> str:
    """Return where an accepted tumour comes from, for the record."""
    strokes = sum(trained.training.strokes.values())
    stained = f"; {strength_words(trained.model.channels, found.strength)}" if found.strength else ""
    taught = f"; {taught_words(found)}" if taught_words(found) else ""
    return (
        f"tumour by example: {counted(strokes, 'stroke')} of {', '.join(trained.model.classes)} seen in "
        f"{', '.join(trained.model.channels)}; {accuracy_words(trained)}; {100 * found.unlike:.2g} % of tissue unlike "
        f"them; smoothed by {keys.bandwidth_um:g} µm, islands below {keys.min_area_mm2:g} mm² dropped, holes below "
        f"{keys.max_hole_mm2:g} mm² filled{stained}{taught}"
    )


def protocol_lines(model: str, keys: Tumor) -> str:
    """Return what a protocol has to say to find the tumour of every slide in the same way."""
    return (
        f'[tumor]\nmethod = "classifier"\nmodel = "{model}"\nbandwidth_um = {keys.bandwidth_um:g}\n'
        f"min_area_mm2 = {keys.min_area_mm2:g}\nmax_hole_mm2 = {keys.max_hole_mm2:g}"
    )
