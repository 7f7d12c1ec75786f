"""One slide's numbers as rows of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spatial_til.flags import join_flags
from spatial_til.io.schema import PHENOTYPES
from spatial_til.metrics.depth import DepthBand
from spatial_til.metrics.pooled_estimates import UNVERIFIED
from spatial_til.metrics.sensitivity import Variant
from spatial_til.model import BORDER_TYPES, COMPARTMENTS, Call, Compartments, Estimate, SlideScore, Value
from spatial_til.pipeline.numbers import SCORED, Scene
from spatial_til.pipeline.pdl1 import TumorCellNumbers
from spatial_til.protocol import Protocol
from spatial_til.units import mm2

_PARTS = {"core": "core", "inner": "inner_margin", "outer": "outer_margin", "margin": "margin"}
#: Values of a slide that slide_scores.csv lists with their interval.
_VALUES = ("pdi_cd8", "pdi_pdl1", "tps_percent", "pdl1_induction_log2")

Row = dict[str, Any]


def _identity(score: SlideScore) -> Row:
    meta = score.meta
    return {
        "slide_id": meta.slide_id,
        "patient_id": meta.patient_id,
        "timepoint": meta.timepoint,
        "lesion": meta.lesion,
    }


def density_rows(score: SlideScore) -> list[Row]:
    """Return one row for each compartment or aggregate and population."""
    return [
        _identity(score)
        | {"compartment": region, "population": population}
        | _density(e)
        | {
            "evaluable": _evaluable(e),
            "flags": join_flags(e.flags),
        }
        for (population, region), e in score.estimates.items()
    ]


def _evaluable(estimate: Estimate) -> bool:
    return estimate.density_per_mm2 is not None and UNVERIFIED not in estimate.flags


def _density(estimate: Estimate) -> Row:
    return {
        "n_cells": estimate.n_cells,
        "area_mm2": estimate.area_mm2,
        "density_per_mm2": estimate.density_per_mm2,
        "ci_low": estimate.ci_low,
        "ci_high": estimate.ci_high,
    }


def counted_rows(score: SlideScore) -> list[Row]:
    """Return the density rows of a cell table without regions: an area that is not known is empty."""
    return [
        _identity(score)
        | {"compartment": region, "population": population}
        | _density(e)
        | {
            "area_mm2": e.area_mm2 or None,
            "evaluable": _evaluable(e),
            "flags": join_flags(e.flags, [] if e.area_mm2 else ["area_unknown"]),
        }
        for (population, region), e in score.estimates.items()
    ]


def counted_slide_row(score: SlideScore, protocol: Protocol) -> Row:
    """Return the row of slide_scores.csv of a cell table without regions."""
    counted = {"n_cells": "all", "n_cd8": "CD8+", "n_pdl1": "PD-L1+", "n_tumor_cells": "tumor"}
    n = {name: score.estimates.get((population, "tissue")) for name, population in counted.items()}
    area = score.estimates["all", "tissue"].area_mm2
    return (
        _identity(score)
        | _class_columns(score, protocol)
        | {name: None if e is None else e.n_cells for name, e in n.items()}
        | {"tissue_mm2": area or None, "flags": join_flags(score.flags)}
    )


def slide_row(score: SlideScore, scene: Scene, tumor_cells: TumorCellNumbers) -> Row:
    """Return the slide's row of slide_scores.csv."""
    row = _identity(score) | _class_columns(score, scene.protocol) | _marker_columns(score)
    for name in _VALUES:
        row |= _with_interval(name, score.values.get(name))
    row |= _pdl1_columns(score, tumor_cells)
    row |= geometry_columns(scene.compartments)
    row |= _count_columns(score, scene)
    return row | {"flags": join_flags(score.flags)}


def _class_columns(score: SlideScore, protocol: Protocol) -> Row:
    meta, call = score.meta, score.phenotype
    row = {
        "site": meta.site,
        "batch": meta.batch,
        "response": meta.response,
        "protocol": protocol.fingerprint(),
        "immunophenotype": call.call,
        "immunophenotype_point": call.point,
        "immunophenotype_reason": call.reason,
        **{f"p_{name}": call.probabilities.get(name) for name in PHENOTYPES},
    }
    row |= {f"activity_site_{key}": site.call for key, site in score.activity.items() if key != "combined"}
    row["activity_site"] = score.activity["combined"].call if "combined" in score.activity else "not_evaluable"
    return row


