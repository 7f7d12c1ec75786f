"""Edits without a window: proposed, written, taken back, reopened, and the same numbers as the command line."""

import json

import numpy as np
import pytest
from shapely.geometry import box

from spatial_til.batch import rescore
from spatial_til.errors import SpatialTilError
from spatial_til.io.tables import read_table
from spatial_til.plugin.cutoffs import bars_of, members_with_cut, scene_scores
from spatial_til.plugin.desk import Desk, compute, deepen, slides_of
from spatial_til.plugin.drawing import TARGETS, outline_of, try_outline
from spatial_til.plugin.opened import overlay_problem
from spatial_til.plugin.picking import pick_cell
from spatial_til.plugin.timeline import open_time_points, transition_rows, transition_words
from spatial_til.plugin.words import change_words, class_words, event_words, flag_sentences
from spatial_til.review.events import CallFlip, CellAdded, CellRemoved, ClassOverride, RegionEdit, ThresholdEdit
from spatial_til.review.session import Cancelled


@pytest.fixture
def desk(folder):
    made = Desk(folder, "anna")
    made.open("A_base")
    made.found = compute(made.session, made.state)
    yield made
    made.close()


def do(desk, kind, **fields):
    proposal = desk.edit(kind, "a change", **fields)
    desk.accept(proposal, compute(desk.session, proposal.state, last=desk.found.numbers))


def one_of_each(desk):
    """Make every kind of edit, each with an effect."""
    cells = desk.found.numbers.scene.measured.cells
    positive = np.flatnonzero(desk.found.numbers.scene.calls.positive["CD8"])
    do(desk, RegionEdit, region="tumor", geometry=_multi(box(420, 360, 1100, 1000)), why="too wide")
    do(desk, RegionEdit, region="exclude", geometry=_multi(box(600, 500, 700, 600)), why="necrosis")
    do(desk, ThresholdEdit, marker="CD8", value=0.8)
    do(desk, CallFlip, x_um=cells.x_um[7], y_um=cells.y_um[7], marker="PD-L1", positive=True)
    do(desk, CellRemoved, x_um=cells.x_um[positive[3]], y_um=cells.y_um[positive[3]])
    do(desk, CellAdded, x_um=800.0, y_um=700.0, calls={"CD8": True, "PD-L1": False})
    do(desk, ClassOverride, phenotype="desert", why="folded tissue")


def _multi(shape):
    from shapely.geometry import MultiPolygon

    return MultiPolygon([shape])


def test_slides_are_listed_by_patient_and_time(folder):
    assert [m.slide_id for m in slides_of(folder)] == ["A_base", "A_on", "A_prog"]


def test_a_folder_that_is_none_of_ours_is_refused(tmp_path):
    with pytest.raises(SpatialTilError, match=r"run\.json"):
        Desk(tmp_path, "anna")


def test_the_viewer_and_the_command_line_give_the_same_numbers(desk, folder):
    one_of_each(desk)
    found = desk.found.numbers
    depth = {(r["population"], r["from_um"]): r for r in deepen(desk.found).depth}
    desk.close()
    untouched = (folder / "tables" / "density.csv").read_bytes()
    rescore(folder, None, reader="anna", workers=1, quiet=True)
    assert (folder / "tables" / "density.csv").read_bytes() == untouched
    tables = folder / "reviewed" / "anna" / "tables"
    rows = [row for row in read_table(tables / "density.csv") if row["slide_id"] == "A_base"]
    assert len(rows) == len(found.scene.estimates)
    for row in rows:
        shown = found.scene.estimates[row["population"], row["compartment"]]
        assert int(row["n_cells"]) == shown.n_cells
        for name in ("area_mm2", "density_per_mm2", "ci_low", "ci_high"):
            value = getattr(shown, name)
            assert (row[name] == "") == (value is None)
            assert value is None or float(row[name]) == pytest.approx(value, rel=1e-9)
    score = next(row for row in read_table(tables / "slide_scores.csv") if row["slide_id"] == "A_base")
    assert score["immunophenotype"] == found.classes.phenotype.call == "desert"
    assert "call_overridden" in score["flags"]
    for name, value in found.ratios.items():
        assert value.value is None or float(score[name]) == pytest.approx(value.value, rel=1e-9)
    for row in read_table(tables / "depth_profile.csv"):
        if row["slide_id"] == "A_base":
            assert int(row["n_cells"]) == depth[row["population"], float(row["from_um"])]["n_cells"]


def test_the_untouched_slide_has_the_numbers_of_the_tables(desk, folder):
    estimates = desk.found.numbers.scene.estimates
    for row in read_table(folder / "tables" / "density.csv"):
        if row["slide_id"] == "A_base":
            assert int(row["n_cells"]) == estimates[row["population"], row["compartment"]].n_cells


def test_undo_and_redo_lead_to_the_same_numbers(desk):
    start = desk.found.numbers.scene.estimates
    one_of_each(desk)
    edited = desk.found.numbers.scene.estimates
    for _ in range(7):
        proposal = desk.undo()
        desk.accept(proposal, compute(desk.session, proposal.state, last=desk.found.numbers))
    assert desk.undo() is None
    assert desk.found.numbers.scene.estimates == start
    for _ in range(7):
        proposal = desk.redo()
        desk.accept(proposal, compute(desk.session, proposal.state, last=desk.found.numbers))
    assert desk.redo() is None
    assert desk.found.numbers.scene.estimates == edited


