"""Tissue by example from slides to tables: trained on sample slides, applied by the protocol without the images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from spatial_til.batch import rescore, score_study
from spatial_til.errors import ProtocolError, TrainingError
from spatial_til.io.annotations import read_annotations
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured
from spatial_til.io.regions import read_regions
from spatial_til.io.stain_planes import read_stain_planes
from spatial_til.io.tissue_model import read_tissue_model, write_tissue_model
from spatial_til.pipeline.examples import find_tumor_by_model
from spatial_til.pipeline.training import strokes_in, train
from spatial_til.plugin.examples import Examples, find, save_model
from spatial_til.protocol_sections import Tumor
from spatial_til.review.session import open_session
from spatial_til.study import load_study
from spatial_til.units import PixelSize
from tests.acceptance_study import command
from tests.inline import stages_here  # noqa: F401
from tests.painted import border_error_um, paint

SAMPLES = Path(__file__).parents[1] / "sample_slides"
SLIDES = ("P01_baseline", "P02_baseline")
PX = PixelSize(0.5, 0.5)
pytestmark = pytest.mark.skipif(not SAMPLES.exists(), reason="no sample slides beside the tests")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two sample slides scored with their annotations, and strokes saved as QuPath saves them."""
    root = tmp_path_factory.mktemp("examples")
    for name in ("slides", "annotations"):
        (root / name).symlink_to(SAMPLES / name)
    shutil.copy(SAMPLES / "protocol.toml", root)
    rows = pd.read_csv(SAMPLES / "study.csv", dtype=str, keep_default_na=False)
    rows[rows["slide_id"].isin(SLIDES)].to_csv(root / "study.csv", index=False)
    score_study(load_study(root / "study.csv", root / "protocol.toml"), root / "out", workers=1, quiet=True)
    (root / "strokes").mkdir()
    for seed, slide_id in enumerate(SLIDES):
        regions = {"Tumor": drawn(slide_id), "Stroma": tissue(root, slide_id).difference(drawn(slide_id))}
        features = [
            {
                "type": "Feature",
                "geometry": json.loads(shapely.to_geojson(shapely.transform(s.region, lambda xy: xy / 0.5))),
                "properties": {"objectType": "annotation", "classification": {"name": s.name}},
            }
            for s in paint(seed, regions, each=5)
        ]
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (root / "strokes" / f"{slide_id}.geojson").write_text(text)
    return root


def drawn(slide_id):
    path = SAMPLES / "annotations" / f"{slide_id}.geojson"
    return read_annotations([path], pixel_size=PX, image_shape=None).tumor


def tissue(root, slide_id):
    return read_measured(ScoredFolder(root / "out").measured(slide_id), markers=()).tissue


@pytest.fixture(scope="module")
def by_example(study):
    """The command line trains a model; the protocol names it; tables come from the stored cells."""
    model = study / "models" / "tumor.json"
    command("train", study / "out", "--strokes", study / "strokes", "--out", model, status=0)
    text = (study / "protocol.toml").read_text(encoding="utf-8")
    text += '\n[tumor]\nmethod = "classifier"\nmodel = "models/tumor.json"\n'
    (study / "by_example.toml").write_text(text, encoding="utf-8")
    rescore(study / "out", study / "by_example.toml", out=study / "found", workers=1, quiet=True)
    return study / "found"


def test_the_model_says_what_it_learned_from(study, by_example):
    training = read_tissue_model(study / "models" / "tumor.json").training
    assert [slide.slide_id for slide in training.slides] == list(SLIDES)
    assert all(len(slide.sha256) == 64 for slide in training.slides)
    assert training.strokes == {"Tumor": 10, "Stroma": 10}
    assert [held.by for held in training.held_out] == ["strokes", "slides"]


@pytest.mark.parametrize("slide_id", SLIDES)
def test_the_tumour_found_is_about_the_one_annotated(study, by_example, slide_id):
    """Two looks of stroma, desert and lymphocyte rim, share 20 strokes: looser than strokes of one slide's own."""
    found = read_regions(by_example / "regions" / f"{slide_id}.geojson", pixel_size=PX)["Tumor"]
    truth = drawn(slide_id)
    assert found.intersection(truth).area / found.union(truth).area > 0.9
    assert np.median(border_error_um(found, truth, tissue(study, slide_id))) < 25


def test_the_run_says_how_far_to_trust_it(by_example):
    slides = json.loads((by_example / "run.json").read_text(encoding="utf-8"))["slides"]
    for slide_id in SLIDES:
        notes = "\n".join(slides[slide_id]["notes"])
        assert "by a model of 2 slides" in notes
        assert "% of held-out strokes found right" in notes
        assert "% of the tissue is unlike anything" in notes


