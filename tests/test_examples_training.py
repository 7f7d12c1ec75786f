"""Strokes to a model: what is refused, what is held out, what scikit-learn says, what the file holds."""

import json
import pickle

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box

from spatial_til.errors import ModelError, ProblemsError, TrainingError
from spatial_til.geometry.mapped import likely_region
from spatial_til.io.annotations.strokes import read_strokes
from spatial_til.io.tissue_model import TrainedModel, Training, read_tissue_model, write_tissue_model
from spatial_til.segmentation.examples.classifier import class_scores
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.examples.strokes import Samples, samples_under, stroke_along
from spatial_til.segmentation.examples.training import check_samples, fit, hold_out
from spatial_til.units import PixelSize

PX = PixelSize(2.0, 2.0)
CLASSES = ("Tumor", "Stroma", "Gland")


def samples(n_classes: int = 3, n: int = 90, strokes: int = 3, seed: int = 0) -> Samples:
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(n_classes), n)
    features = random.normal(500 + 175 * of[:, None] * np.array([1, -1] * 7), 150, (len(of), 14))
    stroke = of * strokes + np.tile(np.arange(n), n_classes) % strokes
    return Samples(np.round(features).astype(np.int16), of, stroke, stroke % 2)


def trained(n_classes: int = 3) -> TrainedModel:
    learned = samples(n_classes)
    model = fit(learned, CLASSES[:n_classes], modality="brightfield", channels=("nuclei",), references=())
    names = dict.fromkeys(CLASSES[:n_classes], 3)
    return TrainedModel(model, Training(slides=(), strokes=names, squares=names, held_out=()))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_even_odds_lie_halfway_between_what_classes_look_like(n_classes):
    """Fisher's discriminant: between two means the scores cross in the middle, however unlike the spreads."""
    learned = samples(n_classes)
    wide = learned.class_index == 1
    learned.features[wide] = np.round(3.0 * learned.features[wide] - 2.0 * learned.features[wide].mean(axis=0))
    model = fit(learned, CLASSES[:n_classes], modality="brightfield", channels=("nuclei",), references=())
    means = [learned.features[learned.class_index == k].mean(axis=0) for k in range(n_classes)]
    for a, b in ((0, 1), (n_classes - 1, 0)):
        odds = [
            (model.weights[a] - model.weights[b]) @ means[k] + model.intercepts[a] - model.intercepts[b] for k in (a, b)
        ]
        assert odds[0] > 0
        assert odds[0] == pytest.approx(-odds[1])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_with_many_samples_probabilities_are_those_of_the_normal_distributions_drawn_from(n_classes):
    """Independent features, one spread: the log odds are sum((m_a - m_b) (x - (m_a + m_b) / 2)) / spread²."""
    random, spread, count = np.random.default_rng(1), 150.0, 20_000
    of = np.repeat(np.arange(n_classes), count)
    means = 500 + 20 * np.arange(n_classes)[:, None] * np.array([1, -1] * 7)
    features = np.round(random.normal(means[of], spread)).astype(np.int16)
    drawn = Samples(features, of, of, of * 0)
    model = fit(drawn, CLASSES[:n_classes], modality="brightfield", channels=("nuclei",), references=())
    at = features[::500].astype(float)
    score = np.stack([(at - m / 2) @ m / spread**2 for m in means.astype(float)], axis=1)
    expected = np.exp(score - score.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    assert class_scores(features[::500], model) == pytest.approx(expected, abs=0.05)


def test_classes_weigh_alike_however_much_of_each_is_painted():
    learned = samples(2, n=900)
    few = Samples(*(array[(learned.class_index == 0) | (learned.stroke % 3 == 0)] for array in learned))
    models = [fit(s, CLASSES[:2], modality="brightfield", channels=("nuclei",), references=()) for s in (learned, few)]
    odds = [class_scores(learned.features, model)[:, 0] > 0.5 for model in models]
    assert (odds[0] == odds[1]).mean() > 0.99


def test_the_same_samples_give_the_same_model():
    first, second = trained().model, trained().model
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.intercepts, second.intercepts)


def test_held_out_strokes_tell_chance_from_skill():
    skill = hold_out(samples(), CLASSES)
    assert skill.accuracy > 0.95
    assert skill.confusion.sum(axis=1).tolist() == [90, 90, 90]
    learned = samples()
    guess = learned._replace(
        features=np.random.default_rng(5).integers(0, 900, learned.features.shape).astype(np.int16)
    )
    assert hold_out(guess, CLASSES).accuracy == pytest.approx(1 / 3, abs=0.1)


def test_whole_strokes_are_held_out_not_squares():
    """Squares of a stroke are alike: a classifier that saw its neighbours would know them, and seem right."""
    random = np.random.default_rng(2)
    stroke = np.repeat(np.arange(12), 40)
    look = random.integers(0, 900, (12, 14))  # of each stroke, with nothing to do with its class
    features = (look[stroke] + random.normal(0, 5, (480, 14))).astype(np.int16)
    learned = Samples(features, stroke % 2, stroke, stroke * 0)
    model = fit(learned, CLASSES[:2], modality="brightfield", channels=("nuclei",), references=())
    assert (class_scores(features, model).argmax(axis=1) == learned.class_index).mean() == 1.0
    assert hold_out(learned, CLASSES[:2]).accuracy < 0.8


