"""Corrections applied to cells in memory: what fits, what is stale, and calls that came with a table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_til.io.measured import Measured
from spatial_til.model import Call, Cells, SlideMeta, Threshold
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.correcting import SAME_CELL_UM, correct, find_cell
from spatial_til.pipeline.corrections import CellCorrection, Corrections, Place, overridden, review_flags
from spatial_til.protocol import parse_protocol
from spatial_til.study import Job

MARKERS = ("CD8", "PD-L1")
PROTOCOL = {
    "panel": {
        "modality": "fluorescence",
        "channels": {"D": {"marker": "nuclei"}, **{m: {"marker": m} for m in MARKERS}},
    },
    "markers": {m: {"threshold": 0.5, "compartment": "cell", "statistic": "mean"} for m in MARKERS},
}
JOB = Job(SlideMeta("S1", "P1", "baseline"), None, parse_protocol(PROTOCOL))
CUTS = {m: MarkerCut(Threshold("study", m, 0.5, "fixed", None, 4, 2, evaluable=True), verified=True) for m in MARKERS}
#: Four cells in two rows, 50 µm apart; the first two are CD8+.
X, Y = np.array([10.0, 60.0, 10.0, 60.0]), np.array([10.0, 10.0, 60.0, 60.0])
CD8 = np.array([0.9, 0.9, 0.1, 0.1], dtype=np.float32)


def measured(**changes) -> Measured:
    cells = Cells(
        X, Y, np.array([20.0, 30, 40, 50]), np.full(4, 60.0),
        measurements={"CD8_cell_mean": CD8, "PD-L1_cell_mean": CD8[::-1].copy()}, **changes,
    )  # fmt: skip
    return Measured(key="k", cells=cells, tissue=None, image_box=None, pixel_size=None)


def applied(*edits, thresholds=None, of=None, **more):
    return correct(JOB, of or measured(), CUTS, Corrections("anna", thresholds=thresholds or {}, cells=edits, **more))


def place(x, y, what="flip", key="k", **fields):
    return CellCorrection(what, Place(x, y), key, **fields)


def test_without_corrections_nothing_is_copied():
    of = measured()
    found = correct(JOB, of, CUTS, None)
    assert found.measured is of
    assert found.cuts is CUTS
    assert found.stale == ()


def test_a_readers_cut_off_is_not_compared_with_cells_that_were_added():
    found = applied(place(80.0, 80.0, "add", calls={"CD8": True}), thresholds={"CD8": 0.5})
    assert len(found.measured.cells) == 5
    assert (found.cuts["CD8"].threshold.n_cells, found.cuts["CD8"].threshold.n_positive) == (4, 2)


def test_a_flip_holds_under_every_cut_off():
    flip = place(10.0, 60.0, marker="CD8", positive=True)
    for value, others in ((0.5, [True, True, False]), (2.0, [False] * 3)):
        found = applied(flip, thresholds={"CD8": value})
        assert found.calls.positive["CD8"].tolist() == [*others[:2], True, others[2]]
        assert found.calls.positive_raw["CD8"].tolist() == [*others[:2], False, False]


def test_the_batch_is_not_changed_by_a_slide():
    found = applied(thresholds={"CD8": 0.05})
    assert found.calls.positive["CD8"].all()
    assert found.cuts["CD8"].threshold.n_positive == 4
    assert CUTS["CD8"].threshold.threshold == 0.5


def test_an_added_cell_has_median_areas_and_no_intensities():
    cells = applied(place(30.0, 30.0, "add", calls={"CD8": True})).measured.cells
    assert list(zip(cells.x_um, cells.y_um, strict=True)) == [(10, 10), (60, 10), (30, 30), (10, 60), (60, 60)]
    assert cells.nucleus_area_um2.tolist() == [20, 30, 35, 40, 50]
    assert np.isnan(cells.measurements["CD8_cell_mean"][2])
    assert cells.measurements["CD8_cell_mean"].dtype == np.float32


def test_where_a_cell_is_measured_none_is_added():
    found = applied(place(10.5, 10.0, "add", key="older", calls={"CD8": True}))
    assert len(found.measured.cells) == 4
    assert [(s.what, s.reason) for s in found.stale] == [("add", "a cell is measured here now")]


def test_a_cell_that_was_removed_makes_room_for_one():
    found = applied(place(10.0, 10.0, "remove"), place(10.0, 10.0, "add", calls={"PD-L1": True}))
    assert len(found.measured.cells) == 4
    assert found.calls.positive["PD-L1"].tolist() == [True, False, True, True]
    assert found.calls.positive["CD8"].tolist() == [False, True, False, False]
    assert found.stale == ()


@pytest.mark.parametrize(("key", "moved_um", "fits"), [("k", 0.0, True), ("k", 0.5, False), ("older", 0.5, True),
                                                       ("older", SAME_CELL_UM + 0.1, False)])  # fmt: skip
def test_only_after_measuring_again_a_cell_may_have_moved(key, moved_um, fits):
    found = applied(place(10.0 + moved_um, 60.0, key=key, marker="CD8", positive=True))
    assert bool(found.calls.positive["CD8"][2]) is fits
    assert len(found.stale) == (not fits)
    corrections = Corrections("anna", cells=(place(10.0 + moved_um, 60.0, key=key, marker="CD8", positive=True),))
    assert review_flags(corrections, found.stale) == (("reviewed",) if fits else ("stale_edit",))


def test_markers_that_are_not_called_are_told():
    found = applied(place(10.0, 10.0, marker="CD3", positive=True), place(30.0, 30.0, "add", calls={"CD4": True}),
                    thresholds={"CD3": 1.0})  # fmt: skip
    assert [(s.what, s.marker) for s in found.stale] == [("threshold", "CD3"), ("flip", "CD3"), ("call", "CD4")]
    assert len(found.measured.cells) == 5


def test_calls_that_came_with_a_table_are_flipped_and_have_no_cut_off():
    of = measured(calls={"CD8": np.array([False, False, True, True])})
    edits = (place(10.0, 10.0, marker="CD8", positive=True), place(30.0, 30.0, "add", calls={"CD8": True}))
    found = applied(*edits, thresholds={"CD8": 0.2}, of=of)
    assert found.calls.positive["CD8"].tolist() == [True, False, True, True, True]
    assert [s.reason for s in found.stale] == ["no cut-off decides CD8 on this slide"]


def test_a_class_keeps_what_was_computed():
    call = Call("desert", "indeterminate", {"desert": 0.6}, "core 1/mm²")
    found = overridden(call, Corrections("anna", phenotype="excluded", reason="septa"))
    assert (found.call, found.point, found.probabilities) == ("excluded", "desert", {"desert": 0.6})
    assert found.reason == "anna: septa; computed: indeterminate, core 1/mm²"
    assert overridden(call, None) is call


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, unique=True),
       st.tuples(st.floats(-1, 41), st.floats(-1, 41)), st.floats(0, 3))  # fmt: skip
def test_the_nearest_cell_is_found(points, at, reach):
    xy = np.array(sorted(points, key=lambda p: (p[1], p[0])), dtype=float)
    cells = Cells(xy[:, 0], xy[:, 1], np.zeros(len(xy)), np.zeros(len(xy)))
    distance = np.hypot(*(xy - at).T)
    found = find_cell(cells, Place(*at), within_um=reach)
    if found is None:
        assert distance.min() > reach
    else:
        assert distance[found] == distance.min() <= reach


def test_a_digest_changes_with_every_digit():
    base = Corrections("anna", thresholds={"CD8": 0.1 + 0.2})
    assert base.digest() == Corrections("anna", thresholds={"CD8": 0.1 + 0.2}).digest()
    assert base.digest() != Corrections("anna", thresholds={"CD8": 0.3}).digest()
