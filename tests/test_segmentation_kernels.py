"""Compiled kernels beside the same thing written plainly."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from spatial_til.segmentation.basins import _touching
from spatial_til.segmentation.cells import CELL_COST, COST_BIT, TERRITORY_COST
from spatial_til.segmentation.foreground import depth_in
from spatial_til.segmentation.marks import mark_room, marked
from spatial_til.segmentation.measure import measure_cells
from spatial_til.segmentation.rays import RAYS
from spatial_til.segmentation.rim import _swaps, _write_upper
from spatial_til.segmentation.scratch import Scratch, lent_scratch
from spatial_til.segmentation.smooth import smooth

BESIDE = [(-1, -1, 23), (-1, 0, 16), (-1, 1, 23), (0, -1, 16), (0, 1, 16), (1, -1, 23), (1, 0, 16), (1, 1, 23)]


def field(seed, shape=(37, 53), sigma_px=1.5):
    """Return a smooth random field of both signs."""
    noise = np.random.default_rng(seed).integers(-3000, 3000, shape).astype(np.int16)
    return smooth(noise, sigma_px, 1, out=np.empty(shape, np.int16))


def plain_depth(above, cap):
    """Return the chamfer depth by relaxation until nothing changes."""
    rows, cols = above.shape
    depth = np.where(above > 0, cap, 0).astype(int)
    for i, j in np.argwhere(above > 0):
        level = int(above[i, j])
        near = [(s, int(above[i + y, j + x])) for y, x, s in BESIDE if 0 <= i + y < rows and 0 <= j + x < cols]
        crossings = [s * level // (level - low + 1) for s, low in near if low <= 0]
        depth[i, j] = min(crossings, default=cap)
    while True:
        padded = np.pad(depth, 1, constant_values=32000)
        offers = [padded[1 + y : rows + 1 + y, 1 + x : cols + 1 + x] + s for y, x, s in BESIDE]
        lower = np.minimum(depth, np.min(offers, axis=0))
        if (lower == depth).all():
            return depth
        depth = lower


@pytest.mark.parametrize("cap", [40, 192, 400])
@pytest.mark.parametrize("seed", range(4))
def test_depth_is_the_shortest_way_out(seed, cap):
    above = field(seed, sigma_px=1.0 + seed)
    depth = np.empty(above.shape, np.int16)
    depth_in(above, cap, depth)
    assert np.array_equal(depth, plain_depth(above, cap))


@pytest.mark.parametrize("seed", range(4))
def test_touching_labels_are_all_pairs_side_by_side(seed):
    labels = np.random.default_rng(seed).integers(0, 6, (9, 20)).repeat(3, axis=0).repeat(4, axis=1).astype(np.int32)
    sides = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    pairs = {tuple(sorted(p)) for a, b in sides for p in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)}
    expected = {(a, b) for a, b in pairs if a and a != b}
    found = [tuple(p) for p in _touching(labels, 6).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("seed", "ring"), [(0, 1), (1, 2), (2, 3)])
def test_statistics_of_compartments(seed, ring, dtype):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, (3, 4)).repeat(23, axis=0).repeat(31, axis=1)  # cells of several pieces
    nucleus = rng.integers(0, 2, labels.shape) > 0
    cost = np.where(labels == 0, TERRITORY_COST, np.where(nucleus, 0, CELL_COST))
    keys = (cost << COST_BIT | labels << 1).astype(np.uint32)
    planes = rng.integers(0, 256, (2, *labels.shape)).astype(dtype)
    wanted = np.array([True, True, False, True, True])
    found, _, area = measure_cells(
        keys,
        np.zeros((5, 2), np.int64),
        wanted,
        planes,
        planes.astype(np.int16),
        px_um=1.0,
        membrane_um=float(ring),
        scratch=Scratch(),
    )
    padded = np.pad(labels, ring, mode="edge")
    rows, cols = labels.shape
    ways = [(y * d, x * d) for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1)) for d in range(1, ring + 1)]
    shifted = [padded[ring + y : ring + y + rows, ring + x : ring + x + cols] for y, x in ways]
    membrane = (np.array(shifted) != labels).any(axis=0)
    inside = {"nucleus": nucleus, "cytoplasm": ~nucleus, "membrane": membrane, "cell": np.ones_like(nucleus)}
    assert area.tolist() == [(labels == k + 1).sum() for k in range(5)]
    for k in range(5):
        if not wanted[k] or not area[k]:
            assert np.isnan(found[k]).all()
            continue
        for p, plane in enumerate(planes):
            for c, where in enumerate(inside.values()):
                values = np.sort(plane[(labels == k + 1) & where])
                ranks = [values[tenths * (len(values) - 1) // 10] for tenths in (5, 7, 9)]
                expected = np.array([values.mean(dtype=np.float64), *ranks], np.float32)
                assert np.array_equal(found[k, p, 4 * c : 4 * c + 4], expected)


@pytest.mark.parametrize("cols", [1, 7, 8, 9, 64])
def test_marks_are_found_wherever_they_are(cols):
    mark, at = mark_room(cols)
    mark[:cols] = np.random.default_rng(cols).integers(0, 2, cols)
    assert at[: marked(mark, at)].tolist() == np.flatnonzero(mark).tolist()


def test_scratch_is_lent_to_one_at_a_time_and_used_again():
    with lent_scratch(4096) as one, lent_scratch(4096) as other:
        assert one is not other
        kept = one.array("plane", (4, 5), np.int16)
    with lent_scratch(4096) as again, lent_scratch() as further:
        assert {id(again), id(further)} == {id(one), id(other)}
        same = one.array("another", (2, 5), np.int16)
        assert np.shares_memory(same, kept)
    with pytest.raises(ValueError, match="torn"), lent_scratch() as torn:
        raise ValueError("torn")
    with lent_scratch() as one, lent_scratch() as other:  # what a failed tile held is not lost
        assert torn in (one, other)


def test_of_scratch_only_what_was_asked_for_aside_is_given_again():
    scratch = Scratch(256)
    kept = scratch.array("kept", (8,), np.int64)
    with scratch.aside():
        passing = scratch.array("passing", (16,), np.int64)
        beyond = scratch.array("beyond", (100,), np.int64)  # more than there is room for
        assert not np.shares_memory(scratch.array("passing", (16,), np.int64), kept)
    following = scratch.array("passing", (4,), np.int64)
    last = scratch.array("last", (4,), np.int64)
    assert np.shares_memory(scratch.array("kept", (8,), np.int64), kept)
    assert np.shares_memory(following, passing)
    assert not any(np.shares_memory(a, b) for a, b in combinations((kept, following, last, beyond), 2))


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_the_score_is_the_mean_of_the_upper_half_of_rays_without_the_top_two(levels):
    rng = np.random.default_rng(levels)
    rays = rng.integers(0, levels, (RAYS, 128)).astype(np.float32)  # with many of one level, and with none
    expected = np.sort(rays, axis=0)[12:22].sum(axis=0) / 80
    of = np.column_stack((np.arange(128), np.zeros((128, 2), dtype=np.int64)))
    of[64:, 2] = 1  # only what is their own
    scores = np.full((128, 1, 2), -1, dtype=np.float32)
    _write_upper(rays.copy(), np.full(128, float(RAYS)), of, 100, scores)
    assert (scores[:64, 0, 0] == expected[:64]).all()
    assert (scores[:100, 0, 1] == expected[:100]).all()
    assert (scores[64:, 0, 0] == -1).all()
    assert (scores[100:] == -1).all()


@pytest.mark.parametrize("n", [1, 2, 5, 12, 16])
def test_swaps_sort_whatever_the_values(n):
    values = (np.arange(2**n) >> np.arange(n)[:, None]) & 1  # what sorts every 0 and 1 sorts all (Knuth 5.3.4)
    ordered = np.sort(values, axis=0)
    for low, high in _swaps(n):
        values[[low, high]] = np.minimum(values[low], values[high]), np.maximum(values[low], values[high])
    assert (values == ordered).all()
