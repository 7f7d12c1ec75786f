"""Folders and files that are not what they are taken for: refused with what is missing, all of it at once."""

from types import SimpleNamespace

import numpy as np
import pytest

from spatial_til import export
from spatial_til.batch.studies import single_study
from spatial_til.errors import CellTableError, SlideError, SpatialTilError, StudyError, TrainingError
from spatial_til.export import export_folder
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.labels import open_labels, write_labels
from spatial_til.io.measured import write_measured
from spatial_til.pipeline.measure import MeasureTask, measure
from spatial_til.pipeline.training import strokes_in
from spatial_til.review import worklist
from spatial_til.units import PixelSize
from tests.test_corners_of_input import job
from tests.test_stored_corners import measured


@pytest.mark.parametrize("shape", [(9, 8), (8, 9), (16, 16)])
def test_labels_of_another_image_are_refused_and_not_stretched(tmp_path, shape):
    path = tmp_path / "labels.tif"
    write_labels(path, np.zeros(shape, np.uint16), pixel_size=PixelSize(0.5, 0.5))
    with pytest.raises(CellTableError, match=rf"must have the image's 8 x 8 pixels, found {shape[1]} x {shape[0]}"):
        open_labels(path, SimpleNamespace(shape=(8, 8)))
    labels = open_labels(path, SimpleNamespace(shape=shape))
    assert labels.shape == shape
    labels.close()


def test_strokes_of_no_slide_are_not_left_out_in_silence(tmp_path):
    folder, drawn = ScoredFolder(tmp_path / "out"), tmp_path / "drawn"
    drawn.mkdir()
    with pytest.raises(TrainingError) as refused:
        strokes_in(folder, drawn)
    assert "holds no strokes" in refused.value.problems[0]
    folder.measured("S1").parent.mkdir(parents=True)
    write_measured(folder.measured("S1"), measured())
    for name in ("S1", "S2", "s1"):
        (drawn / f"{name}.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(TrainingError) as refused:
        strokes_in(folder, drawn)
    assert [problem.split(" is measured")[0].rpartition(": ")[2] for problem in refused.value.problems] == [
        "no slide S2",
        "no slide s1",
    ]


def test_all_that_one_image_lacks_is_said_at_once(tmp_path):
    with pytest.raises(StudyError) as refused:
        single_study(tmp_path / "a.tif", None, [tmp_path / "a.geojson"], None)
    found = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 3
    for words in ("file not found: ", "a.tif: correct the path", "a.geojson: correct the path", "no protocol: give"):
        assert words in found


@pytest.mark.parametrize("form", ["anndata", "qupath"])
def test_a_folder_without_scored_cells_exports_nothing(tmp_path, monkeypatch, form):
    control = SimpleNamespace(slide_id="C", control="negative", cells=None, annotations=())
    monkeypatch.setattr(export, "jobs_from_record", lambda _: SimpleNamespace(jobs=(job(), control)))
    with pytest.raises(SpatialTilError, match=rf"holds no scored cells that {form} can take: score the study first"):
        export_folder(tmp_path, form, None)
    with pytest.raises(SpatialTilError, match=r"format must be one of .*; found 'pdf'"):
        export_folder(tmp_path, "pdf", None)


def test_a_folder_whose_tables_are_missing_has_no_worklist(tmp_path, monkeypatch):
    monkeypatch.setattr(worklist, "jobs_from_record", lambda _: SimpleNamespace(jobs=(job(),)))
    with pytest.raises(SpatialTilError, match=r"a table is missing or is none of ours \(.*\): run rescore"):
        worklist.worklist(tmp_path)


def test_a_slide_with_neither_image_nor_cells_is_not_an_empty_one(tmp_path):
    with pytest.raises(SlideError, match="S1: no image and no cells: fill one of them in the study sheet"):
        measure(MeasureTask(job(None), ScoredFolder(tmp_path)))
