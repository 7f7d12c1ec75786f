"""The same study twice: other workers, tiles, locale, time zone and layout on disk, the same bytes."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from spatial_til.batch import score_study
from spatial_til.segmentation import slide as segmentation
from spatial_til.study import load_study
from tests.batch_study import command, contents, make_study
from tests.inline import in_this_process


def rewritten(folder: Path, other: Path) -> Path:
    """Copy a study, its slides stored in other tiles, without loss; return the sheet."""
    shutil.copytree(folder, other)
    for path in other.glob("*.ome.tif"):
        path.unlink()
        with tifffile.TiffFile(folder / path.name) as tif:
            levels = [level.asarray() for level in tif.series[0].levels]
        sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "axes": "YXS"}
        options = {"photometric": "rgb", "compression": "zlib"}
        with tifffile.TiffWriter(path, ome=True) as tif:
            tif.write(levels[0], tile=(48, 112), subifds=len(levels) - 1, metadata=sizes, **options)
            for level in levels[1:]:
                tif.write(np.ascontiguousarray(level), rowsperstrip=7, subfiletype=1, metadata=None, **options)
    return other / "study.csv"


def results(out: Path) -> dict[str, bytes]:
    """Return the tables, regions and pictures, which name no path and no time."""
    return {
        n: data for n, data in contents(out).items() if n.startswith(("tables/", "regions/", "thumbnails/", "cells/"))
    }


#: Whichever of these locales the machine has: both write 1,5 for 1.5, and Turkish has two kinds of i.
ELSEWHERE = {
    "TZ": "Pacific/Chatham",
    "LC_ALL": "tr_TR.UTF-8",
    "LANG": "de_DE.UTF-8",
    "PYTHONHASHSEED": "77",
    "PYTHONIOENCODING": "ascii",
    "SPATIAL": "é",
}


@pytest.mark.slow
def test_two_runs_that_share_nothing_but_the_study_give_the_same_bytes(tmp_path, monkeypatch):
    """All that may differ does at once: whatever matters shows, and a run of its own for each would show no more."""
    sheet = make_study(tmp_path / "study", 3, 200.0)
    arguments = command("score", sheet, "--out", tmp_path / "elsewhere", "--workers", 2, "--quiet")
    done = subprocess.run(arguments, env=os.environ | ELSEWHERE, capture_output=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr.decode()
    real = segmentation.measure_slide
    monkeypatch.setattr("spatial_til.pipeline.measure.measure_slide", lambda *a, **k: real(*a, **k | {"tile_px": 128}))
    with in_this_process():
        again = load_study(rewritten(tmp_path / "study", tmp_path / "again"))
        score_study(again, tmp_path / "here", workers=1, quiet=True)
    there, here = (results(tmp_path / name) for name in ("elsewhere", "here"))
    assert len([name for name in here if name.startswith("tables/")]) >= 9
    assert {name for name in here if here[name] != there.get(name)} == set()
    assert set(here) == set(there)