def test_reopening_gives_the_same_state_to_the_last_coordinate(desk, folder):
    one_of_each(desk)
    before = desk.state
    desk.close()
    again = Desk(folder, "anna")
    again.open("A_base")
    assert again.state.done == before.done
    assert again.state.regions["tumor"].equals_exact(before.regions["tumor"], 0)
    again.close()


def test_what_is_proposed_and_not_accepted_leaves_no_trace(desk):
    lines = len(desk.events)
    proposal = desk.edit(ThresholdEdit, "a change", marker="CD8", value=0.9)
    with pytest.raises(Cancelled):
        compute(desk.session, proposal.state, cancelled=lambda: True)
    assert len(desk.events) == lines
    assert desk.state.done == ()


def test_the_record_says_who_when_why_and_the_numbers_before_and_after(desk, folder):
    do(desk, ThresholdEdit, marker="CD8", value=0.9, why="background")
    lines = (folder / "review" / "A_base.anna.jsonl").read_text().splitlines()
    event = json.loads(lines[-1])
    assert (event["who"], event["why"], event["marker"], event["value"]) == ("anna", "background", "CD8", 0.9)
    assert event["before"]["cd8_core_per_mm2"] > event["after"]["cd8_core_per_mm2"]


def test_the_same_reader_cannot_open_a_slide_twice(desk, folder):
    second = Desk(folder, "anna")
    with pytest.raises(SpatialTilError, match="open elsewhere"):
        second.open("A_base")


def test_an_outline_that_crosses_itself_is_repaired_or_refused_with_the_reason(desk):
    tumor = TARGETS[0]
    slip = np.array([[500, 500], [900, 500], [900, 900], [500, 900], [498, 502], [505, 498]], float)
    repaired = try_outline(slip, "replace", tumor, desk.found, desk.session)
    assert repaired.region is not None
    assert repaired.region.is_valid
    bow_tie = np.array([[500, 500], [900, 900], [900, 500], [500, 900]], float)
    refused = try_outline(bow_tie, "replace", tumor, desk.found, desk.session)
    assert refused.region is None
    assert "crosses itself" in refused.message


def test_outlines_change_places_of_x_and_y_and_nothing_else():
    assert outline_of([[[10.0, 200.0], [10.0, 300.0], [50.0, 300.0]]]).tolist() == [[200, 10], [300, 10], [300, 50]]
    assert outline_of([]) is None


def test_exclusions_are_drawn_and_taken_back_by_outlines(desk):
    necrosis = next(target for target in TARGETS if target.why == "necrosis")
    drawn = try_outline(
        np.array([[500, 500], [600, 500], [600, 600], [500, 600]], float), "draw", necrosis, desk.found, None
    )
    do(desk, RegionEdit, region="exclude", geometry=drawn.region, why=necrosis.why)
    assert desk.found.numbers.scene.compartments.excluded.area == pytest.approx(10_000, rel=1e-6)
    cut = np.array([[550, 490], [610, 490], [610, 610], [550, 610]], float)
    half = try_outline(cut, "cut", necrosis, desk.found, None)
    assert half.region.area == pytest.approx(5_000, rel=1e-6)


def test_a_clicked_cell_says_what_it_is(desk):
    cells = desk.found.numbers.scene.measured.cells
    picked = pick_cell(desk.found, cells.x_um[5] + 1.0, cells.y_um[5])
    assert (picked.index, picked.x_um) == (5, cells.x_um[5])
    assert any("CD8" in line for line in picked.lines)
    assert pick_cell(desk.found, -500.0, -500.0) is None


def test_a_moved_cut_off_shows_the_cells_that_it_would_call(desk):
    scene = desk.found.numbers.scene
    scores = scene_scores(scene, "CD8")
    members = members_with_cut(scene, "CD8", scores, 0.5)
    assert np.array_equal(members["CD8+"], scene.populations["CD8+"])  # 0.5 is the cut-off of this study
    assert members_with_cut(scene, "CD8", scores, 1e9)["CD8+"].sum() == 0
    assert set(scene.populations) <= set(members)
    assert bars_of(np.array([np.nan]), None) is None


def test_flipped_coordinates_are_said(desk):
    scene = desk.found.numbers.scene
    assert overlay_problem(scene) == ""
    from dataclasses import replace

    away = replace(scene.measured.cells, x_um=scene.measured.cells.x_um + 1e5)
    assert overlay_problem(replace(scene, measured=replace(scene.measured, cells=away)))


def test_the_time_points_stand_side_by_side_with_the_call_of_the_table(desk, folder):
    row = open_time_points(folder, desk.time_points(), "anna", None)
    lefts = [point.left_um for point in row]
    assert lefts[1] >= row[0].opened.size_um[0]
    assert len({(p.opened.px, p.opened.size_um) for p in row}) == 1  # one scale
    stored = {r["transition"]: r["call"] for r in read_table(folder / "tables" / "longitudinal.csv")}
    assert {r["transition"]: r["call"] for r in transition_rows(row)} == stored
    assert "reversion to excluded" in " ".join(transition_words(r) for r in transition_rows(row))


def test_words_are_for_people(desk):
    one_of_each(desk)
    lines = [event_words(edit) for edit in desk.state.done]
    assert lines[0] == "Tumour redrawn — too wide"
    assert lines[5] == "Missed cell added (CD8+)"
    assert not any("_" in line for line in lines)
    assert "→" in change_words(desk.state.done[0].before, desk.state.done[0].after)
    assert class_words(desk.found.numbers.classes.phenotype).startswith("Desert")
    assert len(flag_sentences(desk.found.numbers.flags)) == len(desk.found.numbers.flags)
