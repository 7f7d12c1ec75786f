"""The command line as a user meets it: files, exit codes, messages of one line each, no traceback."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import shapely

from spatial_til import synthetic
from spatial_til.phantoms.files import SlideFormat, write_slide
from tests.acceptance_study import command
from tests.inline import stages_here  # noqa: F401

PROTOCOL = """
[panel]
modality = "brightfield"
[panel.stains]
hematoxylin = { marker = "nuclei", vector = "hematoxylin" }
dab = { marker = "CD8", vector = "dab" }
red = { marker = "PD-L1", vector = [0.21, 0.85, 0.48] }
[compartments]
inner_um = 60
outer_um = 60
[gates]
min_core_mm2 = 0.005
min_margin_mm2 = 0.005
min_border_um = 100
min_tiles = 4
[statistics]
permutations = 19
bootstrap = 200
"""
FLUORESCENCE = """
[panel]
modality = "fluorescence"
[panel.channels]
DAPI = { marker = "nuclei" }
Opal570 = { marker = "CD8" }
"""
HEADER = "slide_id,patient_id,timepoint,image,annotation,pixel_size_um,protocol"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sheet(folder: Path, *lines: str) -> Path:
    path = folder / "study.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Three small slides of one patient, one protocol, and the files that go wrong."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "protocol.toml").write_text(PROTOCOL)
    (folder / "fluorescence.toml").write_text(FLUORESCENCE)
    scene = synthetic.tissue_scene((420.0, 360.0), seed=3, cd8_per_mm2=(400.0, 400.0, 900.0, 400.0))
    image = synthetic.render_brightfield(scene, 0.5)
    write_slide(folder / "a.ome.tif", image, SlideFormat(0.5), levels=2)
    feature = {
        "type": "Feature",
        "geometry": shapely.geometry.mapping(shapely.affinity.scale(scene.tumor, 2, 2, origin=(0, 0))),
        "properties": {"classification": {"name": "Tumor"}},
    }
    (folder / "a.geojson").write_text(json.dumps(feature))
    import tifffile

    tifffile.imwrite(folder / "no_size.tif", image, photometric="rgb")
    (folder / "truncated.ome.tif").write_bytes((folder / "a.ome.tif").read_bytes()[:5000])
    return folder


@pytest.fixture(scope="module")
def scored(study, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "out"
    path = sheet(study, "s1,P1,baseline,a.ome.tif,a.geojson,,", "s2,P1,on_treatment,a.ome.tif,a.geojson,,")
    command("score", path, "--out", out, status=0)
    return out


def test_init_then_check_says_what_is_missing(tmp_path, run):
    run("init", tmp_path / "new", status=0)
    done = run("check", tmp_path / "new" / "study.csv", status=2)
    assert done.err.count("file not found") == 6


def test_a_wrong_sheet_is_refused_whole(study, tmp_path, run):
    (tmp_path / "protocol.toml").write_text(PROTOCOL + "[scores]\nhot_cd8 = 3\n")
    path = sheet(tmp_path, "s1,P1,baseline,gone.tif,,,", "s1,P1,later,gone.tif,,,")
    done = run("score", path, "--out", tmp_path / "out", status=2)
    lines = done.err.strip().splitlines()
    assert any("hot_cd8_per_mm2" in line for line in lines)
    assert any("already" in line for line in lines)
    assert sum("gone.tif" in line for line in lines) == 2
    assert not (tmp_path / "out").exists()


def test_unusable_arguments_are_one_line(tmp_path, run):
    started = [sys.executable, "-m", "spatial_til.cli", "scor", "x"]
    done = subprocess.run(started, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    for arguments in (["score"], ["scor", "x"], ["slide", "x.tif", "--out", "y", "--pixel-size", "-1"], []):
        assert run(*arguments, status=2).err.count("\n") == 1
    assert "cannot be read" in run("score", tmp_path / "none.csv", "--out", tmp_path / "o", status=2).err


def test_an_option_that_takes_several_may_be_given_several_times(study, tmp_path, run):
    path = sheet(study, "s1,P1,baseline,a.ome.tif,a.geojson,,")
    said = run("score", path, "--out", tmp_path / "o", "--only", "no1", "--only", "no2", "no3", status=2)
    assert all(name in said.err for name in ("no1", "no2", "no3"))


def test_slides_fail_alone_and_the_others_complete(study, tmp_path, run):
    path = sheet(
        study,
        "good,P1,baseline,a.ome.tif,a.geojson,,",
        "no_size,P1,on_treatment,no_size.tif,a.geojson,,",
        "truncated,P1,progression,truncated.ome.tif,a.geojson,,",
        "channel,P2,baseline,a.ome.tif,a.geojson,,fluorescence.toml",
        "no_tumor,P2,progression,a.ome.tif,,,",
    )
    out = tmp_path / "out"
    done = run("score", path, "--out", out, "--quiet", status=1)
    failed = {row["slide_id"]: row for row in rows(out / "errors.csv")}
    assert set(failed) == {"no_size", "truncated", "channel", "no_tumor"}
    assert "pixel_size_um" in failed["no_size"]["message"]
    assert "fluorescence" in failed["channel"]["message"]
    assert "Tumor" in failed["no_tumor"]["message"]
    assert [row["slide_id"] for row in rows(out / "tables" / "slide_scores.csv")] == ["good"]
    assert all(name in done.err for name in failed)


def test_check_finds_the_same_faults_without_reading_pixels(study, run):
    path = sheet(
        study,
        "no_size,P1,on_treatment,no_size.tif,a.geojson,,",
        "channel,P2,baseline,a.ome.tif,a.geojson,,fluorescence.toml",
        "no_tumor,P3,baseline,a.ome.tif,,,",
        "nothing,P4,baseline,empty.tif,a.geojson,,",
        "text,P4,on_treatment,text.tif,a.geojson,,",
    )
    (path.parent / "empty.tif").touch()
    (path.parent / "text.tif").write_text("hello")
    done = run("check", path, status=2)
    assert "no_size: " in done.err
    assert "channel: " in done.err
    assert "no_tumor: neither `Tumor` nor `Tissue` is annotated" in done.err
    assert "the file is empty (0 bytes)" in done.err
    assert "its content is no TIFF, PNG or JPEG" in done.err


def test_a_locked_protocol_is_held(study, run):
    path = sheet(study, "s1,P1,baseline,a.ome.tif,a.geojson,,")
    said = run("check", path, status=0).out
    fingerprint = next(line.split()[-1] for line in said.splitlines() if "fingerprint" in line)
    run("check", path, "--locked", fingerprint, status=0)
    assert fingerprint in run("check", path, "--locked", "0000", status=2).err


def test_one_slide_needs_no_sheet(study, tmp_path, run):
    out = tmp_path / "out"
    options = ("--protocol", study / "protocol.toml", "--annotation", study / "a.geojson", "--quiet")
    run("slide", study / "no_size.tif", "--out", out, *options, "--pixel-size", "0.5", status=0)
    (row,) = rows(out / "tables" / "slide_scores.csv")
    assert row["slide_id"] == "no_size"
    assert "pixel_size_override" not in row["flags"]  # the file has none to override
    assert float(row["core_mm2"]) > 0


def test_rescoring_with_other_widths_reads_no_image(study, scored, tmp_path, run):
    (tmp_path / "narrow.toml").write_text(PROTOCOL.replace("inner_um = 60", "inner_um = 40"))
    moved = tmp_path / "gone.ome.tif"
    shutil.move(study / "a.ome.tif", moved)
    try:
        run("rescore", scored, "--protocol", tmp_path / "narrow.toml", "--out", tmp_path / "out", "--quiet", status=0)
    finally:
        shutil.move(moved, study / "a.ome.tif")
    before, after = (rows(folder / "tables" / "slide_scores.csv")[0] for folder in (scored, tmp_path / "out"))
    assert float(after["inner_margin_mm2"]) < float(before["inner_margin_mm2"])
    assert after["tissue_mm2"] == before["tissue_mm2"]


def test_rescoring_refuses_what_needs_pixels(scored, tmp_path, run):
    (tmp_path / "other.toml").write_text(PROTOCOL.replace('vector = "dab"', 'vector = "aec"'))
    done = run("rescore", scored, "--protocol", tmp_path / "other.toml", "--out", tmp_path / "out", status=2)
    assert "panel.stains" in done.err


def test_a_second_run_measures_nothing_and_changes_no_table(study, scored, run):
    before = {path.name: path.read_bytes() for path in (scored / "tables").iterdir()}
    path = sheet(study, "s1,P1,baseline,a.ome.tif,a.geojson,,", "s2,P1,on_treatment,a.ome.tif,a.geojson,,")
    done = run("score", path, "--out", scored, status=0)
    assert done.err.count("kept") >= 2
    assert {path.name: path.read_bytes() for path in (scored / "tables").iterdir()} == before


def test_identical_slides_have_identical_numbers(scored):
    first, second = rows(scored / "tables" / "slide_scores.csv")
    same = [name for name in first if name.startswith(("cd8_core_per", "core_mm2", "n_"))]
    assert all(first[name] == second[name] for name in same)


def test_status_tells_what_is_done(scored, tmp_path, run):
    said = run("status", scored, status=0).out
    assert "s1  scored" in said
    assert "score has written" in run("status", tmp_path, status=2).err


def test_the_dictionary_names_every_column(scored):
    text = (scored / "tables" / "README.md").read_text()
    for path in (scored / "tables").glob("*.csv"):
        with path.open() as file:
            for name in next(csv.reader(file)):
                assert f"`{name}`" in text or path.stem == "longitudinal", (path.name, name)
