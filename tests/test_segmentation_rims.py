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


def test_a_cell_that_faces_nobody_keeps_all_it_has():
    ((seen, own),) = scored([range(14)], [{}])
    assert seen == own == pytest.approx(LEVEL / 8)


def test_a_cell_beside_a_stained_one_keeps_the_square_of_its_share():
    shared = range(12)
    negative, positive = scored([shared, range(RAYS)], [{1: shared}, {0: range(3)}])
    first = (12 / 24) ** 2  # as seen; then of 3 of its 12 rays' stain against 24
    assert negative == pytest.approx([LEVEL / 8, LEVEL / 8 * (first * 12 / 24) ** 2])
    assert positive == pytest.approx([LEVEL / 8, LEVEL / 8])


def test_equal_neighbours_keep_all():
    assert scored([range(RAYS)] * 2, [{1: range(8)}, {0: range(8)}]) == pytest.approx(LEVEL / 8)


def test_a_cell_among_stained_ones_does_not_outweigh_one_stained_in_part():
    """Cell 0 borrows 18 rays from three others; cell 1 has 14 of its own, 6 of them towards cell 0."""
    around = {1: range(6), 2: range(6, 12), 3: range(12, 18)}
    full = {0: range(6), 1: range(6, 9)}
    part = {0: range(6), 2: range(20, 22), 3: range(22, 24)}
    borrowing, partly, *_ = scored([range(18), range(14), range(RAYS), range(RAYS)], [around, part, full, full])
    left = 6 + 12 * (18 / 24) ** 2  # rays that cell 0 keeps in the first round: all it shares with cell 1
    kept = [(left / 14) ** 2] * 6 + [(left / 24) ** 2] * 12 + [0.0] * 6
    assert borrowing[1] == pytest.approx(LEVEL / 8 * np.mean(sorted(kept)[12:22]))
    own = 8 + 6 * (14 / 18) ** 2  # of cell 1, which then meets a rim hardly stronger, where 18 rays were seen
    assert partly[1] == pytest.approx(LEVEL / 8 * np.mean([1.0] * 6 + [(own / left) ** 2] * 4))
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
