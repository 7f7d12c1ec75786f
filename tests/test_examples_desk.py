"""Tissue by example at the desk, without a window: strokes kept, refusals, pictures, the tumour found and recorded."""

import json

import numpy as np
import pytest

from spatial_til.errors import SpatialTilError, TrainingError
from spatial_til.io.annotations.strokes import read_strokes
from spatial_til.io.stain_planes import read_stain_planes
from spatial_til.io.tissue_model import read_tissue_model
from spatial_til.pipeline.examples import tumor_of_slide
from spatial_til.pipeline.training import strokes_in, train
from spatial_til.plugin.desk import Desk, compute
from spatial_til.plugin.example_picture import (
    ClassifiedSquares,
    class_color,
    probability_colors,
    probability_layer,
    probability_picture,
    stroke_segments,
    strokes_mesh,
)
from spatial_til.plugin.example_words import accept_reason, accuracy_words, found_words, protocol_lines
from spatial_til.plugin.examples import Examples, find, save_model, view_of
from spatial_til.protocol_sections import Tumor
from spatial_til.review.events import RegionEdit
from spatial_til.review.session import Cancelled, open_session
from spatial_til.run_record import jobs_from_record
from spatial_til.segmentation.examples.classifier import classify_box, classify_slide
from spatial_til.segmentation.examples.on_slide import on_slide
from tests.scored_folder import PX, TUMOR
from tests.stained import write_stains

IN_TUMOR = [[(450, 400 + 150 * k), (700, 420 + 150 * k)] for k in range(4)]
IN_STROMA = [[(150, 200 + 250 * k), (350, 220 + 250 * k)] for k in range(4)]


@pytest.fixture
def stained(folder):
    for k, slide_id in enumerate(("A_base", "A_on")):
        write_stains(folder, slide_id, k)
    return folder


@pytest.fixture
def examples(stained):
    made = Examples(stained, "anna")
    made.open(open_session(stained, "A_base"))
    return made


def paint(examples):
    for name, lines in (("Tumor", IN_TUMOR), ("Stroma", IN_STROMA)):
        for line in lines:
            examples.paint(name, line)
    return examples.learn(examples.lesson(None, others=False))


def test_strokes_are_kept_as_they_are_painted(examples, stained):
    painted = examples.paint("Tumor", IN_TUMOR[0])
    examples.paint(examples.add_class(" Necrotic   debris "), [(500.0, 900.0)], 30.0)
    again = Examples(stained, "anna")
    again.open(open_session(stained, "A_base"))
    assert [stroke.name for stroke in again.strokes] == ["Tumor", "Necrotic debris"]
    assert again.strokes[0].region.equals(painted.region)
    assert again.strokes[1].region.bounds == pytest.approx((485, 885, 515, 915))
    assert again.classes == ["Tumor", "Stroma", "Other", "Necrotic debris"]
    assert again.counts() == {"Tumor": 1, "Stroma": 0, "Other": 0, "Necrotic debris": 1}
    path = stained / "review" / "strokes" / "anna" / "A_base.geojson"
    assert len(read_strokes(path, pixel_size=PX)) == 2
    ben = Examples(stained, "ben")
    ben.open(open_session(stained, "A_base"))
    assert ben.strokes == []


def test_strokes_are_taken_back_and_erased(examples):
    for line in IN_TUMOR[:3]:
        examples.paint("Tumor", line)
    assert examples.erase([(600, 300), (600, 450)]) == 1
    assert examples.erase([(0, 0), (10, 10)]) == 0
    assert examples.take_back()
    assert len(examples.strokes) == 1
    assert view_of(examples.strokes, "Tumor").bounds[1] == pytest.approx(540, abs=1)


def test_a_class_that_is_no_tissue_is_refused(examples):
    assert examples.add_class("tumour") == "Tumor"
    assert examples.add_class("stroma") == "Stroma"
    for name in ("Necrosis", "Ignore*", "No margin", "  "):
        with pytest.raises(SpatialTilError, match="choose a name such as"):
            examples.add_class(name)


