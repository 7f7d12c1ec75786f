"""Real runs, killed at random moments, stopped by a limit on file size, or out of memory; going on loses nothing."""

import random
import resource
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from spatial_til.batch import runs, score_study, stages
from spatial_til.io.slides import tiff_level
from spatial_til.study import load_study
from tests.acceptance_study import command as whole
from tests.batch_study import command, contents, files, kill, make_study, table
from tests.inline import in_this_process

KILLS = 5
FILE_BYTES = 60_000


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A study, and the folder of a run that nobody touched."""
    folder = tmp_path_factory.mktemp("kill")
    make_study(folder / "in", slides=2)
    go_on(folder, folder / "calm")
    return folder


def go_on(folder, out):
    """Score the study to its end, in this process: what is looked at is what was left to it, and what it leaves."""
    with in_this_process():
        whole("score", folder / "in" / "study.csv", "--out", out, "--workers", 1, "--quiet", status=0)


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
    go_on(calm, out)
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
    go_on(calm, out)
    assert contents(out, history=False) == contents(calm / "calm", history=False)


SIDE_PX = 18_000  # in one strip, decoded in one go: 0.9 GiB, and once more while it is
ROOM_BYTES = 1 << 30


def measure_in_little_memory(task):
    """Measure, the slide of one strip in a process that may map 1 GiB more and no further, and count the tries.

    Such a strip is refused by its header. Here it is let through, to be what asks for more memory than there is.
    """
    with task.folder.root.with_name(f"tries-{task.job.slide_id}").open("a") as file:
        file.write(".")
    if task.job.slide_id != "S001":
        return stages.measure_one(task)
    tiff_level.MAX_TILE_BYTES = 1 << 30
    mapped = 1024 * int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0])
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (mapped + ROOM_BYTES, before[1]))
    try:
        return stages.measure_one(task)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.slow
def test_a_slide_that_needs_too_much_memory_fails_alone_after_one_more_try(tmp_path, monkeypatch):
    sheet = make_study(tmp_path / "in", slides=3)
    data = imagecodecs.zstd_encode(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8), level=1)
    with tifffile.TiffWriter(tmp_path / "in" / "S001.ome.tif", bigtiff=True) as file:
        shape = {"shape": (SIDE_PX, SIDE_PX, 3), "dtype": np.uint8, "rowsperstrip": SIDE_PX, "photometric": "rgb"}
        px = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER", "metadata": None}
        file.write(iter([data]), compression="zstd", **shape, **px)
    monkeypatch.setattr(runs, "measure_one", measure_in_little_memory)
    summary = score_study(load_study(sheet), tmp_path / "out", workers=1, quiet=True)
    (failure,) = summary.failures
    assert (failure.slide_id, failure.stage) == ("S001", "measure")
    assert "out of memory" in failure.message  # the strip itself, or the first array after it
    assert (tmp_path / "tries-S001").read_text() == ".."
    assert [row["slide_id"] for row in table(tmp_path / "out" / "tables" / "slide_scores.csv")] == ["S000", "S002"]
    assert [row["slide_id"] for row in table(tmp_path / "out" / "errors.csv")] == ["S001"]