def test_slides_are_held_out_where_the_others_have_every_class():
    assert hold_out(samples(), CLASSES, "slides").by == "slides"
    lone = samples()._replace(slide=samples().class_index)
    assert hold_out(lone, CLASSES, "slides") is None


def test_all_that_is_missing_is_told_at_once():
    few = samples(2, n=20, strokes=2)
    with pytest.raises(TrainingError) as caught:
        check_samples(few, CLASSES[:2])
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    assert "Tumor: at least 3 strokes are needed to hold some out, found 2" in text
    assert "Stroma: at least 60 squares of 4 µm are needed, found 20" in text
    with pytest.raises(TrainingError, match="at least two classes must be painted, found Tumor"):
        check_samples(samples(1), CLASSES[:1])


def test_errors_of_problems_survive_a_worker():
    error = pickle.loads(pickle.dumps(ModelError(["one", "two"])))
    assert error.problems == ("one", "two")
    assert isinstance(error, ProblemsError)


def test_squares_painted_twice_are_left_out():
    noise = np.random.default_rng(0).integers(0, 99, (1, 200, 200)).astype(np.uint8)
    planes = StainPlanes(noise, ("nuclei",), "brightfield", PX)
    cross = [stroke_along("Tumor", [(50, 200), (350, 200)]), stroke_along("Stroma", [(200, 50), (200, 350)])]
    found, twice = samples_under(planes, cross, ("Tumor", "Stroma"), ("nuclei",), ())
    assert twice == 25  # 20 x 20 µm in squares of 4 µm
    alone = sum(len(samples_under(planes, [s], ("Tumor", "Stroma"), ("nuclei",), ())[0].features) for s in cross)
    assert len(found.features) == alone - 2 * twice
    assert set(found.class_index.tolist()) == {0, 1}


def test_a_straight_border_stays_and_small_parts_are_listed():
    tissue = MultiPolygon([box(0, 0, 800, 600)])
    probability = np.zeros((150, 200), np.float32)
    probability[:, :100] = 1.0
    probability[70:85, 150:165] = 1.0  # 60 µm square; its corners are rounded
    found = likely_region(
        probability, PixelSize(4.0, 4.0), tissue, bandwidth_um=2.0, min_area_mm2=0.005, max_hole_mm2=0.0
    )
    assert found.region.area == pytest.approx(400 * 600, rel=1e-3)
    assert found.dropped_islands_mm2 == pytest.approx([60 * 60 / 1e6], rel=0.02)
    cut = MultiPolygon([Polygon([(0, 0), (800, 0), (800, 300), (0, 600)])])
    half = likely_region(
        probability, PixelSize(4.0, 4.0), cut, bandwidth_um=50.0, min_area_mm2=0.01, max_hole_mm2=0.0
    ).region
    assert half.symmetric_difference(cut.intersection(box(0, 0, 400, 600))).area < 0.01 * cut.area


def test_oblong_pixels_move_nothing():
    probability = np.zeros((150, 400), np.float32)
    probability[:, :200] = 1.0
    found = likely_region(
        probability, PixelSize(2.0, 4.0), MultiPolygon([box(0, 0, 800, 600)]), bandwidth_um=20.0,
        min_area_mm2=0.0, max_hole_mm2=0.0,
    )  # fmt: skip
    assert found.region.bounds == pytest.approx((0, 0, 400, 600), abs=0.5)


def test_a_model_comes_back_as_it_was(tmp_path):
    path, before = tmp_path / "model.json", trained()
    write_tissue_model(path, before)
    after = read_tissue_model(path)
    assert after.training == before.training
    for name in ("weights", "intercepts", "low", "high"):
        assert np.array_equal(getattr(after.model, name), getattr(before.model, name))
    for name in ("share", "mean", "spread"):
        assert np.array_equal(getattr(after.model.painted, name), getattr(before.model.painted, name))
    assert after.tumor_index == 0
    assert path.stat().st_size < 20_000


def test_a_model_is_not_written_over_a_folder(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ModelError, match=r"taken: cannot be written \(Is a directory\): give the model another place"):
        write_tissue_model(tmp_path / "taken", trained())
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def _set(*keys, to):
    def change(values):
        inner = values
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to

    return change


