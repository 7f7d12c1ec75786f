"""Agreement of two readers, worked out by hand: every field and reason."""

import math

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.agreement import cohens_kappa, limits_of_agreement, share_agreed
from spatial_til.model import Value


def t_of(dof, confidence=0.9):
    return stats.t.ppf(0.5 + confidence / 2, dof)


def test_kappa_by_hand_with_its_large_sample_error():
    """Fleiss, Cohen and Everitt's formula, class by class."""
    a, b = list("xxxxxyyyyz"), list("xxxyzyyyxz")
    table = np.array([[sum(p == x and q == y for p, q in zip(a, b, strict=True)) for y in "xyz"] for x in "xyz"]) / 10
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    agreed, chance = np.trace(table), rows @ columns
    kappa = (agreed - chance) / (1 - chance)
    parts = [table[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(3)]
    parts += [
        (1 - kappa) ** 2 * table[i, j] * (columns[i] + rows[j]) ** 2 for i in range(3) for j in range(3) if i != j
    ]
    variance = (sum(parts) - (kappa - chance * (1 - kappa)) ** 2) / (10 * (1 - chance) ** 2)
    found = cohens_kappa(a, b, confidence=0.9)
    reach = stats.norm.ppf(0.95) * math.sqrt(variance)
    assert (found.value, found.sigma) == (pytest.approx(kappa), pytest.approx(math.sqrt(variance)))
    assert (found.ci_low, found.ci_high) == (pytest.approx(kappa - reach), pytest.approx(min(kappa + reach, 1.0)))
    assert cohens_kappa(b, a, confidence=0.9).value == pytest.approx(kappa)


def test_kappa_of_two_slides_and_of_one_class_has_its_words():
    few = Value(None, reason="fewer than two slides that both reviewed")
    assert cohens_kappa(["x"], ["x"], confidence=0.95) == few
    assert cohens_kappa(["x", "y"], ["x", "y"], confidence=0.95).value == 1.0
    assert cohens_kappa(["x", "y"], ["y", "x"], confidence=0.95).ci_low == -1.0
    one = Value(0.0, reason="a reader used one class only: kappa is 0 whatever the agreement")
    assert cohens_kappa(["x", "x"], ["x", "y"], confidence=0.95) == one
    assert cohens_kappa(["x", "y"], ["x", "x"], confidence=0.95) == one
    same = Value(None, reason="both readers used one and the same class only")
    assert cohens_kappa(["x"] * 3, ["x"] * 3, confidence=0.95) == same


def test_the_share_agreed_by_hand():
    assert share_agreed([], [], confidence=0.95) == Value(None, reason="no slide that both reviewed")
    none = share_agreed(["x"] * 3, ["y"] * 3, confidence=0.9)
    assert none == Value(0.0, 0.0, pytest.approx(1 - 0.05 ** (1 / 3)))
    every = share_agreed(["x"] * 3, ["x"] * 3, confidence=0.9)
    assert every == Value(1.0, pytest.approx(0.05 ** (1 / 3)), 1.0)
    some = share_agreed(list("xxxx"), list("xxxy"), confidence=0.9)
    assert some == Value(0.75, pytest.approx(stats.beta.ppf(0.05, 3, 2)), pytest.approx(stats.beta.ppf(0.95, 4, 1)))


def test_limits_of_agreement_have_students_interval_and_the_normals_width():
    found = limits_of_agreement([1.0, 5.0], confidence=0.9)
    spread = math.sqrt(8)
    assert (found.n, found.bias.value, found.bias.dof) == (2, 3.0, 1)
    assert found.bias.sigma == pytest.approx(2.0)
    assert found.bias.ci_low == pytest.approx(3 - 2 * t_of(1))
    assert found.bias.ci_high == pytest.approx(3 + 2 * t_of(1))
    assert (found.low, found.high) == pytest.approx((3 - 1.644854 * spread, 3 + 1.644854 * spread))
    few = Value(None, reason="fewer than two slides that both reviewed")
    assert limits_of_agreement([], confidence=0.9) == (0, few, None, None)
