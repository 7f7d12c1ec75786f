"""The same study three times: other workers, tiles, locale, time zone and layout on disk, the same bytes."""

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


@pytest.mark.slow
def test_three_runs_give_the_same_bytes(tmp_path, monkeypatch):
    sheet = make_study(tmp_path / "study", 3, 200.0)
    environments = [
        {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
        # whichever of these locales the machine has: both write 1,5 for 1.5, and Turkish has two kinds of i
        {"TZ": "Pacific/Chatham", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "77",
         "PYTHONIOENCODING": "ascii", "SPATIAL": "é"},
    ]  # fmt: skip
    for k, more in enumerate(environments, 1):
        arguments = command("score", sheet, "--out", tmp_path / f"out{k}", "--workers", k, "--quiet")
        done = subprocess.run(arguments, env=os.environ | more, capture_output=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr.decode()
    real = segmentation.measure_slide
    monkeypatch.setattr("spatial_til.pipeline.measure.measure_slide", lambda *a, **k: real(*a, **k | {"tile_px": 128}))
    with in_this_process():
        again = load_study(rewritten(tmp_path / "study", tmp_path / "again"))
        score_study(again, tmp_path / "out3", workers=1, quiet=True)
    first, second, third = (results(tmp_path / f"out{k}") for k in (1, 2, 3))
    assert len([name for name in first if name.startswith("tables/")]) >= 9
    assert first == second
    assert {n for n in first if first[n] != third.get(n)} == set()
    assert set(first) == set(third)
