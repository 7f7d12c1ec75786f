"""What is a nucleus: its edge, and what makes two objects one; in drawn fields."""

import numpy as np
import pytest

from spatial_til.segmentation.brightfield import nuclear_table
from spatial_til.segmentation.foreground import SCALE
from spatial_til.segmentation.merge import elongation, lacking
from spatial_til.segmentation.nuclei import find_nuclei
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, NucleusSettings, Stain
from spatial_til.segmentation.stains import UnmixTable

PX_UM = 0.5
SIDE = 120
TYPICAL = 40.0
ROWS_UM, COLS_UM = np.mgrid[0:SIDE, 0:SIDE] * PX_UM


def n_found(amount):
    """Return how many nuclei are found in stain above background, in typical contrasts."""
    contrast = np.round(amount * TYPICAL * SCALE).astype(np.int16)
    found = find_nuclei(contrast, px_um=PX_UM, typical=TYPICAL, settings=NucleusSettings(), scratch=Scratch())
    return len(found.area_px)


def ramp(radius_um, per_um):
    """Return a disc of stain that falls by `per_um` outside a radius."""
    away = np.hypot(ROWS_UM - 30, COLS_UM - 30)
    return np.clip(1 - per_um * (away - radius_um), 0, 1)


def ellipse(x_um, y_um, long_um, wide_um, angle_deg):
    turn = np.deg2rad(angle_deg)
    x, y = COLS_UM - x_um, ROWS_UM - y_um
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    away = np.hypot(along / long_um, across / wide_um)
    return 1 / (1 + np.exp((away - 1) * np.sqrt(long_um * wide_um) / 0.3))


@pytest.mark.parametrize(("radius_um", "per_um", "n"), [(5.0, 0.14, 1), (1.0, 0.14, 0), (1.0, 0.3, 1), (4.0, 0.09, 0)])
def test_the_edge_of_a_large_nucleus_may_be_softer_in_proportion(radius_um, per_um, n):
    """Foreground ends where stain has fallen to 0.65: on a slope of 0.14 per µm 2.5 µm further out than it begins."""
    assert n_found(ramp(radius_um, per_um)) == n


@pytest.mark.parametrize("apart", [0.75, 0.8])
@pytest.mark.parametrize("angle_deg", range(0, 180, 30))
def test_a_lymphocyte_at_the_flank_of_a_spindle_is_a_nucleus_of_its_own(angle_deg, apart):
    """Closer than their outlines, so that together they are a thick spindle; each alone is an ellipse."""
    turn, away = np.deg2rad(angle_deg + 90), apart * (3.0 + 2.0)
    spindle = ellipse(30 + away * np.cos(turn), 30 + away * np.sin(turn), 6.0, 2.0, angle_deg)
    assert n_found(np.maximum(ellipse(30, 30, 3.0, 3.0, 0), spindle)) == 2
    assert n_found(spindle) == 1


@pytest.mark.parametrize(("long_px", "wide_px", "angle_deg"), [(20, 20, 0), (24, 12, 0), (30, 10, 35)])
def test_ellipses_lack_nothing_and_are_as_long_as_drawn(long_px, wide_px, angle_deg):
    row, col = np.nonzero(ellipse(30, 30, long_px * PX_UM, wide_px * PX_UM, angle_deg) >= 0.5) - np.array([[50], [40]])
    sums = np.array([len(row), row.sum(), col.sum(), (row * row).sum(), (col * col).sum(), (row * col).sum(), 0])
    none = np.zeros_like(sums)
    assert elongation(float(sums[0]), sums, none, 0.0, 0.0) == pytest.approx(np.log(long_px / wide_px), abs=0.02)
    assert lacking(float(sums[0]), sums, none, 0.0, 0.0) < np.log(0.015)


def test_two_objects_are_described_as_their_union_is():
    """The second is seen from its own peak, 7 rows and -4 columns from the first's."""
    rng = np.random.default_rng(0)
    one, two = rng.integers(-6, 7, (2, 60, 2))
    seen = one, two, two + np.array([7, -4])
    sums = [np.array([60, *p.sum(0), *(p * p).sum(0), (p[:, 0] * p[:, 1]).sum(), 0]) for p in seen]
    both = sums[0] + sums[2]
    for measure in (elongation, lacking):
        alone = measure(120.0, both, np.zeros_like(both), 0.0, 0.0)
        assert measure(120.0, sums[0], sums[1], 7.0, -4.0) == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize(
    ("hematoxylin", "brown", "red", "nuclear"),
    [
        (60, 10, 0, 60),  # up to 0.10 is haze
        (60, 60, 0, 35),  # half of what is above it is taken off
        (60, 60, 30, 30),  # of both: 25 and 10, but no more than half of the hematoxylin
        (20, 90, 0, 10),  # so that a pale nucleus under a brown membrane is left
        (0, 90, 0, 0),
    ],
)
def test_membranes_take_off_half_of_their_stain_and_no_more_than_half_of_the_nucleus(hematoxylin, brown, red, nuclear):
    names = (("hematoxylin", NUCLEI), ("dab", "CD8"), ("red", "PD-L1"))
    settings = MeasureSettings("brightfield", stains=tuple(Stain(name, marker, name) for name, marker in names))
    amounts = UnmixTable(np.zeros((3, 256), np.uint8), np.array([[hematoxylin, brown, red, 0]], np.uint8), 4)
    assert nuclear_table(amounts, amounts, settings).table[0, :3].tolist() == [nuclear, brown, red]


def test_stain_of_a_nuclear_marker_is_added_and_markers_come_from_their_own_table():
    names = (("dab", "Ki67"), ("hematoxylin", NUCLEI), ("red", "PD-L1"))
    stains = tuple(Stain(name, marker, name) for name, marker in names)
    settings = MeasureSettings("brightfield", stains=stains, nuclear_markers=frozenset({"Ki67"}))
    lookup, colours = np.zeros((3, 256), np.uint8), 5000  # more than are worked out at once
    amounts = UnmixTable(lookup, np.tile(np.array([40, 30, 20, 0], np.uint8), (colours, 1)), 4)
    marked = UnmixTable(lookup, np.tile(np.array([44, 31, 22, 0], np.uint8), (colours, 1)), 4)
    assert (nuclear_table(amounts, marked, settings).table[:, :3] == [30 + (40 - 10) - (20 - 10) // 2, 44, 22]).all()
