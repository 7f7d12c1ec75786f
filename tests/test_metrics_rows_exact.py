"""What tables say of scores, losses, pooled values and comparisons: every field and every reason, to the letter."""

import math

import numpy as np
import pytest
from scipy import stats

from spatial_til.metrics.depth import depth_profile
from spatial_til.metrics.grid import GridCounts, grid_phenotype
from spatial_til.metrics.induction import Induction, ProfileBin
from spatial_til.metrics.loss import marker_loss
from spatial_til.metrics.merging import merge_fragments
from spatial_til.metrics.nests import NestDensities
from spatial_til.metrics.pdl1 import HScore, Score
from spatial_til.metrics.pooled_values import pooled_values
from spatial_til.metrics.ratios import Gates
from spatial_til.metrics.seeding import seeded_generator
from spatial_til.metrics.spatial_rows import (
    SpatialRow,
    h_score_rows,
    induction_row,
    loss_rows,
    nest_rows,
    profile_rows,
    score_rows,
)
from spatial_til.model import Estimate, TileCounts, Value
from tests.slides_by_hand import counted, slide

# --- rows of spatial.csv


def test_rows_of_scores_have_what_they_divide():
    value = Value(25.0, 20.0, 30.0, 2.0, 9, "why", ("flag",))
    found = score_rows("s", [Score(m, "core", value, 5.0, 20.0) for m in ("tps_percent", "cps", "ic_percent")])
    shared = {"value": 25.0, "ci_low": 20.0, "ci_high": 30.0, "reason": "why", "flags": ("flag",)}
    assert found == [
        SpatialRow("s", "tps_percent", "tumor", "PD-L1+tumor", "core", None, **shared, n_from=20, n_to=5),
        SpatialRow("s", "cps", "tumor", "PD-L1+", "core", None, **shared, n_from=20, n_to=5),
        SpatialRow("s", "ic_percent", "", "PD-L1+nontumor", "core", None, **shared),
    ]
    unknown = score_rows("s", [Score("cps", "core", value, None, None)])[0]
    assert (unknown.n_from, unknown.n_to) == (None, None)


def test_rows_of_h_scores_give_the_reason_to_each_share():
    value = Value(150.0, 140.0, 160.0, reason="why", flags=("flag",))
    found = h_score_rows("s", [HScore("core", value, (25.0, None, 5.0), 20)])
    names = ("tumor", "PD-L1+tumor", "core", None)
    assert found == [
        SpatialRow("s", "h_score", *names, 150.0, 140.0, 160.0, n_from=20, reason="why", flags=("flag",)),
        SpatialRow("s", "h_score_1plus_percent", *names, 25.0, n_from=20, reason="why"),
        SpatialRow("s", "h_score_2plus_percent", *names, None, n_from=20, reason="why"),
        SpatialRow("s", "h_score_3plus_percent", *names, 5.0, n_from=20, reason="why"),
    ]


def test_rows_of_a_profile_end_with_the_cells_far_from_all():
    bins = tuple(ProfileBin(to, Value(p), n, k) for to, p, n, k in ((15.0, 50.0, 4, 2), (60.0, 25.0, 8, 2),
                                                                  (math.inf, 0.0, 3, 0)))  # fmt: skip
    found = profile_rows("s", "pdl1", Induction(Value(1.0), Value(1.0), Value(1.0), 4, 3, 2, bins))
    names = ("tumor", "CD8+", "core+inner_margin")
    assert found == [
        SpatialRow("s", "pdl1_near_cd8_percent", *names, 15.0, 50.0, n_from=4, n_to=2),
        SpatialRow("s", "pdl1_near_cd8_percent", *names, 60.0, 25.0, n_from=8, n_to=2),
        SpatialRow("s", "pdl1_far_from_cd8_percent", *names, 60.0, 0.0, n_from=3, n_to=0),
    ]


def test_the_row_of_induction_says_why_there_is_none():
    names = ("tumor", "CD8+", "core+inner_margin")
    why = "9 positive tumour cells among them, 10 needed"
    none, some = Value(None, reason=why), Value(2.0, 1.0, 3.0, flags=("f",))
    found = [induction_row("s", "hla_i", Induction(value, none, none, 302, 1523, 9, ())) for value in (none, some)]
    assert found == [
        SpatialRow("s", "hla_i_induction_log2", *names, None, None, n_from=1825, n_to=9, reason=why),
        SpatialRow("s", "hla_i_induction_log2", *names, None, 2.0, 1.0, 3.0, n_from=1825, n_to=9, flags=("f",)),
    ]
    unknown = Value(None, reason="the panel has no tumour marker", flags=("tumor_cells_unknown",))
    row = induction_row("s", "pdl1", Induction(unknown, none, none, 0, 0, 0, ()))
    assert (row.n_from, row.n_to) == (None, None)


