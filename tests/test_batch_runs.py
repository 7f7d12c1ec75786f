"""Resume and failures of a study, on tiny slides, with the stages in this process."""

import csv
import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from spatial_til.batch import rescore, score_study, status_lines
from spatial_til.batch import scoring as scoring_module
from spatial_til.batch import stages as stages_module
from spatial_til.errors import SpatialTilError, StudyError
from spatial_til.io import atomic
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.journal import Event, append_event, read_events
from spatial_til.io.lock import locked
from spatial_til.io.measured import read_measured, write_measured
from spatial_til.pipeline import measure as measure_module
from spatial_til.report import pictures
from spatial_til.report.html import write_report
from spatial_til.study import load_study
from tests.batch_study import contents, make_study, table
from tests.inline import stages_here  # noqa: F401


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Three slides, their sheet and their scored folder."""
    folder = tmp_path_factory.mktemp("batch")
    sheet = make_study(folder / "study" / "in", slides=3)
    score_study(load_study(sheet), folder / "study" / "out", quiet=True)
    shutil.copytree(folder / "study", folder / "kept")
    return folder


@pytest.fixture
def study(pristine):
    """The same, for a test to spoil: at one place always, since paths are part of what is stored."""
    shutil.rmtree(pristine / "study")
    shutil.copytree(pristine / "kept", pristine / "study")
    return pristine / "study"


def score(folder, capsys=None, **options):
    summary = score_study(load_study(folder / "in" / "study.csv"), folder / "out", quiet=capsys is None, **options)
    return (summary, capsys.readouterr().err) if capsys else summary


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def drop_last_row(sheet):
    sheet.write_text("".join(sheet.read_text().splitlines(keepends=True)[:-1]))


def ids(path):
    return sorted({row["slide_id"] for row in table(path)})


def test_a_second_run_keeps_everything_and_changes_no_byte(study, capsys):
    before, record = contents(study / "out"), (study / "out" / "run.json").read_text()
    _, said = score(study, capsys)
    assert "measure: 3 kept" in said
    assert "score: 3 kept" in said
    assert contents(study / "out") == before
    times = [json.loads(text)["slides"] for text in (record, (study / "out" / "run.json").read_text())]
    assert times[0] == times[1]
    assert times[0]["S000"]["stages"]["measure"]["seconds"] > 0


def test_run_and_report_say_how_many_cells_were_taken_for_pigment(study):
    """Two of the brown cells of a stored slide are made pigment: one of them stains as a positive cell does."""
    folder = ScoredFolder(study / "out")
    stored = read_measured(folder.measured("S000"))
    (cut,) = (float(row["threshold"]) for row in table(folder.tables / "thresholds.csv"))
    ridges = {
        f"CD8_membrane_{name}": stored.cells.measurements[f"CD8_membrane_{name}"] for name in ("ridge", "own_ridge")
    }
    ridge = np.minimum(*ridges.values())
    brown = np.flatnonzero(np.isfinite(stored.cells.measurements["CD8_membrane_pigment"]))
    pale, dark = brown[ridge[brown].argmin()], brown[ridge[brown].argmax()]
    assert cut < ridge[dark]
    at = np.arange(len(ridge))
    paled = {name: np.where(at == pale, np.float32(cut / 2), values) for name, values in ridges.items()}
    pigment = np.where(np.isin(at, brown), 0, np.nan).astype(np.float32)
    pigment[[pale, dark]] = 1
    edited = {**stored.cells.measurements, **paled, "CD8_membrane_pigment": pigment}
    cells = replace(stored.cells, measurements=edited)
    write_measured(folder.measured("S000"), replace(stored, cells=cells))
    folder.score("S000").unlink()
    score(study)
    told = json.loads(folder.run.read_text())["slides"]["S000"]["pigment"]
    assert told == {"CD8": {"looked_at": len(brown), "taken": 2, "above": 1}}
    words = f"2 of {len(brown)} brown cells ({100 * 2 / len(brown):.0f} %)"
    page = write_report(folder.root).read_text(encoding="utf-8")
    assert words in page
    assert "not called, in no cut-off; 1 of them is stained at or above the cut-off" in page


def test_a_changed_width_measures_nothing_again(study, capsys):
    before = contents(study / "out")
    edit(study / "in" / "protocol.toml", "inner_um = 60", "inner_um = 50")
    _, said = score(study, capsys)
    after = contents(study / "out")
    assert "measure: 3 kept" in said
    assert "score: 3 done" in said
    assert all(after[name] == data for name, data in before.items() if name.startswith("measured/"))
    assert after["tables/density.csv"] != before["tables/density.csv"]
    edit(study / "in" / "protocol.toml", "inner_um = 50", "inner_um = 60")
    score(study)
    assert contents(study / "out") == before


def test_a_changed_stain_is_measured_again_and_says_why(study, capsys):
    edit(study / "in" / "protocol.toml", 'vector = "dab"', "vector = [0.28, 0.56, 0.78]")
    summary, said = score(study, capsys)
    assert "measure: 3 done" in said
    assert "measure again, 3 slides: settings changed" in summary.lines


def test_a_new_version_says_what_it_does_again_and_why(study, monkeypatch):
    monkeypatch.setattr(measure_module, "version", lambda _: "99.0")
    assert any("99.0" in line and "measure again, 3 slides" in line for line in score(study).lines)


def test_a_changed_image_is_measured_again_alone(study, capsys):
    shutil.copyfile(study / "in" / "S000.ome.tif", study / "in" / "S001.ome.tif")
    summary, said = score(study, capsys)
    assert "measure: 1 done, 2 kept" in said
    assert "measure again, 1 slide: image changed" in summary.lines


def test_a_changed_annotation_scores_its_slides_again_and_measures_none(study, capsys):
    edit(study / "in" / "tumor.geojson", "[300.0, 0]", "[280.0, 0]")
    _, said = score(study, capsys)
    assert "measure: 3 kept" in said
    assert "score: 3 done" in said


def test_what_the_sheet_says_of_a_slide_reaches_the_tables(study):
    edit(study / "in" / "study.csv", "P001", "P777")
    score(study)
    assert {row["patient_id"] for row in table(study / "out" / "tables" / "slide_scores.csv")} == {"P000", "P777"}


def test_rerun_all_measures_and_scores_all(study, capsys):
    before = contents(study / "out")
    summary, said = score(study, capsys, rerun="all")
    assert "measure: 3 done" in said
    assert "score: 3 done" in said
    assert "measure again, 3 slides: asked for" in summary.lines
    assert contents(study / "out") == before


def test_slides_no_longer_in_the_sheet_enter_nothing_and_keep_their_cells(study):
    drop_last_row(study / "in" / "study.csv")
    score(study)
    out = study / "out"
    assert ids(out / "tables" / "density.csv") == ["S000", "S001"]
    left = sorted(path.relative_to(out).as_posix() for path in out.rglob("S002*"))
    assert left == [f"measured/S002.{kind}" for kind in ("jpg", "parquet", "png", "stains.tif")]


def test_the_report_takes_the_small_photographs_and_makes_them_where_there_are_none(study, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read_overview", None)
        page = write_report(study / "out").read_bytes()
    assert page.count(b"data:image/jpeg;base64,") == 3
    for path in (study / "out" / "measured").glob("*.jpg"):
        path.unlink()
    assert write_report(study / "out").read_bytes() == page


def test_a_slide_that_fails_now_leaves_no_claim_of_success(study):
    before = contents(study / "out", history=False)
    image = study / "in" / "S001.ome.tif"
    good = image.rename(study / "in" / "kept")
    image.write_bytes(good.read_bytes()[:5000])
    summary = score(study)
    out = study / "out"
    assert [f.slide_id for f in summary.failures] == ["S001"]
    (row,) = table(out / "errors.csv")
    assert (row["slide_id"], row["stage"]) == ("S001", "measure")
    assert row["message"]
    assert ids(out / "tables" / "density.csv") == ["S000", "S002"]
    assert not any((out / name).exists() for name in ("cells/S001.parquet", "regions/S001.geojson", "scores/S001.json"))
    good.rename(image)
    assert score(study, rerun="failed").failures == ()
    assert contents(out, history=False) == before


def test_rerun_failed_tries_nothing_else(study, capsys):
    shutil.copyfile(study / "in" / "S000.ome.tif", study / "in" / "S002.ome.tif")
    (study / "in" / "S001.ome.tif").write_bytes(b"")
    score(study, only=["S001"])
    _, said = score(study, capsys, rerun="failed")
    assert "measure: 1 failed" in said


def test_only_keeps_failures_of_other_slides_and_uses_stored_ones(study, capsys):
    (study / "in" / "S001.ome.tif").write_bytes(b"")
    score(study)
    summary, said = score(study, capsys, only=["S000"])
    assert "measure: 1 kept" in said
    assert [f.slide_id for f in summary.failures] == ["S001"]
    assert ids(study / "out" / "tables" / "slide_scores.csv") == ["S000", "S002"]


def test_only_of_a_slide_that_is_not_in_the_sheet_is_refused(study):
    with pytest.raises(StudyError, match="--only: S9 not in the sheet"):
        score(study, only=["S9"])


def test_an_image_that_vanishes_in_mid_run_fails_alone(study, monkeypatch):
    whole = stages_module.measure

    def measure(task):
        (study / "in" / "S002.ome.tif").unlink(missing_ok=True)
        return whole(task)

    monkeypatch.setattr(stages_module, "measure", measure)
    (failure,) = score(study).failures
    assert failure.slide_id == "S002"
    assert "S002.ome.tif" in failure.message
    assert ids(study / "out" / "tables" / "density.csv") == ["S000", "S001"]


def test_an_image_that_changes_while_it_is_read_fails_and_is_measured_again(study, monkeypatch):
    whole = stages_module.measure
    image = study / "in" / "S001.ome.tif"

    def measure(task):
        report = whole(task)
        if task.job.slide_id == "S001":
            image.write_bytes((study / "in" / "S000.ome.tif").read_bytes())
        return report

    with monkeypatch.context() as patch:
        patch.setattr(stages_module, "measure", measure)
        (failure,) = score(study).failures
    assert "changed while it was read" in failure.message
    assert score(study).failures == ()


@pytest.mark.parametrize("full_at", [0, 1, 4, 7, 12])
def test_a_full_disk_loses_nothing(study, monkeypatch, full_at):
    """The n-th write of a file finds the disk full; with room again the run goes on to the same folder."""
    before = contents(study / "out")
    shutil.rmtree(study / "out")
    calls = 0

    def fsync(_):
        nonlocal calls
        calls += 1
        if calls > full_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", fsync)
        with pytest.raises(SpatialTilError, match="No space left on device: make room on the disk"):
            score(study)
    assert list((study / "out").rglob("*.part*")) == []
    score(study)
    assert contents(study / "out") == before


def test_what_a_killed_writer_left_is_cleared(study):
    before = contents(study / "out")
    for name in ("measured/.S000.0123abcd.part.parquet", ".run.0123abcd.part.json", "tables/.density.aa.part.csv"):
        (study / "out" / name).write_bytes(b"half")
    score(study)
    assert contents(study / "out") == before


def test_a_damaged_stored_slide_is_measured_again(study):
    before = contents(study / "out", history=False)  # without the slide the cut-offs were others for one run
    path = study / "out" / "measured" / "S000.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert any(
        f.slide_id == "S000" and f.stage == "threshold" for f in rescore(study / "out", None, quiet=True).failures
    )
    score(study)
    assert contents(study / "out", history=False) == before


def test_a_missing_output_is_made_again(study):
    before = contents(study / "out")
    (study / "out" / "thumbnails" / "S001.png").unlink()
    score(study)
    assert contents(study / "out") == before


def test_rescoring_with_nothing_changed_keeps_all(study):
    before = contents(study / "out")
    rescore(study / "out", None, quiet=True)
    assert contents(study / "out") == before


def test_a_folder_without_measured_cells_is_not_emptied_by_rescoring_it(study):
    """`rescore out --out other`, then `rescore other`: 0 scored, no table left, exit status 0."""
    other = study / "other"
    rescore(study / "out", None, out=other, quiet=True)
    before = contents(other)
    with pytest.raises(SpatialTilError, match="needs the measured cells of a run, found none of"):
        rescore(other, None, quiet=True)
    assert contents(other) == before


def test_two_runs_on_one_folder_are_refused(study):
    with locked(study / "out" / ".running" / "lock"), pytest.raises(SpatialTilError, match="a run is under way here"):
        score(study)


def test_status_tells_a_run_under_way_then_stopped(study):
    journal = study / "out" / ".running" / "events.jsonl"
    with locked(study / "out" / ".running" / "lock"):
        for event in (
            Event("measure", "S000", "done", 1.0, 300.0),
            Event("measure", "S001", "failed", message="no tissue"),
            Event("measure", "S002", "started"),
        ):
            append_event(journal, event)
        (study / "out" / ".running" / "S002.tiles").write_text("3/12")
        lines = status_lines(study / "out")
        assert lines[0].startswith("running: process ")
        assert lines[1:] == (
            "measure: 1 done, 1 failed, 1 started",
            "S001  failed at measure: no tissue",
            "S002  measure running, tile 3 of 12",
        )
    assert status_lines(study / "out")[0].startswith("stopped before its end")


def test_a_torn_line_of_the_journal_costs_only_itself(tmp_path):
    path = tmp_path / "events.jsonl"
    first, last = Event("measure", "S0", "done"), Event("score", "S0", "done")
    append_event(path, first)
    with path.open("a") as file:
        file.write('\n{"stage": "measure", "slide_')
    append_event(path, last)
    assert list(read_events(path)) == [first, last]


def test_failures_of_a_killed_run_are_tried_by_rerun_failed(study, capsys):
    running = study / "out" / ".running"
    running.mkdir()
    append_event(running / "events.jsonl", Event("measure", "S001", "failed", message="killed after"))
    _, said = score(study, capsys, rerun="failed")
    assert "measure: 1 kept" in said
    assert not running.exists()


def test_errors_are_in_the_order_of_the_sheet(study):
    for name in ("S002", "S000"):
        (study / "in" / f"{name}.ome.tif").write_bytes(b"")
    score(study)
    with (study / "out" / "errors.csv").open(newline="") as file:
        assert [row["slide_id"] for row in csv.DictReader(file)] == ["S000", "S002"]


@pytest.mark.parametrize("text", ["", "{}", '{"key": '])
def test_a_damaged_score_is_made_again_and_the_tables_stay_the_same(study, text):
    before = contents(study / "out", history=False)
    (study / "out" / "scores" / "S001.json").write_text(text)
    score(study)
    assert contents(study / "out", history=False) == before


def test_an_annotation_that_changes_while_it_is_read_fails_its_slide(study, monkeypatch):
    """The score would be of the one outline, and its key of the other."""
    real, sheet = stages_module.score, study / "in" / "study.csv"

    def redrawn(task):
        report = real(task)
        if task.job.slide_id == "S002":
            (study / "in" / "tumor.geojson").touch()
        return report

    monkeypatch.setattr(stages_module, "score", redrawn)
    summary = score_study(load_study(sheet), study / "out", rerun="all", quiet=True)
    assert [row["slide_id"] for row in table(study / "out" / "errors.csv")] == ["S002"]
    assert not (study / "out" / "scores" / "S002.json").exists()
    assert summary is not None


def test_an_annotation_that_vanishes_before_scoring_fails_its_slides_in_words(study, monkeypatch):
    real = scoring_module.identify

    def gone(path, *more):
        if path.suffix == ".geojson":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return real(path, *more)

    monkeypatch.setattr(scoring_module, "identify", gone)
    score(study)
    said = {row["message"] for row in table(study / "out" / "errors.csv")}
    assert len(said) == 1
    assert "tumor.geojson: No such file or directory: put the file back and run again" in said.pop()
