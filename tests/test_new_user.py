"""What people meet who try it for the first time: their mistakes are told in their words, and before hours of work."""

import errno
import json
import os
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from spatial_til.batch.stages import no_longer_there, remove_outputs
from spatial_til.errors import SlideError, SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.slides.pixel_size import choose_pixel_size
from spatial_til.plugin import screen
from spatial_til.protocol_panel import PRESET_NAMES
from spatial_til.report import html
from spatial_til.segmentation.stains import PRESETS
from spatial_til.study import load_study

PROTOCOL = """
[panel]
modality = "brightfield"
[panel.stains]
h = { marker = "nuclei", vector = "hematoxylin" }
dab = { marker = "CD8", vector = "dab" }
"""
SQUARE = {"type": "Polygon", "coordinates": [[[10, 10], [60, 10], [60, 60], [10, 60], [10, 10]]]}
LINE = {"type": "LineString", "coordinates": [[10, 10], [60, 60]]}


@pytest.fixture
def sheet(tmp_path):
    """Write a study of one picture; its columns and the protocol as asked."""
    Image.new("RGB", (80, 80), "white").save(tmp_path / "a.png")

    def write(protocol=PROTOCOL, **columns):
        (tmp_path / "protocol.toml").write_text(protocol)
        row = {"slide_id": "s1", "patient_id": "P1", "timepoint": "baseline", "image": "a.png", "pixel_size_um": "0.5"}
        row |= columns
        path = tmp_path / "study.csv"
        path.write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
        return path

    return write


@pytest.mark.parametrize(
    ("geometry", "name", "found"),
    [
        (SQUARE, "Tumorgewebe", "found classes Tumorgewebe: draw"),
        (LINE, "Tumor", "found classes Tumor (LineString, no area): draw"),
        (SQUARE, "Necrosis", "found regions to leave out only: draw"),
        (None, "Tumor", "found no region with a class: draw"),
    ],
)
def test_where_no_tumour_is_drawn_it_is_said_what_was(tmp_path, sheet, run, geometry, name, found):
    feature = {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}
    (tmp_path / "a.geojson").write_text(json.dumps(feature))
    assert found in run("check", sheet(annotation="a.geojson"), status=2).err


def test_where_no_annotation_is_named_it_is_said(sheet, run):
    assert "found no annotation file: draw the tumour" in run("check", sheet(), status=2).err


@pytest.mark.parametrize("um", ["500", "10.1"])
def test_pixels_larger_than_cells_are_refused_before_pixels_are_read(sheet, run, um):
    said = run("check", sheet(pixel_size_um=um), status=2).err
    assert f"pixels must be smaller than a cell (10 µm), found {um} x {um} µm" in said


def test_the_largest_pixel_is_flagged_as_before():
    size, flags = choose_pixel_size([], 10.0)
    assert size.x_um == 10.0
    assert flags == ("pixel_size_conflict", "pixel_size_coarse")
    with pytest.raises(SlideError, match="smaller than a cell"):
        choose_pixel_size([], 10.001)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('[segmentation]\nmethod = "cellpose"', "must name the weights of cellpose, found none"),
        ('[segmentation]\nmethod = "stardist"\nweights = "no"', "must name the weights of stardist, found nothing at"),
        ('[markers.CD8]\nthresholds_from = "no.csv"', "no.csv is no thresholds.csv that can be read"),
        ('[markers.CD8]\nthresholds_from = "other.csv"', "other.csv has no row for CD8"),
    ],
)
def test_check_finds_what_every_slide_would_fail_for(tmp_path, sheet, run, keys, told):
    """Such a study had no problems by `check`, and every slide of it failed."""
    (tmp_path / "other.csv").write_text("batch,marker,threshold\nb,CD3,0.1\n")
    path = sheet(PROTOCOL + keys)
    assert told in run("check", path, status=2).err
    assert told in run("score", path, "--out", tmp_path / "out", status=2).err
    assert not (tmp_path / "out").exists()


def test_files_are_looked_at_though_the_sheet_has_other_faults(tmp_path, sheet, run):
    """Mending the sheet, one learned only then that a slide was cut short."""
    path = sheet()
    (tmp_path / "empty.tif").touch()
    more = ("s2,P1,follow-up,empty.tif,0.5", "s3,P1,follow-up,gone.tif,0.5", "s1,P2,baseline,empty.tif,0.5")
    path.write_text(path.read_text() + "\n".join(more) + "\n")
    said = run("check", path, status=2)
    for words in (
        "row 3, column timepoint: must be one of baseline, on_treatment, progression, found 'follow-up': write it",
        "row 4, column image: file not found",
        "row 5, column slide_id: 's1' stands in row 2 already",
        f"s2: {tmp_path / 'empty.tif'}: the file is empty",
        f"s1: {tmp_path / 'empty.tif'}: the file is empty",
    ):
        assert words in said.err
    assert "s3: " not in said.err, "what is said of its row is enough"
    lines = said.err.splitlines()
    assert len(set(lines)) == len(lines) == int(said.out.split()[0])


