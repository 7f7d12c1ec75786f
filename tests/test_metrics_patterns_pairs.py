"""Pairs of populations: laws that hold for any pattern, nulls by random labelling, intervals."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from scipy import stats
from shapely import affinity
from statsmodels.duration.survfunc import SurvfuncRight

from spatial_til.metrics.pointpatterns import pairs as pairs_module
from spatial_til.metrics.pointpatterns import parts as parts_module
from spatial_til.metrics.pointpatterns.nulls import draw_labels, label_strata, null_summary
from spatial_til.metrics.pointpatterns.pairs import Pair, PatternSettings, Region, pair_rows
from spatial_til.model import COMPARTMENTS

SETTINGS = PatternSettings(
    radii_um=(20.0, 30.0, 50.0), permutations=19, bootstrap=200, min_tiles=8, confidence=0.95, seed=0
)
L_SHAPE = shapely.Polygon([(0, 0), (1600, 0), (1600, 700), (700, 700), (700, 1100), (0, 1100)])


def region_of(name: str, xy_um: np.ndarray, window: shapely.Geometry = L_SHAPE, slide_id: str = "S1") -> Region:
    """Return cells of one compartment in square tiles of 200 µm, clipped to the window."""
    cols, rows = (int(np.ceil(side / 200)) for side in window.bounds[2:])
    corners = [(200 * col, 200 * row) for row in range(rows) for col in range(cols)]
    areas = np.array([window.intersection(shapely.box(x, y, x + 200, y + 200)).area for x, y in corners])
    number = np.cumsum(areas > 0) - 1
    col, row = np.minimum(xy_um // 200, (cols - 1, rows - 1)).astype(int).T
    return Region(
        slide_id=slide_id,
        name=name,
        window=window,
        xy_um=xy_um,
        compartment=np.zeros(len(xy_um), dtype=np.int8),
        tile=number[row * cols + col],
        tile_area_mm2={"core": areas[areas > 0] / 1e6},
    )


def build(n: int = 1200, seed: int = 0, share: tuple[float, float] = (0.4, 0.2)) -> tuple[Region, Pair]:
    """Return cells at random in an L, of which a share is tumour and another CD8+."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, (1600, 1100), (4 * n, 2))
    xy = xy[shapely.contains_xy(L_SHAPE, xy)][:n]
    draw = random.random(len(xy))
    tumor, cd8 = draw < share[0], draw > 1 - share[1]
    region = region_of("core", xy)
    return region, Pair("tumor", "CD8+", tumor, cd8, ~tumor)


def look_up(rows, metric, source, radius=None):
    return next(row for row in rows if (row.metric, row.population_from, row.radius_um) == (metric, source, radius))


# --- rows


def test_every_metric_has_a_row_both_ways_with_interval_null_and_p():
    rows = pair_rows(*build(), SETTINGS)
    assert (
        len(rows) == len({(row.metric, row.population_from, row.radius_um) for row in rows}) == 2 * (3 + 4 * 3) + 2 * 3
    )
    for row in rows:
        assert row.ci_low < row.value < row.ci_high
        assert row.null_mean is not None
        assert 1 / 20 <= row.p_value <= 1
        assert {row.population_from, row.population_to} == {"tumor", "CD8+"}


def test_k_has_the_error_of_the_cells_it_is_asked_from_and_l_half_of_it(monkeypatch):
    """On the logarithmic scale, L being the square root of K."""
    errors, spread = iter((0.1, 0.4)), pairs_module.spread  # of the first population, then of the second
    monkeypatch.setattr(pairs_module, "spread", lambda *args: replace(spread(*args), k=np.full(3, next(errors))))
    rows = pair_rows(*build(), SETTINGS)
    k, root = (look_up(rows, metric, "tumor", 30.0) for metric in ("k_cross_um2", "l_cross_um"))
    assert np.log(k.ci_high / k.value) == pytest.approx(2 * np.log(root.ci_high / root.value))
    assert 0.19 < np.log(k.ci_high / k.value) < 0.22  # t of 30 to 40 tiles, about 2, times 0.1


