"""Agreement of two readers against closed forms and an independent library."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box
from statsmodels.stats.inter_rater import cohens_kappa as independent_kappa
from statsmodels.stats.proportion import proportion_confint

from spatial_til.geometry.outlines import outline_distance
from spatial_til.metrics.agreement import cohens_kappa, limits_of_agreement, share_agreed

CLASSES = ["inflamed", "excluded", "desert", "intermediate", "indeterminate"]
PAIRS = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(CLASSES)), min_size=2, max_size=60)


@given(PAIRS)
def test_kappa_and_its_interval_are_those_of_statsmodels(pairs):
    a, b = zip(*pairs, strict=True)
    counts = np.array([[sum(p == (x, y) for p in pairs) for y in CLASSES] for x in CLASSES])
    if a == b or 1 in {len(set(a)), len(set(b))}:
        return
    found = cohens_kappa(a, b, confidence=0.95)
    with np.errstate(all="ignore"):  # its test of kappa = 0, which is not used here, divides by 0
        other = independent_kappa(counts)
    assert found.value == pytest.approx(other.kappa, abs=1e-12)
    if other.var_kappa < 1e-12:  # below 0 by rounding: it has no interval then, and ours has another
        assert found.ci_low <= found.value + 1e-9 < found.ci_high
        return
    assert found.sigma == pytest.approx(np.sqrt(other.var_kappa), abs=1e-7)
    assert found.ci_low == pytest.approx(max(other.kappa_low, -1.0), abs=1e-7)
    assert found.ci_high == pytest.approx(min(other.kappa_upp, 1.0), abs=1e-7)


@given(PAIRS)
def test_the_share_agreed_is_binomial(pairs):
    a, b = zip(*pairs, strict=True)
    found = share_agreed(a, b, confidence=0.9)
    low, high = proportion_confint(sum(x == y for x, y in pairs), len(pairs), alpha=0.1, method="beta")
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-9)


def test_full_agreement_has_an_interval_with_a_width():
    a = ["inflamed"] * 5 + ["desert"] * 5
    found = cohens_kappa(a, a, confidence=0.95)
    share = 0.025 ** (1 / 10)  # exact lower limit of ten out of ten
    assert found.value == found.ci_high == 1.0
    assert found.ci_low == pytest.approx((share - 0.5) / 0.5)


def test_readers_who_never_agree_are_not_certain_never_to():
    """Of these six the large-sample variance is none at all: it would say that kappa is -1/3 for sure."""
    found = cohens_kappa(list("iiieed"), list("eeexxi"), confidence=0.95)
    chance = (3 + 6) / 36
    assert found.value == pytest.approx(-chance / (1 - chance))
    assert found.ci_low == pytest.approx(found.value)
    assert found.ci_high == pytest.approx((1 - 0.025 ** (1 / 6) - chance) / (1 - chance))  # exact, of none in six
    assert found.sigma is None


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [([], [], "fewer than two"), (["x"], ["x"], "fewer than two"), (["x"] * 4, ["x"] * 4, "one and the same class")],
)
def test_kappa_that_is_not_defined_is_missing_with_the_reason(a, b, reason):
    found = cohens_kappa(a, b, confidence=0.95)
    assert found.value is None
    assert reason in found.reason


def test_kappa_of_a_reader_with_one_class_has_no_interval():
    found = cohens_kappa(["x"] * 4, ["x", "x", "y", "y"], confidence=0.95)
    assert (found.value, found.ci_low, found.ci_high) == (0.0, None, None)
    assert "whatever the agreement" in found.reason


def test_limits_of_agreement_by_hand():
    found = limits_of_agreement([1.0, 2.0, 3.0, 6.0], confidence=0.95)
    s = np.sqrt((4 + 1 + 0 + 9) / 3)
    assert found.bias.value == 3.0
    assert found.low == pytest.approx(3 - 1.959964 * s)
    assert found.bias.ci_high == pytest.approx(3 + 3.182446 * s / 2)
    one = limits_of_agreement([2.0], confidence=0.95)
    assert (one.n, one.bias.value, one.bias.ci_low, one.low) == (1, 2.0, None, None)


def ring(radius):
    return MultiPolygon([Point(5000, 4000).buffer(radius, quad_segs=500)])


def test_circles_around_one_centre_are_everywhere_as_far_apart():
    found = outline_distance(ring(1000), ring(1080))
    assert found.mean_um == pytest.approx(80, abs=0.01)
    assert found.hausdorff95_um == pytest.approx(80, abs=0.01)


def test_a_bump_is_found_where_it_is_and_the_mean_is_by_length():
    plain = MultiPolygon([box(0, 0, 1000, 1000)])
    bump = MultiPolygon([box(0, 0, 1000, 1000).union(box(1000, 480, 1100, 520))])
    found = outline_distance(plain, bump, step_um=0.1)
    assert found.farthest_um == pytest.approx(100, abs=0.1)
    assert found.x_um == pytest.approx(1100)
    assert 480 <= found.y_um <= 520
    assert found.hausdorff95_um == pytest.approx(15, abs=0.2)  # 5 % of 4200 are farther: 40 + 2 * (100 - 15)
    # plain: a stretch of 40 with its nearest point at the corner of the bump, 20 at most: 2 * 20² / 2;
    # bump: two sides of 100 at 0 to 100, and an end of 40 at 100
    integral = 400 + 2 * 100**2 / 2 + 40 * 100
    assert found.mean_um == pytest.approx(integral / (4000 + 4200 - 40 + 40), rel=2e-3)


def test_where_two_outlines_are_the_same_corner_for_corner_they_are_0_apart_to_the_last_digit():
    """Corners that two readers took over from one outline, one of them the other way round and from elsewhere."""
    one = Point(5000.3, 4000.7).buffer(777, quad_segs=9)  # points between its corners are rounded by up to 5e-13 µm
    other = Polygon(np.roll(one.exterior.coords[:-1], 7, axis=0)[::-1])
    found = outline_distance(MultiPolygon([one]), MultiPolygon([other]))
    assert (found.mean_um, found.hausdorff95_um, found.farthest_um) == (0, 0, 0)
    moved = one.exterior.coords[:-1]
    moved[11] = (moved[11][0] + 50, moved[11][1])  # two stretches are other ones, the rest stays at 0
    apart = outline_distance(MultiPolygon([one]), MultiPolygon([Polygon(moved)]))
    assert 0 < apart.mean_um < apart.farthest_um <= 50


def test_an_outline_shorter_than_a_step_is_looked_at_in_its_middle():
    shell, hole = [(0, 0), (900, 0), (900, 900), (0, 900)], [(450, 300), (450, 301), (451, 301), (451, 300)]
    found = outline_distance(MultiPolygon([Polygon(shell)]), MultiPolygon([Polygon(shell, [hole])]), step_um=5.0)
    assert (found.x_um, found.y_um) == hole[2]  # two of four µm along
    assert found.farthest_um == 301


@given(st.integers(0, 10_000))
def test_distance_is_symmetric_and_bounded_by_hausdorff(seed):
    rng = np.random.default_rng(seed)
    a, b = (MultiPolygon([shapely.convex_hull(shapely.MultiPoint(rng.uniform(0, 500, (8, 2))))]) for _ in "ab")
    there, back = outline_distance(a, b), outline_distance(b, a)
    assert there.mean_um == pytest.approx(back.mean_um, rel=1e-9)
    assert there.hausdorff95_um == pytest.approx(back.hausdorff95_um, rel=1e-9)
    assert there.mean_um <= there.farthest_um <= shapely.hausdorff_distance(a.boundary, b.boundary, densify=0.01) + 1


def test_an_empty_region_has_no_distance():
    assert outline_distance(MultiPolygon(), ring(100)) is None
