"""A dark nucleus on a pale one is two; chromatin, halos and small spots are not."""

import numpy as np
import pytest

from spatial_til.segmentation.basins import Basins
from spatial_til.segmentation.foreground import SCALE
from spatial_til.segmentation.nuclei import find_nuclei
from spatial_til.segmentation.overlaps import part_overlaps
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NucleusSettings
from spatial_til.segmentation.smooth import smooth

PX_UM = 0.5
SIDE = 120
TYPICAL = 40.0


def disc(x_um, y_um, radius_um, soft_um=0.6):
    rows, cols = np.mgrid[0:SIDE, 0:SIDE] * PX_UM
    return 1 / (1 + np.exp((np.hypot(cols - x_um, rows - y_um) - radius_um) / (0.5 * soft_um)))


def centres_um(amount):
    """Return the centres of the nuclei found in a plane of stain, given in typical contrasts."""
    plane = np.round(amount * TYPICAL).astype(np.int16)
    contrast = np.zeros(plane.shape, dtype=np.int16)
    smooth(plane, NucleusSettings().blur_um / PX_UM, SCALE, out=contrast)
    found = find_nuclei(contrast, px_um=PX_UM, typical=TYPICAL, settings=NucleusSettings(), scratch=Scratch())
    return np.column_stack((found.peak_col + found.col, found.peak_row + found.row)) * PX_UM


@pytest.mark.parametrize("angle_deg", range(0, 360, 30))
@pytest.mark.parametrize("dark", [1.5, 2.0])
def test_a_lymphocyte_on_a_large_pale_nucleus_is_two_nuclei(angle_deg, dark):
    at = 30 + 6.0 * np.cos(np.deg2rad(angle_deg)), 30 + 6.0 * np.sin(np.deg2rad(angle_deg))
    found = centres_um(disc(30, 30, 6.0) + dark * disc(*at, 3.5))
    assert len(found) == 2
    assert np.hypot(*(found - at).T).min() < 1.5
    assert np.hypot(*(found - (30, 30)).T).min() < 3.0


@pytest.mark.parametrize("inside", ["dark side", "nucleolus", "dark rim"])
def test_what_lies_within_a_nucleus_does_not_part_it(inside):
    rows, _ = np.mgrid[0:SIDE, 0:SIDE] * PX_UM
    looks = {
        "dark side": 0.6 * (rows > 30),
        "nucleolus": 1.5 * disc(32.5, 30, 1.0),
        "dark rim": 0.8 * (1 - disc(30, 30, 4.0)),
    }
    assert len(centres_um(disc(30, 30, 6.0) * (1 + looks[inside]))) == 1


def test_two_lone_nuclei_of_other_levels_stay_as_they_are():
    assert len(centres_um(0.9 * disc(20, 30, 5.0) + 1.8 * disc(40, 30, 3.0))) == 2


def otsu_by_hand(values, levels=32):
    """Return the cut between `levels` bins that parts whole numbers best, by trying each."""
    low, span = values.min(), int(values.max() - values.min()) + 1
    bins = (values - low) * levels // span
    spread = [-1.0] * levels
    for b in range(levels - 1):
        below, above = values[bins <= b], values[bins > b]
        if len(below) and len(above):
            spread[b] = len(below) * len(above) / len(values) ** 2 * (above.mean() - below.mean()) ** 2
    best = int(np.argmax(spread))
    return low + -(-(best + 1) * span // levels)


@pytest.mark.parametrize("seed", range(6))
def test_parts_have_the_sums_of_their_own_pixels_cut_where_it_parts_them_best(seed):
    rng = np.random.default_rng(seed)
    um, centre = PX_UM, (30.0, 30.0)
    dark_at = centre + 6.0 * np.array([np.cos(seed), np.sin(seed)])
    plane = disc(*centre, 6.0) + 2.0 * disc(*dark_at, 3.5)
    contrast = np.round(plane * TYPICAL * SCALE + rng.normal(0, 30, plane.shape)).clip(1).astype(np.int16)
    labels = (plane > 0.5).astype(np.int32)
    rows, cols = np.nonzero(labels)
    peak = np.array([[0, 0, 0], [rows[0], cols[0], 100]], dtype=np.int32)
    whole = sums_of(labels == 1, contrast, peak[1])
    extent = np.array([[0] * 4, [rows.min(), rows.max() + 1, cols.min(), cols.max() + 1]], dtype=np.int32)
    sums = np.stack((np.zeros_like(whole), whole))
    basins = Basins(labels, peak, sums, extent, np.empty((0, 2), dtype=np.int32))
    root, sums, peak = part_overlaps(basins, np.arange(2, dtype=np.int32), sums, contrast, px_um=um, typical=TYPICAL)
    assert root.tolist() == [0, 1, 2]
    assert contrast[labels == 2].min() >= otsu_by_hand(contrast[labels > 0].astype(int)) > contrast[labels == 1].max()
    assert contrast[tuple(peak[2, :2])] == contrast[labels == 2].max()
    for k in (1, 2):
        assert sums[k].tolist() == sums_of(labels == k, contrast, peak[k]).tolist()


def sums_of(inside, contrast, peak):
    rows, cols = (at - p for at, p in zip(np.nonzero(inside), peak, strict=False))
    level = contrast[inside].astype(np.int64)
    return np.array([len(rows), *(v.sum() for v in (rows, cols, rows**2, cols**2, rows * cols, level))], dtype=np.int64)
