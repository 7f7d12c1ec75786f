"""What a user sees before and while a study runs: plan, bar, lines, estimate."""

import io
import os
import pty
import subprocess
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import tifffile

from benchmarks.estimate_bench import estimated_and_taken
from spatial_til.batch import plan as plans
from spatial_til.batch.estimate import Trial, _seconds
from spatial_til.batch.plan import DECODING_MIB, memory_mib, memory_of_largest, plan
from spatial_til.cli import main
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.journal import read_tiles, tell_tiles
from spatial_til.progress import progress, tiles_under_way
from spatial_til.study import load_study
from tests.batch_study import command, make_study


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("seen"), slides=2)


def test_memory_decides_where_cores_would_allow_more(sheet, monkeypatch):
    jobs = load_study(sheet).jobs * 10
    monkeypatch.setattr(plans, "usable_cores", lambda: 16)
    monkeypatch.setattr(plans, "free_memory_mib", lambda: 3000.0)
    found = plan(jobs, None)
    assert found.workers == int(3000 * plans.SHARE_OF_FREE / found.memory_mib) == 3
    assert str(found) == f"3 workers of 1 thread and about {found.memory_mib:.0f} MiB each (16 cores, 3000 MiB free)"
    assert plan(jobs, 5).workers == 5
    monkeypatch.setattr(plans, "free_memory_mib", lambda: 10.0)
    assert plan(jobs, None).workers == 1


def test_few_slides_share_the_cores_by_threads(sheet, monkeypatch):
    monkeypatch.setattr(plans, "usable_cores", lambda: 8)
    monkeypatch.setattr(plans, "free_memory_mib", lambda: 1e6)
    found = plan(load_study(sheet).jobs, None)
    assert (found.workers, found.threads) == (2, 4)
    assert plan(load_study(sheet).jobs * 4, None).threads == 1


def test_memory_grows_with_slide_and_channels():
    assert memory_mib(1000, 0, 3) - memory_mib(0, 0, 3) == pytest.approx(1000, rel=0.5)
    assert memory_mib(0, 0, 6) > memory_mib(0, 0, 3)
    assert memory_mib(0, 0, 3, guided=True) > memory_mib(0, 0, 3)


def test_a_slide_in_one_strip_is_counted_with_what_decoding_it_takes(tmp_path):
    """The strip as it is stored, and as it is kept: a worker was seen to take that much more than for tiles."""
    job = load_study(make_study(tmp_path, slides=1)).jobs[0]
    tiled = memory_of_largest([job])
    options = {"shape": (9_000, 9_000, 3), "dtype": np.uint8, "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(job.image) as file:
        strip = iter([imagecodecs.zstd_encode(b"")])  # the header is all that is read
        file.write(strip, rowsperstrip=9_000, compression="zstd", **options)
    stripped = memory_of_largest([replace(job, pixel_size_um=0.5)])
    decoding_mib = 2 * 3 * 9_000**2 / 2**20 - DECODING_MIB  # that much is in the rest already
    assert stripped - tiled == pytest.approx(decoding_mib + 9_000**2 / 1e6, rel=0.01)


def test_tiles_are_told_to_others(tmp_path):
    folder = ScoredFolder(tmp_path)
    folder.running.mkdir()
    for slide_id, steps in (("A", 3), ("B", 8)):
        tell = tell_tiles(folder.tiles(slide_id))
        for done in range(1, steps + 1):
            tell(done, 8)
    assert read_tiles(folder.tiles("A")) == (1, 8)  # at most twice a second
    assert read_tiles(folder.tiles("B")) == (8, 8)
    assert tiles_under_way(folder) == (1, 8)
    tell_tiles(tmp_path / "no folder" / "x")(1, 2)


def test_a_log_has_one_line_a_stage(tmp_path, monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    with progress("measure", 3, ScoredFolder(tmp_path), quiet=False) as told:
        for slide_id, what in (("A", "done"), ("B", "kept"), ("C", "failed")):
            told.step(slide_id, what)
    assert said.getvalue() == "measure: 1 done, 1 kept, 1 failed in 0 s\n"


def test_quiet_says_nothing(tmp_path, capsys):
    with progress("measure", 1, ScoredFolder(tmp_path), quiet=True) as told:
        told.step("A", "done")
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_terminal_has_a_bar(sheet, tmp_path):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    score = command("score", sheet, "--out", tmp_path / "out", "--workers", 1)
    with subprocess.Popen(score, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:
                break
        assert process.wait() == 0
        assert b"slides scored" in process.stdout.read()
    os.close(ours)
    assert b"2/2" in said
    assert b"measure" in said
    assert b"score" in said


def test_the_estimate_is_a_line_through_two_trials():
    trials = (Trial(1.0, 2.0, 3.0, 0.0), Trial(4.0, 5.0, 3.0, 0.0))
    assert _seconds(trials, 10.0) == pytest.approx(11.0 + 3.0)
    one_size = (Trial(0.5, 1.0, 1.0, 0.0), Trial(0.5, 2.0, 1.0, 0.0))
    assert _seconds(one_size, 1.0) == pytest.approx(6.0)


@pytest.mark.slow
def test_the_memory_said_before_a_run_is_within_a_factor_of_two(tmp_path):
    """Its time is held to the same by `benchmarks.estimate_bench`: a clock is no test."""
    found = estimated_and_taken(tmp_path, 4, 300.0, workers=1)
    assert found.peak_mib / 2 <= found.said_mib <= found.peak_mib * 2
    assert found.said_s > 0


def test_an_estimate_of_nothing_readable_is_a_problem(tmp_path, capsys):
    sheet = make_study(tmp_path, slides=1, broken=1)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(sheet), "--estimate"])
    assert ended.value.code == 2
    assert "S000" in capsys.readouterr().err


def test_status_of_no_scored_folder_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path)])
    assert ended.value.code == 2
    assert "no run.json" in capsys.readouterr().err
