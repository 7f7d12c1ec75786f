"""The brightness at which a model finds as much of each class as there is, and a slide that teaches by it."""

import numpy as np
import pytest

from spatial_til.segmentation.examples.agreeing import MOST, as_bright, brightness_agreeing
from spatial_til.segmentation.examples.classifier import TissueModel, class_scores
from spatial_til.segmentation.examples.features import feature_names, near_features


def three_looks():
    """Two classes told by one feature: tumour above 120, stroma in two looks below."""
    weights, intercepts = np.array([[2.0], [1.0], [0.0]]), np.array([-180.0, -60.0, 0.0])
    low, high = np.array([0], np.int16), np.array([400], np.int16)
    classes = ("Tumor", "Stroma")
    return TissueModel("fluorescence", ("n",), (100.0,), classes, np.array([0, 1, 1]), weights, intercepts, low, high)


FEATURES = np.random.default_rng(1).integers(0, 240, (5000, 1)).astype(np.int16)


@pytest.mark.parametrize("times", [0.7, 0.9, 1.0, 1.25, 1.45])
def test_the_brightness_at_which_shares_are_as_wanted_is_found(times):
    of = class_scores(FEATURES, as_bright(three_looks(), times)).argmax(axis=1)
    assert brightness_agreeing(three_looks(), FEATURES, of) == pytest.approx(times, rel=0.02)


@pytest.mark.parametrize(("of", "end"), [(0, 1 / MOST), (1, MOST)])
def test_it_is_looked_for_within_limits(of, end):
    assert brightness_agreeing(three_looks(), FEATURES, np.full(len(FEATURES), of)) == pytest.approx(end)


def test_where_brightness_changes_nothing_it_is_one():
    level = np.full((100, 1), 239, np.int16)
    assert brightness_agreeing(three_looks(), level, np.zeros(100, np.intp)) == pytest.approx(1.0)


def test_a_model_sees_a_brighter_slide_as_the_one_it_learned_from():
    """Features go with the root of light."""
    brighter = (FEATURES * np.sqrt(1.44)).astype(np.float64)
    as_learned = FEATURES.astype(np.float64) @ three_looks().weights.T
    np.testing.assert_allclose(brighter @ as_bright(three_looks(), 1.44).weights.T, as_learned)


def test_what_is_near_is_every_level_and_the_narrow_responses():
    names = np.array(feature_names(["a", "b"]))
    far = names[~near_features(2)]
    assert len(far) == 12
    assert all(", 16 um" in name and "level" not in name for name in far)
