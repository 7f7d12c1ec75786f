"""The working grid: block means by hand, the same for every box, thread and process; pixel size follows."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_til.io.slides import open_slide
from spatial_til.io.slides.binning import bin_mean
from spatial_til.io.slides.tiles import TileCache

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (307, 501, 3), dtype=np.uint8)
GREY = RNG.integers(0, 60_000, (2, 307, 501), dtype=np.uint16)


def block_mean(image, by, bx):
    """Mean of whole blocks by NumPy, in float64: what the grid must hold."""
    rows, cols = image.shape[0] // by, image.shape[1] // bx
    blocks = image[: rows * by, : cols * bx].reshape(rows, by, cols, bx, -1)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


@pytest.fixture(scope="module")
def colour_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "c.tif"
    tifffile.imwrite(path, COLOUR, photometric="rgb", metadata=None, tile=(64, 64), compression="zlib")
    return path


@pytest.fixture(scope="module")
def grey_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "g.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["a", "b"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    tifffile.imwrite(path, GREY, photometric="minisblack", metadata=metadata, tile=(64, 128))
    return path


@pytest.mark.parametrize(
    ("um", "target", "factor"),
    [(0.25, 0.5, 2), (0.4971, 0.5, 1), (0.5, 0.5, 1), (0.2527, 0.5, 2), (0.23, 0.5, 2), (0.34, 0.5, 1), (0.1, 0.5, 5),
     (1.0, 0.5, 1), (0.2, 0.5, 3)],
)  # fmt: skip
def test_whole_pixels_are_averaged_and_the_pixel_size_is_what_they_cover(colour_path, um, target, factor):
    with open_slide(colour_path, pixel_size_um=um) as slide:
        grid = slide.at(target)
        assert grid.blocks == (factor, factor)
        assert grid.shape == (307 // factor, 501 // factor)
        assert (grid.pixel_size.x_um, grid.pixel_size.y_um) == pytest.approx((um * factor, um * factor), rel=1e-12)
        expected = np.floor(block_mean(COLOUR, factor, factor) + 0.5).astype(np.uint8)  # half up
        assert np.array_equal(grid.read(0, grid.shape[0], 0, grid.shape[1]), expected)


def test_anisotropic_pixels_become_square_and_areas_stay_true(grey_path):
    with open_slide(grey_path) as slide:
        assert slide.flags == ("anisotropic_pixels",)
        grid = slide.at(0.5)
        assert grid.blocks == (2, 1)
        assert grid.shape == (153, 501)
        assert (grid.pixel_size.x_um, grid.pixel_size.y_um) == (0.5, 0.5)
        image = grid.read(0, 153, 0, 501)
        assert image.dtype == np.float32
        assert np.array_equal(image, block_mean(np.moveaxis(GREY, 0, -1), 2, 1).astype(np.float32))
        assert np.array_equal(slide.at(0.5, channels=[1]).read(3, 90, 5, 77)[..., 0], image[3:90, 5:77, 1])


@settings(max_examples=25, derandomize=True, deadline=None)
@given(data=st.data())
def test_any_box_equals_the_same_part_of_the_whole(colour_path, data):
    with open_slide(colour_path, pixel_size_um=0.25) as slide:
        grid = slide.at(0.5)
        row0 = data.draw(st.integers(0, grid.shape[0] - 1))
        row1 = data.draw(st.integers(row0 + 1, grid.shape[0]))
        col0 = data.draw(st.integers(0, grid.shape[1] - 1))
        col1 = data.draw(st.integers(col0 + 1, grid.shape[1]))
        whole = grid.read(0, grid.shape[0], 0, grid.shape[1])
        assert np.array_equal(grid.read(row0, row1, col0, col1), whole[row0:row1, col0:col1])


def test_reading_in_bands_changes_nothing(colour_path, monkeypatch):
    with open_slide(colour_path, pixel_size_um=0.25) as slide:
        grid = slide.at(0.5)
        whole = grid.read(0, 153, 0, 250)
        monkeypatch.setattr("spatial_til.io.slides.slide.BAND_PX", 9000)
        assert np.array_equal(grid.read(0, 153, 0, 250), whole)


def test_threads_and_a_tiny_cache_read_the_same(colour_path):
    with open_slide(colour_path, pixel_size_um=0.5) as slide:
        slide._cache = TileCache(1)  # every tile is evicted by the next
        grid = slide.at(0.5)
        boxes = [(r, min(r + 40, 307), c, min(c + 70, 501)) for r in range(0, 307, 40) for c in range(0, 501, 70)] * 3
        with ThreadPoolExecutor(4) as pool:
            for box, image in zip(boxes, pool.map(lambda b: grid.read(*b), boxes), strict=True):
                assert np.array_equal(image, COLOUR[box[0] : box[1], box[2] : box[3]])


def test_a_pickled_slide_and_grid_read_the_same(grey_path):
    with open_slide(grey_path, pixel_size_um=0.25) as slide:
        grid = slide.at(0.5, channels=[1])
        copy = pickle.loads(pickle.dumps(grid))
        assert copy.slide.path == slide.path
        assert copy.pixel_size == grid.pixel_size
        assert copy.channels == ("b",)
        assert np.array_equal(copy.read(0, 99, 7, 55), grid.read(0, 99, 7, 55))
        copy.slide.close()


def test_a_levels_downsample_is_its_shape_not_its_nominal_factor(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.tif") as tif:
        tif.write(COLOUR, tile=(64, 64), photometric="rgb", metadata=None)
        tif.write(COLOUR[:304:4, :500:4], tile=(64, 64), photometric="rgb", metadata=None)  # 76 x 125
    with open_slide(tmp_path / "p.tif", pixel_size_um=0.25) as slide:
        assert slide.levels[1].downsample == (307 / 76, 501 / 125)
        grid = slide.at(1.0)
        assert grid.level == 1
        assert grid.pixel_size.y_um * 76 == pytest.approx(307 * 0.25)
        assert grid.pixel_size.x_um * 125 == pytest.approx(501 * 0.25)


def test_a_coarser_level_is_never_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.tif") as tif:
        for step in (1, 2, 8):
            tif.write(COLOUR[::step, ::step], tile=(64, 64), photometric="rgb", metadata=None)
    with open_slide(tmp_path / "p.tif", pixel_size_um=0.25) as slide:
        used = {
            target: (slide.at(target).level, slide.at(target).blocks[0]) for target in (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)
        }
    assert used == {0.25: (0, 1), 0.5: (1, 1), 1.0: (1, 2), 1.5: (1, 3), 2.0: (2, 1), 4.0: (2, 2)}


@pytest.mark.parametrize("max_px", [1000, 501, 250, 60, 7])
def test_overview_fits_and_shows_the_whole_slide(colour_path, max_px):
    with open_slide(colour_path) as slide:
        view = slide.overview(max_px)
        assert max(view.image.shape[:2]) <= max_px
        factor = int(view.downsample[0])
        assert view.downsample == (factor, factor)
        assert view.pixel_size is None
        assert np.array_equal(view.image, np.floor(block_mean(COLOUR, factor, factor) + 0.5))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.float32, np.float64])
def test_block_means_are_exact_and_never_rescaled(dtype):
    low, high = (-100, 100) if np.dtype(dtype).kind != "u" else (0, np.iinfo(dtype).max)
    image = RNG.uniform(low, high, (12, 15, 2)).astype(dtype)
    binned = bin_mean(image, 4, 3, is_rgb=False)
    assert binned.dtype == np.float32
    assert np.allclose(binned, block_mean(image.astype(np.float64), 4, 3), rtol=1e-6)


def test_reduced_reads_use_the_pyramid(tmp_path, monkeypatch):
    with tifffile.TiffWriter(tmp_path / "p.tif") as tif:
        tif.write(COLOUR, tile=(64, 64), photometric="rgb", metadata=None)
        tif.write(COLOUR[::4, ::4], tile=(64, 64), photometric="rgb", metadata=None)
    with open_slide(tmp_path / "p.tif", pixel_size_um=0.25) as slide:
        full = slide._pyramid.levels[0]
        monkeypatch.setattr(full, "decode", lambda *_: pytest.fail("the full resolution was read"))
        grid = slide.at(1.0)
        assert np.array_equal(grid.read(0, grid.shape[0], 0, grid.shape[1]), COLOUR[::4, ::4])