def test_values_are_those_of_a_direct_calculation():
    region, pair = build()
    rows = pair_rows(region, pair, SETTINGS)
    a, b = region.xy_um[pair.is_first], region.xy_um[pair.is_second]
    between = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1))
    within_a = np.hypot(*(a[:, None] - a[None]).transpose(2, 0, 1))
    edge = shapely.distance(L_SHAPE.boundary, shapely.points(a))
    distance = between.min(axis=1)
    fitted = SurvfuncRight(np.minimum(distance, edge), (distance <= edge).astype(int))
    assert look_up(rows, "nearest_median_um", "tumor").value == pytest.approx(fitted.quantile(0.5))
    assert look_up(rows, "nearest_q75_um", "tumor").value == pytest.approx(fitted.quantile(0.75))
    at_30 = np.searchsorted(fitted.surv_times, 30.0, side="right") - 1
    assert look_up(rows, "g_cross", "tumor", 30.0).value == pytest.approx(1 - fitted.surv_prob[at_30])
    own = ((within_a <= 50).sum() - len(a)) / 2
    expected = 0.5 * (between <= 50).sum() / own * (len(a) - 1) / len(b)
    assert look_up(rows, "mixing_score_normalised", "tumor", 50.0).value == pytest.approx(expected)
    dx = a[:, None] - b[None]
    pairs = dx[between <= 50]
    overlap = [L_SHAPE.intersection(affinity.translate(L_SHAPE, *v)).area for v in pairs]
    corrected = L_SHAPE.area * sum(1 / area for area in overlap)
    assert look_up(rows, "count_within", "tumor", 50.0).value == pytest.approx(corrected / len(a), rel=1e-4)
    assert look_up(rows, "count_within", "CD8+", 50.0).value == pytest.approx(corrected / len(b), rel=1e-4)
    k = L_SHAPE.area * corrected / (len(a) * len(b))
    assert look_up(rows, "k_cross_um2", "tumor", 50.0).value == pytest.approx(k, rel=1e-4)
    assert look_up(rows, "l_cross_um", "tumor", 50.0).value == pytest.approx(np.sqrt(k / np.pi), rel=1e-4)


@pytest.mark.parametrize(
    ("matrix", "factor"), [((0, -1, 1, 0, 3000, 50), 1.0), ((-1, 0, 0, 1, 5000, 0), 1.0), ((3, 0, 0, 3, 0, 0), 3.0)]
)
def test_turning_mirroring_and_scaling_change_nothing_but_the_unit(matrix, factor):
    region, pair = build()
    a, b, c, d, dx, dy = matrix
    moved = region.xy_um @ np.array([[a, c], [b, d]]) + (dx, dy)
    other = replace(region, window=affinity.affine_transform(L_SHAPE, [a, b, c, d, dx, dy]), xy_um=moved)
    scaled = replace(SETTINGS, radii_um=tuple(factor * radius for radius in SETTINGS.radii_um))
    for row, same in zip(pair_rows(region, pair, SETTINGS), pair_rows(other, pair, scaled), strict=True):
        unit = {"k_cross_um2": factor**2}.get(row.metric, factor if row.metric.endswith("_um") else 1.0)
        assert same.value == pytest.approx(unit * row.value, rel=2e-3)  # K: a larger window has finer pixels
        assert same.p_value == pytest.approx(row.p_value, abs=0.051)  # one draw of 19 at most, on a tie of K


def test_exchanging_the_populations_exchanges_the_directions():
    region, pair = build()
    turned = Pair(pair.second, pair.first, pair.is_second, pair.is_first, ~pair.is_second)
    rows, back = pair_rows(region, pair, SETTINGS), pair_rows(region, turned, SETTINGS)
    for row in rows:
        source = "CD8+" if row.metric in {"k_cross_um2", "l_cross_um"} else row.population_from
        assert look_up(back, row.metric, source, row.radius_um).value == pytest.approx(row.value)


def test_same_numbers_again_and_others_with_another_seed():
    region, pair = build()
    rows = pair_rows(region, pair, SETTINGS)
    assert rows == pair_rows(region, pair, SETTINGS)
    assert rows != pair_rows(region, pair, replace(SETTINGS, seed=1))


def test_without_a_population_all_is_empty_and_says_why():
    region, pair = build()
    rows = pair_rows(region, replace(pair, is_second=np.zeros(len(region.xy_um), dtype=bool)), SETTINGS)
    assert {row.value for row in rows} == {row.p_value for row in rows} == {None}
    assert {row.reason for row in rows} == {"no CD8+ cell in core"}
    assert {(row.n_from, row.n_to) for row in rows} == {(pair.is_first.sum(), 0), (0, pair.is_first.sum())}


def test_one_cell_of_each_has_distances_but_no_mixing_score():
    region = region_of("core", np.array([[300.0, 300.0], [303.0, 304.0], [800.0, 300.0]]))
    one, other = np.array([True, False, False]), np.array([False, True, False])
    rows = pair_rows(region, Pair("tumor", "CD8+", one, other, ~one), SETTINGS)
    assert look_up(rows, "nearest_median_um", "tumor").value == 5.0
    assert look_up(rows, "g_cross", "tumor", 20.0).value == 1.0
    mixing = look_up(rows, "mixing_score_normalised", "tumor", 20.0)
    assert (mixing.value, mixing.p_value) == (None, None)
    assert "no pair of cells within the reference population" in mixing.reason


