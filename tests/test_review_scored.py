"""A scored folder reviewed: viewer, command line and closed forms agree; what is computed stays."""

import json
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import shapely
from scipy.spatial import cKDTree
from shapely.geometry import MultiPolygon, box

from spatial_til.batch import rescore
from spatial_til.batch.rescoring import load_review
from spatial_til.errors import ReviewError, SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured, write_measured
from spatial_til.io.scores import read_score
from spatial_til.report.html import write_report
from spatial_til.review import events as ev
from spatial_til.review.journal import open_journal
from spatial_til.review.session import (
    Cancelled,
    edited,
    figures,
    marker_scores,
    nearest_cell,
    numbers,
    open_session,
    score_reviewed,
)
from spatial_til.review.state import ReviewState, replay
from spatial_til.run_record import jobs_from_record
from tests.acceptance_study import command
from tests.batch_study import table
from tests.inline import stages_here  # noqa: F401
from tests.scored_folder import PLANS, TISSUE, make_folder

SLIDE, OTHER = "A_base", "A_on"
NEW_TUMOR = MultiPolygon([box(400, 350, 900, 1050)])


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Two time points of one patient, scored and never changed by a test."""
    return make_folder(tmp_path_factory.mktemp("review") / "study", PLANS[:2])


@pytest.fixture(scope="module")
def session(scored):
    return open_session(scored, SLIDE)


@pytest.fixture
def copy(scored, tmp_path):
    """A copy of the scored folder that a test may change."""
    return ScoredFolder(shutil.copytree(scored, tmp_path / "study"))


def edit(session, kind, **fields):
    return edited(session, kind, who="anna", **fields)


def state(session, *edits):
    return replay([edit(session, kind, **fields) for kind, fields in edits])


def keep(folder, slide_id, *events, reader="anna"):
    with open_journal(folder, slide_id, reader) as journal:
        for event in events:
            journal.append(replace(event, who=reader))


def every_edit(session):
    """Return one edit of each kind; the flipped and the removed cell are in the new tumour."""
    cells = session.measured.cells
    inside = np.flatnonzero(shapely.contains_xy(NEW_TUMOR, cells.xy_um))
    first, second = ({"x_um": float(cells.x_um[i]), "y_um": float(cells.y_um[i])} for i in inside[[5, 9]])
    return [
        edit(session, ev.RegionEdit, region="tumor", geometry=NEW_TUMOR),
        edit(session, ev.RegionEdit, region="exclude", geometry=MultiPolygon([box(1300, 1100, 1450, 1250)])),
        edit(session, ev.ThresholdEdit, marker="PD-L1", value=0.4),
        edit(session, ev.CallFlip, **first, marker="CD8", positive=True),
        edit(session, ev.CallFlip, **first, marker="tumor", positive=False),
        edit(session, ev.CellRemoved, **second),
        edit(session, ev.CellAdded, x_um=650.25, y_um=700.5, calls={"CD8": True}),
        edit(session, ev.ClassOverride, phenotype="inflamed", why="cells sit in the septa"),
    ]


def count(found, population, region):
    return found.scene.estimates[population, region].n_cells


def test_without_edits_the_numbers_are_the_stored_ones(session):
    found = numbers(session, ReviewState())
    stored = read_score(session.folder.score(SLIDE)).score
    assert found.scene.estimates == stored.estimates
    assert found.classes.phenotype == stored.phenotype
    assert found.classes.activity == stored.activity
    assert set(found.flags) <= set(stored.flags)
    assert {k: v for k, v in stored.values.items() if k in found.ratios} == found.ratios


def test_a_moved_border_has_the_areas_and_counts_of_its_closed_form(session):
    found = numbers(session, state(session, (ev.RegionEdit, {"region": "tumor", "geometry": NEW_TUMOR})))
    areas = {name: e.area_mm2 for (population, name), e in found.scene.estimates.items() if population == "CD8+"}
    assert areas["inner_margin"] == pytest.approx(0.35 - 0.3 * 0.5, rel=1e-4)
    assert areas["core"] == pytest.approx(0.3 * 0.5, rel=1e-4)
    assert areas["outer_margin"] == pytest.approx(0.24 + math.pi * 0.01, rel=1e-4)
    assert areas["tissue"] == pytest.approx(TISSUE.area / 1e6, rel=1e-9)
    cells = session.measured.cells
    cd8 = cells.measurements["CD8_cell_mean"] >= 0.5
    core = (cells.x_um > 500) & (cells.x_um < 800) & (cells.y_um > 450) & (cells.y_um < 950)
    assert count(found, "CD8+", "core") == int((cd8 & core).sum())
    assert "reviewed" in found.flags


def test_a_flip_a_removal_and_an_addition_move_the_counts_by_one(session):
    before = numbers(session, ReviewState())
    cells = before.scene.measured.cells
    core = before.scene.placement.compartment == 0
    i = int(np.flatnonzero(core & ~before.scene.calls.positive["CD8"])[3])
    here = {"x_um": float(cells.x_um[i]), "y_um": float(cells.y_um[i])}
    flipped = numbers(session, state(session, (ev.CallFlip, {**here, "marker": "CD8", "positive": True})), last=before)
    assert count(flipped, "CD8+", "core") == count(before, "CD8+", "core") + 1
    assert count(flipped, "all", "core") == count(before, "all", "core")
    assert flipped.scene.placement is before.scene.placement
    removed = numbers(session, state(session, (ev.CellRemoved, here)), last=before)
    assert count(removed, "all", "core") == count(before, "all", "core") - 1
    place = {"x_um": 800.25, "y_um": 700.25, "calls": {"CD8": True, "tumor": False}}
    added = numbers(session, state(session, (ev.CellAdded, place)), last=before)
    assert count(added, "CD8+", "core") == count(before, "CD8+", "core") + 1
    assert count(added, "all", "tissue") == count(before, "all", "tissue") + 1
    back = numbers(session, state(session, (ev.CellAdded, place), (ev.CellRemoved, {"x_um": 800.25, "y_um": 700.25})))
    assert back.scene.estimates == before.scene.estimates


def test_a_threshold_recalls_from_stored_scores(session):
    found = numbers(session, state(session, (ev.ThresholdEdit, {"marker": "CD8", "value": 0.05})))
    scores = marker_scores(session, "CD8")
    assert int(found.scene.calls.positive["CD8"].sum()) == int((scores >= 0.05).sum())
    assert found.corrected.cuts["CD8"].threshold.method == "reader"


def test_an_added_cell_lies_in_the_order_of_cells(session):
    found = numbers(session, state(session, (ev.CellAdded, {"x_um": 700.0, "y_um": 600.0, "calls": {"PD-L1": True}})))
    cells = found.scene.measured.cells
    assert np.all(np.diff(cells.y_um) >= 0)
    at = nearest_cell(cells, 700.5, 600.0, within_um=1.0)
    assert (cells.x_um[at], cells.y_um[at]) == (700.0, 600.0)
    assert found.scene.calls.positive["PD-L1"][at]
    assert not found.scene.calls.positive["CD8"][at]
    assert nearest_cell(cells, 5.0, 5.0, within_um=10.0) is None


def test_the_answer_does_not_depend_on_the_one_before(session):
    last, done = None, []
    for one in every_edit(session):
        done.append(one)
        last = numbers(session, replay(done), last=last)
        alone = numbers(session, replay(done))
        assert last.scene.estimates == alone.scene.estimates
        assert (last.classes, last.flags, last.ratios, last.stale) == (
            alone.classes,
            alone.flags,
            alone.ratios,
            alone.stale,
        )
    undone = numbers(session, replay([*done, ev.Undo(who="anna", n=len(done))]), last=last)
    assert undone.scene.estimates == numbers(session, ReviewState()).scene.estimates


def test_it_stops_between_steps_when_asked(session):
    asked = []

    def after(n):
        def cancelled():
            asked.append(n)
            return len(asked) > n

        return cancelled

    for n in range(4):
        asked.clear()
        with pytest.raises(Cancelled):
            numbers(session, ReviewState(), cancelled=after(n))
    asked.clear()
    numbers(session, ReviewState(), cancelled=after(1000))
    assert len(asked) >= 5


def test_the_figures_of_an_event_are_a_few(session):
    found = figures(numbers(session, ReviewState()))
    assert set(found) == {"cd8_core_per_mm2", "cd8_margin_per_mm2", "log2_core_margin_cd8", "immunophenotype"}
    assert found["immunophenotype"] == "excluded"
    assert found["log2_core_margin_cd8"] < -1


def test_viewer_and_command_line_give_the_same_numbers(copy):
    session = open_session(copy.root, SLIDE)
    edits = every_edit(session)
    keep(copy, SLIDE, *edits)
    rescore(copy.root, None, reader="anna", workers=1, quiet=True)
    shown = numbers(session, replay(edits))
    whole = score_reviewed(session, replay(edits)).score
    reviewed = copy.reviewed("anna")
    stored = read_score(reviewed.score(SLIDE)).score
    assert shown.scene.estimates == stored.estimates == whole.estimates
    assert shown.classes.phenotype == stored.phenotype == whole.phenotype
    assert shown.classes.activity == stored.activity == whole.activity
    assert whole.values == stored.values
    assert set(shown.flags) <= set(stored.flags)
    row = next(r for r in table(reviewed.tables / "slide_scores.csv") if r["slide_id"] == SLIDE)
    told = figures(shown)
    assert float(row["cd8_core_per_mm2"]) == pytest.approx(told["cd8_core_per_mm2"], rel=1e-9)
    assert float(row["log2_core_margin_cd8"]) == pytest.approx(told["log2_core_margin_cd8"], rel=1e-9)
    assert row["immunophenotype"] == told["immunophenotype"] == "inflamed"


def test_review_goes_beside_the_tables_and_leaves_them(copy):
    before = {p: p.read_bytes() for p in copy.root.rglob("*") if p.is_file() and p.name != "run.json"}
    session = open_session(copy.root, SLIDE)
    keep(copy, SLIDE, *every_edit(session))
    keep(copy, "gone", *every_edit(session))
    journal = copy.review(SLIDE, "anna").read_bytes()
    result = rescore(copy.root, None, workers=1, quiet=True)
    assert all(path.read_bytes() == data for path, data in before.items())
    assert copy.review(SLIDE, "anna").read_bytes() == journal
    assert "reviewed by anna, 1 slide corrected:" in result.lines
    assert any("gone is not in this study" in line for line in result.lines)
    assert len(set(result.lines)) == len(result.lines)
    reviewed = copy.reviewed("anna")
    assert {p.name for p in reviewed.tables.iterdir()} == {p.name for p in copy.tables.iterdir()} | {
        "stale_edits.csv"
    } - {"stale_edits.csv"}
    page = write_report(reviewed.root).read_text("utf-8")
    links = [to for to in re.findall('href="([^"]+)"', page) if not to.startswith(("#", "data:"))]
    assert f"../../cells/{OTHER}.parquet" in links  # where the reader left a slide as it was
    assert f"cells/{SLIDE}.parquet" in links
    assert [a for a in links if not (reviewed.root / a).exists()] == []
    rows = {r["slide_id"]: r for r in table(reviewed.tables / "slide_scores.csv")}
    computed = {r["slide_id"]: r for r in table(copy.tables / "slide_scores.csv")}
    assert rows[OTHER] == computed[OTHER]
    assert {"reviewed", "call_overridden"} <= set(rows[SLIDE]["flags"].split(";"))
    assert rows[SLIDE]["immunophenotype"] == "inflamed"
    assert rows[SLIDE]["immunophenotype_point"] == "excluded"
    assert "anna: cells sit in the septa; computed: " in rows[SLIDE]["immunophenotype_reason"]
    cuts = [r for r in table(reviewed.tables / "thresholds.csv") if r["slide_id"]]
    assert [(r["slide_id"], r["marker"], r["threshold"], r["method"], r["author"]) for r in cuts] == [
        (SLIDE, "PD-L1", "0.4", "reader", "anna")
    ]
    change = table(reviewed.tables / "longitudinal.csv")[0]
    assert change["immunophenotype_reference"] == "inflamed"
    assert "threshold of PD-L1" in change["reason"]
    assert table(reviewed.root / "stale_edits.csv") == []


def test_a_reviewed_folder_has_a_report_of_its_own(copy):
    session = open_session(copy.root, SLIDE)
    keep(copy, SLIDE, *every_edit(session))
    command("rescore", copy.root, "--quiet", "--workers", 1, status=0)
    computed, reviewed = copy.report.read_text(), copy.reviewed("anna").report.read_text()
    assert "reviewed by anna" in reviewed
    assert "reviewed by anna" not in computed
    assert "cells sit in the septa" in reviewed
    assert reviewed.count("data:image/png") == computed.count("data:image/png") > 0  # pictures of all slides
    assert 'href="reviewed/anna/report.html"' in computed
    assert f"<td>{SLIDE} by anna</td>" in reviewed


def test_edits_that_were_undone_leave_the_slide_as_computed(copy):
    session = open_session(copy.root, SLIDE)
    edits = every_edit(session)
    keep(copy, SLIDE, *edits, ev.Undo(who="anna", n=len(edits)))
    rescore(copy.root, None, workers=1, quiet=True)
    reviewed = copy.reviewed("anna").tables
    assert (reviewed / "density.csv").read_bytes() == (copy.tables / "density.csv").read_bytes()
    assert (reviewed / "slide_scores.csv").read_bytes() == (copy.tables / "slide_scores.csv").read_bytes()


def test_which_reader_is_meant_has_to_be_clear(copy, capsys):
    session = open_session(copy.root, SLIDE)
    assert load_review(copy, jobs_from_record(copy.run), None) is None
    keep(copy, SLIDE, *every_edit(session)[:1])
    keep(copy, SLIDE, *every_edit(session)[1:2], reader="ben")
    with pytest.raises(ReviewError, match=r"several readers \(anna, ben\): give --reader, or --no-review"):
        rescore(copy.root, None, workers=1, quiet=True)
    with pytest.raises(ReviewError, match=r"no journal of carla .*found: anna, ben"):
        rescore(copy.root, None, reader="carla", workers=1, quiet=True)
    capsys.readouterr()
    command("rescore", copy.root, "--quiet", status=2)
    assert capsys.readouterr().err.count("\n") == 1
    command("rescore", copy.root, "--no-review", "--quiet", "--workers", 1, status=0)
    assert not (copy.root / "reviewed").exists()


def test_every_fault_of_every_journal_is_told(copy, capsys):
    session = open_session(copy.root, SLIDE)
    for slide in (SLIDE, OTHER):
        keep(copy, slide, *every_edit(session)[:2])
        path = copy.review(slide, "anna")
        path.write_text("garbage\n" + path.read_text())
    command("rescore", copy.root, "--reader", "anna", "--quiet", status=2)
    told = capsys.readouterr().err
    assert f"{copy.review(SLIDE, 'anna')}, line 1" in told
    assert f"{copy.review(OTHER, 'anna')}, line 1" in told
    assert "Traceback" not in told


def measured_again(folder, slide_id, *, shift_um, without=()):
    """Write the slide's cells as another measurement would: moved a little, some gone, another key."""
    measured = read_measured(folder.measured(slide_id))
    cells = measured.cells
    kept = np.setdiff1d(np.arange(len(cells)), without)
    moved = replace(
        cells,
        x_um=cells.x_um[kept] + shift_um,
        y_um=cells.y_um[kept],
        nucleus_area_um2=cells.nucleus_area_um2[kept],
        cell_area_um2=cells.cell_area_um2[kept],
        measurements={name: values[kept] for name, values in cells.measurements.items()},
    )
    write_measured(folder.measured(slide_id), replace(measured, cells=moved, key="again"))


