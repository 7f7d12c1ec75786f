"""Tables written from the viewer: those of the command line, to the last digit, told as it goes on, stopped whole."""

import shutil

import pytest

from spatial_til.plugin.rescoring import write_tables
from spatial_til.review.session import Cancelled


def tables(root, reader):
    return {path.name: path.read_bytes() for path in (root / "reviewed" / reader / "tables").iterdir()}


def test_the_tables_are_those_of_the_command_line(read_folder):
    by_command_line = tables(read_folder, "anna")
    shutil.rmtree(read_folder / "reviewed" / "anna")
    told = []
    (found,) = write_tables(read_folder, ["anna"], lambda *heard: told.append(heard))
    assert len(by_command_line) > 5
    assert tables(read_folder, "anna") == by_command_line
    assert found.words.splitlines()[1] == str(read_folder / "reviewed" / "anna" / "tables")
    assert any("never_measured" in line for line in found.failures) == ("never_measured" in found.words)
    assert ("Tables of anna, score", 3, 3) in told, told


def test_a_stopped_run_leaves_the_tables_as_they_were(read_folder):
    before = tables(read_folder, "anna")
    told = []
    with pytest.raises(Cancelled):
        write_tables(read_folder, ["anna"], lambda *heard: told.append(heard), cancelled=lambda: bool(told))
    assert told
    assert tables(read_folder, "anna") == before