def test_a_neighbour_beyond_the_edge_may_be_nearer_so_the_distance_stays_unknown():
    region = region_of("core", np.array([[10.0, 300.0], [1500.0, 300.0]]))
    one = np.array([True, False])
    row = look_up(pair_rows(region, Pair("tumor", "CD8+", one, ~one, ~one), SETTINGS), "nearest_median_um", "tumor")
    assert row.value is None
    assert "before the region's edge" in row.reason


def test_few_tiles_leave_the_interval_empty():
    region, pair = build()
    few = replace(region, tile=np.arange(len(region.xy_um)) % 7, tile_area_mm2={"core": np.full(7, 0.2)})
    rows = pair_rows(few, pair, SETTINGS)
    assert {row.ci_low for row in rows} == {row.ci_high for row in rows} == {None}
    assert all(row.p_value is not None for row in rows)


def test_the_pool_must_hold_the_shuffled_population():
    region, pair = build()
    with pytest.raises(ValueError, match=r"must hold all CD8\+ cells"):
        pair_rows(region, replace(pair, pool=~pair.is_second), SETTINGS)


def test_too_many_reference_cells_are_drawn_the_same_way_and_said(monkeypatch):
    region, pair = build()
    full = pair_rows(region, pair, SETTINGS)
    for module in (parts_module, __import__("spatial_til.metrics.pointpatterns.pairs", fromlist=["x"])):
        monkeypatch.setattr(module, "MOST_REFERENCES", 300)
    rows = pair_rows(region, pair, SETTINGS)
    assert rows == pair_rows(region, pair, SETTINGS)
    n = int(pair.is_first.sum())
    drawn = look_up(rows, "nearest_median_um", "tumor")
    assert (drawn.reason, drawn.n_from) == (f"300 of {n} reference cells drawn", n)
    assert look_up(rows, "nearest_median_um", "CD8+").reason == ""
    for row, whole in zip(rows, full, strict=True):
        assert row.value == pytest.approx(whole.value, rel=0.25)
    # All tumour cells, drawn or not, are what CD8+ cells look at.
    for metric in ("g_cross", "count_within", "k_cross_um2"):
        source = "tumor" if metric == "k_cross_um2" else "CD8+"
        assert look_up(rows, metric, source, 30.0).value == look_up(full, metric, source, 30.0).value


# --- nulls


def test_labels_stay_in_their_stratum():
    stratum = np.repeat([0, 1, 2], [50, 30, 20])
    labelled = np.zeros(100, dtype=bool)
    labelled[:10] = labelled[50:75] = True
    strata = label_strata(stratum, labelled)
    for seed in range(20):
        drawn = draw_labels(strata, np.random.default_rng(seed))
        assert len(set(drawn.tolist())) == 35
        assert np.bincount(stratum[drawn], minlength=3).tolist() == [10, 25, 0]


def test_every_cell_of_the_pool_is_drawn_as_often():
    strata = label_strata(np.zeros(40, dtype=int), np.arange(40) < 10)
    random = np.random.default_rng(0)
    counts = np.bincount(np.concatenate([draw_labels(strata, random) for _ in range(4000)]), minlength=40)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_p_counts_the_draws_at_least_as_far_and_is_never_zero():
    null = np.arange(1.0, 100.0)[:, None]
    assert null_summary(np.array([1e6]), null)[1].tolist() == [0.01]
    assert null_summary(np.array([50.0]), null)[1].tolist() == [1.0]
    low, high = null_summary(np.array([3.0]), null)[1], null_summary(np.array([97.0]), null)[1]
    assert low == high
    assert np.isnan(null_summary(np.array([np.nan]), null)[1]).all()
    assert null_summary(np.array([5.0]), np.full((19, 1), 5.0))[1].tolist() == [1.0]


def test_p_values_are_uniform_where_labels_lie_at_random():
    """200 slides with clustered cells and random labels: p takes each of 20 values as often, for every metric."""
    p_values = []
    for run in range(200):
        random = np.random.default_rng(1000 + run)
        centres = random.uniform(0, 600, (25, 2))
        xy = np.clip(centres[random.integers(25, size=250)] + random.normal(0, 40, (250, 2)), 0, 600)
        draw = random.random(250)
        tumor, cd8 = draw < 0.4, draw > 0.8
        region = region_of("core", xy, shapely.box(0, 0, 600, 600), f"S{run}")
        fast = replace(SETTINGS, bootstrap=2, permutations=19)
        p_values.append([row.p_value for row in pair_rows(region, Pair("tumor", "CD8+", tumor, cd8, ~tumor), fast)])
    for column in np.array(p_values, dtype=float).T:
        # Ties (counts) only make p larger: test that small p-values are not too common, and the mean.
        assert (column <= 0.05).mean() <= stats.binom.ppf(0.9999, 200, 0.05) / 200
        assert (column <= 0.5).mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 200))