def test_after_measuring_again_what_fits_is_applied_and_what_does_not_is_listed(copy):
    session = open_session(copy.root, SLIDE)
    cells = session.measured.cells
    alone = np.argsort(cKDTree(cells.xy_um).query(cells.xy_um, k=2)[0][:, 1])[-3:]  # no other cell within reach
    here = [{"x_um": float(cells.x_um[i]), "y_um": float(cells.y_um[i])} for i in alone]
    keep(
        copy,
        SLIDE,
        edit(session, ev.CallFlip, **here[0], marker="CD8", positive=True),
        edit(session, ev.CallFlip, **here[1], marker="CD8", positive=True),
        edit(session, ev.CellRemoved, **here[2]),
        edit(session, ev.ThresholdEdit, marker="CD3", value=1.0),
    )
    measured_again(copy, SLIDE, shift_um=0.7, without=[alone[1]])
    rescore(copy.root, None, workers=1, quiet=True)
    rows = table(copy.reviewed("anna").root / "stale_edits.csv")
    assert [(r["edit"], r["marker"], r["reason"]) for r in rows] == [
        ("threshold", "CD3", "no cut-off decides CD3 on this slide"),
        ("flip", "CD8", "no cell is measured here any more"),
    ]
    assert (float(rows[1]["x_um"]), float(rows[1]["y_um"])) == pytest.approx(tuple(here[1].values()), rel=1e-9)
    flags = {r["slide_id"]: r["flags"].split(";") for r in table(copy.reviewed("anna").tables / "slide_scores.csv")}
    assert {"reviewed", "stale_edit"} <= set(flags[SLIDE])
    n = {f: int(next(r["n_cells"] for r in table(f.tables / "slide_scores.csv") if r["slide_id"] == SLIDE))
         for f in (copy, copy.reviewed("anna"))}  # fmt: skip
    assert n[copy.reviewed("anna")] == n[copy] - 1


