"""Features and maps of tissue by example: laws, and the same numbers in any tiles."""

from dataclasses import replace

import numpy as np
import pytest

from spatial_til.segmentation.examples.classifier import (
    TissueModel,
    classify_box,
    classify_slide,
    features_in,
    squares_shape,
)
from spatial_til.segmentation.examples.features import feature_names, features_of, support_px
from spatial_til.segmentation.examples.planes import StainPlanes, levels_of, reference_intensity
from spatial_til.units import PixelSize

PX = PixelSize(2.0, 2.0)
NAMES = feature_names(["nuclei"])


def value(planes: np.ndarray, name: str, px: PixelSize = PX) -> np.ndarray:
    return features_of(planes[None].astype(np.uint8), px)[NAMES.index(name)]


def stripes(angle: float, side: int = 200, px_um: float = 2.0) -> np.ndarray:
    """Stripes 50 µm apart: differences over 8 µm, the coarsest taken, see 4 % less of them along an axis (sinc 0.5)."""
    y, x = (np.mgrid[0:side, 0:side] + 0.5) * px_um
    return np.round(100 + 90 * np.sin((x * np.cos(angle) + y * np.sin(angle)) / 8.0))


def test_a_flat_stain_has_its_level_and_no_texture():
    found = features_of(np.full((1, 80, 80), 37, np.uint8), PX)
    for name, plane in zip(NAMES, found, strict=True):
        assert (plane == (37 * 64 if "level" in name else 0)).all()


def test_levels_are_the_means_of_squares():
    random = np.random.default_rng(0)
    coarse = random.integers(0, 200, (1, 1)).repeat(40, 0).repeat(40, 1)
    assert (value(coarse, "nuclei level, 4 um") == 64 * coarse[0, 0]).all()


def test_features_do_not_depend_on_the_direction_of_a_texture():
    middle = np.s_[30:70, 30:70]
    for name in NAMES:
        across, along = (value(stripes(angle), name)[middle].mean() for angle in (0.0, np.pi / 3))
        assert along == pytest.approx(across, rel=0.06, abs=6), name


def test_features_do_not_depend_on_the_pixel_size():
    middle = np.s_[30:60, 30:60]
    for name in (n for n in NAMES if "4 um," in n or "level" in n):
        fine = value(stripes(0.4, 260, 1.6), name, PixelSize(1.6, 1.6))[middle].mean()
        coarse = value(stripes(0.4, 200, 2.0), name)[middle].mean()
        assert fine == pytest.approx(coarse, rel=0.1), name


def test_strands_and_spots_are_told_apart():
    """Of stripes both responses are alike; of a Gaussian spot the second is e / 2 times the first, integrated."""
    y, x = np.mgrid[-100:100, -100:100] * 2.0
    spot = np.round(250 * np.exp(-(x**2 + y**2) / (2 * 16.0**2)))
    for planes, expected in ((stripes(0.4), 1.0), (spot, np.e / 2)):
        strand, dot = (value(planes, f"nuclei {kind} 4 um, 16 um")[10:90, 10:90].mean() for kind in ("strand", "spot"))
        assert strand / dot == pytest.approx(expected, rel=0.04)


def test_fluorescence_levels_follow_the_square_root_of_intensity():
    for intensity, level in ((0.0, 0), (25.0, 64), (100.0, 128), (60000.0, 511)):
        assert (levels_of(np.full((1, 3, 70), intensity, np.float16), (100.0,)) == level).all()


def test_levels_are_the_root_of_the_average_to_the_last_digit():
    """Rows are taken in strips: as if at once, in numpy, at every edge and where intensities are beyond the scale."""
    noise = np.random.default_rng(7).gamma(2.0, 3000.0, (2, 131, 67)).astype(np.float16)
    framed = np.pad(noise.astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = framed[:, :-2] + 2 * framed[:, 1:-1] + framed[:, 2:]
    mean = (down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]) / np.float32(16)
    share = mean / np.array([[[431.7]], [[2000.0]]], np.float32)
    expected = np.minimum(np.round(128 * np.sqrt(share)), 511)
    assert 511 in expected
    assert np.array_equal(levels_of(noise, (431.7, 2000.0)), expected)