SLIDE = {"slide_id": "a", "sha256": "0" * 64, "unlike": 0.0}
HELD = {"by": "strokes", "accuracy": 1, "confusion": [[1] * 3] * 3}
HOSTILE = {
    "another format": _set("format", to="pickle"),
    "a later version": _set("version", to=5),
    "an earlier version": _set("version", to=3),
    "no version": _set("version", to=None),
    "an unknown key": _set("loader", to="os.system"),
    "NaN": _set("weights", 0, 0, to=float("nan")),
    "infinity": _set("intercepts", 0, to=float("inf")),
    "a huge number": _set("weights", 0, 0, to=1e300),
    "text for a number": _set("weights", 0, 0, to="x"),
    "a short row": _set("weights", 0, to=[1.0]),
    "a look of no class": _set("look_of", to=[0, 1, 3]),
    "a class without a look": _set("look_of", to=[0, 1, 1]),
    "looks below 0": _set("look_of", to=[0, 1, -1]),
    "a row too few": _set("intercepts", to=[0.0]),
    "features of another version": _set("features", 0, to="nuclei level, 5 um"),
    "features too many": _set("features", to=["x"] * 100_000),
    "no tumour": _set("classes", to=["a", "b", "c"]),
    "two tumours": _set("classes", to=["Tumor", "tumour", "c"]),
    "a class twice": _set("classes", to=["Tumor", "c", "C"]),
    "low above high": _set("low", 0, to=32_000),
    "a level beyond 16 bits": _set("high", 0, to=40_000),
    "references in brightfield": _set("references", to=[1.0]),
    "a path for a slide": _set("training", "slides", to=[{**SLIDE, "slide_id": "../../etc/passwd"}]),
    "a hash that is none": _set("training", "slides", to=[{**SLIDE, "sha256": "zz"}]),
    "an accuracy above 1": _set("training", "held_out", to=[{**HELD, "accuracy": 2}]),
    "a table of another size": _set("training", "held_out", to=[{**HELD, "confusion": [[1]]}]),
    "another pixel size": _set("plane_um", to=4.0),
    "nothing painted": _set("painted", to=None),
    "a share too few": _set("painted", "share", to=[0.5, 0.5]),
    "a share of 0": _set("painted", "share", 0, to=0.0),
    "a mean of another stain": _set("painted", "mean", 0, to=[[1.0] * 7] * 2),
    "a mean too short": _set("painted", "mean", 0, 0, to=[1.0] * 6),
    "no covariance": _set("painted", "spread", to=[]),
    "a covariance of another size": _set("painted", "spread", 0, 0, to=[[1.0]]),
    "a ragged covariance": _set("painted", "spread", 0, 0, 0, to=[1.0]),
    "a covariance that is none": _set(
        "painted", "spread", 0, 0, to=[[0.0 + (i != j) for i in range(7)] for j in range(7)]
    ),
    "a covariance that leans": _set("painted", "spread", 0, 0, 0, 1, to=1e8),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_hostile_models_are_refused(tmp_path, change):
    path = tmp_path / "model.json"
    write_tissue_model(path, trained())
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError) as caught:
        read_tissue_model(path)
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)


def test_a_model_of_another_version_is_refused_in_words(tmp_path):
    path = tmp_path / "model.json"
    write_tissue_model(path, trained())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2, "features": ["of old"]}))
    with pytest.raises(ModelError, match=r"of version 2, this program reads version 4.*train the model") as caught:
        read_tissue_model(path)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b"{}", b"null", b"\x80\x04pickle", b"[1, 2]", b" " * 5_000_000]
)
def test_files_that_are_no_models_are_refused(tmp_path, content):
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        read_tissue_model(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_tissue_model(tmp_path / "missing.json")


def _feature(geometry, name):
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def test_lines_and_areas_of_qupath_are_strokes(tmp_path):
    line = {"type": "LineString", "coordinates": [[100, 200], [300, 200]]}
    area = {"type": "Polygon", "coordinates": [[[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]]]}
    drawn = [_feature(line, "tumour"), _feature(area, "Necrotic debris"), _feature(area, "Tissue")]
    path = tmp_path / "s.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": drawn}))
    first, second = read_strokes(path, pixel_size=PixelSize(0.5, 0.25), width_um=10.0)
    assert (first.name, second.name) == ("Tumor", "Necrotic debris")
    assert first.region.bounds == pytest.approx((45, 45, 155, 55))
    assert second.region.area == pytest.approx(20 * 10)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [_feature(line, ""), _feature(area, "")]}))
    with pytest.raises(TrainingError) as caught:
        read_strokes(path, pixel_size=PX)
    assert len(caught.value.problems) == 2


def test_a_class_of_two_looks_is_found_in_both():
    """Stroma of two looks with tumour between them: its mean is that of tumour, so one look cannot tell them apart."""
    random = np.random.default_rng(7)
    look = np.repeat([-1, 0, 1, 0], 400)  # of stroma, tumour, stroma, tumour
    features = np.round(600 + 150 * look[:, None] * np.ones(14) + random.normal(0, 60, (1600, 14))).astype(np.int16)
    stroke = np.repeat(np.arange(16), 100)
    learned = Samples(features, (look != 0).astype(np.intp), stroke, stroke * 0)
    model = fit(learned, CLASSES[:2], modality="brightfield", channels=("nuclei",), references=())
    assert model.look_of.tolist() == [0, 0, 1, 1]
    scores = class_scores(features, model)
    assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert (scores.argmax(axis=1) == learned.class_index).mean() > 0.99
    three = Samples(*(array[learned.stroke % 4 != 3] for array in learned))
    few = fit(three._replace(stroke=three.stroke // 4), CLASSES[:2], modality="", channels=(), references=())
    assert few.look_of.tolist() == [0, 1]  # two strokes a class are not divided
