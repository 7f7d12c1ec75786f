"""Branches that nothing ran and that guard against lost data or a wrong number: locks, journals, frozen cut-offs."""

import fcntl
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spatial_til.errors import CellTableError, ProtocolError, ReviewError, SpatialTilError
from spatial_til.io import lock as locks
from spatial_til.io.cells import read_cells, write_cells
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.lock import locked
from spatial_til.model import Cells, Placement, Threshold
from spatial_til.pipeline.threshold import _frozen, _stain_verified, pool_of
from spatial_til.review.events import ThresholdEdit
from spatial_til.review.journal import open_journal, read_journal
from spatial_til.segmentation.thresholds import draw_cells
from tests.test_pipeline_threshold import add_slide


def cut(value):
    return ThresholdEdit(who="anna", marker="CD8", value=value)


@pytest.mark.parametrize("left", ["nothing", "another file"])
def test_a_lock_whose_file_was_taken_away_in_between_is_taken_anew(tmp_path, monkeypatch, left):
    """Else two runs would hold one folder: one on the name, one on a file without a name."""
    path, calls = tmp_path / "out" / "lock", []
    require_free = locks._require_free

    def slow(descriptor, of, busy):
        require_free(descriptor, of, busy)
        calls.append(descriptor)
        if len(calls) == 1:
            of.unlink()
            if left == "another file":
                of.write_text("")

    monkeypatch.setattr(locks, "_require_free", slow)
    with locked(path):
        assert len(calls) == 2
        assert os.fstat(calls[-1]).st_ino == path.stat().st_ino
        assert f'"pid": {os.getpid()}' in path.read_text()


def test_a_holder_that_has_not_written_its_name_yet_is_still_a_holder(tmp_path):
    path = tmp_path / "out" / ".running" / "lock"
    path.parent.mkdir(parents=True)
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SpatialTilError, match=r"a run is under way here \(another process\)"), locked(path):
            pytest.fail("two runs hold one folder")


def test_a_write_that_stops_half_way_is_not_saved_and_the_next_goes_on(tmp_path, monkeypatch):
    folder, whole = ScoredFolder(tmp_path), os.write
    with open_journal(folder, "S1", "anna") as journal:
        journal.append(cut(0.1))
        with monkeypatch.context() as patch:
            patch.setattr("spatial_til.review.journal.os.write", lambda d, data: whole(d, data[:20]))
            with pytest.raises(ReviewError, match=r"was not saved .the disk is full.: make room"):
                journal.append(cut(0.2))
        journal.append(cut(0.3))
    read = read_journal(folder.review("S1", "anna"))
    assert [e.value for e in read.events if isinstance(e, ThresholdEdit)] == [0.1, 0.3]


def test_a_journal_that_cannot_be_opened_for_writing_is_refused_before_any_edit(tmp_path, monkeypatch):
    folder, really = ScoredFolder(tmp_path), os.open

    def refuse(path, flags, mode=0o777):
        if str(path).endswith(".jsonl"):
            raise PermissionError(13, "Permission denied")
        return really(path, flags, mode)

    monkeypatch.setattr("spatial_til.review.journal.os.open", refuse)
    said = r"cannot be written .Permission denied.: check the folder"
    with pytest.raises(ReviewError, match=said), open_journal(folder, "S1", "anna"):
        pytest.fail("a journal that cannot keep anything is open")
    assert not [p for p in (tmp_path / "review").iterdir() if p.name.endswith(".lock")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is no thresholds.csv that can be read"),
        ("batch,cutoff\na,0.3\n", "is no thresholds.csv that can be read"),
        ("batch,marker,threshold\na,PD-L1,0.3\n", r"must have one row for CD8 \(batches found: none\)"),
        ("batch,marker,threshold\na,CD8,0.3\na,CD8,0.4\n", r"must have one row for CD8 \(batches found: a, a\)"),
        ("batch,marker,threshold\na,CD8,\n", "has no threshold for CD8"),
        ("batch,marker,threshold\na,CD8,nan\n", "has no threshold for CD8"),
        ("batch,marker,threshold\na,CD8,inf\n", "has no threshold for CD8"),
    ],
)
def test_a_frozen_cut_that_is_not_one_number_is_refused(tmp_path, text, said):
    path = tmp_path / "thresholds.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ProtocolError, match=said):
        _frozen(str(path), "a", "CD8")


def test_a_frozen_cut_is_that_of_the_batch_and_never_a_readers(tmp_path):
    path = tmp_path / "thresholds.csv"
    path.write_text("batch,marker,threshold,slide_id\na,CD8,0.9,S1\na,CD8,0.3,\nb,CD8,0.4,\na,PD-L1,0.7,\n")
    assert _frozen(str(path), "a", "CD8") == 0.3
    assert _frozen(str(path), "other", "PD-L1") == 0.7  # the only one of the marker
    assert _frozen("", "a", "CD8") is None


def test_the_cells_drawn_from_a_large_slide_do_not_depend_on_their_order():
    random = np.random.default_rng(0)
    x, y = random.uniform(0, 5000, (2, 3000))
    chosen = draw_cells("S1", x, y, 500)
    assert len(chosen) == 500
    assert (np.diff(chosen) > 0).all()
    order = random.permutation(3000)
    again = draw_cells("S1", x[order], y[order], 500)
    assert sorted(order[again].tolist()) == chosen.tolist()
    assert set(draw_cells("S2", x, y, 500).tolist()) != set(chosen.tolist())
    assert np.histogram(x[chosen], bins=5, range=(0, 5000))[0] == pytest.approx(100, abs=4 * np.sqrt(80))
    assert draw_cells("S1", x[:500], y[:500], 500).tolist() == list(range(500))


def test_a_compartment_that_is_none_is_refused_not_read_as_another(tmp_path):
    path, n = tmp_path / "S1.parquet", 3
    cells = Cells(*(np.arange(n, dtype=float) for _ in range(4)), {})
    placement = Placement(np.zeros(n, dtype=np.int8), np.zeros(n))
    write_cells(path, cells, placement, positive={}, positive_raw={}, tumor_cell=None)
    table = pq.read_table(path)
    column = table.column_names.index("compartment")
    pq.write_table(table.set_column(column, "compartment", pa.array(["core", "cortex", None])), path)
    with pytest.raises(CellTableError, match=r"cortex is no compartment. Score the slide again"):
        read_cells(path)


@pytest.mark.parametrize(("share", "verified"), [(0.02, True), (0.0, False)])
def test_a_positive_control_too_small_for_its_pool_is_asked_alone(tmp_path, share, verified):
    """No cut-off in the batch: the stain worked only where the control by itself has two populations."""
    job = add_slide(ScoredFolder(tmp_path), "S1", 0.0, seed=1)
    random = np.random.default_rng(2)
    none_positive = np.abs(random.normal(0.05, 0.02, 4000))
    control = np.where(random.random(4000) < share, random.normal(0.6, 0.1, 4000), none_positive)
    no_cut = Threshold("", "CD8", None, "unimodal", None, 4000, 0, evaluable=False)
    pooled = [none_positive.astype(np.float32)]
    assert _stain_verified(pool_of(job, "CD8"), no_cut, pooled, [control.astype(np.float32)]) is verified
    assert _stain_verified(pool_of(job, "CD8"), no_cut, pooled, []) is False