def test_a_slide_exposed_otherwise_looks_the_same_up_to_a_factor_of_two():
    random = np.random.default_rng(5)
    image = random.gamma(2.0, 100.0, (1, 90, 90))

    def features(factor):
        plane = (factor * image).astype(np.float16)
        taken = StainPlanes(plane, ("nuclei",), "fluorescence", PX, (reference_intensity(plane[0]),))
        return features_in(taken, ("nuclei",), (reference_intensity(image[0].astype(np.float16)),), (0, 45, 0, 45))

    same = features(1.0).astype(float)
    for factor in (0.6, 1.9):
        assert np.abs(features(factor) - same).max() <= 0.02 * same.max()
    dim = features(0.1)[0].mean() / same[0].mean()  # nothing stained may be on it: it stays dim
    assert dim == pytest.approx(np.sqrt(0.1 * 2.0), rel=0.02)


def test_a_slide_too_dim_to_be_compared_is_told():
    taken = StainPlanes(np.zeros((2, 9, 9), np.float16), ("nuclei", "tumor"), "fluorescence", PX, (100.0, 40.0))
    assert taken.too_unlike(("nuclei", "tumor"), (150.0, 100.0)) == ("tumor",)
    assert taken.references(("tumor", "nuclei"), (100.0, 150.0)) == (50.0, 100.0)
    assert replace(taken, modality="brightfield", brightness=()).too_unlike(("nuclei",), ()) == ()


@pytest.fixture(scope="module")
def planes() -> StainPlanes:
    random = np.random.default_rng(3)
    noise = random.integers(0, 255, (2, 301, 407)).astype(np.uint8)
    return StainPlanes(noise, ("nuclei", "tumor"), "brightfield", PX)


@pytest.fixture(scope="module")
def model() -> TissueModel:
    random = np.random.default_rng(4)
    n = len(feature_names(["nuclei", "tumor"]))
    low, high = np.zeros(n, np.int16), np.full(n, 12_000, np.int16)
    weights = random.normal(size=(4, n)) / 8000
    classes, looks = ("Tumor", "a", "b"), np.array([0, 1, 1, 2])
    return TissueModel("brightfield", ("nuclei", "tumor"), (), classes, looks, weights, np.zeros(4), low, high)


def test_a_square_has_the_same_probability_in_every_tile(planes, model):
    shape = squares_shape(planes)
    assert shape == (150, 203)
    whole = classify_box(planes, model, (0, shape[0], 0, shape[1]))
    assert whole.probability.std() > 0.05
    assert np.allclose(whole.probability.sum(axis=0), 1, atol=1e-6)
    inside = np.ones(shape, dtype=np.bool_)
    for side in (17, 64, 1000):
        tiled, unlike = classify_slide(planes, model, inside, wanted=1, tile_squares=side)
        assert np.array_equal(tiled, whole.probability[1])
        assert unlike == whole.unlike.mean()
    view = classify_box(planes, model, (41, 60, 77, 203))
    assert np.array_equal(view.probability, whole.probability[:, 41:60, 77:203])
    assert np.array_equal(view.unlike, whole.unlike[41:60, 77:203])


def test_nothing_beyond_the_support_is_seen(planes, model):
    reach = support_px(PX)
    far = planes.planes.copy()
    far[:, :, 200 + reach :] = 255 - far[:, :, 200 + reach :]
    box = (0, 150, 0, 100)
    before, after = (classify_box(p, model, box).probability for p in (planes, replace(planes, planes=far)))
    assert np.array_equal(before, after)


def test_tissue_unlike_the_training_is_told(planes, model):
    narrow = replace(model, high=np.full(len(model.high), 2000, np.int16))
    box = (0, 150, 0, 203)
    assert not classify_box(planes, model, box).unlike.any()
    assert classify_box(planes, narrow, box).unlike.all()


def test_dim_noise_is_averaged_before_the_root_is_taken_and_the_same_in_every_box():
    """Of intensities that are 0 or 100 by chance the root averages 5; of averages it comes near the root of 50."""
    random = np.random.default_rng(6)
    noise = (100.0 * random.integers(0, 2, (2, 120, 140))).astype(np.float16)
    root = levels_of(noise, (100.0, 100.0)).mean() * np.sqrt(100) / 128
    assert np.sqrt(noise.astype(float)).mean() < 5.1
    assert 6.7 < root < np.sqrt(50)
    planes = StainPlanes(noise, ("nuclei", "tumor"), "fluorescence", PX)
    whole = features_in(planes, planes.channels, (100.0, 100.0), (0, 60, 0, 70))
    part = features_in(planes, planes.channels, (100.0, 100.0), (21, 40, 33, 51))
    assert np.array_equal(part, whole[:, 21:40, 33:51])
