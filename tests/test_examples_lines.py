"""Sums along lines and scores made of them: the same whole numbers as `smooth`, the same scores as stored features."""

import numpy as np
import pytest

from spatial_til.segmentation.examples.features import POOL_SHARE, as_levels, features_of, pools_of, responses_of
from spatial_til.segmentation.examples.lines import kernel, pool_line
from spatial_til.segmentation.examples.responses import TOP_SQUARE, respond
from spatial_til.segmentation.examples.scores import Scoring, _exp, score_features, score_responses
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.smooth import gaussian_weights, smooth
from spatial_til.units import PixelSize

PX = PixelSize(2.0, 2.0)


def averaged(plane, sigma, scale):
    pool, (rows, cols) = kernel(sigma, TOP_SQUARE), plane.shape
    out, line, change = np.empty(plane.shape, np.int16), np.empty(cols, np.float32), np.empty(cols, np.int16)
    sums = np.empty(cols + len(pool.weights) - 1, np.float32)
    for i in range(rows):
        pool_line(plane, i, 0, pool, np.float32(scale / 64**2), (0, cols), change, sums, line)
        out[i] = line
    return out


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.0, 1.5, 2.7, 3.2, 4.0, 6.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (61, 45)])
def test_averages_are_those_of_smooth_to_the_last_digit(sigma, shape):
    """Of the highest values, too, where the running sums are about to overflow."""
    random = np.random.default_rng(1)
    for plane in (random.integers(0, 4096, shape), TOP_SQUARE * random.integers(0, 2, shape)):
        whole = plane.astype(np.int16)
        assert np.array_equal(averaged(whole, sigma, 8), smooth(whole, sigma, 8, out=np.empty(shape, np.int16)))


def test_sums_run_where_they_fit_and_only_there():
    assert len(kernel(4.0, TOP_SQUARE).added) > 0
    for sigma in (0.7, 1.0, 2.7):  # a high or a narrow bell: int16 does not hold it, or there is little to gain
        pool = kernel(sigma, TOP_SQUARE)
        assert len(pool.added) <= len(gaussian_weights(sigma)) // 2
        assert len(pool.added) == 0 or pool.weights.max() * TOP_SQUARE < 2**15


def test_the_responses_are_those_of_the_hessian_by_hand():
    """A plane bent along x alone: gradient, trace and difference of eigenvalues are those of its only curvature."""
    x = np.arange(60.0)
    plane = np.tile(np.round(0.1 * (x - 30) ** 2), (60, 1)).astype(np.int16)
    out = np.empty((7, 30, 30), np.int16)
    respond(plane, PX, out)
    middle = out[:, 12:18, 18].astype(float) / 8
    weights = gaussian_weights(1.0)
    smooth_row = np.convolve(plane[0], weights / 64.0, "same")
    at = slice(36, 38)  # the pixels of that square
    edge = np.abs(np.convolve(smooth_row, [1, 0, -1], "same")[at]).mean() / 2
    bend = np.abs(np.convolve(smooth_row, [1, -2, 1], "same")[at]).mean()
    assert middle[0] == pytest.approx(plane[0, at].mean(), abs=0.13)
    assert middle[1] == pytest.approx(edge, abs=0.1)
    assert middle[2] == pytest.approx(bend, abs=0.1)
    assert middle[3] == pytest.approx(bend, abs=0.1)


def scoring(n, looks=4):
    random = np.random.default_rng(2)
    weights = (random.normal(size=(looks, n)) / 8000).astype(np.float32)
    weights[1] = 0
    low, high = np.full(n, 40, np.float32), np.full(n, 9000, np.float32)
    return Scoring(np.array([0, 1, 1, 2])[:looks], weights, np.linspace(-1, 1, looks).astype(np.float32), low, high)


@pytest.mark.parametrize("px_um", [1.4, 2.0, 2.9])
@pytest.mark.parametrize("box", [(0, 45, 0, 61), (7, 8, 3, 60), (13, 44, 20, 21)])
def test_scores_made_line_by_line_are_those_of_stored_features(px_um, box):
    px = PixelSize(px_um, px_um)
    levels = np.random.default_rng(3).integers(0, 512, (2, 91, 122)).astype(np.int16)
    features = features_of(levels, px)
    of = scoring(len(features))
    planes, (row0, row1, col0, col1) = responses_of(levels, px, Scratch()), box
    shape = (row1 - row0, col1 - col0)
    probability, unlike = np.empty((3, *shape), np.float32), np.empty(shape, np.bool_)
    narrow = np.empty((2, *shape), np.int16)
    score_responses(planes, pools_of(px), POOL_SHARE, box, of, narrow, probability, unlike)
    expected, strange = np.empty((3, 45, 61), np.float32), np.empty((45, 61), np.bool_)
    score_features(features, of, expected, strange)
    cut = np.s_[..., row0:row1, col0:col1]
    assert np.array_equal(probability, expected[cut])
    assert np.array_equal(unlike, strange[cut])
    assert np.array_equal(as_levels(narrow), as_levels(features[::14])[cut])


def test_probabilities_are_the_softmax_of_the_scores():
    features = np.random.default_rng(4).integers(0, 9500, (28, 5, 33)).astype(np.int16)
    of = scoring(28)
    found, unlike = np.empty((3, 5, 33), np.float32), np.empty((5, 33), np.bool_)
    score_features(features, of, found, unlike)
    score = np.tensordot(of.weights.astype(float), features.astype(float), 1) + of.intercepts[:, None, None]
    share = np.exp(score - score.max(axis=0))
    share /= share.sum(axis=0)
    assert found == pytest.approx(np.stack((share[0], share[1] + share[2], share[3])), abs=1e-5)
    out = (features < 40) | (features > 9000)
    assert np.array_equal(unlike, out.any(axis=0))


def test_the_exponential_is_right_to_two_in_ten_million():
    x = -np.linspace(0, 86, 200_003).astype(np.float32)
    found = x.copy()
    _exp(found, np.empty(len(x), np.int32))
    assert np.abs(found / np.exp(x.astype(float)) - 1).max() < 2e-7
    assert found[0] == 1
    far = np.array([-90.0, -1000.0, -3e38], np.float32)
    _exp(far, np.empty(3, np.int32))
    assert (far < 1e-37).all()


def test_intensities_become_levels_from_their_bits():
    """All numbers that float16 has from 0 up, denormal ones too."""
    from spatial_til.segmentation.examples.planes import _intensities

    half = np.arange(0x7C00, dtype=np.uint16)
    bits = np.empty(len(half) + 2, np.int32)
    _intensities(half, bits, bits.view(np.float32))
    assert np.array_equal(bits.view(np.float32)[1:-1], half.view(np.float16).astype(np.float32))
