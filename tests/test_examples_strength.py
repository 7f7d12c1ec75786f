"""Brightfield slides stained more strongly or weakly than those learned from: the same tumour is found."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point, box

from spatial_til.io.tissue_model import TrainedModel, Training
from spatial_til.pipeline.examples import find_tumor_by_model, notes_on
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.classifier import Painted, classify_box, squares_shape
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.examples.strength import MAX_STRENGTH, at_strength, even_out, strength_of
from spatial_til.segmentation.examples.strokes import samples_under
from spatial_til.segmentation.examples.training import _painted, fit
from spatial_til.units import PixelSize
from tests.painted import paint

PX, SIDE_PX, RADIUS_UM = PixelSize(2.0, 2.0), 300, 180.0
TISSUE = MultiPolygon([box(0, 0, SIDE_PX * PX.x_um, SIDE_PX * PX.y_um)])
DISC = MultiPolygon([Point(300, 300).buffer(RADIUS_UM, 64)])
NAMES, CLASSES = ("nuclei", "tumor"), ("Tumor", "Stroma")
INSIDE, AROUND = (140.0, 90.0), (50.0, 60.0)  # of each stain, in steps of 0.01 OD
KEYS = Tumor(method="classifier", model="-", bandwidth_um=4.0, min_area_mm2=0.0, max_hole_mm2=0.0)


def speckle(random, um):
    noise = cv2.GaussianBlur(random.normal(size=(SIDE_PX, SIDE_PX)).astype(np.float32), (0, 0), um / PX.x_um)
    return noise / noise.std()


def slide(seed, strength=(1.0, 1.0), tumor="disc"):
    """A disc of tumour in stroma, or one of the two alone: the same texture, another level."""
    random = np.random.default_rng(seed)
    y, x = (np.mgrid[0:SIDE_PX, 0:SIDE_PX] + 0.5) * PX.x_um
    share = {"disc": (np.hypot(x - 300, y - 300) < RADIUS_UM).astype(np.float32), "all": 1.0, "none": 0.0}[tumor]
    share = cv2.GaussianBlur(share, (0, 0), 1.0) if tumor == "disc" else np.full(x.shape, share, np.float32)
    planes = []
    for inside, around, times in zip(INSIDE, AROUND, strength, strict=True):
        uneven = 1 + 0.15 * speckle(random, 4.0) + 0.08 * speckle(random, 60.0)
        planes.append(np.clip(np.round(times * (around + (inside - around) * share) * uneven), 0, 255))
    return StainPlanes(np.array(planes, dtype=np.uint8), NAMES, "brightfield", PX)


@pytest.fixture(scope="module", params=[NAMES[:1], NAMES], ids=["one stain", "two stains"])
def trained(request):
    planes = slide(1)
    strokes = paint(1, {"Tumor": DISC, "Stroma": TISSUE.difference(DISC)}, each=6, length_um=(60.0, 150.0))
    samples, _ = samples_under(planes, strokes, CLASSES, request.param, ())
    model = fit(samples, CLASSES, modality="brightfield", channels=request.param, references=())
    return TrainedModel(model, Training(slides=(), strokes={}, squares={}, held_out=()))


def wider_um(region):
    """How much wider than the disc a region is on average."""
    return (region.area - DISC.area) / DISC.length


@pytest.mark.parametrize("strength", [(0.7, 0.7), (0.8, 0.8), (1.2, 1.2), (1.4, 1.4), (1.4, 0.8)])
def test_a_slide_stained_otherwise_has_its_tumour_where_it_is(trained, strength):
    usual = find_tumor_by_model(slide(2), trained, TISSUE, KEYS)  # 7 µm too wide: edges look like tumour
    planes = slide(2, strength)
    found = find_tumor_by_model(planes, trained, TISSUE, KEYS)
    assert abs(wider_um(usual.found.region)) < 25
    # the usual slide is left as it is, and what it holds makes up to 5 % of strength: less than 1.5 µm (4 µm are 20 %)
    assert wider_um(found.found.region) == pytest.approx(wider_um(usual.found.region), abs=1.5)
    ratio = np.array(found.strength) / usual.strength
    assert ratio == pytest.approx(strength[: len(ratio)], rel=0.04)
    as_learned = replace(trained, model=replace(trained.model, painted=None))
    before = find_tumor_by_model(planes, as_learned, TISSUE, KEYS).found.region
    assert abs(wider_um(before) - wider_um(usual.found.region)) > 4
    assert f"{found.strength[0]:.2f} times as strongly in nuclei" in "\n".join(notes_on(found, trained))


@pytest.mark.parametrize("strength", [0.75, 1.0, 1.3])
@pytest.mark.parametrize(("tumor", "share"), [("none", 0.0), ("all", 1.0)])
def test_a_slide_of_one_tissue_is_that_tissue_at_any_strength(trained, tumor, share, strength):
    found = find_tumor_by_model(slide(3, (strength, strength), tumor), trained, TISSUE, KEYS)
    assert found.found.region.area / TISSUE.area == pytest.approx(share, abs=0.02)


def test_a_model_at_a_strength_sees_there_what_it_saw_before(trained):
    """Twice the stain: every feature is twice as much, but for the rounding of the features themselves."""
    once = replace(slide(4), planes=slide(4).planes // 2)
    twice = replace(once, planes=2 * once.planes)
    rows, cols = squares_shape(once)
    model = at_strength(trained.model, (2.0,) * len(trained.model.channels))
    before = classify_box(once, trained.model, (0, rows, 0, cols))
    after = classify_box(twice, model, (0, rows, 0, cols))
    assert before.probability.std() > 0.1
    assert np.abs(after.probability - before.probability).max() < 0.02
    assert (before.unlike != after.unlike).mean() < 0.01


def looks(random, n=4000):
    """Squares of two looks of one stain as normal distributions, and what was painted of them."""
    count = Painted.per_channel()
    mean = np.array([[np.full(count, 2000.0)], [np.full(count, 5000.0)]])
    root = 100 * (np.eye(count) + random.normal(0, 0.3, (count, count)))
    look = random.integers(0, 2, n)
    features = mean[look, 0] + random.normal(size=(n, count)) @ root.T
    return features, look, Painted(np.array([0.5, 0.5]), mean, np.array(2 * [[root @ root.T]]))


@pytest.mark.parametrize("strength", [0.7, 1.0, 1.45])
def test_the_strength_of_squares_drawn_from_the_looks_is_found(strength):
    features, look, painted = looks(np.random.default_rng(5))
    for drawn in (features, features[look == 0], features[look == 1], features[:50]):
        assert strength_of(strength * drawn, painted, 0) == pytest.approx(strength, rel=0.01)


def test_squares_that_look_like_nothing_painted_have_no_say():
    """A third of the slide is far darker than anything painted, and would be explained by a strength of 1.5."""
    features, _, painted = looks(np.random.default_rng(6))
    features[::3] = 1.5 * 5000 + np.random.default_rng(7).normal(0, 900, features[::3].shape)
    assert strength_of(features, painted, 0) == pytest.approx(1.0, rel=0.01)


def sparse(random, tumor, background, share):
    """Squares of a stain that tumour takes and stroma does not: some background is all of it there."""
    count, n = Painted.per_channel(), 4000
    level = np.where(random.random(n) < share, tumor, background)[:, None]
    return level * (1 + 0.15 * random.normal(size=(n, count)))


@pytest.mark.parametrize("share", [0.5, 0.03, 0.0])
def test_tissue_with_hardly_any_stain_does_not_decide_its_strength(share):
    """One covariance for all looks is so wide beside hardly any stain that less of it were always likelier: 0.67."""
    random = np.random.default_rng(9)
    features = sparse(random, 9000.0, 90.0, 0.5)
    look = (features.mean(axis=1) < 4500).astype(np.intp)
    painted = _painted(np.repeat(features, 2, axis=1), look, np.array([0.5, 0.5]), 1)
    for strength in (0.8, 1.0, 1.3):
        there = strength * sparse(random, 9000.0, 90.0, share)
        assert strength_of(there, painted, 0) == pytest.approx(strength, rel=0.05)
    common = replace(painted, spread=np.repeat(np.tensordot(painted.share, painted.spread, 1)[None], 2, axis=0))
    assert share == 0.5 or strength_of(there / strength, common, 0) < 0.7


def test_a_stain_that_is_not_on_the_slide_has_the_usual_strength():
    features, _, painted = looks(np.random.default_rng(8))
    assert strength_of(0 * features, painted, 0) == 1.0


def test_beyond_the_limit_it_is_told(trained):
    found = find_tumor_by_model(slide(2, (0.5, 0.5)), trained, TISSUE, KEYS)
    assert min(found.strength) == pytest.approx(1 / MAX_STRENGTH, abs=1e-3)
    assert "nuclei" in found.doubtful
    assert "the tumour found may be wrong" in "\n".join(notes_on(found, trained))


def test_a_strength_that_makes_a_slide_of_two_tissues_one_is_not_believed(trained):
    """Tumour as pale as stroma painted: of stroma stained more strongly it cannot be told apart."""
    planes = slide(3, (0.75, 0.8), "all")
    inside = np.ones(squares_shape(planes), dtype=np.bool_)
    painted = trained.model.painted
    stroma = painted.mean[trained.model.look_of == 1]
    misled = replace(painted, mean=np.repeat(stroma[:1], len(painted.mean), axis=0))  # no tumour to be like
    evened = even_out(replace(trained.model, painted=misled), planes, inside)
    assert not evened.believed
    assert evened.doubtful == trained.model.channels
    assert np.array_equal(evened.model.weights, trained.model.weights)


def test_a_slide_stained_about_alike_is_taken_as_it_is(trained):
    planes = slide(2, (1.03, 1.03))
    evened = even_out(trained.model, planes, np.ones(squares_shape(planes), dtype=np.bool_))
    assert evened.strength[0] == pytest.approx(1.03, abs=0.05)
    assert evened.model is trained.model
    assert evened.believed


def test_fluorescence_is_evened_out_by_its_brightness_alone(trained):
    model = replace(trained.model, modality="fluorescence", painted=None)
    evened = even_out(model, slide(2, (1.4, 1.4)), np.ones((150, 150), dtype=np.bool_))
    assert evened.model is model
    assert evened.strength == evened.doubtful == ()


def test_without_tissue_nothing_is_asked(trained):
    assert even_out(trained.model, slide(2), np.zeros((150, 150), dtype=np.bool_)).strength == ()