def test_a_density_without_tissue_says_so():
    nest, nowhere = Estimate(4, 2.0, 2.0, 1.0, 3.0, 0.1, 5), Estimate(0, 0.0, None, None, None, None, 0)
    found = nest_rows("s", [NestDensities("CD8+", nest, nowhere, Value(None, reason="r"))])
    assert [(row.compartment, row.value, row.reason) for row in found] == [
        ("nest", 2.0, ""),
        ("stroma", None, "no tissue there"),
        ("tumor", None, "r"),
    ]


def test_rows_of_nests_have_both_densities_and_their_ratio():
    nest, stroma = Estimate(4, 2.0, 2.0, 1.0, 3.0, 0.1, 5, ("low_count",)), Estimate(6, 1.0, 6.0, 4.0, 9.0, 0.1, 5)
    found = nest_rows("s", [NestDensities("CD8+", nest, stroma, Value(-1.5, -2.0, -1.0, reason="r"))])
    assert found == [
        SpatialRow("s", "density_per_mm2", "CD8+", "", "nest", None, 2.0, 1.0, 3.0, n_to=4, flags=("low_count",)),
        SpatialRow("s", "density_per_mm2", "CD8+", "", "stroma", None, 6.0, 4.0, 9.0, n_to=6),
        SpatialRow("s", "log2_nest_stroma", "CD8+", "", "tumor", None, -1.5, -2.0, -1.0, reason="r"),
    ]


# --- loss


def lost(n_tumor=20, n_negative=15, n_control=10, n_control_positive=1, least=20):
    """Return the loss in the core, its cells dealt to five tiles one after the other."""
    n = n_tumor + n_control
    k = np.arange(n)
    tumor = k < n_tumor
    positive = np.where(tumor, k >= n_negative, k - n_tumor < n_control_positive)
    found = marker_loss("B2M", positive, tumor, np.zeros(n, dtype=np.int8), k % 5, Gates(least, 5, 0.9))
    return next(loss for loss in found if loss.compartment == "core")


def test_loss_is_the_share_of_negative_tumour_cells_where_the_control_is_positive():
    found = lost()
    assert (found.marker, found.percent.value, found.percent.dof) == ("B2M", 75.0, 4)
    assert (found.n_negative, found.n_tumor, found.n_control) == (15, 20, 10)
    assert found.control_percent == pytest.approx(10.0)
    assert found.percent.flags == ()  # its lower limit is below one half
    sure = lost(100, 95, 20, 10)
    assert sure.percent.ci_low > 50
    assert sure.percent.flags == ("marker_loss:B2M",)
    rows = loss_rows("s", "b2m", [found])
    value = found.percent
    assert rows == [
        SpatialRow("s", "b2m_loss_percent", "tumor", "B2M negative tumor", "core", None, 75.0, value.ci_low,
                   value.ci_high, n_from=20, n_to=15)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"n_tumor": 19}, Value(None, reason="19 tumour cells, 20 needed", flags=("few_tumor_cells",))),
        ({"n_tumor": 0, "n_negative": 0, "least": 0},
         Value(None, reason="0 tumour cells, 0 needed", flags=("few_tumor_cells",))),
        ({"n_control": 9}, Value(None, reason="no internal control: 9 non-tumour cells, 10 needed")),
        ({"n_control": 0}, Value(None, reason="no internal control: 0 non-tumour cells, 10 needed")),
        ({"n_control": 11},
         Value(None, reason="no internal control: 9.1 % of non-tumour cells are positive, 10 % needed")),
    ],
)  # fmt: skip
def test_a_loss_that_cannot_be_judged_says_why(change, expected):
    assert lost(**change).percent == expected


def test_without_a_tumour_marker_no_loss_is_known():
    none = np.zeros(0, dtype=bool)
    found = marker_loss("B2M", none, None, np.zeros(0, np.int8), np.zeros(0, int), Gates(1, 1, 0.9))
    unknown = Value(None, reason="the panel has no tumour marker", flags=("tumor_cells_unknown",))
    assert {(x.marker, x.percent, x.n_negative, x.n_tumor, x.control_percent, x.n_control) for x in found} == {
        ("B2M", unknown, None, None, None, None)
    }


# --- pooled values


