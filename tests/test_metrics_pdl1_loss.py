"""Marker loss: tumour cells are counted as negative only where their neighbours show the stain worked."""

import numpy as np
import pytest

from spatial_til.metrics.loss import marker_loss
from spatial_til.metrics.ratios import Gates

GATES = Gates(min_tumor_cells=100, min_tiles=8, confidence=0.95)
CORE, INNER, OUTER = 0, 1, 2


def losses(groups: list[tuple[int, bool, bool, int]], *, known: bool = True, n_tiles: int = 10):
    """Return the losses by region of cells given as (compartment, tumour cell, positive, count)."""
    rows = [group[:3] for group in groups for _ in range(group[3])]
    code, tumor, positive = (np.array(column) for column in zip(*rows, strict=True))
    tile = np.arange(len(rows)) % n_tiles
    found = marker_loss("HLA-I", positive, tumor if known else None, code.astype(np.int8), tile, GATES)
    return {loss.compartment: loss for loss in found}


def test_loss_is_the_negative_share_of_tumor_cells():
    loss = losses([(CORE, True, False, 70), (CORE, True, True, 130), (CORE, False, True, 30), (CORE, False, False, 70)])
    core = loss["core"]
    assert (core.percent.value, core.n_negative, core.n_tumor) == (35.0, 70, 200)
    assert (core.control_percent, core.n_control) == (30.0, 100)
    assert core.percent.ci_low < 35 < core.percent.ci_high
    assert core.percent.flags == ()


@pytest.mark.parametrize(("n_positive", "evaluable"), [(10, True), (9, False)])
def test_control_needs_ten_percent(n_positive, evaluable):
    loss = losses([(CORE, True, False, 200), (CORE, False, True, n_positive), (CORE, False, False, 100 - n_positive)])
    assert (loss["core"].percent.value is not None) == evaluable
    assert evaluable or "9.0 % of non-tumour cells are positive, 10 % needed" in loss["core"].percent.reason


def test_a_failed_stain_is_no_loss():
    loss = losses([(CORE, True, False, 500), (CORE, False, False, 500)])
    assert {part.percent.value for part in loss.values()} == {None}


def test_the_control_is_that_of_the_region():
    loss = losses(
        [(CORE, True, False, 200), (CORE, False, False, 50), (INNER, True, False, 200), (INNER, False, True, 50)]
    )
    assert loss["core"].percent.value is None
    assert loss["inner_margin"].percent.value == 100.0
    assert loss["tumor"].percent.value == 100.0
    assert loss["outer_margin"].percent.flags == ("few_tumor_cells",)


def test_few_control_cells_are_no_control():
    assert "9 non-tumour cells" in losses([(CORE, True, False, 200), (CORE, False, True, 9)])["core"].percent.reason


def test_just_enough_cells_of_either_kind_are_enough():
    assert losses([(CORE, True, False, 100), (CORE, False, True, 10)])["core"].percent.value == 100.0


@pytest.mark.parametrize("n_tumor", [0, 99])
def test_few_tumor_cells_are_not_evaluable(n_tumor):
    loss = losses([(CORE, True, False, n_tumor), (CORE, False, True, 50)])["core"]
    assert (loss.percent.value, loss.percent.flags) == (None, ("few_tumor_cells",))


def test_no_tumor_marker_is_unknown():
    loss = losses([(CORE, True, False, 500)], known=False)
    assert {part.percent.flags for part in loss.values()} == {("tumor_cells_unknown",)}


def test_flagged_by_name_where_most_tumor_cells_surely_lack_it():
    sure = losses([(CORE, True, False, 450), (CORE, True, True, 50), (CORE, False, True, 50)])["core"]
    unsure = losses([(CORE, True, False, 55), (CORE, True, True, 50), (CORE, False, True, 50)])["core"]
    assert sure.percent.flags == ("marker_loss:HLA-I",)
    assert unsure.percent.value > 50
    assert unsure.percent.flags == ()
