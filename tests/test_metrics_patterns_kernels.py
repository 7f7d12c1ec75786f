"""Kernels of the point patterns against scipy, shapely, statsmodels and closed forms."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.special import erf
from shapely import affinity
from statsmodels.duration.survfunc import SurvfuncRight

from spatial_til.metrics.pointpatterns.gcross import distance_curve
from spatial_til.metrics.pointpatterns.kcross import k_cross, l_cross, pair_weights
from spatial_til.metrics.pointpatterns.mixing import mixing_score, normalised
from spatial_til.metrics.pointpatterns.neighbours import build_grid, count_within, nearest_um
from spatial_til.metrics.pointpatterns.window import boundary_distance_um, overlap_with_itself

RADII = np.array([10.0, 20.0, 50.0])
L_SHAPE = shapely.Polygon([(0, 0), (1000, 0), (1000, 500), (500, 500), (500, 1000), (0, 1000)])  # 0.75 mm²


def uniform(window: shapely.Geometry, n: int, random: np.random.Generator) -> np.ndarray:
    """Return n points at random in a window."""
    x0, y0, x1, y1 = window.bounds
    xy = random.uniform((x0, y0), (x1, y1), (int(3 * n * (x1 - x0) * (y1 - y0) / window.area) + 50, 2))
    return xy[shapely.contains_xy(window, xy)][:n]


# --- neighbours

coordinates = st.integers(0, 40).map(float)
points = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=40).map(np.array)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(query=points, target=points)
def test_distances_and_counts_are_those_of_a_tree(query, target):
    """On integers, so that duplicates, lines of points and distances of exactly a radius all occur."""
    tree, grid, radii = cKDTree(target), build_grid(target), np.array([1.0, 5.0, 25.0])
    assert nearest_um(query * 3 - 30, grid) == pytest.approx(tree.query(query * 3 - 30)[0])
    expected = np.column_stack([tree.query_ball_point(query, radius, return_length=True) for radius in radii])
    assert count_within(query, grid, radii).tolist() == expected.tolist()


@settings(max_examples=30, derandomize=True, deadline=None)
@given(xy=points)
def test_a_cell_is_not_its_own_neighbour_but_a_duplicate_is(xy):
    itself = np.arange(len(xy))
    between = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    np.fill_diagonal(between, np.inf)
    assert nearest_um(xy, build_grid(xy), itself) == pytest.approx(between.min(axis=1))
    counted = count_within(xy, build_grid(xy), np.array([7.0]), itself)[:, 0]
    assert counted.tolist() == (between <= 7).sum(axis=1).tolist()


def test_no_target_is_infinitely_far_never_at_zero():
    nothing = build_grid(np.zeros((0, 2)))
    assert np.isinf(nearest_um(np.array([[0.0, 0.0]]), nothing)).all()
    assert count_within(np.array([[0.0, 0.0]]), nothing, RADII).tolist() == [[0, 0, 0]]
    assert len(nearest_um(np.zeros((0, 2)), nothing)) == 0
    alone = np.array([[3.0, 3.0]])
    assert np.isinf(nearest_um(alone, build_grid(alone), np.array([0]))).all()


def test_neighbours_in_clusters_are_those_of_a_tree():
    random = np.random.default_rng(1)
    centres = random.uniform(0, 20_000, (30, 2))
    xy = (centres[random.integers(30, size=6000)] + random.normal(0, 40, (6000, 2))).astype(float)
    query, grid = xy[:3000], build_grid(xy[3000:])
    expected = cKDTree(xy[3000:]).query(query)[0]
    assert nearest_um(query, grid) == pytest.approx(expected)


# --- window


def test_boundary_distance_is_exact_with_holes_and_parts():
    ring = shapely.Point(0, 0).buffer(900).difference(shapely.box(-300, -200, 100, 50))
    window = shapely.MultiPolygon([ring, shapely.box(1200, 0, 1500, 700)])
    xy = np.random.default_rng(2).uniform(-1000, 1600, (3000, 2))
    expected = np.minimum(shapely.distance(window.boundary, shapely.points(xy)), 80.0)
    assert boundary_distance_um(window, xy, 80.0) == pytest.approx(expected, abs=1e-9)


def test_overlap_of_a_rectangle_is_its_closed_form():
    overlap = overlap_with_itself(shapely.box(30, 70, 530, 270), 60.0, 5.0)
    k = len(overlap.area_um2) // 2
    lag = np.abs(np.arange(-k, k + 1)) * 5.0
    assert overlap.area_um2 == pytest.approx(np.outer(200 - lag, 500 - lag), rel=1e-9)


@pytest.mark.parametrize(
    ("window", "limit"),
    [
        (affinity.rotate(L_SHAPE, 33), 0.004),
        (shapely.Point(0, 0).buffer(900).difference(shapely.Point(0, 0).buffer(650)), 0.002),
    ],
)
def test_overlap_of_any_window_agrees_with_polygon_clipping(window, limit):
    overlap = overlap_with_itself(window, 100.0, 5.0)
    k = len(overlap.area_um2) // 2
    for row, col in [(4, 0), (0, 7), (-12, 5), (15, 15), (-3, -18)]:
        exact = window.intersection(affinity.translate(window, 5.0 * col, 5.0 * row)).area
        assert overlap.area_um2[k + row, k + col] == pytest.approx(exact, rel=limit)


# --- G


def g_cross(distance_um: np.ndarray, boundary_um: np.ndarray, radii_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    curve = distance_curve(distance_um, boundary_um)
    return curve.at(radii_um), curve.mean_up_to(radii_um)


def csr_distances(density_per_mm2: float, n: int) -> np.ndarray:
    """Return n evenly spaced quantiles of the nearest distance to points at random."""
    return np.sqrt(-np.log(1 - (np.arange(n) + 0.5) / n) / (np.pi * density_per_mm2 * 1e-6))


def test_g_and_auc_of_points_at_random_are_the_closed_forms():
    radii = np.array([10.0, 20.0, 30.0, 50.0, 100.0])
    g, auc = g_cross(csr_distances(500, 200_000), np.full(200_000, np.inf), radii)
    assert g[:4] == pytest.approx([0.1454, 0.4665, 0.7568, 0.9803], abs=1e-4)
    assert (auc * radii)[1:] == pytest.approx([3.5043, 9.711, 27.753, 77.639], abs=1e-3)
    assert auc[1] == pytest.approx(0.1752, abs=1e-4)
    half = np.sqrt(np.pi * 500e-6)
    assert auc * radii == pytest.approx(radii - erf(radii * half) / (2 * np.sqrt(500e-6)), abs=1e-3)


def test_kaplan_meier_agrees_with_statsmodels():
    random = np.random.default_rng(4)
    distance, boundary = random.exponential(30, 400).round(), random.exponential(50, 400).round()  # with ties
    radii = np.array([5.0, 20.0, 60.0])
    survival = SurvfuncRight(np.minimum(distance, boundary), (distance <= boundary).astype(int))
    at = np.searchsorted(survival.surv_times, radii, side="right") - 1
    g, auc = g_cross(distance, boundary, radii)
    assert g == pytest.approx(1 - survival.surv_prob[at])
    steps = np.concatenate(([1.0], survival.surv_prob))
    edges = np.concatenate(([0.0], survival.surv_times, [np.inf]))
    for radius, area in zip(radii, auc, strict=True):
        width = np.clip(np.minimum(edges[1:], radius) - np.minimum(edges[:-1], radius), 0, None)
        assert area == pytest.approx(1 - (steps * width).sum() / radius)


def test_kaplan_meier_removes_the_edge_bias_of_g():
    """50 targets/mm² in 1 mm²: G(60 µm) is 0.432; uncorrected it comes out near 0.420."""
    random, window = np.random.default_rng(5), shapely.box(0, 0, 1000, 1000)
    corrected, raw = [], []
    for _ in range(400):
        reference, target = random.uniform(0, 1000, (200, 2)), random.uniform(0, 1000, (random.poisson(50), 2))
        distance = nearest_um(reference, build_grid(target))
        boundary = boundary_distance_um(window, reference, 60.0)
        corrected.append(g_cross(distance, boundary, np.array([60.0]))[0][0])
        raw.append((distance <= 60).mean())
    truth = 1 - np.exp(-50e-6 * np.pi * 60**2)
    error = np.std(corrected) / np.sqrt(400)
    assert truth == pytest.approx(0.432, abs=5e-4)
    assert abs(np.mean(corrected) - truth) < 3 * error
    assert np.mean(raw) < truth - 3 * error


def test_where_all_are_censored_g_is_zero_and_has_no_quartiles():
    curve = distance_curve(np.full(5, np.inf), np.full(5, 100.0))
    assert curve.at(RADII).tolist() == curve.mean_up_to(RADII).tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(curve.quantiles((0.25, 0.5))).all()


def test_quartiles_are_those_of_the_sample_without_censoring_and_unbiased_with_it():
    distance = csr_distances(500, 100_000)
    free = distance_curve(distance, np.full(100_000, np.inf))
    assert free.quantiles((0.5,))[0] == pytest.approx(np.sqrt(np.log(2) / (np.pi * 500e-6)), abs=1e-3)  # 21.006 µm
    boundary = np.random.default_rng(0).exponential(40.0, 100_000)
    censored = distance_curve(distance, boundary).quantiles((0.25, 0.5, 0.75))
    assert censored == pytest.approx(free.quantiles((0.25, 0.5, 0.75)), rel=0.02)
    naive = np.median(distance[distance <= boundary])
    assert naive < 0.9 * censored[1]


def test_mean_and_spread_of_nearest_distances_of_points_at_random():
    """500/mm²: mean 22.361, standard deviation 11.688 µm, on a square of 2 mm with the edge left out."""
    random = np.random.default_rng(10)
    target = random.uniform(0, 4000, (random.poisson(8000), 2))
    distance = nearest_um(random.uniform(200, 3800, (40_000, 2)), build_grid(target))
    assert distance.mean() == pytest.approx(22.361, abs=0.4)
    assert distance.std() == pytest.approx(11.688, abs=0.3)


# --- K and L


def test_k_of_one_pair_in_a_rectangle_by_hand():
    """Pair at (30, 40) µm apart in 500 x 200: weight 1 / (470 x 160); K = (500 x 200)² x weight / 1."""
    overlap = overlap_with_itself(shapely.box(0, 0, 500, 200), 60.0, 5.0)
    grid = build_grid(np.array([[150.0, 120.0]]))
    weights = pair_weights(np.array([[120.0, 80.0]]), np.array([-1]), grid, np.array([49.9, 50.0]), overlap)
    assert weights.tolist() == [[0.0, pytest.approx(1 / (470 * 160))]]
    assert k_cross(weights.sum(axis=0), 1, 500 * 200).tolist() == [0.0, pytest.approx(1e10 / (470 * 160))]


def test_k_is_the_same_both_ways():
    random = np.random.default_rng(6)
    a, b = uniform(L_SHAPE, 300, random), uniform(L_SHAPE, 200, random)
    overlap = overlap_with_itself(L_SHAPE, 50.0)
    nobody = np.full(300, -1)
    forward = pair_weights(a, nobody, build_grid(b), RADII, overlap).sum(axis=0)
    back = pair_weights(b, nobody[:200], build_grid(a), RADII, overlap).sum(axis=0)
    assert forward == pytest.approx(back)


def test_translation_correction_holds_on_an_l_shaped_window():
    """K(120 µm) / π r² is 1 with it and 0.869 without, on the 0.75 mm² L."""
    random, overlap, radius = np.random.default_rng(7), overlap_with_itself(L_SHAPE, 120.0), np.array([120.0])
    ratios, raw = [], []
    for _ in range(60):
        a, b = uniform(L_SHAPE, 400, random), uniform(L_SHAPE, 400, random)
        weights = pair_weights(a, np.full(400, -1), build_grid(b), radius, overlap)
        ratios.append(k_cross(weights.sum(axis=0), 400 * 400, L_SHAPE.area)[0] / (np.pi * 120**2))
        count = count_within(a, build_grid(b), radius).sum()
        raw.append(L_SHAPE.area * count / 400**2 / (np.pi * 120**2))
    assert abs(np.mean(ratios) - 1.0) < 3 * np.std(ratios) / np.sqrt(60)
    assert np.mean(raw) == pytest.approx(0.869, abs=3 * np.std(raw) / np.sqrt(60))


def test_uncorrected_edge_bias_of_a_square_is_the_closed_form_that_correction_removes():
    side, radius = 500.0, 50.0
    window, random = shapely.box(0, 0, side, side), np.random.default_rng(8)
    overlap = overlap_with_itself(window, radius)
    grid, query = build_grid(random.uniform(0, side, (4000, 2))), random.uniform(0, side, (4000, 2))
    raw = side**2 * count_within(query, grid, np.array([radius])).sum() / 4000**2 / (np.pi * radius**2)
    weights = pair_weights(query, np.full(4000, -1), grid, np.array([radius]), overlap).sum(axis=0)
    bias = 1 - 8 * (radius / side) / (3 * np.pi) + (radius / side) ** 2 / (2 * np.pi)
    assert bias == pytest.approx(0.917, abs=5e-4)
    assert raw == pytest.approx(bias, abs=0.01)
    assert k_cross(weights, 4000**2, side**2)[0] / (np.pi * radius**2) == pytest.approx(1.0, abs=0.01)


def test_l_of_points_at_random_is_the_radius():
    assert l_cross(np.pi * RADII**2) == pytest.approx(RADII)
    assert np.isnan(k_cross(np.zeros(3), 0, 1.0)).all()


# --- mixing


def test_mixing_is_unknown_without_reference_pairs_not_zero():
    score = mixing_score(np.array([3.0, 3.0]), np.array([0.0, 6.0]))
    assert np.isnan(score[0])
    assert score[1] == 0.5
    assert np.isnan(normalised(np.array([0.5]), 10, 0)).all()


def test_mixing_of_complete_mixture_is_one():
    """500 reference and 300 target cells at random: the score is 2 x 300 / 499 = 1.2024, normalised 1."""
    random, scores = np.random.default_rng(9), []
    for _ in range(100):
        a, b = random.uniform(0, 1000, (500, 2)), random.uniform(0, 1000, (300, 2))
        targets = count_within(a, build_grid(b), np.array([30.0])).sum()
        own = count_within(a, build_grid(a), np.array([30.0]), np.arange(500)).sum() / 2
        scores.append(float(mixing_score(np.array(targets), np.array(own))))
    error = np.std(scores) / 10
    assert np.mean(scores) == pytest.approx(2 * 300 / 499, abs=4 * error)
    assert normalised(np.array(2 * 300 / 499), 500, 300) == pytest.approx(1.0)
