"""Packed nuclei part at the dark lines between them; chromatin of lone nuclei does not part."""

from dataclasses import dataclass

import numpy as np
from shapely.geometry import MultiPolygon, box

from spatial_til.segmentation.clefts import open_clefts
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, NucleusSettings
from spatial_til.segmentation.slide import measure_slide
from spatial_til.units import PixelSize

PX_UM = 0.5
SIDE = 120


def opened(contrast, share=0.15):
    """Return which foreground pixels were opened; the foreground is what has contrast at all."""
    above = np.where(contrast > 0, contrast, -1).astype(np.int16)
    before = above > 0
    open_clefts(contrast.astype(np.int16), above, px_um=PX_UM, share=share, settings=NucleusSettings())
    return before & (above <= 0)


def packed(line, depth):
    """Draw a sheet of stain with a valley one pixel wide at each `line`, `depth` of the level deep."""
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    valley = np.zeros((SIDE, SIDE))
    for across in line:
        valley = np.maximum(valley, np.exp(-0.5 * (across(rows, cols) / 0.8) ** 2))
    return np.round(4000 * (1 - depth * valley))


def test_lines_in_every_direction_are_opened_and_nothing_else():
    for across in (
        lambda r, c: r - 60,
        lambda r, c: c - 60,
        lambda r, c: (r - c) / np.sqrt(2),
        lambda r, c: (r + c - SIDE) / np.sqrt(2),
    ):
        rows, cols = np.mgrid[0:SIDE, 0:SIDE]
        away = np.abs(across(rows, cols))
        inside = (np.minimum(rows, cols) > 20) & (np.maximum(rows, cols) < SIDE - 20)
        found = opened(packed([across], 0.4))
        assert found[inside & (away < 0.1)].all()
        assert not found[inside & (away > 3)].any()


def test_a_shallow_line_stays_closed():
    assert not opened(packed([lambda r, c: r - 60], 0.1)).any()


def test_a_line_within_a_lone_nucleus_stays_closed():
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    nucleus = np.hypot(rows - 60, cols - 60) < 8
    assert not opened(packed([lambda r, c: r - 60], 0.4) * nucleus).any()
    assert opened(packed([lambda r, c: r - 60], 0.4)).any()


@dataclass(frozen=True)
class ArraySource:
    """An image in memory."""

    image: np.ndarray
    pixel_size: PixelSize
    channels: tuple[str, ...] = ("DAPI", "CD8")

    @property
    def shape(self):
        return self.image.shape[:2]

    def read(self, row0, row1, col0, col1):
        return self.image[row0:row1, col0:col1]


def measured(tile_px):
    """Return the cells of 25 clumps of 3 x 3 nuclei without gaps, a dark line between neighbours."""
    rows, cols = np.mgrid[0:400, 0:400]
    clump = ((rows % 80) < 48) & ((cols % 80) < 48)
    away = np.minimum(np.abs((rows % 80) % 16 - 0.5), np.abs((cols % 80) % 16 - 0.5))
    sheet = 3000 * clump * (1 - 0.45 * np.exp(-0.5 * (away / 0.9) ** 2))
    nuclei = np.random.default_rng(0).poisson(sheet + 200.0)
    image = np.pad(np.stack((nuclei, np.full_like(nuclei, 100)), axis=-1), ((60, 60), (60, 60), (0, 0)))
    side_um = image.shape[0] * PX_UM
    settings = MeasureSettings("fluorescence", channels=(Channel("DAPI", NUCLEI), Channel("CD8", "CD8")))
    frame = MultiPolygon([box(0, 0, side_um, side_um)])
    return measure_slide(
        ArraySource(image.astype(np.uint16), PixelSize(PX_UM, PX_UM)), settings=settings, tissue=frame, tile_px=tile_px
    ).cells


def test_nuclei_of_a_clump_are_told_apart_by_its_clefts():
    assert len(measured(1000)) == 25 * 9


def test_clefts_are_the_same_in_any_tile():
    whole, cut = measured(1000), measured(96)
    assert np.array_equal(whole.x_um, cut.x_um)
    assert np.array_equal(whole.y_um, cut.y_um)
    assert np.array_equal(whole.nucleus_area_um2, cut.nucleus_area_um2)
