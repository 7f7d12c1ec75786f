"""Tiles that boxes share are decoded once when it is known which boxes come, and the pixels stay the same."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_til.io.slides import open_slide
from spatial_til.io.slides.tiff_level import TiffLevel
from spatial_til.io.slides.tiles import TileCache
from spatial_til.model import SlideMeta
from spatial_til.pipeline.measure import working_grid
from spatial_til.protocol import parse_protocol
from spatial_til.segmentation.coarser import Coarser
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.slide import measure_slide
from spatial_til.segmentation.tiles import tile_grid
from spatial_til.study import Job
from spatial_til.synthetic import PRESET_VECTORS, render_brightfield, tissue_scene
from spatial_til.units import PixelSize

RNG = np.random.default_rng(8)
COLOUR = RNG.integers(0, 256, (700, 900, 3), dtype=np.uint8)
GREY = RNG.integers(0, 60_000, (3, 700, 900), dtype=np.uint16)
TILE = np.zeros(100, dtype=np.uint8)


@pytest.fixture(scope="module")
def colour_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("expected") / "c.tif"
    tifffile.imwrite(path, COLOUR, photometric="rgb", metadata=None, tile=(64, 64), compression="zlib")
    return path


@pytest.fixture(scope="module")
def grey_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("expected") / "g.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["a", "b", "c"]}}
    tifffile.imwrite(path, GREY, photometric="minisblack", metadata=metadata, tile=(64, 64))
    return path


@pytest.fixture
def decoded(monkeypatch):
    """How often each tile is decoded."""
    seen, decode = Counter(), TiffLevel.decode

    def counted(level, *key):
        seen[key] += 1
        return decode(level, *key)

    monkeypatch.setattr(TiffLevel, "decode", counted)
    return seen


def overlapping(grid, side=150, halo=20):
    return [tile.read_box for tile in tile_grid(grid.shape, tile_px=(side, side), halo_px=halo, align_px=4)]


def read_expected(grid):
    """Read boxes that overlap, as told before."""
    boxes = overlapping(grid)
    grid.expect(boxes)
    for box in boxes:
        grid.read(*box)


@pytest.mark.parametrize("target_um", [0.25, 0.5, 0.75])
def test_every_tile_of_a_colour_slide_is_decoded_once(colour_path, decoded, target_um):
    with open_slide(colour_path, pixel_size_um=0.25) as slide:
        grid = slide.at(target_um)
        read_expected(grid)
        assert set(decoded.values()) == {1}
        assert len(slide._cache._tiles) == 0  # nothing is kept past its last use


def test_every_tile_is_decoded_once_in_bands_that_cut_tiles(colour_path, decoded, monkeypatch):
    monkeypatch.setattr("spatial_til.io.slides.slide.BAND_PX", 9000)
    with open_slide(colour_path, pixel_size_um=0.25) as slide:
        grid = slide.at(0.75)  # bands end at multiples of 3 pixels, tiles at multiples of 64
        read_expected(grid)
        assert set(decoded.values()) == {1}


def test_every_tile_is_decoded_once_where_three_pixels_become_two(colour_path, decoded):
    with open_slide(colour_path, pixel_size_um=0.5) as slide:
        grid = Coarser(slide.at(0.5))
        read_expected(grid)
        assert set(decoded.values()) == {1}


def test_only_the_channels_that_are_read_are_expected(grey_path, decoded):
    with open_slide(grey_path, pixel_size_um=0.5) as slide:
        grid = slide.at(0.5, channels=[2, 0])
        read_expected(grid)
        assert {plane for plane, _, _ in decoded} == {0, 2}
        assert set(decoded.values()) == {1}
        assert len(slide._cache._tiles) == 0


def test_what_comes_next_is_kept_where_there_is_no_room_for_all():
    def decodes(expected):
        cache, n = TileCache(3 * TILE.nbytes), Counter()
        keys = [(0, 0, 0, column) for column in (0, 1, 2, 3)] * 2
        if expected:
            cache.expect(keys)
        for key in keys:
            cache.get(key, lambda key=key: n.update([key]) or TILE)
        return n.total()

    # the first two of four are kept for their second use; used last are the others, which come too late
    assert decodes(expected=True) == 6
    assert decodes(expected=False) == 8


def test_a_tile_that_was_not_expected_makes_room_first():
    cache, n = TileCache(3 * TILE.nbytes), Counter()
    expected = [(0, 0, 0, column) for column in (0, 1)]
    cache.expect(expected * 2)
    for key in [expected[0], (0, 0, 9, 9), expected[1], (0, 0, 9, 8), *expected]:
        cache.get(key, lambda key=key: n.update([key]) or TILE)
    assert [n[key] for key in expected] == [1, 1]


@given(
    order=st.permutations(range(12)),
    told=st.lists(st.integers(0, 11), max_size=20),
    room=st.sampled_from([1, 40_000, 1 << 20]),
)
@settings(max_examples=25, deadline=None)
def test_pixels_do_not_depend_on_what_was_expected(colour_path, order, told, room):
    with open_slide(colour_path, pixel_size_um=0.5) as slide:
        slide._cache = TileCache(room)
        grid = slide.at(0.5)
        boxes = overlapping(grid, side=250)
        assert len(boxes) == 12
        grid.expect([boxes[k] for k in told])
        with ThreadPoolExecutor(3) as pool:
            for k, image in zip(order, pool.map(lambda k: grid.read(*boxes[k]), order), strict=True):
                row0, row1, col0, col1 = boxes[k]
                assert np.array_equal(image, COLOUR[row0:row1, col0:col1])


def test_a_slide_is_told_the_boxes_of_its_tiles_before_they_are_read():
    pixels = render_brightfield(tissue_scene((300, 200), seed=3), 0.75)
    stains = zip(("hematoxylin", "dab", "red"), (NUCLEI, "CD8", "PD-L1"), PRESET_VECTORS, strict=True)
    told, read = [], []

    class Told:
        shape, pixel_size, channels = pixels.shape[:2], PixelSize(0.75, 0.75), ("red", "green", "blue")

        def expect(self, boxes):
            told.extend(boxes)
            read.clear()

        def read(self, *box):
            read.append(box)
            return pixels[slice(*box[:2]), slice(*box[2:])]

    measure_slide(
        Told(),
        settings=MeasureSettings("brightfield", stains=tuple(Stain(n, m, tuple(map(float, v))) for n, m, v in stains)),
        tile_px=128,
    )
    assert len(told) > 3
    assert read[: len(told)] == told


def test_a_fluorescence_slide_hands_on_what_is_expected(grey_path, decoded):
    channels = {"a": {"marker": "nuclei"}, "c": {"marker": "CD8"}}
    protocol = parse_protocol({"panel": {"modality": "fluorescence", "channels": channels}})
    job = Job(SlideMeta(slide_id="S", patient_id="P", timepoint="baseline"), grey_path, protocol)
    with open_slide(grey_path, pixel_size_um=0.5) as slide:
        grid = working_grid(slide, job, 0.5)
        read_expected(grid)
    assert set(decoded.values()) == {1}
