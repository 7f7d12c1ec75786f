"""What the metrics do not know is missing and says why; what they know says nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spatial_til.flags import flag_of
from spatial_til.metrics.agreement import limits_of_agreement, share_agreed
from spatial_til.metrics.changes import difference, log2_contrast
from spatial_til.metrics.location_shifts import cluster_shift_between, cluster_shift_paired, shift_between
from spatial_til.metrics.log_ratios import log2_ratio
from spatial_til.metrics.rank_correlation import spearman
from spatial_til.metrics.ratios import Gates, ratio_percent, share_percent
from spatial_til.metrics.reasons import not_evaluable_reason
from spatial_til.metrics.resampling import TileSums
from spatial_til.model import Call, Estimate, Value
from tests.longitudinal_keys import simulated

GATES = Gates(min_tumor_cells=100, min_tiles=8, confidence=0.95)


def tile_sums(n_tiles, *columns):
    return TileSums(np.tile(np.array(columns, float), (n_tiles, 1)), np.zeros(n_tiles, dtype=np.int64))


def density_of(n, area_mm2=1.0, sigma=0.1, dof=9):
    return Estimate(n, area_mm2, n / area_mm2 if area_mm2 else None, None, None, sigma, dof)


def resampled(shift, *groups):
    return shift(*groups, confidence=0.95, bootstrap=200, random=np.random.default_rng(0))


ONE, UP, KNOWN = np.array([1.0]), np.arange(4.0), Value(1.0, 0.5, 1.5, 0.25, 9)


@pytest.mark.parametrize(
    ("found", "value", "limits", "reason"),
    [
        (share_agreed([], [], confidence=0.95), None, 0, "no slide that both reviewed"),
        (limits_of_agreement([2.0], confidence=0.95).bias, 2.0, 0, "fewer than two slides that both reviewed"),
        (limits_of_agreement([], confidence=0.95).bias, None, 0, "fewer than two slides that both reviewed"),
        (spearman(UP[:2], UP[:2], confidence=0.95)[0], None, 0, "too few patients, or all alike"),
        (spearman(UP, UP * 0, confidence=0.95)[0], None, 0, "too few patients, or all alike"),
        (spearman(UP[:3], UP[[0, 2, 1]], confidence=0.95)[0], 0.5, 0, "too few patients for an interval"),
        (spearman(UP, -UP, confidence=0.95)[0], -1.0, 0, "no interval at a correlation of ±1"),
        (spearman(UP, UP[[0, 1, 3, 2]], confidence=0.95)[0], 0.8, 2, ""),
        (shift_between(UP[:3], UP[:3] + 1, confidence=0.95), 1.0, 0, "too few patients for an interval"),
        (resampled(cluster_shift_between, ONE, ONE + 2), 2.0, 0, "too few patients for an interval"),
        (resampled(cluster_shift_between, UP * 0, UP * 0 + 2), 2.0, 0, "too few patients for an interval"),
        (resampled(cluster_shift_paired, ONE), 1.0, 0, "too few patients for an interval"),
        (share_percent(tile_sums(7, 3, 10), GATES), 30.0, 0, "too few spatial tiles for an interval"),
        (ratio_percent(tile_sums(7, 3, 10, 3), GATES, one=1), 30.0, 0, "too few spatial tiles for an interval"),
        (difference(None, KNOWN, 0.95), None, 0, "not measured at both time points"),
        (difference(KNOWN, None, 0.95), None, 0, "not measured at both time points"),
        (difference(Value(None), KNOWN, 0.95), None, 0, "not available at both time points"),
        (difference(Value(None, reason="lost"), KNOWN, 0.95), None, 0, "lost"),
        (difference(Value(None, reason="lost"), Value(None, reason="torn"), 0.95), None, 0, "torn"),
        (difference(KNOWN, Value(3.0), 0.95), 2.0, 0, "no interval at both time points"),
        (difference(KNOWN, Value(3.0, sigma=0.2), 0.95), 2.0, 0, "no interval at both time points"),
        (difference(KNOWN, Value(3.0, dof=9), 0.95), 2.0, 0, "no interval at both time points"),
        (log2_contrast([density_of(9)], [density_of(9, 0.0)], 0.95), None, 0, "no tissue in this compartment"),
        (log2_contrast([density_of(9)], [density_of(9, sigma=None)], 0.95), 0.0, 0, "too few tiles for an interval"),
        (log2_ratio(density_of(9, 0.0), density_of(9), confidence=0.95), None, 0, "a compartment has no tissue"),
        (log2_ratio(density_of(9), density_of(9, 0.0), confidence=0.95), None, 0, "a compartment has no tissue"),
        (log2_ratio(density_of(0), density_of(0), confidence=0.95), None, 0, "no cells of this population on either"),
        (log2_ratio(density_of(9), density_of(9, sigma=None), confidence=0.95), 0.0, 2, "exact Poisson limits only"),
        (log2_ratio(density_of(0), density_of(31), confidence=0.95), math.log2(1 / 63), 1, "one limit only"),
        (log2_ratio(density_of(31), density_of(0), confidence=0.95), math.log2(63), 1, "one limit only"),
        (log2_ratio(density_of(9), density_of(9), confidence=0.95), 0.0, 2, ""),
    ],
)
def test_what_is_not_known_says_why_and_what_is_does_not(found, value, limits, reason):
    assert found.value == (None if value is None else pytest.approx(value))
    assert sum(limit is not None for limit in (found.ci_low, found.ci_high)) == limits
    assert (reason in found.reason) if reason else found.reason == ""


@pytest.mark.parametrize(
    ("call", "regressed", "reason"),
    [
        (Call("x", "x", {}, "core is too small"), True, "no tumour in the biopsy; the tumour is missing"),
        (Call("x", "x", {}, "core is too small"), False, "core is too small"),
        (Call("x", "x", {}, "", ("no_border",)), False, flag_of("no_border").meaning.rstrip(".")),
        (Call("x", "x", {}), False, "core or margin has no tissue"),
    ],
)
def test_a_biopsy_without_a_class_says_why_in_words(call, regressed, reason):
    assert not_evaluable_reason(replace(simulated(), phenotype=call), regressed=regressed).startswith(reason)
