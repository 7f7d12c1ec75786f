"""Packed nuclei part at the dark lines between them; chromatin of lone nuclei does not part."""

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from spatial_til.segmentation.basins import Basins, _sums, _touching
from spatial_til.segmentation.clefts import open_clefts
from spatial_til.segmentation.rejoin import _likeness, rejoin_parts
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, NucleusSettings
from spatial_til.segmentation.slide import measure_slide
from spatial_til.units import PixelSize
from tests.array_source import ArraySource

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
        ArraySource(image.astype(np.uint16), PixelSize(PX_UM, PX_UM), ("DAPI", "CD8")),
        settings=settings,
        tissue=frame,
        tile_px=tile_px,
    ).cells


def test_nuclei_of_a_clump_are_told_apart_by_its_clefts():
    assert len(measured(1000)) == 25 * 9


def test_clefts_are_the_same_in_any_tile():
    whole, cut = measured(1000), measured(96)
    assert np.array_equal(whole.x_um, cut.x_um)
    assert np.array_equal(whole.y_um, cut.y_um)
    assert np.array_equal(whole.nucleus_area_um2, cut.nucleus_area_um2)


def rejoined(parts, clefts, max_area_um2=400.0):
    """Return the nucleus of each part (rows, cols bool), and the sums, once those that look like one have joined."""
    labels = np.zeros((SIDE, SIDE), dtype=np.int32)
    peak = np.zeros((len(parts) + 1, 3), dtype=np.int32)
    for k, part in enumerate(parts, start=1):
        labels[part] = k
        peak[k] = (*np.argwhere(part)[len(np.argwhere(part)) // 2], 100 - k)
    sums, extent = _sums(labels, peak, np.full((SIDE, SIDE), 1000, dtype=np.int16), SIDE)
    basins = Basins(labels, peak, sums, extent, _touching(labels, len(peak)))
    root = np.arange(len(peak), dtype=np.int32)
    rejoin_parts(basins, root, sums, np.flatnonzero(clefts), px_um=PX_UM, max_area_um2=max_area_um2)
    return root.tolist(), sums


def disc(row, col, radius, stretch=1.0):
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    return ((rows - row) / stretch) ** 2 + (cols - col) ** 2 <= radius**2


def test_halves_of_one_nucleus_join_again_with_their_sums():
    whole, line = disc(60, 60, 12), disc(60, 60, 12) & (np.mgrid[0:SIDE, 0:SIDE][0] == 60)
    upper, lower = (whole & side for side in (np.mgrid[0:SIDE, 0:SIDE][0] < 60, np.mgrid[0:SIDE, 0:SIDE][0] > 60))
    root, sums = rejoined([upper, lower], line)
    assert root == [0, 1, 1]
    assert sums[1, 0] == upper.sum() + lower.sum()  # the cleft itself grows back with the nucleus
    assert sums[1, 6] == 1000 * sums[1, 0]
    assert rejoined([upper, lower], line, max_area_um2=sums[1, 0] * PX_UM**2)[0] == [0, 1, 1]
    assert rejoined([upper, lower], line, max_area_um2=sums[1, 0] * PX_UM**2 - 0.01)[0] == [0, 1, 2]


def test_nuclei_side_by_side_stay_two():
    one, two = disc(60, 50, 10), disc(60, 71, 10)
    line = (np.mgrid[0:SIDE, 0:SIDE][1] >= 60) & disc(60, 60, 3) & ~one & ~two
    assert rejoined([one, two], line)[0] == [0, 1, 2]


def test_a_part_joins_its_best_partner_only_and_far_ones_none():
    rows = np.mgrid[0:SIDE, 0:SIDE][0]
    whole = disc(60, 60, 12)
    upper, lower, beside = whole & (rows < 60), whole & (rows > 60), disc(60, 84, 10)
    line = (whole & (rows == 60)) | (disc(60, 73, 2) & ~whole & ~beside)
    assert rejoined([upper, lower, beside], line)[0] == [0, 1, 1, 3]
    assert rejoined([upper, lower], np.zeros_like(line))[0] == [0, 1, 2]


def forked(whole, turn_deg):
    """Return three parts of a disc and the forked line between them."""
    rows, cols = np.mgrid[0:SIDE, 0:SIDE] - 60.0
    third = (np.rad2deg(np.arctan2(rows, cols)) - turn_deg) % 360 // 120
    padded = np.pad(third, 1, mode="edge")
    beside = (padded[:-2, 1:-1] != third) | (padded[1:-1, :-2] != third)
    return [whole & (third == k) & ~beside for k in range(3)], whole & beside


@pytest.mark.parametrize("turn_deg", range(0, 120, 15))
def test_a_nucleus_cut_by_a_forked_line_is_one_again(turn_deg):
    parts, line = forked(disc(60, 60, 12), turn_deg)
    root, sums = rejoined(parts, line)
    assert root == [0, 1, 1, 1]
    assert sums[1, 0] == sum(part.sum() for part in parts)
    assert sums[1, 6] == 1000 * sums[1, 0]


def test_three_nuclei_in_a_ring_stay_three():
    ring = [disc(60 + 11.5 * np.sin(t), 60 + 11.5 * np.cos(t), 10) for t in np.deg2rad([0, 120, 240])]
    gap = disc(60, 60, 8) & ~(ring[0] | ring[1] | ring[2])
    assert rejoined(ring, gap)[0] == [0, 1, 2, 3]


@pytest.mark.parametrize("stretch", [1.0, 1.5, 2.5])
def test_likeness_is_that_of_length_over_width_and_of_the_share_of_an_ellipse(stretch):
    at = np.argwhere(disc(60, 60, 14, stretch)) - 50
    y, x = at.T
    sums = np.array([len(at), y.sum(), x.sum(), (y * y).sum(), (x * x).sum(), (y * x).sum(), 0])
    low, high = np.linalg.eigvalsh(np.cov(y, x, bias=True) + np.eye(2) / 12)
    ellipse = 4 * np.pi * np.sqrt(low * high)
    expected = 1.0 - 2.0 * np.log(high / low) / 2 - 3.0 * np.log(1.01 - min(len(at) / ellipse, 1.0))
    assert _likeness(sums, np.array([1.0, -2.0, -3.0])) == pytest.approx(expected, rel=1e-9)
