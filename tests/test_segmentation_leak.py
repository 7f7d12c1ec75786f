"""What one chromogen may lend another, against drawn colours."""

import numpy as np
import pytest

from spatial_til.segmentation.leak import leaked_share
from spatial_til.segmentation.rays import RAYS, _without_leaks
from spatial_til.segmentation.stains import stain_matrix

VECTORS = ((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.214, 0.851, 0.478))


def turned(vector, degrees, rng):
    """Return a unit vector turned by an angle in a random direction."""
    away = np.cross(vector, rng.standard_normal(3))
    angle = np.deg2rad(degrees)
    return np.cos(angle) * vector + np.sin(angle) * away / np.linalg.norm(away)


def test_no_colour_within_the_error_lends_more_and_some_lend_nearly_as_much():
    matrix, rng = stain_matrix(VECTORS), np.random.default_rng(0)
    bound = leaked_share(matrix, 4.0)
    seen = np.zeros((3, 3))
    for stain in range(3):
        amounts = np.array([turned(matrix[stain], 4.0, rng) @ np.linalg.pinv(matrix) for _ in range(2000)])
        seen[:, stain] = amounts.max(axis=0)
    off_diagonal = ~np.eye(3, dtype=bool)
    assert (seen[off_diagonal] <= bound[off_diagonal] + 1e-9).all()
    assert seen[off_diagonal] == pytest.approx(bound[off_diagonal], rel=0.01)
    assert (np.diag(bound) == 0).all()


def test_a_share_of_each_ridge_is_taken_off_the_other_as_it_was_seen():
    rays = np.zeros((2, RAYS), dtype=np.int32)
    rays[:, 0], rays[:, 1] = (1000, 400), (100, 2000)
    _without_leaks(rays, np.array([[0, 64], [128, 0]], dtype=np.int32))
    assert rays[:, 0].tolist() == [900, 0]
    assert rays[:, 1].tolist() == [0, 1950]
