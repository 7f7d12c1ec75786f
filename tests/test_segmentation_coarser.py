"""Two pixels for three: exact means, the same whatever box is read, and only where it is asked for and fits."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_til.segmentation.coarser import Coarser, for_cells
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, Stain
from spatial_til.segmentation.slide import measure_slide
from spatial_til.synthetic import PRESET_VECTORS, render_brightfield, tissue_scene
from spatial_til.units import PixelSize

BRIGHTFIELD = MeasureSettings(
    "brightfield",
    stains=tuple(
        Stain(name, marker, tuple(map(float, vector)))
        for name, marker, vector in zip(
            ("hematoxylin", "dab", "red"), (NUCLEI, "CD8", "PD-L1"), PRESET_VECTORS, strict=True
        )
    ),
)


@dataclass(frozen=True)
class Image:
    pixels: np.ndarray
    um: float = 0.5
    channels: tuple[str, ...] = ("red", "green", "blue")

    @property
    def shape(self):
        return self.pixels.shape[:2]

    @property
    def pixel_size(self):
        return PixelSize(self.um, self.um)

    def read(self, row0, row1, col0, col1):
        assert 0 <= row0 < row1 <= self.shape[0]
        assert 0 <= col0 < col1 <= self.shape[1]
        return self.pixels[row0:row1, col0:col1]


def picture(rows, cols):
    return np.random.default_rng(rows * cols).integers(0, 256, (rows, cols, 3), dtype=np.uint8)


def whole(source):
    return source.read(0, source.shape[0], 0, source.shape[1])


def halves_in(n, kept):
    """Return (kept, n) the halves of each of `n` pixels that lie in each of those one and a half times as large."""
    start = np.arange(kept)[:, None] * 3
    left, right = np.arange(n) * 2, np.arange(n) * 2 + 2
    return np.clip(np.minimum(right, start + 3) - np.maximum(left, start), 0, None)


@pytest.mark.parametrize(("rows", "cols", "kept"), [(30, 33, (20, 22)), (31, 32, (20, 21)), (2, 5, (1, 3))])
def test_a_pixel_is_the_mean_of_what_it_covers(rows, cols, kept):
    source = Coarser(Image(picture(rows, cols)))
    assert source.shape == kept
    assert source.pixel_size == PixelSize(0.75, 0.75)
    down, across = halves_in(rows, kept[0]), halves_in(cols, kept[1])
    sums = np.einsum("ai,ijc,bj->abc", down, picture(rows, cols).astype(np.int64), across)
    assert (whole(source) == (sums + 4) // 9).all()  # of nine quarters; a ninth never falls on a half


def test_one_colour_stays_what_it_is():
    for level in (0, 1, 127, 254, 255):
        assert (whole(Coarser(Image(np.full((9, 9, 3), level, dtype=np.uint8)))) == level).all()


@given(st.integers(2, 40), st.integers(2, 40), st.data())
def test_a_pixel_does_not_depend_on_the_box_that_is_read(rows, cols, data):
    source = Coarser(Image(picture(rows, cols)))
    (row0, row1), (col0, col1) = (
        sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in source.shape
    )
    assert (source.read(row0, row1, col0, col1) == whole(source)[row0:row1, col0:col1]).all()


@pytest.mark.parametrize("um", [0.54, 0.65, 1.0])
def test_pixels_are_not_made_larger_than_eight_tenths_of_a_micrometre(um):
    image = Image(picture(9, 9), um)
    assert for_cells(image, BRIGHTFIELD) is image


@pytest.mark.parametrize("um", [0.25, 0.5, 0.53])
def test_it_is_done_in_brightfield_unless_told_otherwise(um):
    image = Image(picture(9, 9), um)
    assert for_cells(image, BRIGHTFIELD).pixel_size.x_um == pytest.approx(1.5 * um)
    assert for_cells(image, replace(BRIGHTFIELD, coarser_grid=False)) is image
    assert for_cells(image, replace(BRIGHTFIELD, nuclear_markers=frozenset({BRIGHTFIELD.markers[0]}))) is image
    fluorescence = MeasureSettings("fluorescence", channels=(Channel("0", NUCLEI), Channel("1", "CD8")))
    assert for_cells(image, fluorescence) is image


def test_cells_lie_where_they_are_in_the_slide():
    scene = tissue_scene((300, 300), seed=3)
    image = Image(render_brightfield(scene, 0.5))
    fine, coarse = (measure_slide(image, settings=replace(BRIGHTFIELD, coarser_grid=on)) for on in (False, True))
    assert (fine.pixel_size.x_um, coarse.pixel_size.x_um) == (0.5, 0.75)
    truth = scene.cells.centroids_um
    truth = truth[((truth > 6) & (truth < 294)).all(axis=1)]
    for slide in (fine, coarse):
        found = np.column_stack((slide.cells.x_um, slide.cells.y_um))
        off = found[:, None] - truth[None]
        nearest = np.hypot(*np.moveaxis(off, -1, 0)).argmin(axis=0)
        near = off[nearest, np.arange(len(truth))]
        near = near[np.hypot(*near.T) < 2]
        assert len(near) > 0.9 * len(truth)
        assert np.abs(near.mean(axis=0)).max() < 0.1  # half a pixel of 0.75 would be 0.375


@given(st.integers(0, 520), st.integers(1, 400))
def test_rows_are_made_in_bands_of_the_same_colours(row0, rows):
    image = np.tile(picture(97, 6), (9, 1, 1))
    coarser = Coarser(Image(image))
    row1 = min(row0 + rows, coarser.shape[0])
    row0 = min(row0, row1 - 1)
    exact = np.concatenate([Coarser(Image(image[k * 3 : k * 3 + 3])).read(0, 2, 0, 4) for k in range(len(image) // 3)])
    np.testing.assert_array_equal(coarser.read(row0, row1, 0, 4), exact[row0:row1])


def test_what_is_expected_is_what_is_read():
    class Told(Image):
        def expect(self, boxes):
            told.extend(boxes)

        def read(self, *box):
            read.append(box)
            return super().read(*box)

    told, read = [], []
    coarser = Coarser(Told(picture(900, 6)))
    boxes = [(101, 513, 0, 4), (0, 600, 1, 3)]
    coarser.expect(boxes)
    for box in boxes:
        coarser.read(*box)
    assert [(t[0] // 3, t[1] // 3) for t in told] == [(r[0] // 3, r[1] // 3) for r in read]
    assert told == read