def test_a_slide_that_could_not_be_scored_is_scored_once_the_tumour_is_drawn(copy):
    record = json.loads(copy.run.read_text())
    for job in record["study"]["jobs"]:
        if job["meta"]["slide_id"] == SLIDE:
            job["annotations"] = []
    copy.run.write_text(json.dumps(record))
    computed = rescore(copy.root, None, workers=1, quiet=True)
    assert any(f.slide_id == SLIDE and "draw the tumour" in f.message for f in computed.failures)
    session = open_session(copy.root, SLIDE)
    assert "draw the tumour" in session.problem
    with pytest.raises(SpatialTilError, match="draw the tumour"):
        numbers(session, ReviewState())
    drawn = edit(session, ev.RegionEdit, region="tumor", geometry=NEW_TUMOR)
    shown = numbers(session, replay([drawn]))
    keep(copy, SLIDE, drawn)
    rescore(copy.root, None, workers=1, quiet=True)
    assert read_score(copy.reviewed("anna").score(SLIDE)).score.estimates == shown.scene.estimates
    assert SLIDE not in {r["slide_id"] for r in table(copy.reviewed("anna").errors)}
    assert SLIDE in {r["slide_id"] for r in table(copy.errors)}


def with_protocol(folder, section, **keys):
    """Let every slide of the folder have other keys in its protocol, and score it again."""
    record = json.loads(folder.run.read_text())
    for protocol in (record["protocol"], *(job["protocol"] for job in record["study"]["jobs"])):
        protocol[section] |= keys
    folder.run.write_text(json.dumps(record))
    rescore(folder.root, None, workers=1, quiet=True)


