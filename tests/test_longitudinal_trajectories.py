"""A fixed part of the known-truth studies: the call is rarely wrong where nothing changed, and finds a clear fall."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from spatial_til.metrics.groups import biopsies
from spatial_til.metrics.pooling import pool_slides
from spatial_til.metrics.simulate import negative_binomial, simulate_slide
from spatial_til.metrics.transitions import transitions
from spatial_til.model import SlideMeta
from tests.longitudinal_keys import KEYS as DEFAULTS
from tests.longitudinal_keys import RULES

TIMEPOINTS = ("baseline", "on_treatment", "progression")
KEYS = replace(DEFAULTS, bootstrap=200)
#: Quantiles 5, 25, 50, 75, 95 % of CD8+ per mm² in core, inner and outer margin (Kather et al. 2018).
REFERENCE = ((10, 53, 187, 440, 1430), (18, 90, 224, 551, 2042), (39, 178, 432, 823, 1685))


def slides(name, truths, timepoints, *, area, vmr, random):
    return [
        simulate_slide(
            SlideMeta(f"{name}-{when}", name, when, "A"),
            {"CD8+": truth},
            core_mm2=area,
            margin_mm2=area,
            vmr=vmr,
            random=random,
            keys=KEYS,
        )
        for when, truth in zip(timepoints, truths, strict=True)
    ]


def compare(scores, timepoints):
    groups = biopsies(scores, timepoints=timepoints, pool=partial(pool_slides, keys=KEYS))
    rows = transitions(
        groups,
        timepoints=timepoints,
        **RULES,
    )
    return groups, rows


@pytest.mark.parametrize("vmr", [1, 3, 10])
def test_false_reversions_stay_under_five_percent_over_the_reference_range(vmr):
    random, n = np.random.default_rng((11, vmr)), 200
    shares = random.uniform(0.05, 0.95, (n, 3))
    truths = np.exp(
        [
            [np.interp(share, (0.05, 0.25, 0.5, 0.75, 0.95), np.log(REFERENCE[i])) for i, share in enumerate(row)]
            for row in shares
        ]
    )
    scores = []
    for i, truth in enumerate(truths):
        area = 2 ** random.uniform(-2, 1)
        scores += slides(f"P{i}", (tuple(truth),) * 3, TIMEPOINTS, area=area, vmr=vmr, random=random)
    _, rows = compare(scores, TIMEPOINTS)
    false = {row.patient_id for row in rows if row.call == "reversion_to_excluded"}
    assert len(false) / n <= 0.05


def test_a_four_fold_fall_is_found_in_nine_of_ten():
    random, n, pair = np.random.default_rng(12), 200, ("baseline", "progression")
    scores = []
    for i in range(n):
        scores += slides(f"P{i}", ((400,) * 3, (100, 400, 400)), pair, area=0.5, vmr=3, random=random)
    _, rows = compare(scores, pair)
    assert Counter(row.call for row in rows)["reversion_to_excluded"] / n >= 0.9


@pytest.mark.parametrize(
    ("truths", "call"),
    [
        pytest.param(((150, 300, 500), (600, 500, 400), (30, 200, 700)), "reversion_to_excluded", id="reversion"),
        pytest.param(((500, 400, 400), (600, 500, 400), (30, 40, 40)), "global_loss", id="global loss"),
        pytest.param(((400,) * 3, (400,) * 3, (400, 1600, 1600)), "margin_gain", id="margin gain"),
        pytest.param(((30, 60, 60), (40, 60, 60), (600, 500, 400)), "infiltration_gain", id="desert, then inflamed"),
        pytest.param(((600, 500, 400),) * 3, "sustained_infiltration", id="inflamed throughout"),
        pytest.param(((40, 300, 700),) * 3, "already_excluded", id="excluded throughout"),
        pytest.param(((250, 300, 400),) * 3, "stable", id="in between throughout"),
    ],
)
def test_stated_trajectories_are_called_by_their_names(truths, call):
    random, n = np.random.default_rng(13), 40
    scores = []
    for i in range(n):
        scores += slides(f"P{i}", truths, TIMEPOINTS, area=2.0, vmr=3, random=random)
    _, rows = compare(scores, TIMEPOINTS)
    found = Counter(row.call for row in rows if row.transition == "on_treatment->progression")
    assert found[call] / n >= 0.9, found


def test_a_desert_is_never_called_a_reversion():
    random, scores = np.random.default_rng(14), []
    for i in range(60):
        scores += slides(f"P{i}", ((30, 50, 70),) * 3, TIMEPOINTS, area=0.5, vmr=3, random=random)
    _, rows = compare(scores, TIMEPOINTS)
    assert not [row for row in rows if row.call == "reversion_to_excluded"]


def test_counts_have_the_stated_clustering():
    counts = negative_binomial(np.full(200_000, 12.0), 10.0, np.random.default_rng(15))
    assert counts.mean() == pytest.approx(12, rel=0.01)
    assert counts.var() / counts.mean() == pytest.approx(10, rel=0.03)
    assert negative_binomial(np.zeros(5), 3.0, np.random.default_rng(0)).sum() == 0
