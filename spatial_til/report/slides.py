"""One slide as the report shows it: every number in words or with its interval, every flag explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from spatial_til.counted import counted
from spatial_til.flags import flag_of
from spatial_til.io.scores import ScoredSlide
from spatial_til.model import AGGREGATES, COMPARTMENTS, SlideScore
from spatial_til.protocol import Protocol
from spatial_til.report.depth_svg import DepthDrawing, draw_depth
from spatial_til.report.overview import Overview
from spatial_til.report.quality import Fact, no_artefacts, pigment_facts, quality_facts
from spatial_til.report.words import (
    in_words,
    interval,
    level,
    number,
    percent,
    runs,
    setting,
    share,
    true_minus,
)

_MARKERS = {"cd8": "CD8", "pdl1": "PD-L1", "combined": "together"}
_SHOWN = (*COMPARTMENTS, *AGGREGATES)  # parts first, then their sums
_VALUES = {
    "log2_core_margin_cd8": "log2 core : margin, CD8+",
    "log2_core_outer_cd8": "log2 core : outer margin, CD8+",
    "log2_core_margin_pdl1": "log2 core : margin, PD-L1+",
    "pdi_cd8": "penetration depth index, CD8+ (0.5 uniform, 0 at the border)",
    "pdi_pdl1": "penetration depth index, PD-L1+",
}
_PDL1 = {
    "tps_percent": "TPS, % (computer-estimated)",
    "cps": "CPS (computer-estimated)",
    "ic_percent": "IC, % (computer-estimated)",
    "pdl1_induction_log2": "PD-L1 induction near CD8+ cells, log2 odds ratio",
}
#: Logarithms and indices: two decimals, whatever their size.
_LEVELS = {*_VALUES, "pdl1_induction_log2"}
_PARAMETERS = {
    "hot_cd8_per_mm2": "cut-off of hot, CD8+ per mm²",
    "margin_width_um": "width of the margin, µm",
    "threshold_factor_CD8": "cut-off of CD8, multiplied by",
}
_GATES = (
    ("core_mm2", "min_core_mm2", "core, mm²", False),
    ("inner_margin_mm2", "min_margin_mm2", "inner margin, mm²", False),
    ("outer_margin_mm2", "min_margin_mm2", "outer margin, mm²", False),
    ("border_um", "min_border_um", "evaluable border, µm", False),
    ("artefact_fraction", "max_artefact_fraction", "artefacts, share of tissue", True),
)


class Explained(NamedTuple):
    """A flag with what it means and what to do."""

    code: str
    group: str
    meaning: str
    remedy: str


class Density(NamedTuple):
    """One cell of the table of densities."""

    text: str
    n: str
    sure: bool


@dataclass(frozen=True, slots=True)
class SlideView:
    """Everything that the template shows of one slide."""

    anchor: str
    score: SlideScore
    row: Mapping[str, Any]
    overview: Overview | None
    depth: DepthDrawing | None
    populations: tuple[str, ...]
    densities: tuple[tuple[str, str, tuple[Density | None, ...]], ...]  # compartment, area, by population
    values: tuple[Fact, ...]
    pdl1: tuple[Fact, ...]
    activity: tuple[Fact, ...]
    gates: tuple[tuple[Fact, str], ...]  # with whether it was passed
    qc: tuple[Fact, ...]
    sensitivity: tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...]
    flags: tuple[Explained, ...]
    pigment: tuple[Fact, ...]
    doubts: tuple[str, ...]  # whether the outlines are this slide's
    files: Mapping[str, str]  # what -> where, from the report's folder

    @property
    def probability(self) -> float | None:
        """Probability of the called class; None where there is no class."""
        return self.score.phenotype.probabilities.get(self.score.phenotype.call)


def slide_view(
    scored: ScoredSlide,
    protocol: Protocol,
    overview: Overview | None,
    run: Mapping[str, Any],
    anchor: str,
    files: Mapping[str, str],
) -> SlideView:
    """Return one slide's view.

    Parameters
    ----------
    run
        The slide's entry of run.json, with `numbers` of the measure stage where they are stored.
    anchor
        Where the page is linked to.
    files
        What there is of the slide -> its path from the report's folder.
    """
    score, row = scored.score, scored.rows["slide_scores"][0]
    rows = scored.rows.get("density", [])
    populations = _populations(rows, protocol)
    widths = protocol.compartments
    return SlideView(
        anchor=anchor,
        score=score,
        row=row,
        overview=overview,
        depth=draw_depth(
            {
                population: [r for r in scored.rows.get("depth_profile", []) if r["population"] == population]
                for population in ("CD8+", "PD-L1+")
            },
            inner_um=row.get("inner_um") or widths.inner_um,
            outer_um=row.get("outer_um") or widths.outer_um,
        ),
        populations=populations,
        densities=_densities(rows, populations),
        values=_value_facts(score, _VALUES),
        pdl1=_value_facts(score, _PDL1),
        activity=_activity(score),
        gates=_gates(score, protocol),
        qc=quality_facts(row, run, score, protocol),
        sensitivity=_sensitivity(scored.rows.get("sensitivity", []), score.phenotype.call),
        flags=explain(score.flags),
        pigment=pigment_facts(run),
        doubts=tuple(run.get("doubts", ())),
        files=files,
    )


def explain(codes: Sequence[str]) -> tuple[Explained, ...]:
    """Return codes with their meaning and remedy."""
    return tuple(Explained(code, *flag_of(code)) for code in codes)


def _populations(rows: Sequence[Mapping[str, Any]], protocol: Protocol) -> tuple[str, ...]:
    counted = dict.fromkeys(row["population"] for row in rows)
    wanted = ("CD8+", "PD-L1+", "CD8+PD-L1+", "PD-L1+tumor", *protocol.populations)
    return tuple(name for name in wanted if name in counted)


def _densities(
    rows: Sequence[Mapping[str, Any]], populations: Sequence[str]
) -> tuple[tuple[str, str, tuple[Density | None, ...]], ...]:
    at = {(row["compartment"], row["population"]): row for row in rows}
    lines = []
    for region in _SHOWN:
        of = [at.get((region, population)) for population in populations]
        area = next((row["area_mm2"] for row in of if row is not None), None)
        if area or any(row is not None and row["n_cells"] for row in of):
            lines.append((in_words(region), number(area), tuple(None if row is None else _density(row) for row in of)))
    return tuple(lines)


def _density(row: Mapping[str, Any]) -> Density:
    text = interval(row["density_per_mm2"], row["ci_low"], row["ci_high"])
    return Density(text, counted(row["n_cells"], "cell"), "stain_unverified" not in row["flags"])


def _value_facts(score: SlideScore, names: Mapping[str, str]) -> tuple[Fact, ...]:
    return tuple(
        Fact(label, (level if name in _LEVELS else interval)(value.value, value.ci_low, value.ci_high), value.reason)
        for name, label in names.items()
        if (value := score.values.get(name)) is not None
    )


def _activity(score: SlideScore) -> tuple[Fact, ...]:
    facts = []
    for name, label in _MARKERS.items():
        call = score.activity.get(name)
        if call is not None:
            p = call.probabilities.get(call.call)
            sure = "" if p is None else f", probability {percent(p)}"
            facts.append(Fact(label, in_words(call.call), f"{true_minus(call.reason)}{sure}"))
    return tuple(facts)


def _gates(score: SlideScore, protocol: Protocol) -> tuple[tuple[Fact, str], ...]:
    found = []
    for name, key, label, at_most in _GATES:
        value, limit = score.gates.get(name), float(getattr(protocol.gates, key))
        sign = f"at most {share(limit)}" if at_most else f"at least {setting(limit)}"
        if value is not None:
            passed = value <= limit if at_most else value >= limit
            fact = Fact(label, share(value) if at_most else number(value), sign)
            found.append((fact, "passed" if passed else "FAILED"))
        elif name == "artefact_fraction" and score.gates.get("core_mm2") is not None:
            found.append((Fact(label, no_artefacts(score), sign), "not applied"))
    return tuple(found)


def _sensitivity(
    rows: Sequence[Mapping[str, Any]], call: str
) -> tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...]:
    by_parameter: dict[str, list[tuple[Any, str]]] = {}
    for row in rows:
        by_parameter.setdefault(row["parameter"], []).append((row["value"], row["immunophenotype"]))
    return tuple(
        (
            _PARAMETERS.get(name, in_words(name)),
            tuple((values, in_words(found), found != call) for values, found in runs(of)),
        )
        for name, of in by_parameter.items()
    )