def _marker_columns(score: SlideScore) -> Row:
    row: Row = {}
    for word, population in SCORED.items():
        for part, region in _PARTS.items():
            e = score.estimates.get((population, region))
            name = f"{word}_{part}_per_mm2"
            if e is not None:
                row |= {name: e.density_per_mm2, f"{name}_ci_low": e.ci_low, f"{name}_ci_high": e.ci_high}
        for ratio in ("log2_core_margin", "log2_core_outer", "log2_inner_outer"):
            row |= _with_interval(f"{ratio}_{word}", score.values.get(f"{ratio}_{word}"))
    return row


def _with_interval(name: str, value: Value | None) -> Row:
    if value is None:
        return {}
    return {name: value.value, f"{name}_ci_low": value.ci_low, f"{name}_ci_high": value.ci_high}


def _pdl1_columns(score: SlideScore, tumor_cells: TumorCellNumbers) -> Row:
    tps, cps, ic = (tumor_cells.overall(metric) for metric in ("tps_percent", "cps", "ic_percent"))
    row: Row = {}
    if tps is not None:
        row |= {"tps_numerator": tps.numerator, "tps_denominator": tps.denominator}
    if cps is not None:
        row |= {"cps": cps.value.value, "cps_raw": cps.raw}
        row |= {"cps_numerator": cps.numerator, "cps_denominator": cps.denominator}
    if ic is not None:
        row |= {"ic_percent": ic.value.value, "ic_numerator_mm2": ic.numerator, "ic_denominator_mm2": ic.denominator}
    sensitivity = score.values.get("pdl1_induction_log2_sensitivity")
    return row | {"pdl1_induction_log2_sensitivity": sensitivity.value if sensitivity else None}


def geometry_columns(compartments: Compartments) -> Row:
    """Return areas in mm² and lengths of border in µm."""
    areas = {f"{name}_mm2": mm2(compartments.regions[name].area) for name in COMPARTMENTS}
    lengths = {name: float(compartments.border.by_type[name].length) for name in BORDER_TYPES}
    total = sum(lengths.values())
    return areas | {
        "excluded_mm2": mm2(compartments.excluded.area),
        "tissue_mm2": mm2(compartments.tissue.area),
        "tumor_mm2": mm2(compartments.tumor.area),
        "hole_area_mm2": compartments.hole_area_mm2,
        "core_censored_fraction": compartments.core_censored_fraction,
        "inner_um": compartments.inner_um,
        "outer_um": compartments.outer_um,
        **{f"border_{name}_um": length for name, length in lengths.items()},
        "border_thin_rim_um": float(compartments.border.thin_rim.length),
        "border_evaluable_fraction": lengths["stroma"] / total if total > 0 else None,
    }


def _count_columns(score: SlideScore, scene: Scene) -> Row:
    def n(population: str) -> int | None:
        e = score.estimates.get((population, "tissue"))
        return None if e is None else e.n_cells

    px = scene.measured.pixel_size
    return {
        "n_cells": n("all"),
        "n_cd8": n("CD8+"),
        "n_pdl1": n("PD-L1+"),
        "n_tumor_cells": n("tumor"),
        "artefact_fraction": score.gates.get("artefact_fraction"),
        "pixel_size_um": None if px is None else px.mean_um,
    }


def depth_rows(slide_id: str, bands: Sequence[DepthBand]) -> list[Row]:
    """Return one row for each population and band of signed distance."""
    return [
        {"slide_id": slide_id, "population": b.population, "from_um": b.from_um, "to_um": b.to_um}
        | _density(b.estimate)
        for b in bands
    ]


def sensitivity_rows(slide_id: str, variants: Sequence[Variant]) -> list[Row]:
    """Return one row for each value of each parameter."""

    def row(variant: Variant, call: Call) -> Row:
        return {
            "slide_id": slide_id,
            "parameter": variant.parameter,
            "value": variant.value,
            "immunophenotype_point": call.point,
            "immunophenotype": call.call,
        }

    return [row(variant, variant.call) for variant in variants]


def threshold_row(threshold: Any) -> Mapping[str, Any]:
    """Return one row of thresholds.csv."""
    return {
        "batch": threshold.batch,
        "marker": threshold.marker,
        "threshold": threshold.threshold,
        "method": threshold.method,
        "separation": threshold.separation,
        "n_cells": threshold.n_cells,
        "n_positive": threshold.n_positive,
        "evaluable": threshold.evaluable,
        "flags": join_flags(threshold.flags),
    }
