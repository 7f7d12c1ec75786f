"""The slide's own nuclear stain, on drawn slides whose colours are known."""

from __future__ import annotations

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.own_nuclear import standing_out, with_own_nuclear
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.stains import stain_matrix
from tests.array_source import ArraySource

PANEL = stain_matrix([(0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.21, 0.85, 0.48)])
WHITE = (240.0, 240.0, 240.0)
SIDE = 256
TISSUE = MultiPolygon([box(0, 0, SIDE / 2, SIDE / 2)])


def drawn(hematoxylin, *, nuclei=0.7, haze=0.0):
    """Return nuclei 12 µm apart, every fifth within a ring of brown and every other fifth within one of red."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    from_centre = np.hypot(rows % 24 - 12, cols % 24 - 12) / 2
    number = rows // 24 * 11 + cols // 24
    ring = np.exp(-0.5 * ((from_centre - 4.5) / 0.5) ** 2)
    amounts = np.stack((nuclei * (from_centre < 3.5), ring * (number % 5 == 0), ring * (number % 5 == 1)), axis=-1)
    colour = np.vstack((hematoxylin, PANEL[1:]))
    density = amounts * (1, 0.5, 0.5) @ colour + haze * PANEL[1]
    return ArraySource(np.round(np.array(WHITE) * 10.0**-density).astype(np.uint8))


def own_of(source):
    return with_own_nuclear(standing_out(source, TISSUE, WHITE, PANEL), PANEL, 0)


def turned(degrees, towards):
    """Return the panel's hematoxylin turned towards another colour."""
    across = towards - (towards @ PANEL[0]) * PANEL[0]
    angle = np.deg2rad(degrees)
    return np.cos(angle) * PANEL[0] + np.sin(angle) * across / np.linalg.norm(across)


def degrees_apart(a, b):
    return np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))


@pytest.mark.parametrize("degrees", [-4, 0, 4])
@pytest.mark.parametrize("stain", [1, 2], ids=["brown", "red"])
def test_the_colour_of_nuclei_is_found_among_stained_membranes_and_under_haze(stain, degrees):
    truth = turned(degrees, PANEL[stain])
    for haze in (0.0, 0.1):
        own = own_of(drawn(truth, haze=haze))
        assert degrees_apart(own[0], truth) < 0.5
        assert np.array_equal(own[1:], PANEL[1:])


def test_the_panel_stands_where_hardly_anything_is_nuclear_or_its_colour_is_another():
    assert np.array_equal(own_of(drawn(PANEL[0], nuclei=0.05)), PANEL)
    blue = stain_matrix([(0.75, 0.30, 0.10)])[0]  # 27 degrees off: no stain of this panel
    assert degrees_apart(blue, PANEL[0]) > 20
    assert np.array_equal(own_of(drawn(blue)), PANEL)


def calibrated(truth, nuclear_markers=frozenset()):
    names = ("hematoxylin", "dab", "red")
    stains = tuple(Stain(n, m, tuple(v)) for n, m, v in zip(names, (NUCLEI, "CD8", "PD-L1"), PANEL, strict=True))
    settings = MeasureSettings("brightfield", stains=stains, white=WHITE, nuclear_markers=nuclear_markers)
    return calibrate(drawn(truth), None, settings, TISSUE)


def test_what_nuclei_lend_a_chromogen_is_taken_off_and_nuclei_are_found_as_before():
    source = drawn(turned(4, PANEL[2]))
    constants, as_told = calibrated(turned(4, PANEL[2])), calibrated(turned(4, PANEL[2]), frozenset({"Ki67"}))
    assert as_told.own_nuclear is None
    assert degrees_apart(np.array(constants.own_nuclear), turned(4, PANEL[2])) < 0.5
    (nuclear, markers), (nuclear_told, markers_told) = (c.planes(source.image) for c in (constants, as_told))
    assert np.array_equal(nuclear, nuclear_told)
    centre = (slice(12, SIDE, 24),) * 2  # 0.7 OD of hematoxylin, no red
    assert markers_told[1][centre].mean() > 5
    assert markers[1][centre].mean() < 1.5