@pytest.mark.parametrize("tile_squares", [97, 4096])
def test_viewer_and_batch_find_the_same_tumour_in_any_tiles(study, by_example, tile_squares):
    folder, slide_id = ScoredFolder(study / "out"), SLIDES[0]
    trained = train(folder, strokes_in(folder, study / "strokes"))
    stored = read_tissue_model(study / "models" / "tumor.json")
    assert np.array_equal(trained.model.weights, stored.model.weights)
    keys = Tumor(method="classifier", model="-")
    planes, on = read_stain_planes(folder.stains(slide_id)), tissue(study, slide_id)
    region = find_tumor_by_model(planes, trained, on, keys, tile_squares=tile_squares).found.region
    batch = read_regions(by_example / "regions" / f"{slide_id}.geojson", pixel_size=PX)["Tumor"]
    assert region.symmetric_difference(batch).area < 1e-6 * batch.area


def test_what_the_viewer_finds_and_saves_is_what_a_batch_finds(study, by_example, tmp_path):
    """Strokes read into the desk, learned from and found with there; the model saved there is the command line's."""
    desk = Examples(study / "out", "anna")
    for slide_id in SLIDES:
        path = desk.folder.strokes("anna") / f"{slide_id}.geojson"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((study / "strokes" / f"{slide_id}.geojson").read_bytes())
    desk.open(open_session(study / "out", SLIDES[0]))
    learned = desk.learn(desk.lesson(None, others=True))
    region = find(learned, Tumor()).found.region
    batch = read_regions(by_example / "regions" / f"{SLIDES[0]}.geojson", pixel_size=PX)["Tumor"]
    assert region.symmetric_difference(batch).area < 1e-6 * batch.area
    saved = save_model(learned.lesson, tmp_path / "tumor.json")
    assert saved.read_bytes() == (study / "models" / "tumor.json").read_bytes()


def test_another_model_scores_again_and_the_same_one_does_not(study, by_example):
    def scored():
        return {i: (by_example / "scores" / f"{i}.json").stat().st_mtime_ns for i in SLIDES}

    before = scored()
    rescore(study / "out", study / "by_example.toml", out=by_example, workers=1, quiet=True)
    assert scored() == before
    path = study / "models" / "tumor.json"
    kept = path.read_text()
    trained = read_tissue_model(path)
    write_tissue_model(path, trained.__class__(trained.model, trained.training.model_copy(update={"software": "x"})))
    rescore(study / "out", study / "by_example.toml", out=by_example, workers=1, quiet=True)
    path.write_text(kept)
    assert all(scored()[i] > before[i] for i in SLIDES)


def test_a_model_that_cannot_be_used_stops_before_anything_is_done(study, by_example):
    (study / "wrong.json").write_text("{}")
    text = (study / "by_example.toml").read_text().replace("models/tumor.json", "wrong.json")
    (study / "wrong.toml").write_text(text)
    with pytest.raises(ProtocolError, match=r"wrong\.json: format: Field required"):
        rescore(study / "out", study / "wrong.toml", out=study / "never", workers=1, quiet=True)
    assert not (study / "never").exists()
    with pytest.raises(ProtocolError, match=r"wrong\.json"):
        score_study(load_study(study / "study.csv", study / "wrong.toml"), study / "never", workers=1, quiet=True)


def test_what_cannot_be_trained_on_is_told(study, tmp_path):
    folder = ScoredFolder(study / "out")
    (tmp_path / "nobody.geojson").write_text("{}")
    with pytest.raises(TrainingError, match="no slide nobody is measured"):
        strokes_in(folder, tmp_path)
    strokes = strokes_in(folder, study / "strokes")
    with pytest.raises(TrainingError, match="one class must be Tumor, found Stroma"):
        train(folder, {k: [s for s in v if s.name == "Stroma"] for k, v in strokes.items()})
    with pytest.raises(TrainingError, match="stain CK is not on all slides: choose from nuclei, CD8, PD-L1"):
        train(folder, strokes, ["CK"])
    with pytest.raises(TrainingError, match="never: holds no measured slides: give a folder that score has written"):
        strokes_in(ScoredFolder(tmp_path / "never"), study / "strokes")
    with pytest.raises(TrainingError, match="is no folder: save strokes as"):
        strokes_in(folder, study / "strokes" / f"{SLIDES[0]}.geojson")


def test_a_stain_that_is_named_twice_is_looked_at_once(study):
    folder = ScoredFolder(study / "out")
    strokes = strokes_in(folder, study / "strokes")
    assert train(folder, strokes, ["nuclei", "nuclei"]).model.channels == ("nuclei",)
