"""What brown lends another chromogen on the slide itself, on drawn slides whose colours are known."""

from __future__ import annotations

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.leak import leaked_share
from spatial_til.segmentation.own_leak import brown_seen_as_other, own_leaked_share
from spatial_til.segmentation.own_nuclear import standing_out, with_own_nuclear
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.stains import stain_matrix
from tests.array_source import ArraySource

HEMATOXYLIN, BROWN, RED = stain_matrix([(0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.21, 0.85, 0.48)])
PANEL = np.array((HEMATOXYLIN, BROWN, RED))
WHITE = (240.0, 240.0, 240.0)
SIDE = 384
TISSUE = MultiPolygon([box(0, 0, SIDE / 2, SIDE / 2)])


def drawn(brown=BROWN, *, browns=5, reds=5, both=False):
    """Return nuclei 12 µm apart; one of `browns` lies within a ring of brown, one of `reds` within one of red."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    from_centre = np.hypot(rows % 24 - 12, cols % 24 - 12) / 2
    number = rows // 24 * 17 + cols // 24
    ring = 0.5 * np.exp(-0.5 * ((from_centre - 4.5) / 0.5) ** 2)
    in_brown, in_red = number % browns == 0, number % reds == (0 if both else 1)
    amounts = np.stack((0.6 * (from_centre < 3.5), ring * in_brown, ring * in_red * (0.3 if both else 1)), axis=-1)
    colours = np.array((HEMATOXYLIN, brown, RED))
    return ArraySource(np.round(np.array(WHITE) * 10.0 ** -(amounts @ colours)).astype(np.uint8))


def redder(share):
    """Return a brown of which a share is seen as red."""
    return BROWN + share * RED


def read(source, panel=PANEL, marked=(1, 2)):
    nuclear = next(k for k in range(len(panel)) if k not in marked)
    standing = standing_out(source, TISSUE, WHITE, panel)
    return brown_seen_as_other(standing, panel, with_own_nuclear(standing, panel, nuclear), marked)


@pytest.mark.parametrize("share", [-0.1, 0.0, 0.1, 0.2])
def test_what_brown_is_seen_as_red_is_read_and_never_too_much_of_it(share):
    assert read(drawn(redder(share), reds=10**6)) == pytest.approx(share, abs=0.02)
    assert share - 0.2 < read(drawn(redder(share))) < share + 0.02  # red all around makes the reading lower


def test_the_order_of_the_panel_does_not_matter():
    source = drawn(redder(0.15))
    assert read(source, PANEL[[2, 0, 1]], (0, 2)) == pytest.approx(read(source), abs=2e-3)


def test_nothing_is_read_where_it_cannot_be_told():
    assert read(drawn(redder(0.2), browns=60)) is None  # a desert
    assert read(drawn(), PANEL[:2], (1,)) is None  # no other chromogen
    assert read(drawn(), stain_matrix([HEMATOXYLIN, (0.81, 0.45, 0.37), RED])) is None  # no brown
    assert read(drawn(), stain_matrix([HEMATOXYLIN, BROWN, (0.1, 0.5, 0.85)])) is None  # two of them


@pytest.mark.parametrize("marked", [(1, 2), (2, 1)])
def test_only_what_brown_lends_grows_by_the_reading_and_at_most_to_twice_as_much(marked):
    usual = leaked_share(PANEL)[np.ix_(marked, marked)]
    at = tuple(marked.index(k) for k in (2, 1))  # red, of brown
    for lent in (None, -0.3, 0.0):
        assert np.array_equal(own_leaked_share(PANEL, marked, lent), usual)
    for lent in (0.05, 0.1, 0.5):
        shares = own_leaked_share(PANEL, marked, lent)
        assert shares[at] == pytest.approx(usual[at] + min(lent, usual[at]))
        shares[at] = usual[at]
        assert np.array_equal(shares, usual)


def calibrated(source, nuclear_markers=frozenset()):
    stains = tuple(
        Stain(name, marker, tuple(map(float, vector)))
        for name, marker, vector in zip(("h", "dab", "red"), (NUCLEI, "CD8", "PD-L1"), PANEL, strict=True)
    )
    settings = MeasureSettings("brightfield", stains=stains, white=WHITE, nuclear_markers=nuclear_markers)
    return calibrate(source, None, settings, TISSUE)


def test_a_slide_of_the_panels_colours_keeps_its_shares_and_one_of_redder_brown_takes_more_off_red():
    right, redder_one = calibrated(drawn()), calibrated(drawn(redder(0.25)))
    own = np.array((right.own_nuclear, BROWN, RED))
    assert right.brown_lent <= 0
    assert right.leak == pytest.approx(leaked_share(own)[1:, 1:], rel=1e-9)
    assert redder_one.brown_lent > 0.05
    assert redder_one.leak[1, 0] > right.leak[1, 0] + 0.05
    assert redder_one.leak[0, 1] == pytest.approx(right.leak[0, 1], abs=0.01)
    assert calibrated(drawn(redder(0.25)), frozenset({"Ki67"})).brown_lent is None


def test_what_cells_truly_have_of_both_costs_red_at_most_twice_the_usual_share():
    usual, both = calibrated(drawn()), calibrated(drawn(browns=5, reds=5, both=True))
    assert both.brown_lent > 0.1  # all brown cells have red: no other way to know
    assert both.leak[1, 0] <= 2 * usual.leak[1, 0] + 0.02
