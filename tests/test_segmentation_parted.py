"""A sample in two: the cut is the best of all, and how far its sides stand apart tells two populations from one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_til.segmentation.parted import parted

VALUES = st.lists(st.integers(-50, 50), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1)


@given(VALUES)
def test_no_other_cut_leaves_less_variance_on_its_two_sides(values):
    values = np.array(values, dtype=float)
    found = parted(values)

    def within(cut):
        return sum(side.var() * len(side) for side in (values[values > cut], values[values <= cut]))

    cuts = np.unique(values)[:-1]
    assert within(found.cut) == pytest.approx(min(within(cut) for cut in cuts), abs=1e-6)
    assert values.min() < found.cut < values.max()


@given(VALUES, st.randoms(use_true_random=False), st.integers(-9, 9), st.sampled_from([0.5, 2.0, 8.0]))
def test_order_does_not_matter_and_scale_and_origin_move_the_cut_alone(values, random, shift, scale):
    found, mixed = parted(np.array(values, dtype=float)), values.copy()
    random.shuffle(mixed)
    assert parted(np.array(mixed, dtype=float)) == found
    assert parted(np.array(values) * scale) == pytest.approx((found.cut * scale, found.ashman_d))
    assert parted(np.array(values, dtype=float) + shift).ashman_d == pytest.approx(found.ashman_d)


def test_how_far_apart_one_population_cut_in_two_is():
    rng = np.random.default_rng(0)
    assert parted(rng.normal(size=200_000)).ashman_d == pytest.approx(2.65, abs=0.03)
    assert parted(rng.random(200_000)).ashman_d == pytest.approx(3.46, abs=0.03)
    two = np.concatenate((rng.normal(0, 1, 5000), rng.normal(8, 1, 5000)))
    assert parted(two).ashman_d == pytest.approx(8, abs=0.2)
    assert parted(two).cut == pytest.approx(4, abs=0.7)
    assert parted(np.array([0.0, 0.0, 1.0])) == (0.5, np.inf)


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_values_all_alike_are_not_parted(values):
    assert parted(np.array(values)) is None
