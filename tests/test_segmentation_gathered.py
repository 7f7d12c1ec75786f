"""Cells of tiles that are done take no memory, and come back as they went in."""

from __future__ import annotations

import tempfile
import tracemalloc

import numpy as np

from spatial_til.segmentation.gathered import Gathered, Part


def part_of(n: int, seed: int) -> Part:
    rng = np.random.default_rng(seed)
    stained = rng.random(n) < 0.1
    return Part(
        row=rng.random(n),
        col=rng.random(n),
        nucleus_px=rng.integers(1, 999, n, dtype=np.int32),
        cell_px=rng.integers(1, 999, n),
        values=rng.random((n, 7), dtype=np.float32).T,  # not contiguous, as the tiles hand them on
        stained=stained,
        colour=rng.integers(0, 10**9, (int(stained.sum()), 6)).T,
    )


def test_columns_are_those_of_the_tiles_one_after_the_other():
    parts = [part_of(n, seed) for seed, n in enumerate((40, 0, 1, 300))]
    with tempfile.TemporaryFile() as file:
        cells = Gathered(file)
        for part in parts[:2]:
            cells.add(part)
        assert np.array_equal(cells.column("row"), parts[0].row)  # looked at in between
        for part in parts[2:]:
            cells.add(part)
        assert cells.counts == [40, 0, 1, 300]
        for name in Part._fields:
            whole = np.concatenate([np.atleast_2d(getattr(part, name)) for part in parts], axis=1)
            for k, line in enumerate(whole):
                found = cells.column(name, k)
                assert found.dtype == line.dtype
                assert np.array_equal(found, line)


def test_cells_that_wait_take_no_memory():
    part = part_of(5000, 0)
    with tempfile.TemporaryFile() as file:
        cells = Gathered(file)
        tracemalloc.start()
        for _ in range(50):
            cells.add(part)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert 100 * held < 50 * sum(array.nbytes for array in part)