def test_a_tumour_found_from_cells_follows_its_cut_off_until_it_is_drawn(copy):
    with_protocol(copy, "tumor", method="marker", bandwidth_um=60, min_area_mm2=0.001)
    session = open_session(copy.root, SLIDE)
    found = numbers(session, ReviewState())
    stored = read_score(copy.score(SLIDE)).score
    assert found.scene.estimates == stored.estimates
    assert found.scene.compartments.tumor.area == pytest.approx(0.56e6, rel=0.1)
    flip = {"x_um": float(session.measured.cells.x_um[0]), "y_um": float(session.measured.cells.y_um[0])}
    flipped = numbers(session, state(session, (ev.CallFlip, {**flip, "marker": "CD8", "positive": True})), last=found)
    assert flipped.regions is found.regions
    none = (ev.ThresholdEdit, {"marker": "tumor", "value": 1e9})
    with_none = numbers(session, state(session, none), last=found)
    assert with_none.scene.compartments.tumor.is_empty
    assert with_none.classes.phenotype.call == "not_evaluable"
    drawn = (ev.RegionEdit, {"region": "tumor", "geometry": NEW_TUMOR})
    assert numbers(session, state(session, none, drawn)).scene.compartments.tumor.area == pytest.approx(NEW_TUMOR.area)


