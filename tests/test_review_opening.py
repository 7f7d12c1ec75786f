"""What is opened for review, and what the command says where it cannot be."""

import sys

import pytest

from spatial_til.cli import main
from spatial_til.errors import SpatialTilError
from spatial_til.review.session import open_session
from tests.acceptance_study import command

SLIDE = "A_base"


def test_opening_what_is_not_there_says_so(patient_folder, tmp_path):
    with pytest.raises(SpatialTilError, match=r"no slide A_bas .*A_base"):
        open_session(patient_folder, "A_bas")
    with pytest.raises(SpatialTilError, match="never_measured: it was not measured"):
        open_session(patient_folder, "never_measured")
    with pytest.raises(SpatialTilError, match="give a folder that score has written"):
        open_session(tmp_path, SLIDE)


def test_review_command_says_what_is_wrong_before_it_looks_for_napari(patient_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "napari", None)  # as where it is not installed
    for arguments, says in (
        ((tmp_path,), "give a folder that score has written"),
        ((patient_folder, "--slide", "A_bas"), "no slide A_bas"),
        ((patient_folder, "--reader", "../x"), "a reader's name has"),
    ):
        command("review", *arguments, status=2)
        told = capsys.readouterr().err
        assert says in told
        assert told.count("\n") == 1


def test_review_without_napari_says_what_to_install(patient_folder, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main(["review", str(patient_folder), "--slide", SLIDE])
    assert ended.value.code == 2
    assert capsys.readouterr().err == 'review needs napari: pip install "spatial-til[napari]"\n'


def test_review_opens_the_viewer_with_folder_slide_and_reader(patient_folder, monkeypatch):
    opened = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(
        "spatial_til.plugin.open_review", lambda *given, **how: opened.append((*given, how)), raising=False
    )
    with pytest.raises(SystemExit) as ended:
        main(["review", str(patient_folder), "--slide", SLIDE, "--reader", "anna", "--blinded"])
    assert ended.value.code == 0
    assert opened == [(patient_folder, SLIDE, "anna", {"blinded": True})]
