"""Induction near CD8+ cells, worked out by hand: counts, errors and every reason."""

import math

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.induction import (
    Induction,
    InductionCells,
    distance_to_um,
    induction,
    mantel_haenszel_log2,
)
from spatial_til.metrics.ratios import FEW_TILES, Gates
from spatial_til.model import COMPARTMENTS, EXCLUDED, Value

GATES = Gates(min_tumor_cells=10, min_tiles=4, confidence=0.9)

CODE = {name: code for code, name in enumerate(COMPARTMENTS)}


def t_of(dof, confidence=0.9):
    return stats.t.ppf(0.5 + confidence / 2, dof)


def induction_cells(n_tiles=10, **changes):
    """In each tile of core 20 tumour cells near (15 positive) and 20 far (5); as many, all negative, between."""
    n = 60 * n_tiles
    kind = np.arange(n) % 60
    cells = {
        "compartment": np.zeros(n, dtype=np.int8),
        "tile": np.arange(n) // 60,
        "tumor_cell": np.ones(n, dtype=bool),
        "cd8": np.zeros(n, dtype=bool),
        "positive": (kind < 15) | ((kind >= 20) & (kind < 25)),
        "cd8_distance_um": np.select([kind < 20, kind < 40], [30.0, 100.1], 60.0),
        "spill_distance_um": np.where(kind < 5, 10.0, 10.1),
    }
    return InductionCells(**(cells | changes))


def induce(cells, gates=GATES, draws=40) -> Induction:
    return induction(cells, gates, draws=draws, random=np.random.default_rng(5))


def test_induction_is_the_odds_near_over_those_far():
    found = induce(induction_cells())
    assert found.log2.value == pytest.approx(math.log2(15 * 15 / (5 * 5)))
    assert found.log2_without_spill.value == pytest.approx(math.log2(10 * 15 / (5 * 5)))  # 5 positive neighbours near
    assert (found.n_near, found.n_far, found.n_positive) == (200, 200, 200)
    assert (found.near_percent.value, found.log2.dof) == (75.0, 9)
    assert not found.absent_despite_contact
    assert [(b.to_um, b.n_cells, b.n_positive, b.percent.value) for b in found.profile] == [
        (15.0, 0, 0, None), (30.0, 200, 150, 75.0), (60.0, 200, 0, 0.0), (120.0, 200, 50, 25.0), (np.inf, 0, 0, None),
    ]  # fmt: skip
    assert found.profile[0].percent.reason == "no tumour cell at this distance"


def test_the_error_of_induction_is_the_spread_over_drawn_tiles():
    positive = np.random.default_rng(1).random(600) < np.where(np.arange(600) % 60 < 20, 0.7, 0.2)
    found = induce(induction_cells(positive=positive))
    kind, tile = np.arange(600) % 60, np.arange(600) // 60
    table = np.array(
        [[(positive & (kind // 20 == where) & (tile == t)).sum() for where in (0, 1)] for t in range(10)]
    )  # (10, 2) positive near and far, of 20 each
    chosen = np.random.default_rng(5).integers(10, size=(40, 10))
    near, far = table[chosen].sum(axis=1).T.astype(float)
    drawn = np.log2(near * (200 - far) / ((200 - near) * far))
    assert found.log2.sigma == pytest.approx(drawn.std(ddof=1))
    assert found.log2.ci_high - found.log2.value == pytest.approx(t_of(9) * drawn.std(ddof=1))
    assert found.log2.value - found.log2.ci_low == pytest.approx(t_of(9) * drawn.std(ddof=1))


def test_a_hundred_near_and_far_are_enough():
    assert induce(induction_cells(5)).log2.reason == ""
    near = "80 tumour cells within 30 µm of a CD8+ cell, 100 needed"
    far = "80 tumour cells more than 100 µm from every CD8+ cell, 100 needed"
    assert induce(induction_cells(4)).log2 == Value(None, reason=f"{near}; {far}")


@pytest.mark.parametrize(("n", "reason"), [(10, ""), (9, "9 positive tumour cells among them, 10 needed")])
def test_ten_positive_are_enough(n, reason):
    found = induce(induction_cells(positive=np.arange(600) % 60 < np.where(np.arange(600) < 60, n, 0)))
    assert found.log2.reason == reason
    assert (found.log2.value is None) == bool(reason)


def test_near_cells_that_are_all_negative_are_an_absence_despite_contact():
    assert induce(induction_cells(100, positive=np.zeros(6000, dtype=bool))).absent_despite_contact
    few = Induction(Value(1.0), Value(1.0), Value(0.0, 0.0, 0.99), 100, 100, 0, ())
    assert few.absent_despite_contact
    for other in ((Value(0.0, 0.0, 1.0), 100), (Value(0.0, 0.0, 0.5), 99), (Value(0.0), 100)):
        assert not Induction(Value(1.0), Value(1.0), *other, 100, 0, ()).absent_despite_contact
    cd8 = np.arange(600) % 60 < 20
    assert induce(induction_cells(cd8=cd8)).n_near == 0  # tumour cells that are CD8+ are not asked
    assert induce(induction_cells(compartment=np.full(600, CODE["outer_margin"], dtype=np.int8))).n_near == 0
    assert induce(induction_cells(compartment=np.full(600, CODE["inner_margin"], dtype=np.int8))).n_near == 200
    few_tiles = induce(induction_cells(tile=np.arange(600) % 3)).log2
    assert few_tiles == Value(None, reason=FEW_TILES, flags=("few_tiles",))
    unknown = induce(induction_cells(tumor_cell=None))
    missing = Value(None, reason="the panel has no tumour marker", flags=("tumor_cells_unknown",))
    assert unknown == Induction(missing, missing, missing, 0, 0, 0, ())


def test_mantel_haenszel_over_two_compartments_by_hand():
    core, margin = [10.0, 20, 5, 40], [30.0, 15, 12, 24]
    expected = (10 * 40 / 75 + 30 * 24 / 81) / (20 * 5 / 75 + 15 * 12 / 81)
    assert 2 ** mantel_haenszel_log2(np.array([core, margin])) == pytest.approx(expected)
    empty = np.array([core, [0.0, 0, 0, 0]])
    assert 2 ** mantel_haenszel_log2(empty) == pytest.approx(4.0)
    zero = np.array([[0.0, 20, 5, 40]])
    assert 2 ** mantel_haenszel_log2(zero) == pytest.approx(0.5 * 40.5 / (20.5 * 5.5))
    assert mantel_haenszel_log2(np.array([[core, margin]] * 3)).shape == (3,)


def test_distances_are_to_other_targets_within_the_tissue():
    xy = np.array([[0.0, 0], [3, 4], [3, 5], [50, 50]])
    compartment = np.array([0, 1, EXCLUDED, 2], dtype=np.int8)
    found = distance_to_um(xy, np.array([False, True, True, False]), compartment)
    assert found.tolist() == pytest.approx([5.0, np.inf, 1.0, math.hypot(47, 46)])
    assert np.isinf(distance_to_um(xy, np.zeros(4, dtype=bool), compartment)).all()
