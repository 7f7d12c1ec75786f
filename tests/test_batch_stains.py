"""Stain vectors left to the slides: one set a batch, whoever measures what when."""

import csv
import json

import numpy as np
import pytest

from spatial_til.batch import rescore, score_study
from spatial_til.batch.checks import check_study
from spatial_til.errors import ProtocolError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_key, read_measured
from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.segmentation.stains import stain_matrix
from spatial_til.study import load_study
from spatial_til.synthetic import PRESET_VECTORS, Staining, render_brightfield, tilted_vectors, tissue_scene
from tests.batch_study import PROTOCOL, table
from tests.inline import stages_here  # noqa: F401

AUTO = PROTOCOL.replace('vector = "hematoxylin"', 'vector = "auto"').replace('vector = "dab"', 'vector = "auto"')
TRUE = tilted_vectors(7, 42)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Two slides of a batch whose stains are turned, one of a batch with those published, and one that is broken."""
    folder = tmp_path_factory.mktemp("stains")
    (folder / "protocol.toml").write_text(AUTO)
    rows = []
    for k, (batch, vectors) in enumerate((("turned", TRUE), ("turned", TRUE), ("usual", np.array(PRESET_VECTORS)))):
        two = np.array([vectors[0], vectors[1], vectors[0]])  # no red
        scene = tissue_scene((300.0, 300.0), seed=400 + k, glass=False)
        image = render_brightfield(scene, 0.5, vectors=two, staining=Staining(pdl1=0.0))
        write_slide(folder / f"S{k}.ome.tif", image, SlideFormat(0.5), levels=2)
        rows.append((f"S{k}", f"P{k}", "baseline", f"S{k}.ome.tif", batch, "tumor.geojson"))
    (folder / "S3.ome.tif").write_bytes((folder / "S0.ome.tif").read_bytes()[:5000])
    rows.append(("S3", "P3", "baseline", "S3.ome.tif", "turned", "tumor.geojson"))
    with (folder / "study.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("slide_id", "patient_id", "timepoint", "image", "batch", "annotation"), *rows])
    ring = [[0, 0], [300, 0], [300, 600], [0, 600], [0, 0]]
    tumor = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    (folder / "tumor.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [tumor]}))
    summary = score_study(load_study(folder / "study.csv"), folder / "out", quiet=True)
    return folder, summary


def vectors_of(out, slide_id):
    return read_measured(ScoredFolder(out).measured(slide_id)).numbers["vectors"]


def keys_of(out, *slides):
    return [read_key(ScoredFolder(out).measured(slide)) for slide in slides]


def test_a_batch_shares_vectors_that_explain_it_better_than_the_presets(scored):
    folder, summary = scored
    turned, usual = json.loads((folder / "out" / "run.json").read_text())["stain_vectors"]
    assert (turned["batch"], turned["estimated"], turned["slides"]) == ("turned", True, 2)
    assert (usual["batch"], usual["estimated"], usual["slides"]) == ("usual", False, 1)
    assert turned["unexplained_with_estimate"] < 0.5 * turned["unexplained_with_preset"]
    assert vectors_of(folder / "out", "S0") == vectors_of(folder / "out", "S1")
    found = stain_matrix([turned["vectors"]["hematoxylin"], turned["vectors"]["dab"]])
    angles = np.degrees(np.arccos(np.sum(found * stain_matrix(TRUE[:2]), axis=1)))
    assert angles[0] < 2.0
    assert angles[1] < 7.5
    assert any(line.startswith("batch turned: stain vectors are estimated") for line in summary.lines)


def test_presets_that_stand_are_flagged(scored):
    folder, _ = scored
    flags = {row["slide_id"]: row["flags"].split(";") for row in table(folder / "out" / "tables" / "slide_scores.csv")}
    assert {slide for slide, of in flags.items() if "stain_vector_fallback" in of} == {"S2"}
    preset = stain_matrix([PRESET_VECTORS[0], PRESET_VECTORS[1]])
    found = vectors_of(folder / "out", "S2")
    assert stain_matrix([found["hematoxylin"], found["dab"]]) == pytest.approx(preset)


def test_a_slide_that_cannot_be_read_fails_when_it_is_measured(scored):
    _, summary = scored
    (failure,) = summary.failures
    assert (failure.slide_id, failure.stage) == ("S3", "measure")


def test_a_second_run_keeps_everything(scored):
    folder, _ = scored
    before = [path.stat().st_mtime_ns for path in sorted((folder / "out" / "measured").iterdir())]
    score_study(load_study(folder / "study.csv"), folder / "out", quiet=True)
    assert [path.stat().st_mtime_ns for path in sorted((folder / "out" / "measured").iterdir())] == before


def test_one_slide_alone_is_measured_with_the_vectors_of_its_batch(scored):
    folder, _ = scored
    score_study(load_study(folder / "study.csv"), folder / "one", only=["S0"], quiet=True)
    assert keys_of(folder / "one", "S0") == keys_of(folder / "out", "S0")


def test_other_vectors_measure_again(scored):
    """S1 leaves the batch: its vectors, and so the key of S0, are found anew."""
    folder, _ = scored
    sheet = folder / "without.csv"
    rows = [row for row in (folder / "study.csv").read_text().splitlines() if not row.startswith(("S1", "S3"))]
    sheet.write_text("\n".join(rows) + "\n")
    score_study(load_study(sheet), folder / "less", quiet=True)
    same = vectors_of(folder / "less", "S0") == vectors_of(folder / "out", "S0")
    assert (keys_of(folder / "less", "S0") == keys_of(folder / "out", "S0")) == same
    assert keys_of(folder / "less", "S2") == keys_of(folder / "out", "S2")


def test_rescoring_says_what_was_found(scored):
    folder, _ = scored
    rescore(folder / "out", None, out=folder / "again", quiet=True)
    first, again = (json.loads((folder / out / "run.json").read_text())["stain_vectors"] for out in ("out", "again"))
    assert first == again != []


def test_stains_that_cannot_be_told_apart_stop_the_run_before_it_starts(scored):
    folder, _ = scored
    bad = folder / "bad.toml"
    bad.write_text(PROTOCOL.replace("[compartments]", 'red = { marker = "PD-L1", vector = "aec" }\n[compartments]'))
    (problem,) = (p for p in check_study(folder / "study.csv", bad).problems if "panel" in p)
    assert problem.startswith("panel.stains: Stains must be separable")
    with pytest.raises(ProtocolError, match="separable"):
        score_study(load_study(folder / "study.csv", bad), folder / "never", quiet=True)
    assert not (folder / "never").exists()


def test_auto_needs_a_name_to_start_from(scored):
    folder, _ = scored
    odd = folder / "odd.toml"
    odd.write_text(AUTO.replace("dab =", "brown ="))
    with pytest.raises(ProtocolError, match="auto starts from the preset of the stain's name: name it hematoxylin"):
        score_study(load_study(folder / "study.csv", odd), folder / "never", quiet=True)
