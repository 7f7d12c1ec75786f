"""Moran's I against esda, and how often its test fires."""

import numpy as np
import pytest

from spatial_til.metrics.autocorrelation import correlated_neighbours, moran_i, neighbour_weights, pearson_residuals

ROW, COL = np.divmod(np.arange(120), 12)
CENTRES = np.column_stack((COL, ROW)) * 200.0
AREA = np.where(COL % 3 == 0, 0.02, 0.04)


def test_moran_by_hand():
    """A checkerboard under rook neighbours is the negative extreme: I = -1."""
    board = ((ROW + COL) % 2).astype(float)
    rook = neighbour_weights(CENTRES, 201.0)
    assert moran_i(board[:, None], rook)[0] == pytest.approx(-1)


@pytest.mark.filterwarnings("ignore")
def test_moran_agrees_with_esda():
    esda = pytest.importorskip("esda")
    weights = pytest.importorskip("libpysal").weights
    values = np.random.default_rng(0).poisson(5 + COL)
    residual = pearson_residuals(values, AREA)
    queen = weights.DistanceBand(CENTRES, 300.0, binary=True)
    theirs = esda.Moran(residual, queen, transformation="O", permutations=0).I
    assert moran_i(residual[:, None], neighbour_weights(CENTRES, 300.0))[0] == pytest.approx(theirs, rel=1e-12)


def test_pearson_residuals_by_hand():
    np.testing.assert_allclose(pearson_residuals(np.array([3, 9]), np.array([1.0, 2.0])), [-0.5, 1 / np.sqrt(8)])


def correlated(counts, seed=0):
    return correlated_neighbours(counts, AREA, CENTRES, reach_um=300.0, random=np.random.default_rng(seed))


def test_a_gradient_is_found_and_area_alone_is_not():
    random = np.random.default_rng(0)
    assert correlated(random.poisson(AREA * 2000 * COL / 12))
    assert not correlated(random.poisson(AREA * 1000))


def test_nothing_to_correlate():
    assert not correlated(np.zeros(120, int))
    assert not correlated_neighbours(
        np.array([3, 4]), np.ones(2), CENTRES[:2], reach_um=300.0, random=np.random.default_rng(0)
    )


def test_scattered_cells_rarely_enlarge_tiles():
    """Under one density the rule fires in less than its nominal 5 % of slides."""
    random = np.random.default_rng(5)
    assert sum(correlated(random.poisson(AREA * 800), i) for i in range(400)) / 400 < 0.05
