"""Slides with densities given by hand, and what becomes of them between two time points."""

import math
from dataclasses import replace
from datetime import date

from scipy import stats

from spatial_til.metrics.groups import biopsies
from spatial_til.metrics.patients import patients
from spatial_til.metrics.transitions import transitions
from spatial_til.model import Call, Estimate, SlideMeta, SlideScore
from tests.longitudinal_keys import RULES

TIMEPOINTS = ("baseline", "on_treatment", "progression")
DATES = {"baseline": date(2024, 1, 15), "on_treatment": date(2024, 3, 10), "progression": date(2025, 6, 1)}
HOT = 295.0


def density(per_mm2, area_mm2, *, vmr=3.0, dof=49, flags=()):
    """A density whose standard error is that of clustered cells with the given variance-to-mean ratio."""
    n = round(per_mm2 * area_mm2)
    sigma = math.sqrt(vmr / max(n, 0.5))
    reach = math.exp(sigma * stats.t.ppf(0.975, dof))
    return Estimate(n, area_mm2, n / area_mm2, n / area_mm2 / reach, n / area_mm2 * reach, sigma, dof, flags)


def phenotype(core, margin):
    """The point class, called with certainty."""
    ratio = math.log2((core + 1e-9) / (margin + 1e-9))
    if core >= HOT:
        name = "inflamed"
    elif margin >= HOT and ratio <= -1:
        name = "excluded"
    else:
        name = "desert" if margin < HOT else "intermediate"
    return Call(name, name, {name: 1.0})


def slide(timepoint, core, margin, *, area=2.0, patient="P1", lesion="A", name="", **changes):
    meta = SlideMeta(
        f"{patient}-{lesion}-{timepoint}{name}",
        patient,
        timepoint,
        lesion,
        batch="run1",
        biopsy_date=DATES.get(timepoint),
        treatment_start=date(2024, 2, 1),
    )
    site = Call("both", "both", {"both": 1.0})
    score = SlideScore(
        meta=meta,
        tiles={},
        estimates={("CD8+", "core"): density(core, area), ("CD8+", "margin"): density(margin, area)},
        values={},
        phenotype=phenotype(core, margin),
        activity={"cd8": site, "combined": site},
        gates={},
        settings={"modality": "brightfield", "inner_um": "500"},
    )
    on_meta = {k: v for k, v in changes.items() if k in SlideMeta.__dataclass_fields__}
    on_score = {k: v for k, v in changes.items() if k not in on_meta}
    return replace(score, meta=replace(meta, **on_meta), **on_score)


def not_evaluable(timepoint, *flags, **changes):
    call = Call("not_evaluable", "not_evaluable", {}, flags=flags)
    return slide(timepoint, 0, 0, **({"phenotype": call, "flags": flags, "gates": {"tumor_mm2": 0.0}} | changes))


def no_pooling(slides):
    raise AssertionError(f"pooled {[s.meta.slide_id for s in slides]}")


def compare(scores, *, timepoints=TIMEPOINTS, pool=no_pooling, **keys):
    groups = biopsies(scores, timepoints=timepoints, pool=pool)
    return transitions(groups, timepoints=timepoints, **(RULES | keys))


def one(reference, target, **keys):
    """The row of two biopsies at two time points."""
    (row,) = compare([reference, target], timepoints=("baseline", "progression"), **keys)
    return row


def by_transition(rows, lesion="A"):
    return {row.transition: row for row in rows if row.lesion == lesion}


def flags_of(row):
    return set(row.flags)


def patient_of(scores, **keys):
    rows = compare(scores, **keys)
    groups = biopsies(scores, timepoints=TIMEPOINTS, pool=no_pooling)
    (row,) = patients(scores, groups, rows, timepoints=TIMEPOINTS)
    return row
