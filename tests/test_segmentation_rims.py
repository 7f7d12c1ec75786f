"""Whose the stain between two cells is: of the rim that is the more stained, as far as it is."""

import numpy as np
import pytest

from spatial_til.segmentation.cells import grow_cells
from spatial_til.segmentation.rays import FRACTION, RAYS
from spatial_til.segmentation.rim import _scores, rim_stain
from spatial_til.segmentation.scratch import Scratch

LEVEL = 80


def scored(stained, facing):
    """Return (cells, 2) scores of one marker; `stained`, `facing`: per cell the rays stained, and {cell: rays}."""
    n = len(stained)
    rays, faced = np.zeros((n, 1, RAYS), dtype=np.int32), np.zeros((n, RAYS), dtype=np.int32)
    for k in range(n):
        rays[k, 0, list(stained[k])] = LEVEL
        for other, at in facing[k].items():
            faced[k, list(at)] = other + 1
    return _scores(rays, faced, np.ones(n, dtype=np.bool_))[:, 0]


def score_of(stain, shares):
    """Return the score of what is kept of rays in order around a cell, from the definition: `stain` in full is 1."""
    shares, stain = np.asarray(shares, dtype=float), np.asarray(stain, dtype=float)
    kept = np.sort(stain * (np.roll(shares, 1) + 2 * shares + np.roll(shares, -1)) / 4)
    counted = RAYS - 0.45 * (1 - shares).sum()  # so much of what others account for is left out
    edges = np.clip([RAYS - counted / 2, RAYS - counted / 12], 0, RAYS)
    below = np.concatenate(([0.0], np.cumsum(kept)))
    low, high = np.interp(edges, np.arange(RAYS + 1), below)
    return LEVEL / 8 * (high - low) / (edges[1] - edges[0])


def test_a_cell_that_faces_nobody_keeps_all_it_has():
    ((seen, own),) = scored([range(14)], [{}])
    assert seen == own == pytest.approx(LEVEL / 8)


def test_a_cell_beside_a_stained_one_keeps_the_square_of_its_share():
    shared = range(12)
    negative, positive = scored([shared, range(RAYS)], [{1: shared}, {0: range(3)}])
    first = (12 / 24) ** 2  # as seen; then of 3 of its 12 rays' stain against 24
    share = (first * 12 / 24) ** 2
    assert negative == pytest.approx([LEVEL / 8, score_of([1] * 12 + [0] * 12, [share] * 12 + [1] * 12)])
    assert negative[1] < LEVEL / 8 / 20
    assert positive == pytest.approx([LEVEL / 8, LEVEL / 8])


def test_rays_that_a_stronger_rim_accounts_for_are_left_out_in_part():
    """A cell stained on 5 of the 12 rays that face nobody; the same where the other 12 have no such neighbour."""
    stained, stronger = [*range(3), *range(12, 17)], range(12)
    (_, among), _ = scored([stained, range(RAYS)], [{1: stronger}, {0: range(3)}])
    ((_, alone),) = scored([range(12, 17)], [{}])
    assert among > 1.3 * alone
    left = 5 + 3 * (8 / 24) ** 2
    stain = np.isin(np.arange(RAYS), stained)
    assert among == pytest.approx(score_of(stain, [(left / 24) ** 2] * 12 + [1] * 12))


def test_stain_above_the_level_of_the_stronger_rim_is_the_cells_own():
    rays, faced = np.zeros((2, 1, RAYS), dtype=np.int32), np.zeros((2, RAYS), dtype=np.int32)
    rays[0, 0, :8], rays[1, 0] = 2 * LEVEL, LEVEL
    faced[0, :8], faced[1, :3] = 2, 1
    (_, own), _ = _scores(rays, faced, np.ones(2, dtype=np.bool_))[:, 0]
    assert own == pytest.approx(2 * score_of([1] * 8 + [0] * 16, [1 / 2] * 8 + [1] * 16))


def test_equal_neighbours_keep_all():
    assert scored([range(RAYS)] * 2, [{1: range(8)}, {0: range(8)}]) == pytest.approx(LEVEL / 8)


def test_a_cell_among_stained_ones_does_not_outweigh_one_stained_in_part():
    """Cell 0 borrows 18 rays from three others; cell 1 has 14 of its own, 6 of them towards cell 0."""
    around = {1: range(6), 2: range(6, 12), 3: range(12, 18)}
    full = {0: range(6), 1: range(6, 9)}
    part = {0: range(6), 2: range(20, 22), 3: range(22, 24)}
    borrowing, partly, *_ = scored([range(18), range(14), range(RAYS), range(RAYS)], [around, part, full, full])
    left = 6 + 12 * (18 / 24) ** 2  # rays that cell 0 keeps in the first round: all it shares with cell 1
    kept = [(left / 14) ** 2] * 6 + [(left / 24) ** 2] * 12 + [1.0] * 6
    assert borrowing[1] == pytest.approx(score_of([1] * 18 + [0] * 6, kept))
    own = 8 + 6 * (14 / 18) ** 2  # of cell 1, which then meets a rim hardly stronger, where 18 rays were seen
    kept = [(own / left) ** 2] * 6 + [1.0] * 14 + [(own / 24) ** 2] * 4
    assert partly[1] == pytest.approx(score_of([1] * 14 + [0] * 10, kept))
    assert partly[1] > 1.5 * borrowing[1]


def test_no_cell_beyond_those_faced_is_asked():
    """So that a cell comes out the same in every tile that holds those it faces."""
    facing = [{1: range(8)}, {0: range(8), 2: range(12, 20)}, {1: range(8)}]
    near = scored([range(10), range(8, 22), range(RAYS)], facing)
    far = scored([range(10), range(8, 22), ()], facing)
    assert near[0].tolist() == far[0].tolist()
    assert near[1].tolist() != far[1].tolist()


@pytest.mark.parametrize(("radius_um", "share"), [(2.5, 0.6), (4.0, 0.3), (6.0, 0.0)])
def test_a_cell_full_of_stain_counts_by_half_a_small_one_by_more(radius_um, share):
    """Nowhere above the band before, it counts by half; outside a small nucleus its stain falls by all of it."""
    px_um, side, level = 0.5, 81, 800
    away_um = px_um * np.hypot(*(np.mgrid[:side, :side] - side // 2))
    nucleus = (away_um <= radius_um).astype(np.int32)
    area = np.array([nucleus.sum() * px_um**2])
    keys = grow_cells(
        nucleus,
        area,
        px_um=px_um,
        cell_expansion_um=2.0,
        large_nucleus_um2=45.0,
        large_expansion_um=5.0,
        scratch=Scratch(),
    )
    plane = np.where(away_um <= radius_um + 2.0, level, 0).astype(np.int16)
    middle = np.full((1, 2), side * FRACTION // 2)
    ((seen, own),) = rim_stain(keys, middle, np.ones(1, dtype=np.bool_), plane[None], px_um=px_um)[0]
    assert seen == own == pytest.approx(level * ((1 - share) / 2 + share), rel=0.04)
