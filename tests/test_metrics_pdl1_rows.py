"""Scores, losses and profiles as rows of spatial.csv."""

from spatial_til.metrics.induction import Induction, ProfileBin
from spatial_til.metrics.loss import Loss
from spatial_til.metrics.nests import NestDensities
from spatial_til.metrics.pdl1 import HScore, Score
from spatial_til.metrics.spatial_rows import h_score_rows, loss_rows, nest_rows, profile_rows, score_rows
from spatial_til.model import Estimate, Value


def test_a_score_row_carries_numerator_and_denominator():
    (row,) = score_rows("S1", [Score("tps_percent", "core", Value(30.0, 20.0, 41.0), 30, 100)])
    assert (row.slide_id, row.metric, row.compartment, row.value, row.ci_low, row.ci_high) == (
        "S1",
        "tps_percent",
        "core",
        30.0,
        20.0,
        41.0,
    )
    assert (row.population_from, row.population_to, row.n_from, row.n_to) == ("tumor", "PD-L1+tumor", 100, 30)
    assert row.radius_um is row.p_value is row.null_mean is None


def test_an_area_score_has_no_cell_counts():
    (row,) = score_rows("S1", [Score("ic_percent", "tumor", Value(2.0), 0.02, 1.0)])
    assert (row.n_from, row.n_to, row.value) == (None, None, 2.0)


def test_an_unknown_score_keeps_its_reason_and_flags():
    unknown = Value(None, reason="99 tumour cells, 100 needed", flags=("few_tumor_cells",))
    (row,) = score_rows("S1", [Score("cps", "core", unknown, 5, 99)])
    assert (row.value, row.reason, row.flags) == (None, unknown.reason, unknown.flags)


def test_an_h_score_is_a_row_and_each_of_its_grades_one_with_its_reason():
    known = HScore("core", Value(120.0, 100.0, 140.0), (50.0, 20.0, 10.0), 100)
    rows = h_score_rows("S1", [known])
    assert [(row.metric, row.value) for row in rows] == [
        ("h_score", 120.0),
        ("h_score_1plus_percent", 50.0),
        ("h_score_2plus_percent", 20.0),
        ("h_score_3plus_percent", 10.0),
    ]
    assert {(row.compartment, row.n_from) for row in rows} == {("core", 100)}
    unknown = HScore("core", Value(None, reason="9 tumour cells, 100 needed"), (None, None, None), 9)
    assert {(row.value, row.reason) for row in h_score_rows("S1", [unknown])} == {(None, "9 tumour cells, 100 needed")}


def test_nests_have_a_row_for_each_side_and_one_for_their_ratio():
    nest, stroma = (Estimate(n, 0.5, 2.0 * n, n, 3.0 * n, 0.1, 9, ("low_count",) * (n < 15)) for n in (10, 40))
    ratio = Value(-2.0, -3.0, -1.0)
    rows = nest_rows("S1", [NestDensities("CD8+", nest, stroma, ratio)])
    assert [(r.metric, r.compartment, r.value, r.ci_low, r.ci_high, r.n_to, r.flags) for r in rows] == [
        ("density_per_mm2", "nest", 20.0, 10, 30.0, 10, ("low_count",)),
        ("density_per_mm2", "stroma", 80.0, 40, 120.0, 40, ()),
        ("log2_nest_stroma", "tumor", -2.0, -3.0, -1.0, None, ()),
    ]
    assert {(r.population_from, r.population_to, r.n_from, r.radius_um) for r in rows} == {("CD8+", "", None, None)}


def test_profile_rows_name_the_last_bin_by_where_it_begins():
    bins = tuple(ProfileBin(edge, Value(50.0), 10, 5) for edge in (15.0, 30.0, 60.0, 120.0, float("inf")))
    nothing = Value(None)
    rows = profile_rows("S1", "pdl1", Induction(nothing, nothing, nothing, 0, 0, 0, bins))
    assert [(row.metric, row.radius_um) for row in rows] == [
        *(("pdl1_near_cd8_percent", edge) for edge in (15.0, 30.0, 60.0, 120.0)),
        ("pdl1_far_from_cd8_percent", 120.0),
    ]
    assert {(row.n_from, row.n_to) for row in rows} == {(10, 5)}


def test_loss_rows():
    (row,) = loss_rows("S1", "hla_i", [Loss("HLA-I", "core", Value(35.0), 70, 200, 30.0, 100)])
    assert (row.metric, row.value, row.n_from, row.n_to) == ("hla_i_loss_percent", 35.0, 200, 70)
