"""Pictures that never wait: what they show before and after tiles have come, and that they are arrays to napari."""

import threading
import time

import numpy as np
import pytest

from spatial_til.errors import SlideError
from spatial_til.plugin.tiles import TILE_PX, Loader, Picture, TileKey, in_view


class Pixels:
    """A level whose pixels say where they are; it may be made to wait, or to fail."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape[:2]
        self.gate, self.reads, self.broken = threading.Event(), [], False
        self.gate.set()

    def read(self, row0, row1, col0, col1):
        self.gate.wait(10)
        self.reads.append((row0, row1, col0, col1))
        if self.broken:
            raise SlideError("damaged tile")
        return self.array[row0:row1, col0:col1]


@pytest.fixture
def loader():
    made = Loader()
    yield made
    made.close()


def make(loader, shape=(1500, 1300), samples=()):
    rng = np.random.default_rng(0)
    full = rng.integers(0, 200, (*shape, *samples), dtype=np.uint8)
    levels = [full, full[::2, ::2], full[::4, ::4]]
    sources = [Pixels(level) for level in levels]
    return Picture(sources, levels[-1], loader), sources, levels


@pytest.mark.parametrize("samples", [(), (3,)], ids=["channel", "colours"])
def test_loaded_levels_are_the_arrays_they_stand_for(loader, samples):
    picture, _, levels = make(loader, samples=samples)
    for level, array in zip(picture.levels, levels, strict=True):
        keys = [np.s_[3:900, 400:1200], np.s_[::, ::], np.s_[10], np.s_[5, 7], np.s_[..., 2:9], np.s_[1:90:3, 2:80:5]]
        for key in keys[: None if not samples else 4]:
            level[key]
            assert loader.wait()
            assert np.array_equal(level[key], array[key])
        assert (level.shape, level.ndim, level.dtype) == (array.shape, array.ndim, array.dtype)


def test_a_picture_is_there_at_once_and_sharp_later(loader):
    picture, sources, levels = make(loader)
    sources[0].gate.clear()
    first = picture.levels[0][:600, :600]  # returns although nothing can be read
    assert np.array_equal(first, np.kron(levels[2], np.ones((4, 4), np.uint8))[:600, :600])
    told = []
    loader.on_loaded = lambda picture, _: told.append(picture)
    sources[0].gate.set()
    assert loader.wait()
    assert np.array_equal(picture.levels[0][:600, :600], levels[0][:600, :600])
    assert set(told) == {picture}


def test_the_next_coarser_tile_stands_in_where_it_is_in_memory(loader):
    picture, sources, levels = make(loader)
    picture.levels[1][:, :]
    assert loader.wait()
    sources[0].gate.clear()
    assert np.array_equal(picture.levels[0][:512, :512], np.kron(levels[1], np.ones((2, 2), np.uint8))[:512, :512])
    sources[0].gate.set()


def test_every_pixel_is_the_finest_in_memory_whichever_tiles_have_come(loader):
    rng = np.random.default_rng(5)
    full = rng.integers(
        0, 200, (2051, 1837), dtype=np.uint8
    )  # odd sizes: the last row and column have no coarser pixel
    levels = [full]
    while len(levels) < 4:
        rows, cols = (n // 2 for n in levels[-1].shape)
        levels.append(levels[-1][: 2 * rows : 2, : 2 * cols : 2])
    sources = [Pixels(level) for level in levels]
    picture = Picture(sources, levels[-1], loader)
    expected = levels[-1]
    for level in (2, 1, 0):
        array = levels[level]
        rows, cols = (np.minimum(np.arange(n) // 2, m - 1) for n, m in zip(array.shape, expected.shape, strict=True))
        expected = expected[rows[:, None], cols].copy()
        n_rows, n_cols = (-(-n // TILE_PX) for n in array.shape)
        for row, col in {(int(rng.integers(n_rows)), int(rng.integers(n_cols))) for _ in range(3)}:
            tile = np.s_[row * TILE_PX : (row + 1) * TILE_PX, col * TILE_PX : (col + 1) * TILE_PX]
            picture.levels[level][tile]
            assert loader.wait()
            expected[tile] = array[tile]
    for source in sources:
        source.gate.clear()
    for view in (np.s_[:, :], np.s_[301:1999, 77:1836], np.s_[2040:2051, 1830:1837], np.s_[2050:2051, :5]):
        assert np.array_equal(picture.levels[0][view], expected[view])
    for source in sources:
        source.gate.set()


def test_each_tile_is_read_once(loader):
    picture, sources, _ = make(loader)
    for _ in range(3):
        picture.levels[0][: TILE_PX + 1, : TILE_PX + 1]
        assert loader.wait()
    assert sorted(sources[0].reads) == [
        (0, 512, 0, 512),
        (0, 512, 512, 1024),
        (512, 1024, 0, 512),
        (512, 1024, 512, 1024),
    ]


def test_only_tiles_that_are_shown_are_in_view():
    corners = np.array([[500, 1024], [1023, 1600]])  # rows 500 to 1023, columns 1024 to 1600
    inside = {(row, col) for row in range(5) for col in range(5) if in_view(TileKey(0, 2, row, col), 2, corners)}
    assert inside == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert not in_view(TileKey(0, 1, 1, 2), 2, corners)


def test_what_is_asked_for_last_comes_first():
    loader = Loader()
    picture, sources, _ = make(loader, shape=(4096, 4096))
    sources[0].gate.clear()
    picture.levels[0][:1024, :512]
    while len(loader._underway) < 2:  # both threads are busy from here on
        time.sleep(0.001)
    for row in range(1024, 4096, 512):
        picture.levels[0][row : row + 512, :512]
    sources[0].gate.set()
    assert loader.wait()
    rows = [read[0] for read in sources[0].reads]
    assert rows.index(3584) < rows.index(1024)
    loader.close()


def test_a_changed_picture_shows_nothing_of_the_old_one(loader):
    picture, sources, levels = make(loader)
    picture.levels[0][:, :]
    sources[0].gate.clear()
    sources[0].array = levels[0] + 50
    picture.replace(levels[2] + 50)
    sources[0].gate.set()
    picture.levels[0][:, :]
    assert loader.wait()
    assert np.array_equal(picture.levels[0][:, :], levels[0] + 50)


def test_a_damaged_tile_is_said_once_and_stays_coarse(loader):
    picture, sources, levels = make(loader)
    sources[0].broken = True
    said = []
    loader.on_error = said.append
    for _ in range(3):
        shown = picture.levels[0][:512, :512]
        assert loader.wait()
    assert said == ["damaged tile"]
    assert np.array_equal(shown, np.kron(levels[2], np.ones((4, 4), np.uint8))[:512, :512])


def test_memory_is_bounded():
    loader = Loader(cache_bytes=3 * TILE_PX * TILE_PX)
    picture, _, levels = make(loader, shape=(2048, 2048))
    picture.levels[0][:, :]
    assert loader.wait()
    assert sum(tile.nbytes for tile in loader._tiles.values()) <= 3 * TILE_PX * TILE_PX
    assert np.array_equal(picture.levels[2][:, :], levels[2])
    loader.close()


def test_without_a_loader_pixels_are_read_in_place():
    picture, _, levels = make(None)
    assert np.array_equal(picture.levels[0][30:70, 50:99], levels[0][30:70, 50:99])


def test_a_closed_loader_asks_for_nothing():
    loader = Loader()
    picture, sources, _ = make(loader)
    loader.close()
    picture.levels[0][:, :]
    assert sources[0].reads == []