def test_adaptive_widths_follow_a_redrawn_tumour_on_every_slide_of_the_lesion(copy):
    with_protocol(copy, "compartments", adaptive=True, inner_um=500, outer_um=500)
    width = {r["slide_id"]: float(r["inner_um"]) for r in table(copy.tables / "slide_scores.csv")}
    assert width == {SLIDE: pytest.approx(175, rel=0.01), OTHER: pytest.approx(175, rel=0.01)}  # half of 700 / 2
    session = open_session(copy.root, SLIDE)
    assert "adaptive_width" in numbers(session, ReviewState()).flags
    small = MultiPolygon([box(400, 350, 1200, 650)])
    keep(copy, SLIDE, edit(session, ev.RegionEdit, region="tumor", geometry=small))
    rescore(copy.root, None, workers=1, quiet=True)
    width = {r["slide_id"]: float(r["inner_um"]) for r in table(copy.reviewed("anna").tables / "slide_scores.csv")}
    assert width == {SLIDE: pytest.approx(75, rel=0.01), OTHER: pytest.approx(75, rel=0.01)}
    flags = {r["slide_id"]: r["flags"] for r in table(copy.reviewed("anna").tables / "slide_scores.csv")}
    assert "reviewed" not in flags[OTHER]


def test_tissue_is_not_drawn_where_no_cells_were_measured(session):
    wide = MultiPolygon([box(0, 0, 1600, 1400)])
    found = numbers(session, state(session, (ev.RegionEdit, {"region": "tissue", "geometry": wide})))
    assert found.scene.compartments.tissue.area == pytest.approx(TISSUE.area, rel=1e-9)
    assert "0.56 mm² of the tissue drawn were left out" in " ".join(found.regions.notes)
