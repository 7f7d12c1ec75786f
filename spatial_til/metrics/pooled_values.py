"""Shares, penetration and induction of several slides of one biopsy, weighted by what each rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from spatial_til.metrics.deltas import column_name
from spatial_til.metrics.intervals import t_quantile, welch_dof, whole_dof
from spatial_til.metrics.pooled_estimates import ENOUGH_SLIDES
from spatial_til.model import FloatArray, SlideScore, Value


def pooled_values(slides: Sequence[SlideScore], *, confidence: float) -> dict[str, Value]:
    """Return every value of the slides, averaged over those that have it.

    Parameters
    ----------
    slides
        Scored slides of one biopsy.
    confidence
        Coverage of the intervals.

    Notes
    -----
    Weights: for the penetration index of a population its cells in the tumour; for shares of tumour
    cells the tumour cells; for log odds ratios (induction) the inverse variance. Slides without the
    value (too few cells) have no weight. Ratios of densities are not averaged: they follow from the sums.
    The standard error is the larger of that of the weighted mean and, with three slides or more, that
    between slides.
    """
    names = dict.fromkeys(name for slide in slides for name in slide.values if not name.startswith("log2_"))
    return {name: _pooled(name, slides, confidence) for name in names}


def _pooled(name: str, slides: Sequence[SlideScore], confidence: float) -> Value:
    """Return one value over slides."""
    having = [slide for slide in slides if name in slide.values and slide.values[name].value is not None]
    if not having:
        return next(slide.values[name] for slide in slides if name in slide.values)
    if len(having) == 1:
        return having[0].values[name]
    weights = np.array([_weight(name, slide) for slide in having])
    if not weights.sum() > 0:
        return Value(None, reason="several slides, and nothing to weight them by")
    weights = weights / weights.sum()
    values = np.array([slide.values[name].value for slide in having], dtype=np.float64)
    mean = float(weights @ values)
    sigma, dof = _standard_error(weights, values, [slide.values[name] for slide in having])
    flags = tuple(dict.fromkeys(flag for slide in having for flag in slide.values[name].flags))
    if not sigma:  # slides that agree to the last digit do not make their mean certain
        return Value(mean, reason="no interval on every slide", flags=flags)
    half = t_quantile(dof, confidence) * sigma
    return Value(mean, mean - half, mean + half, sigma, whole_dof(dof), flags=flags)


def _weight(name: str, slide: SlideScore) -> float:
    """Return what one slide's value rests on."""
    if "_induction_log2" in name:
        sigma = slide.values[name].sigma
        return 1 / sigma**2 if sigma else 0.0
    if name.startswith("pdi_"):
        named = name.removeprefix("pdi_")
        populations = [p for p, region in slide.estimates if region == "tumor" and column_name(p) == named]
        return float(sum(slide.estimates[p, "tumor"].n_cells for p in populations))
    tumor_cells = slide.estimates.get(("tumor", "tumor"))
    return float(tumor_cells.n_cells) if tumor_cells else 0.0


def _standard_error(weights: FloatArray, values: FloatArray, slides: Sequence[Value]) -> tuple[float | None, float]:
    """Return standard error and degrees of freedom of a weighted mean, within or between slides."""
    sigmas = [value.sigma for value in slides if value.sigma is not None and value.dof > 0]
    within, dof = None, 0.0
    if len(sigmas) == len(slides):
        variances = (weights * np.array(sigmas)) ** 2
        within, dof = math.sqrt(float(variances.sum())), welch_dof(variances, [value.dof for value in slides])
    k = len(slides)
    if k < ENOUGH_SLIDES:
        return within, dof
    between = math.sqrt(k / (k - 1) * float((weights**2 * (values - weights @ values) ** 2).sum()))
    return (between, k - 1) if within is None or between > within else (within, dof)
