"""Two readers, blinded and not: agreement by hand, places of disagreements, a consensus, and what to look at first."""

import math
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from spatial_til.batch import rescore
from spatial_til.errors import ReviewError
from spatial_til.io import schema
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.tables import read_table, write_table
from spatial_til.model import SlideMeta
from spatial_til.protocol import parse_protocol
from spatial_til.review import events as ev
from spatial_til.review.blinding import blind
from spatial_til.review.consensus import begin_consensus
from spatial_til.review.disagreements import agreed_edits, disagreements
from spatial_til.review.journal import open_journal, read_journal
from spatial_til.review.readings import read_readings
from spatial_til.review.session import edited, numbers, open_session
from spatial_til.review.state import replay
from spatial_til.review.worklist import worklist
from spatial_til.study import Job
from tests.batch_study import table
from tests.inline import stages_here  # noqa: F401
from tests.scored_folder import PROTOCOL

FIRST, SECOND = "A_base", "A_on"
TUMORS = {"anna": MultiPolygon([box(400, 350, 1100, 1050)]), "ben": MultiPolygon([box(400, 350, 1000, 1050)])}


def journal_of(folder, reader):
    """Write what one reader did: another border on the first slide, a class and a flip on the second."""
    for slide_id in (FIRST, SECOND):
        session = open_session(folder.root, slide_id)
        cells = session.measured.cells
        place = {"x_um": float(cells.x_um[700]), "y_um": float(cells.y_um[700])}
        events = [ev.SessionOpened(who=reader, slide_id=slide_id, measure_key=session.measured.key)]
        if slide_id == FIRST:
            events.append(edited(session, ev.RegionEdit, who=reader, region="tumor", geometry=TUMORS[reader]))
            events.append(edited(session, ev.ThresholdEdit, who=reader, marker="PD-L1", value=0.4))
        else:
            events.append(edited(session, ev.CallFlip, who=reader, **place, marker="CD8", positive=reader == "anna"))
            if reader == "ben":
                events.append(edited(session, ev.ClassOverride, who=reader, phenotype="desert", why="edge only"))
        with open_journal(folder, slide_id, reader) as journal:
            for event in events:
                journal.append(event)


@pytest.fixture(scope="module")
def reviewed(patient_folder, tmp_path_factory):
    """The folder after both readers' corrections were applied, and the closing lines of each."""
    folder = ScoredFolder(shutil.copytree(patient_folder, tmp_path_factory.mktemp("both") / "study"))
    lines = []
    for reader in TUMORS:
        journal_of(folder, reader)
        lines.append(rescore(folder.root, None, reader=reader, workers=1, quiet=True).lines)
    return folder, lines


def test_agreement_is_that_of_the_reviewed_tables(reviewed):
    folder, lines = reviewed
    assert not any("no agreement" in line for line in lines[1])
    rows = {r["measure"]: r for r in table(folder.tables / "agreement.csv")}
    assert {(r["reader_a"], r["reader_b"]) for r in rows.values()} == {("anna", "ben")}
    by_reader = [
        {r["slide_id"]: r for r in table(folder.reviewed(reader).tables / "slide_scores.csv")} for reader in TUMORS
    ]
    both = [[of[slide] for slide in (FIRST, SECOND)] for of in by_reader]
    same = sum(a["immunophenotype"] == b["immunophenotype"] for a, b in zip(*both, strict=True))
    assert (rows["class_agreement"]["n"], float(rows["class_agreement"]["value"])) == ("2", same / 2)
    d = [float(b["cd8_core_per_mm2"]) - float(a["cd8_core_per_mm2"]) for a, b in zip(*both, strict=True)]
    row = rows["cd8_core_per_mm2"]
    assert float(row["value"]) == pytest.approx(np.mean(d), rel=1e-6)
    assert float(row["limit_high"]) == pytest.approx(np.mean(d) + 1.959964 * np.std(d, ddof=1), rel=1e-6)
    assert rows["log2_core_margin_cd8"]["unit"] == "log2"


def test_border_distance_is_that_of_the_rectangles(reviewed):
    folder, _ = reviewed
    row = {r["measure"]: r for r in table(folder.tables / "agreement.csv")}["border_mean_distance"]
    # of b's outline: its right side, 700 long, min(100, y, 700 - y) from the top, bottom or right side of a;
    # of a's: the right side 100 away, and 100 of top and bottom at 0 to 100
    of_b = 2 * 100**2 / 2 + 500 * 100
    of_a = 700 * 100 + 2 * 100**2 / 2
    mean = (of_a + of_b) / (2 * (700 + 700) + 2 * (600 + 700))
    assert row["n"] == "2"
    assert float(row["value"]) == pytest.approx(mean / 2, rel=0.01)  # on the second slide they are the same