def test_a_sheet_in_utf_16_without_its_mark_is_told(tmp_path, sheet, run):
    path = sheet()
    path.write_bytes(path.read_text().encode("utf-16-le"))
    assert "holds NUL characters, as UTF-16 does: save it as CSV UTF-8" in run("check", path, status=2).err


@pytest.mark.parametrize(("indices", "told"), [((0, 1, 2), 0), ((0, 2, 1), 2), ((2, 0, 1), 3)])
def test_indices_that_contradict_the_files_names_are_told(tmp_path, sheet, run, indices, told):
    """An index counted from 1 scored CD8 as PD-L1 without a word."""
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD8", "PD-L1"]}}
    tifffile.imwrite(tmp_path / "f.ome.tif", np.zeros((3, 80, 80), np.uint16), metadata=names)
    keys = zip(indices, ("nuclei", "CD8", "PD-L1"), strict=True)
    panel = [f'{at} = {{ marker = "{marker}" }}' for at, marker in keys]
    protocol = "\n".join(('[panel]\nmodality = "fluorescence"\n[panel.channels]', *panel))
    said = run("check", sheet(protocol, image="f.ome.tif"), status=2).out
    assert said.count("in the file and given to") == told
    assert ("s1: channel 2 is named PD-L1 in the file and given to CD8" in said) == (indices == (0, 2, 1))


def test_a_misspelt_preset_is_told_with_all_else(sheet, run):
    """It was found only once the protocol's other faults were mended, and without the name that was meant."""
    protocol = PROTOCOL.replace('vector = "dab"', 'vector = "DABB"') + "[compartments]\niner_um = 250\n"
    said = run("check", sheet(protocol, timepoint="week 6"), status=2).err
    assert "protocol.toml: key 'panel.stains.dab.vector': must be " in said
    assert "the nearest preset is 'dab', found 'DABB'" in said
    assert "the nearest known key is 'inner_um'" in said


def test_presets_are_those_that_have_colours():
    assert tuple(PRESETS) == PRESET_NAMES


def test_one_picture_in_two_rows_is_told_by_check(tmp_path, sheet, run):
    path = sheet()
    path.write_text(path.read_text() + "s2,P1,on_treatment,a.png,0.5\n")
    assert "a.png in the same regions is scored as s1, s2: " in run("check", path, status=2).out


def test_results_of_another_study_do_not_go_unsaid(tmp_path, sheet):
    """`slide a --out x`, then `slide b --out x`: the tables are those of b alone."""
    folder = ScoredFolder(tmp_path / "out")
    for slide_id in ("s1", "failed", *"abcdefg"):
        for path in folder.outputs(slide_id):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    kept = sheet(slide_id="s1")
    kept.write_text(kept.read_text() + "failed,P1,on_treatment,a.png,0.5\n")
    (told,) = no_longer_there(remove_outputs(folder, {"s1"}), load_study(kept))
    assert told.startswith("7 slides of an earlier run not in this study (a, b, c, d, e …): no longer in the tables")
    assert all(path.exists() for path in folder.outputs("s1"))
    assert not any(path.exists() for name in ("a", "failed") for path in folder.outputs(name))
    assert no_longer_there(remove_outputs(folder, {"s1"}), load_study(kept)) == []


@pytest.mark.parametrize(("code", "remedy"), [(errno.EROFS, "make the disk writable"), (errno.ENOSPC, "make room")])
def test_a_report_that_cannot_be_written_is_no_internal_error(tmp_path, run, monkeypatch, code, remedy):
    def write_report(folder):
        raise OSError(code, os.strerror(code), str(folder / "report.html"))

    monkeypatch.setattr(html, "write_report", write_report)
    said = run("report", tmp_path, status=2).err
    assert said.startswith(f"{tmp_path / 'report.html'}: {os.strerror(code)}: {remedy}")
    assert "then run the same again" in said


@pytest.mark.skipif(sys.platform != "linux", reason="only here do names have bytes")
def test_a_name_that_is_no_text_is_refused_at_once(tmp_path, run):
    name = os.fsdecode(os.fsencode(tmp_path / "a") + b"\xe9.png")
    said = run("slide", name, "--out", tmp_path / "out", status=2).err
    assert "a\\udce9.png: names of files and folders must be UTF-8: rename it" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only here is the screen a name")
def test_review_without_a_screen_says_so_and_lives(monkeypatch):
    """Qt ends the process where it finds no screen."""
    pytest.importorskip("qtpy")
    monkeypatch.setenv("DISPLAY", ":987654")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    with pytest.raises(SpatialTilError, match="review needs a screen"):
        screen.require_screen()


@pytest.mark.parametrize("command", [("score", "s.csv"), ("slide", "a.png"), ("rescore", "d"), ("demo",)])
def test_an_output_folder_that_a_script_left_empty_is_not_the_folder_it_runs_in(run, command):
    assert "--out: must be a folder, found nothing" in run(*command, "--out", "", status=2).err