def pool(name, *of, cells=(100, 300, 100)):
    slides = [
        slide(f"s{n}", values={name: v}, estimates={("tumor", "tumor"): counted(n), ("CD8+", "tumor"): counted(2 * n)})
        for v, n in zip(of, cells, strict=False)
    ]  # fmt: skip
    return pooled_values(slides, confidence=0.9)[name]


def test_two_slides_are_averaged_by_their_cells_with_welchs_degrees_of_freedom():
    found = pool(
        "tps_percent",
        Value(10.0, None, None, 2.0, 6, flags=("a", "b")),
        Value(30.0, None, None, 1.0, 9, flags=("b", "c")),
    )
    parts = np.array([0.25 * 2, 0.75 * 1]) ** 2
    sigma, dof = math.sqrt(parts.sum()), parts.sum() ** 2 / (parts[0] ** 2 / 6 + parts[1] ** 2 / 9)
    half = stats.t.ppf(0.95, dof) * sigma
    assert found == Value(25.0, pytest.approx(25 - half), pytest.approx(25 + half), pytest.approx(sigma), int(dof), "",
                          ("a", "b", "c"))  # fmt: skip
    apart = pool("pdi_cd8", Value(0.1, None, None, 0.01, 6), Value(0.3, None, None, 0.01, 6))
    assert apart.value == pytest.approx(0.25)  # by its own cells in the tumour, which go as those


def test_log_odds_are_weighted_by_their_precision():
    found = pool("pdl1_induction_log2", Value(1.0, None, None, 0.5, 8), Value(2.0, None, None, 1.0, 8))
    assert found.value == pytest.approx((4 * 1 + 1 * 2) / 5)
    assert pool("pdl1_induction_log2", Value(1.0, None, None, 0.5, 8), Value(2.0)).value == 1.0
    no_weight = pool("pdl1_induction_log2", Value(1.0), Value(2.0))
    assert no_weight == Value(None, reason="several slides, and nothing to weight them by")


def test_what_one_slide_has_is_its_own_and_what_none_has_keeps_its_reason():
    own = Value(10.0, 9.0, 11.0, 0.4, 5, "r", ("f",))
    assert pool("tps_percent", own, Value(None, reason="few")) is own
    nothing = pool("tps_percent", Value(None, reason="first"), Value(None, reason="second"))
    assert nothing == Value(None, reason="first")
    unsure = pool("tps_percent", Value(10.0, flags=("f",)), Value(30.0, flags=("g",)))
    assert unsure == Value(25.0, reason="no interval on every slide", flags=("f", "g"))
    assert pooled_values([slide(values={"log2_core_margin_cd8": own})], confidence=0.9) == {}


def test_three_slides_take_the_larger_of_their_errors():
    of = [Value(v, None, None, 0.1, 6) for v in (10.0, 20.0, 40.0)]
    found = pool("tps_percent", *of)
    between = math.sqrt(1.5 * ((0.2 * 12) ** 2 + (0.6 * 2) ** 2 + (0.2 * 18) ** 2))
    assert (found.value, found.sigma, found.dof) == (pytest.approx(22.0), pytest.approx(between), 2)
    wide = [Value(v, None, None, 30.0, 6) for v in (10.0, 20.0, 40.0)]
    assert pool("tps_percent", *wide).sigma == pytest.approx(30 * math.sqrt(0.04 + 0.36 + 0.04))


# --- fragments and bands


def merged(area, pairs, *, smallest=1.0, centre=None):
    first, second, shared = (np.array(x) for x in zip(*pairs, strict=True)) if pairs else (np.zeros(0, int),) * 3
    centre = np.column_stack((np.arange(float(len(area))), np.zeros(len(area)))) if centre is None else centre
    return merge_fragments(np.array(area), first, second, shared, centre, smallest=smallest).tolist()


def test_the_smallest_fragment_joins_first_along_its_longest_edge():
    assert merged([2.0, 0.5, 3.0], [(0, 1, 5.0), (1, 2, 4.0)]) == [0, 0, 1]
    assert merged([2.0, 0.5, 3.0], [(0, 1, 4.0), (1, 2, 4.0)]) == [0, 1, 1]  # of equal edges, the larger
    assert merged([3.0, 0.5, 3.0], [(0, 1, 4.0), (1, 2, 4.0)]) == [0, 0, 1]  # of equal tiles, the first
    assert merged([0.6, 0.5, 3.0], [(0, 1, 4.0), (1, 2, 1.0)]) == [0, 0, 1]  # together they are large enough
    assert merged([0.4, 0.5, 3.0], [(0, 1, 4.0), (1, 2, 1.0)]) == [0, 0, 0]  # not yet: on to the next
    assert merged([1.0, 3.0], [(0, 1, 4.0)]) == [0, 1]  # just large enough
    # what 1 shared with 2 goes to 0, which then shares 3 + 2 with it, more than 4 with 3
    assert merged([0.3, 0.2, 2.0, 2.0], [(0, 1, 9.0), (1, 2, 3.0), (0, 2, 2.0), (0, 3, 4.0)]) == [0, 0, 0, 1]