def test_disagreements_name_the_place(reviewed):
    folder, _ = reviewed
    rows = table(folder.tables / "disagreements.csv")
    found = {(r["slide_id"], r["what"], r["marker"]): r for r in rows}
    border = found[FIRST, "border", ""]
    assert float(border["distance_um"]) == pytest.approx(100, abs=0.1)
    assert float(border["x_um"]) == pytest.approx(1100, abs=0.1)
    call = found[SECOND, "call", "CD8"]
    cells = open_session(folder.root, SECOND).measured.cells
    assert (call["value_a"], call["value_b"]) == ("true", "false")
    assert float(call["x_um"]) == pytest.approx(float(cells.x_um[700]), rel=1e-9)
    assert (found[SECOND, "class", ""]["value_b"]) == "desert"
    assert (FIRST, "threshold", "PD-L1") not in found  # both chose the same


def test_a_consensus_begins_with_what_both_said(reviewed):
    folder, _ = reviewed
    readings, notices = read_readings(folder)
    assert notices == []
    anna, ben = readings
    begun = agreed_edits(anna.states[FIRST], ben.states[FIRST], who="consensus", readers="anna and ben")
    assert [(type(e).__name__, e.who, e.why) for e in begun] == [
        ("ThresholdEdit", "consensus", "agreed by anna and ben")
    ]
    session = open_session(folder.root, FIRST)
    assert numbers(session, replay(begun)).corrected.cuts["PD-L1"].threshold.threshold == 0.4
    assert agreed_edits(anna.states[SECOND], ben.states[SECOND], who="consensus", readers="both") == []
    assert list(disagreements(anna, anna, SECOND)) == []


def test_a_consensus_is_a_third_readers_journal(reviewed, tmp_path):
    folder = ScoredFolder(shutil.copytree(reviewed[0].root, tmp_path / "study"))
    begun = begin_consensus(folder, FIRST, ("anna", "ben"))
    stored = read_journal(folder.review(FIRST, "consensus")).events
    assert tuple(e for e in stored if isinstance(e, ev.Edit)) == begun
    assert isinstance(stored[0], ev.SessionOpened)
    with pytest.raises(ReviewError, match="has begun already"):
        begin_consensus(folder, FIRST, ("anna", "ben"))
    with pytest.raises(ReviewError, match="no journal of carla: both have to review it first"):
        begin_consensus(folder, SECOND, ("anna", "carla"))


def test_older_results_are_told_and_left_out(reviewed, tmp_path):
    folder = ScoredFolder(shutil.copytree(reviewed[0].root, tmp_path / "study"))
    session = open_session(folder.root, FIRST)
    with open_journal(folder, FIRST, "ben") as journal:
        journal.append(edited(session, ev.ThresholdEdit, who="ben", marker="CD8", value=0.3))
    readings, notices = read_readings(folder)
    assert [r.reader for r in readings] == ["anna"]
    assert notices == ["no agreement with ben yet: their tables are older, write them anew (rescore --reader ben)"]
    result = rescore(folder.root, None, review=False, workers=1, quiet=True)
    assert notices[0] in result.lines
    assert not (folder.tables / "agreement.csv").exists()


def jobs(n):
    protocol = parse_protocol(PROTOCOL)
    metas = (
        SlideMeta(f"S{k}", f"patient-{k}", "baseline", site="skin", response="PR", biopsy_date=date(2026, 1, 1 + k))
        for k in range(n)
    )
    return [Job(meta, Path(f"/data/{meta.patient_id}_scan.svs"), protocol) for meta in metas]


def test_the_order_is_shuffled_and_comes_again():
    study = jobs(20)
    names = [case.slide_id for case in blind(study, seed=0, reader="anna").cases]
    assert sorted(names) == sorted(job.slide_id for job in study)
    assert names == [case.slide_id for case in blind(study[::-1], seed=0, reader="anna").cases]
    assert names != [job.slide_id for job in study]
    assert names != [case.slide_id for case in blind(study, seed=0, reader="ben").cases]
    assert names != [case.slide_id for case in blind(study, seed=1, reader="anna").cases]
    fewer = [case.slide_id for case in blind(study[:-1], seed=0, reader="anna").cases]
    assert fewer == [name for name in names if name != "S19"]


