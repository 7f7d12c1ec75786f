"""An outline that may be another slide's is scored as drawn, but told wherever its figures are read."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
from shapely.affinity import translate

from tests.acceptance_study import (
    PIXEL_UM,
    TISSUE,
    TUMOR,
    command,
    protocol,
    scatter,
    write_qupath,
    write_regions,
    write_sheet,
)
from tests.inline import stages_here  # noqa: F401

TOLD = "% of the tumour drawn lies off the tissue and is not counted: look at the outline"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doubts")
    protocol(folder, "protocol.toml")
    xy = scatter(TISSUE, 1000, 1)
    write_qupath(folder / "cells.csv", xy, np.where(np.arange(len(xy)) % 5 == 0, "CD8", ""))
    moved = translate(TUMOR, TISSUE.bounds[2] - TUMOR.bounds[2] + 200)
    for name, tumor in (("right", TUMOR), ("moved", moved)):
        write_regions(folder / f"{name}.geojson", Tissue=TISSUE, Tumor=tumor)
    usual = {"patient_id": "P", "image": "", "lesion": "L", "pixel_size_um": PIXEL_UM, "cells": "cells.csv"}
    times = {"right": "baseline", "moved": "progression"}
    rows = [{"slide_id": s, "timepoint": t, "annotation": f"{s}.geojson", **usual} for s, t in times.items()]
    write_sheet(folder / "study.csv", rows)
    said = io.StringIO()
    with redirect_stdout(said):
        command("score", folder / "study.csv", "--out", folder / "out", "--workers", 1, "--quiet", status=0)
    return folder / "out", said.getvalue()


def test_the_last_lines_of_a_run_name_the_slide_and_what_is_wrong(scored):
    told = [line for line in scored[1].splitlines() if TOLD in line]
    assert len(told) == 1
    assert told[0].startswith("moved, scored all the same: ")


def test_the_report_says_so_above_the_figures_and_the_record_too(scored):
    folder, _ = scored
    slides = json.loads((folder / "run.json").read_text(encoding="utf-8"))["slides"]
    assert slides["right"]["doubts"] == []
    assert TOLD in slides["moved"]["doubts"][0]
    command("report", folder, status=0)
    page = (folder / "report.html").read_text(encoding="utf-8")
    article = page[page.index('<article class="slide"') :].split("</article>")
    shown = ["Look at the outlines first" in part.partition("<h4>")[0] for part in article if "<article" in part]
    assert sorted(shown) == [False, True]