def test_contact_and_avoidance_are_found_and_density_alone_is_not():
    random = np.random.default_rng(3)
    n = 2000
    xy = random.uniform(0, 1500, (n, 2))
    tumor = random.random(n) < 0.3
    region = region_of("core", xy, shapely.box(0, 0, 1500, 1500))
    distance = np.hypot(*(xy[:, None] - xy[tumor][None]).transpose(2, 0, 1)).min(axis=1)
    for near, expected in ((True, 1), (False, -1)):
        odds = np.where((distance < 20) == near, 0.5, 0.1)
        cd8 = ~tumor & (random.random(n) < odds)
        row = look_up(pair_rows(region, Pair("tumor", "CD8+", tumor, cd8, ~tumor), SETTINGS), "g_cross", "CD8+", 20.0)
        assert row.p_value == 0.05
        assert np.sign(row.value - row.null_mean) == expected


def test_a_density_step_between_compartments_is_not_contact():
    """Tumour and CD8 both crowd the left half. Labels that may cross see contact; those that may not do not."""
    random = np.random.default_rng(4)
    n = 3000
    xy = random.uniform(0, (2000, 1000), (n, 2))
    left = xy[:, 0] < 1000
    tumor = random.random(n) < np.where(left, 0.5, 0.1)
    cd8 = ~tumor & (random.random(n) < np.where(left, 0.5, 0.1))
    window = shapely.box(0, 0, 2000, 1000)
    pair = Pair("tumor", "CD8+", tumor, cd8, ~tumor)
    settings = replace(SETTINGS, permutations=99)
    crossing = region_of("core", xy, window)
    half = {part: np.full(25, 0.04) for part in ("core", "inner_margin")} | {"tumor_unresolved": np.zeros(0)}
    kept = replace(
        crossing,
        name="tumor",
        compartment=np.where(left, 0, 1).astype(np.int8),
        tile=((xy[:, 0] % 1000) // 200 * 5 + xy[:, 1] // 200).astype(int),
        tile_area_mm2=half,
    )
    assert look_up(pair_rows(crossing, pair, settings), "count_within", "tumor", 50.0).p_value == 0.01
    assert look_up(pair_rows(kept, pair, settings), "count_within", "tumor", 50.0).p_value > 0.05


# --- intervals


@pytest.mark.slow
def test_intervals_cover_the_truth_of_points_at_random():
    """Complete randomness in 2 mm², 50 tiles: 95 % intervals of count, K, G and mixing hold their closed forms."""
    window, runs = shapely.box(0, 0, 2000, 1000), 150
    settings = PatternSettings((30.0, 50.0), 1, 400, 8, 0.95, 0)
    covered: dict[str, list[bool]] = {}
    for run in range(runs):
        random = np.random.default_rng(run)
        a = random.uniform(0, (2000, 1000), (random.poisson(1200), 2))
        b = random.uniform(0, (2000, 1000), (random.poisson(600), 2))
        xy = np.concatenate((a, b))
        tumor = np.arange(len(xy)) < len(a)
        region = region_of("core", xy, window, f"S{run}")
        rows = pair_rows(region, Pair("tumor", "CD8+", tumor, ~tumor, ~tumor), settings)
        truth = {
            "k_cross_um2": (look_up(rows, "k_cross_um2", "tumor", 50.0), np.pi * 50**2),
            "g_cross": (look_up(rows, "g_cross", "tumor", 50.0), 1 - np.exp(-300e-6 * np.pi * 50**2)),
            "g_back": (look_up(rows, "g_cross", "CD8+", 30.0), 1 - np.exp(-600e-6 * np.pi * 30**2)),
            "mixing": (look_up(rows, "mixing_score_normalised", "tumor", 50.0), 1.0),
        }
        for name, (row, value) in truth.items():
            covered.setdefault(name, []).append(row.ci_low <= value <= row.ci_high)
    shares = {name: np.mean(hits) for name, hits in covered.items()}
    assert all(0.90 <= share <= 0.995 for share in shares.values()), shares


def test_tiles_of_two_compartments_are_numbered_through_and_keep_their_areas():
    inner, outer = COMPARTMENTS.index("inner_margin"), COMPARTMENTS.index("outer_margin")
    region = Region(
        name="margin",
        slide_id="S1",
        xy_um=np.zeros((5, 2)),
        compartment=np.array([inner, outer, outer, inner, outer]),
        tile=np.array([1, 0, 2, 0, 1]),
        tile_area_mm2={"inner_margin": np.array([0.04, 0.03]), "outer_margin": np.array([0.02, 0.01, 0.04])},
        window=L_SHAPE,
    )
    tile, tiles = pairs_module._number_tiles(region)
    assert tile.tolist() == [1, 2, 4, 0, 3]
    assert tiles.area_um2 == pytest.approx([40_000, 30_000, 20_000, 10_000, 40_000])
    assert tiles.stratum.tolist() == [inner, inner, outer, outer, outer]