def test_too_little_is_refused_with_all_that_is_missing(examples):
    examples.paint("Tumor", IN_TUMOR[0])
    with pytest.raises(TrainingError) as caught:
        examples.learn(examples.lesson(None, others=False))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "at least two classes must be painted, found Tumor",
        "Tumor",
    ]
    with pytest.raises(TrainingError, match="stain CK is not on all slides: choose from nuclei, CD8"):
        examples.learn(examples.lesson(["CK"], others=False))
    with pytest.raises(SpatialTilError, match="no stain is looked at"):
        examples.lesson([], others=False)


def test_a_slide_without_stored_stains_says_what_to_do(examples, stained):
    examples.open(open_session(stained, "A_prog"))
    with pytest.raises(TrainingError, match=r"A_prog: was measured without its stains .* score --rerun all"):
        examples.channels()


def test_the_picture_is_the_probability_where_one_looks(examples):
    learned = paint(examples)
    assert examples.channels() == {"nuclei": True, "CD8": False, "PD-L1": False, "tumor": True}
    rows, cols = learned.inside.shape
    whole = classify_box(learned.planes, learned.on_slide, (0, rows, 0, cols))
    fine = ClassifiedSquares(learned, 0, 1).read(0, rows, 0, cols)
    assert (fine[~learned.inside] == 0).all()
    shown = learned.inside & (fine < 255)
    assert np.abs((fine[shown] - 1.0) / 253 - whole.probability[0][shown]).max() <= 0.5 / 253 + 1e-6
    assert np.array_equal(fine == 255, learned.inside & whole.unlike)
    coarse = ClassifiedSquares(learned, 0, 4)
    assert coarse.shape == (rows // 4, cols // 4)
    middle = np.s_[60:200, 120:280]  # all tissue
    assert (
        coarse.read(15, 50, 30, 70) == pytest.approx(fine[middle].reshape(35, 4, 40, 4).mean(axis=(1, 3)), abs=1.0)
        or (fine[middle] == 255).any()
    )
    data, settings, kind = probability_layer(probability_picture(learned, 0, None), learned, class_color(0))
    assert kind == "image"
    assert settings["scale"] == (4.0, 4.0)
    assert settings["translate"] == (2.0, 2.0)  # the middle of the first square
    assert data[0].shape == (rows, cols)
    assert np.array_equal(data[0][10:300, 20:30], fine[10:300, 20:30])


def test_the_viewer_and_a_batch_see_the_same_of_a_slide_that_teaches(examples, stained, tmp_path):
    """The model is stored and read, the stains are read by channel, tiles are others: the same to the last digit."""
    learned = paint(examples)
    assert learned.on_slide.border is not None
    keys = Tumor(bandwidth_um=20.0, model=str(save_model(learned.lesson, tmp_path / "tumor.json")))
    stored = examples.folder.stains("A_base")
    theirs, trained = tumor_of_slide(stored, keys, learned.lesson.tissue)
    ours = find(learned, keys)
    assert ours.taught > 0.5
    assert (theirs.taught, theirs.unlike) == (ours.taught, ours.unlike)
    assert theirs.found.region.equals(ours.found.region)
    planes = read_stain_planes(stored, trained.model.channels)
    there = on_slide(trained.model, planes, learned.inside).model
    probability, _ = classify_slide(planes, there, learned.inside, wanted=0, tile_squares=100)
    rows, cols = learned.inside.shape
    seen = classify_box(learned.planes, learned.on_slide, (0, rows, 0, cols)).probability[0]
    assert np.array_equal(probability[learned.inside], seen[learned.inside])
    assert "taught anew" in accept_reason(learned.trained, ours, keys)


def test_colours_are_clear_off_tissue_and_at_even_odds():
    table = probability_colors((255, 0, 0))["colors"]
    assert table[0].tolist() == [0, 0, 0, 0]
    assert table[127, 3] < 0.01
    assert table[254].tolist() == [1, 0, 0, 1]
    assert table[255, 3] == 1


def test_strokes_are_shown_where_they_lie(examples):
    stroke = examples.paint("Stroma", IN_STROMA[0])
    vertices, faces, values = strokes_mesh([view_of(examples.strokes, name) for name in examples.classes])
    assert set(values[faces[1:]].ravel()) == {2}
    assert vertices[3:, 1].min() == pytest.approx(stroke.region.bounds[0])  # napari's second axis is x
    assert stroke_segments([(3.0, 4.0), (5.0, 8.0)]).tolist() == [[[4, 3], [4, 2]]]


def test_the_tumour_is_found_in_a_thread_that_can_be_stopped(examples):
    learned, shares = paint(examples), []
    found = find(learned, Tumor(bandwidth_um=20.0), shares.append)
    assert shares[0] == 0
    region = found.found.region
    assert region.intersection(TUMOR).area / region.union(TUMOR).area > 0.95
    assert "1 part" in found_words(found)[0]
    with pytest.raises(Cancelled):
        find(learned, Tumor(), cancelled=lambda: True)
    with pytest.raises(Cancelled):
        examples.learn(learned.lesson, cancelled=lambda: True)


def test_the_record_says_where_a_tumour_comes_from(examples):
    learned = paint(examples)
    found, keys = find(learned, Tumor(bandwidth_um=20.0)), Tumor(bandwidth_um=20.0)
    why = accept_reason(learned.trained, found, keys)
    assert why.startswith("tumour by example: 8 strokes of Tumor, Stroma seen in nuclei, tumor; ")
    assert "smoothed by 20 µm" in why
    assert "of held-out strokes found right" in accuracy_words(learned.trained)
    assert "bandwidth_um = 20\nmin_area_mm2 = 0.01\nmax_hole_mm2 = 0.005" in protocol_lines("m.json", keys)


def test_a_saved_model_is_the_one_that_the_command_line_trains(examples, stained, tmp_path):
    learned = paint(examples)
    examples.open(open_session(stained, "A_on"))
    assert examples.others() == ["A_base"]
    for name, lines in (("Tumor", IN_TUMOR[:2]), ("Stroma", IN_STROMA[:2])):
        for line in lines:
            examples.paint(name, line)
    both = examples.learn(examples.lesson(None, others=True))
    assert [held.by for held in both.trained.training.held_out] == ["strokes", "slides"]
    assert sum(both.trained.training.strokes.values()) == 12
    stored = read_tissue_model(save_model(both.lesson, tmp_path / "tumor.json"))
    assert [slide.slide_id for slide in stored.training.slides] == ["A_base", "A_on"]
    folder = examples.folder
    theirs = train(folder, strokes_in(folder, stained / "review" / "strokes" / "anna"))
    for model in (stored.model, theirs.model):
        assert np.array_equal(model.weights, both.trained.model.weights)
        assert np.array_equal(model.intercepts, both.trained.model.intercepts)
    assert not np.array_equal(learned.trained.model.weights, both.trained.model.weights)


def test_a_slide_that_failed_for_want_of_a_tumour_gets_one(stained):
    """Its annotation has tissue only: there are no numbers before, and there are some after."""
    (path,) = {job.annotations[0] for job in jobs_from_record(stained / "run.json").jobs}
    drawn = json.loads(path.read_text())
    drawn["features"] = [f for f in drawn["features"] if f["properties"]["classification"]["name"] != "Tumor"]
    (stained / "tissue.geojson").write_text(json.dumps(drawn))
    record = (stained / "run.json").read_text()
    (stained / "run.json").write_text(record.replace(str(path), str(stained / "tissue.geojson")))
    desk = Desk(stained, "anna")
    desk.open("A_base")
    before = compute(desk.session, desk.state)
    assert before.numbers.classes.phenotype.call == "not_evaluable"
    examples = Examples(stained, "anna")
    examples.open(desk.session)
    learned = paint(examples)
    found, keys = find(learned, Tumor(bandwidth_um=20.0)), Tumor(bandwidth_um=20.0)
    why = accept_reason(learned.trained, found, keys)
    proposal = desk.edit(RegionEdit, "a tumour", region="tumor", geometry=found.found.region, why=why)
    desk.accept(proposal, compute(desk.session, proposal.state))
    assert desk.found.numbers.classes.phenotype.call != "not_evaluable"
    desk.close()