def test_a_fragment_that_touches_nothing_joins_the_nearest_tile():
    assert merged([2.0, 3.0, 0.5], []) == [0, 1, 1]
    assert merged([0.5, 0.4], []) == [0, 1]  # no tile to join
    far = np.array([[0.0, 0.0], [100.0, 0.0], [40.0, 0.0]])
    assert merged([2.0, 3.0, 0.5], [], centre=far) == [0, 1, 0]


def test_a_band_has_the_spread_of_the_compartment_that_holds_its_middle():
    n = np.array([4, 0, 9, 2])
    tiles = {
        name: TileCounts("s", name, 200.0, np.full(4, 0.04), {"CD8+": n * k}, np.zeros(4), np.zeros(4))
        for k, name in enumerate(("outside", "core", "inner_margin", "outer_margin"), start=1)
    }
    edges = [-700.0, -500.0, 0.0, 100.0, 150.0]
    band = np.array([0, 0, 1, 2, 2, 2, -1, 3])
    members = np.array([1, 0, 1, 1, 1, 1, 1, 1], dtype=bool)
    found = depth_profile(edges, np.array([0.1, 0.2, 0.3, 1e-7]), band, {"CD8+": members}, tiles,
                          inner_um=500.0, outer_um=500.0, confidence=0.9)  # fmt: skip
    assert [(b.population, b.from_um, b.to_um, b.estimate.n_cells, b.estimate.area_mm2) for b in found] == [
        ("CD8+", -700.0, -500.0, 1, 0.1), ("CD8+", -500.0, 0.0, 1, 0.2), ("CD8+", 0.0, 100.0, 3, 0.3),
        ("CD8+", 100.0, 150.0, 1, 0.0),
    ]  # fmt: skip
    for b, k in zip(found[:3], (2, 3, 4), strict=True):
        expected = k * n.sum() / 4
        ratio = ((k * n - expected) ** 2 / expected).sum() / 3
        reach = math.exp(stats.t.ppf(0.95, 3) * math.sqrt(ratio / b.estimate.n_cells))
        assert b.estimate.dof == 3
        assert b.estimate.ci_high == pytest.approx(b.estimate.density_per_mm2 * reach)


# --- grid


def grid(nest, nest_mm2, stroma, stroma_mm2, **changes):
    counts = GridCounts(*(np.array(x) for x in (nest, nest_mm2, stroma, stroma_mm2)))
    options = {"min_squares": 3, "min_class_probability": 0.5, "draws": 300, "seed": 1, "key": "s"}
    return grid_phenotype(counts, **(options | changes))


def test_a_square_needs_more_than_the_cut_off_and_a_tenth_of_a_square_of_tumour():
    found = grid([53, 54, 0, 999], [0.5, 0.5, 0.04, 0.05], [0, 0, 22, 0], [0.0, 0.0, 0.06, 0.04])
    assert found.reason.startswith("of 3 squares 33% inflamed, 33% excluded")  # 53 / 0.5 is just 106, 22 / 0.06 is 367
    assert found.point == "desert"  # no class has more than a third
    classes = np.array([[0, 0], [1, 0], [0, 1]])
    chosen = seeded_generator(1, "s", "grid").integers(3, size=(300, 3))
    shares = classes[chosen].mean(axis=1)
    inflamed = shares[:, 0] > 1 / 3
    assert found.probabilities["inflamed"] == pytest.approx(inflamed.mean())
    assert found.probabilities["excluded"] == pytest.approx((~inflamed & (shares[:, 1] > 1 / 3)).mean())
    few = grid([1, 1], [0.5, 0.5], [0, 0], [0, 0])
    assert (few.call, few.flags, few.reason) == ("not_evaluable", ("few_tiles",), "2 squares with tumour, 3 needed")
    assert grid([60, 60, 60], [0.5] * 3, [0] * 3, [0.5] * 3).call == "inflamed"
    assert grid([0] * 3, [0.5] * 3, [179] * 3, [0.5] * 3).call == "excluded"
    assert grid([0] * 3, [0.5] * 3, [178] * 3, [0.5] * 3).call == "desert"
