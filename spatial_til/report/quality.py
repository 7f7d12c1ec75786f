"""Quality and settings of one slide, in words: what was measured, in which unit, and from where on it is flagged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from spatial_til.model import SlideScore
from spatial_til.protocol import Protocol
from spatial_til.protocol_sections import QcKeys
from spatial_til.report.words import NOT_AVAILABLE, in_words, number, percent, pigment_words, setting, share

_BORDERS = {
    "stroma": "tumour border that faces stroma, µm",
    "tissue_edge": "tumour border at a cut edge of the tissue, µm",
    "image_edge": "tumour border at the edge of the image, µm",
    "exclusion": "tumour border at an exclusion, µm",
}
_SETTINGS = {
    "segmenter": "cells found by",
    "pixel size": "class of pixel size (has to agree between time points)",
    "tumour region": "tumour taken from",
    "holes": "holes in the tumour",
    "tissue edge": "cut edges of the tissue",
    "edge tolerance": "a border this near to a cut edge is none",
}
_CHOICES = {
    ("holes", "ignore"): "not tumour, and their edge is no border",
    ("holes", "border"): "not tumour, and their edge is a border",
    ("tissue edge", "not_margin"): "not taken for the tumour's border",
    ("tissue edge", "margin"): "taken for the tumour's border",
}
_CUT = "threshold of "
_CROSSTALK = (
    "as much of each cell's {giver} stain was taken off its {taker} stain, so that {giver} alone is not called "
    "{taker}; a cell that has both loses it, too"
)


class Fact(NamedTuple):
    """A line of a list: what, how much, and a remark."""

    name: str
    value: str
    remark: str = ""


class _Figure(NamedTuple):
    """How a figure of the quality check is called and written, and which limit of the protocol flags it."""

    name: str
    written: Callable[[float | None], str]
    limit: str = ""


_FIGURES = {
    "edge_width_um": _Figure("sharpness: width of edges, µm (blurred from 1.2)", number),
    "blurred_fraction": _Figure("out of focus, share of the places judged", share, "max_blurred_fraction"),
    "saturated_fraction": _Figure("saturated, share of tissue", share, "max_saturated_fraction"),
    "pigment_fraction": _Figure("looks like melanin, share of tissue", share),
    "residual_od_95": _Figure(
        "colour that the panel's stains do not explain, optical density (95 % of tissue has less)",
        number,
        "max_residual_od",
    ),
    "other_colour_fraction": _Figure("of another colour than the panel's stains, share of what is stained", share),
}
#: Of use to developers, and in no unit that a reader knows; the share of artefacts has a line of its own.
_NOT_SHOWN = {"typical_nuclear_contrast", "artefact_fraction"}


def quality_facts(
    row: Mapping[str, Any], run: Mapping[str, Any], score: SlideScore, protocol: Protocol
) -> tuple[Fact, ...]:
    """Return the lines of "Quality and settings"; what is not known is left out.

    Parameters
    ----------
    row
        The slide's row of slide_scores.csv.
    run
        The slide's entry of run.json, with `numbers` of the measure stage where they are stored.
    """
    numbers = run.get("numbers", {})
    facts = [
        Fact("cells in tissue", number(row.get("n_cells"))),
        Fact("tissue, mm²", number(row.get("tissue_mm2"))),
        Fact("excluded, mm²", number(row.get("excluded_mm2"))),
        *(Fact(label, number(row.get(f"border_{name}_um"))) for name, label in _BORDERS.items()),
        Fact("evaluable share of the tumour boundary", percent(row.get("border_evaluable_fraction"))),
        Fact("share of the core near a cut edge", percent(row.get("core_censored_fraction"))),
        Fact("artefacts, share of tissue", _artefacts(row, score)),
        Fact("pixel of the image, µm", number(row.get("pixel_size_um"))),
        *pigment_facts(run),
        *_crosstalk(numbers.get("crosstalk") or {}),
        *_figures(numbers, protocol.qc),
        *(_setting(name, value, protocol) for name, value in score.settings.items()),
        *(Fact("note", note) for note in (*numbers.get("warnings", ()), *run.get("notes", ()))),
    ]
    return tuple(fact for fact in facts if fact.value != NOT_AVAILABLE)


def pigment_facts(run: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Return how many cells were taken for pigment, marker by marker; nothing where no marker looks like it."""
    return tuple(
        Fact(f"taken for pigment, not for {marker}", *pigment_words(**of))
        for marker, of in run.get("pigment", {}).items()
    )


def no_artefacts(score: SlideScore) -> str:
    """Return why the share of artefacts is not known: they are told by their colour, which fluorescence has not."""
    if score.settings.get("segmenter") == "cell table":
        return "not known: the cells came as a table"
    if score.settings.get("modality") == "fluorescence":
        return "not looked for in fluorescence: draw Exclude over folds, bubbles and dirt"
    return NOT_AVAILABLE


def score_unit(protocol: Protocol, marker: str) -> str:
    """Return what the scores of a marker, and so its cut-off, are measured in."""
    if protocol.marker(marker).statistic == "positive_fraction":
        return "share of pixels"
    return "optical density" if protocol.panel.modality == "brightfield" else "intensity"


def _artefacts(row: Mapping[str, Any], score: SlideScore) -> str:
    """Return the share of tissue lost to artefacts; in words why it is not known."""
    share = row.get("artefact_fraction")
    return no_artefacts(score) if share is None else percent(share)


def _crosstalk(shares: Mapping[str, float]) -> Iterator[Fact]:
    """Yield what one stain showed of another, where it did (see `segmentation.crosstalk`)."""
    for name, lent in shares.items():
        giver, _, taker = name.partition(" seen as ")
        if lent > 0:
            remark = _CROSSTALK.format(giver=giver, taker=taker)
            yield Fact(f"{giver} stain that looks like {taker}", percent(lent), remark)


def _figures(numbers: Mapping[str, Any], limits: QcKeys) -> Iterator[Fact]:
    """Yield the figures of the quality check, each with the limit that flags it."""
    for name, value in numbers.items():
        if name in _NOT_SHOWN or not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if name == "brown_lent":
            if value > 0:
                yield Fact("brown that looks like the other stain, by pixels", percent(value))
        elif name.startswith("autofluorescence_"):
            marker = name.removeprefix("autofluorescence_")
            yield Fact(f"share of the autofluorescence channel taken off {marker}", number(value))
        else:
            figure = _FIGURES.get(name, _Figure(in_words(name), number))
            limit = float(getattr(limits, figure.limit)) if figure.limit else None
            shown = "" if limit is None else (share if figure.written is share else setting)(limit)
            yield Fact(figure.name, figure.written(float(value)), f"flagged above {shown}" if shown else "")


def _setting(name: str, value: str, protocol: Protocol) -> Fact:
    """Return a setting that has to agree between time points, as a reader would say it."""
    if name.startswith(_CUT):
        marker = name.removeprefix(_CUT)
        known = marker in protocol.panel.markers and value != "none"
        return Fact(f"cut-off of {marker}", f"{value} {score_unit(protocol, marker)}" if known else value)
    return Fact(_SETTINGS.get(name, name), _CHOICES.get((name, value), in_words(value)))
