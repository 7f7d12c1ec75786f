"""Real runs, killed at random moments or stopped by a limit on file size: going on gives the folder of a calm run."""

import random
import resource
import subprocess

import pytest

from tests.batch_study import command, contents, files, kill, make_study, run, table

KILLS = 5
FILE_BYTES = 60_000


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A study, and the folder of a run that nobody touched."""
    folder = tmp_path_factory.mktemp("kill")
    sheet = make_study(folder / "in", slides=2)
    done = run("score", sheet, "--out", folder / "calm", "--workers", 1)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_five_kills_and_the_folder_is_that_of_a_calm_run(calm):
    """Moments are drawn by files written, so that the time of imports takes no share of the kills."""
    out, rng = calm / "killed", random.Random(8)
    score = command("score", calm / "in" / "study.csv", "--out", out, "--workers", 1)
    killed = 0
    for wanted in sorted(rng.randint(1, files(calm / "calm")) for _ in range(KILLS)):
        with subprocess.Popen(score, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            killed += kill(process, out, wanted)
    assert killed >= 3
    last = subprocess.run(score, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert contents(out) == contents(calm / "calm")


@pytest.mark.slow
def test_files_that_may_not_grow_fail_their_slides_and_nothing_is_lost(calm):
    out = calm / "small"
    score = command("score", calm / "in" / "study.csv", "--out", out, "--workers", 1, "--quiet")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))

    limited = subprocess.run(score, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert limited.returncode == 1, limited.stderr
    assert "allow larger files" in limited.stderr
    assert {row["stage"] for row in table(out / "errors.csv")} == {"measure"}
    assert list(out.rglob("*.part*")) == []
    last = subprocess.run(score, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert contents(out, history=False) == contents(calm / "calm", history=False)
