"""A dark nucleus on a pale one is two; chromatin, halos and small spots are not."""

import numpy as np
import pytest

from spatial_til.segmentation.foreground import SCALE
from spatial_til.segmentation.nuclei import find_nuclei
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