def test_every_order_is_about_as_likely():
    first = [blind(jobs(4), seed=seed, reader="anna").cases[0].slide_id for seed in range(400)]
    counts = [first.count(f"S{k}") for k in range(4)]
    assert sum((n - 100) ** 2 / 100 for n in counts) < 16.27  # chi-square, 3 degrees of freedom, 0.001


def test_a_blinded_reader_is_told_nothing_of_the_patient():
    study = jobs(3)
    blinding = blind(study, seed=0, reader="anna")
    case = blinding.case_of("S1")
    said = blinding.hide("/data/patient-1_scan.svs: S1 of patient-1, baseline, 2026-01-02 (S12 stays)")
    assert said == f"{case.name}: {case.name} of …, …, … (S12 stays)"


def test_an_unblinding_is_in_the_journal(patient_folder, tmp_path):
    folder = ScoredFolder(tmp_path)
    with open_journal(folder, FIRST, "anna") as journal:
        journal.append(ev.SessionOpened(who="anna", slide_id=FIRST, measure_key="k", blinded=True))
        journal.append(ev.Unblinded(who="anna", why="query of the sponsor"))
    with open_journal(folder, FIRST, "anna") as journal:
        assert replay(journal.events).unblinded
        assert '"why": "query of the sponsor"' in folder.review(FIRST, "anna").read_text()


def points(root, **changes):
    """Return the worklist of a folder after changes in one slide's row of slide_scores.csv."""
    folder = ScoredFolder(root)
    rows = read_table(folder.tables / "slide_scores.csv")
    extra = [name for name in rows[0] if name not in schema.SLIDE_SCORES.names]
    write_table(
        folder.tables, schema.SLIDE_SCORES, [r | (changes if r["slide_id"] == SECOND else {}) for r in rows], extra
    )
    return {w.slide_id: w for w in worklist(root)}


def test_the_worklist_puts_first_what_needs_eyes(patient_folder, tmp_path):
    root = shutil.copytree(patient_folder, tmp_path / "study")
    plain = {w.slide_id: w for w in worklist(root)}
    assert next(iter(plain)) == "never_measured"
    assert plain["never_measured"].points == 100.0
    sure = {f"p_{c}": "0" for c in schema.PHENOTYPES} | {"p_inflamed": "1", "flags": "", "immunophenotype": "inflamed"}
    (root / "tables" / "sensitivity.csv").write_text(",".join(schema.SENSITIVITY.names) + "\n")
    assert points(root, **sure)[SECOND].points == 0.0
    assert points(root, **sure | {"p_inflamed": "0.75"})[SECOND].points == pytest.approx(40 * 0.25)
    assert points(root, **sure | {"flags": "blurred;few_tiles"})[SECOND].points == 8 + 2
    failed = points(root, **sure | {"immunophenotype": "not_evaluable", "immunophenotype_reason": "no border"})
    assert failed[SECOND].points == 60.0
    assert failed[SECOND].reasons == ("not evaluable: no border",)


def test_a_slide_near_a_flip_comes_before_one_that_is_not(patient_folder, tmp_path):
    root = shutil.copytree(patient_folder, tmp_path / "study")
    sure = {f"p_{c}": "0" for c in schema.PHENOTYPES} | {"p_inflamed": "1", "flags": "", "immunophenotype": "inflamed"}
    row = {"slide_id": SECOND, "parameter": "threshold_factor_CD8", "immunophenotype": "desert"}
    for value, distance in (("1.2", math.log2(1.2)), ("0.8", -math.log2(0.8))):
        variant = row | {"value": value, "immunophenotype_point": "desert"}
        write_table(
            root / "tables", schema.SENSITIVITY, [variant, row | {"value": "1", "immunophenotype_point": "inflamed"}]
        )
        found = points(root, **sure | {"immunophenotype_point": "inflamed"})[SECOND]
        assert found.points == pytest.approx(30 / (1 + 8 * distance))
        assert f"desert if the CD8 cut-off were {value} times as high" in found.reasons


def test_controls_are_on_no_list():
    study = [*jobs(2), replace(jobs(3)[2], control="negative")]
    assert len(blind(study, seed=0, reader="anna").cases) == 2
