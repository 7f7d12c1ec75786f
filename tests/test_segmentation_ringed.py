"""A lymphocyte in the outline of a large nucleus is told by its membrane; half rings and a nucleus's own are not."""

import numpy as np
import pytest

from spatial_til.segmentation.calibration import Calibration
from spatial_til.segmentation.nuclei import given_nuclei
from spatial_til.segmentation.ringed import part_ringed
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, NucleusSettings, Stain
from spatial_til.segmentation.stains import UnmixTable
from spatial_til.segmentation.tile_cells import with_ringed
from spatial_til.units import PixelSize

PX_UM = 0.5
SIDE = 128
LEAST, STRONG = 80, 300
TUMOR_UM = (30.0, 30.0)
ROWS_UM, COLS_UM = (np.mgrid[0:SIDE, 0:SIDE] + 0.5) * PX_UM


def away_um(x_um, y_um):
    return np.hypot(COLS_UM - x_um, ROWS_UM - y_um)


def beside_tumor(angle_deg, um=7.0):
    turn = np.deg2rad(angle_deg)
    return TUMOR_UM[0] + um * np.cos(turn), TUMOR_UM[1] + um * np.sin(turn)


def membrane(at, radius_um=4.0, strength=STRONG, share=1.0, from_deg=0.0):
    """Return a ring of stain, or a share of it from an angle on."""
    turn = (np.rad2deg(np.arctan2(ROWS_UM - at[1], COLS_UM - at[0])) - from_deg) % 360
    ring = strength * np.exp(-(((away_um(*at) - radius_um) / 0.9) ** 2)) * (turn <= 360 * share)
    return np.round(ring).astype(np.int16)


def joined(at, radius_um=3.0):
    """Return one label for a tumour nucleus and a lymphocyte at it."""
    return ((away_um(*TUMOR_UM) < 6.0) | (away_um(*at) < radius_um)).astype(np.int32)


def nuclei_of(labels):
    """Return nuclei of labels, seen from the pixel at their centre, as those that are found are from within."""
    found = given_nuclei(labels)
    row, col = np.round(found.peak_row + found.row), np.round(found.peak_col + found.col)
    seen = {"peak_row": row.astype(np.int32), "peak_col": col.astype(np.int32)}
    return found._replace(**seen, row=found.peak_row + found.row - row, col=found.peak_col + found.col - col)


def parted(labels, *planes, px_um=PX_UM, least=LEAST):
    return part_ringed(
        nuclei_of(labels), planes, px_um=px_um, least=least, large_nucleus_um2=45.0, settings=NucleusSettings()
    )


def centres_um(found):
    return (np.column_stack((found.peak_col + found.col, found.peak_row + found.row)) + 0.5) * PX_UM


@pytest.mark.parametrize("angle_deg", range(0, 360, 30))
@pytest.mark.parametrize("um", [5.0, 7.0])
def test_a_ring_at_a_large_nucleus_has_a_nucleus_of_its_own(angle_deg, um):
    at = beside_tumor(angle_deg, um)
    found = parted(joined(at), membrane(at))
    tumor, lymphocyte = centres_um(found)
    assert np.hypot(*(lymphocyte - at)) < 1.5  # places that are tried lie 1 µm apart along both axes
    assert np.hypot(*(tumor - TUMOR_UM)) < 1.5
    for k, area in enumerate(found.area_px):  # sums are those of the labels
        rows, cols = np.nonzero(found.labels == k + 1)
        assert area == len(rows)
        assert found.peak_row[k] + found.row[k] == pytest.approx(rows.mean())
        assert found.peak_col[k] + found.col[k] == pytest.approx(cols.mean())


def test_the_marker_does_not_matter_and_two_rings_around_one_place_are_one_cell():
    at = beside_tumor(40)
    none = np.zeros((SIDE, SIDE), dtype=np.int16)
    first, second = parted(joined(at), membrane(at), none), parted(joined(at), none, membrane(at))
    np.testing.assert_array_equal(first.labels, second.labels)
    both = parted(joined(at), membrane(at), membrane(at, strength=2 * STRONG))
    assert len(first.area_px) == len(both.area_px) == 2


@pytest.mark.parametrize("angle_deg", [0, 100, 225])
def test_what_is_no_closed_ring_off_the_centre_does_not_part_a_nucleus(angle_deg):
    at = beside_tumor(angle_deg)
    none = np.zeros((SIDE, SIDE), dtype=np.int16)
    stains = {
        "none": none,
        "half a ring": membrane(at, share=0.6, from_deg=angle_deg),
        "faint": membrane(at, strength=LEAST - 5),
        "the nucleus's own": membrane(TUMOR_UM, 6.5),
        "the nucleus's own, small": membrane(TUMOR_UM, 4.5),
        "stain without a membrane": np.round(STRONG * np.exp(-((away_um(*at) / 9.0) ** 2))).astype(np.int16),
    }
    for what, stain in stains.items():
        assert len(parted(joined(at), stain).area_px) == 1, what


def test_a_ring_around_a_nucleus_that_is_known_takes_nothing_from_the_one_beside_it():
    at = beside_tumor(10)
    labels = joined(at)
    labels[(away_um(*at) < 3.0) & (away_um(*TUMOR_UM) >= 5.0)] = 2
    before = labels.copy()
    np.testing.assert_array_equal(parted(labels, membrane(at)).labels, before)


def test_small_nuclei_are_not_looked_into():
    at = (36.0, 30.0)
    labels = ((away_um(33.0, 30.0) < 3.7) & (ROWS_UM > 0)).astype(np.int32)
    assert (labels > 0).sum() * PX_UM**2 < 45
    assert len(parted(labels, membrane(at)).area_px) == 1


def test_a_box_that_starts_at_a_block_has_the_same_nuclei_as_the_whole():
    at = beside_tumor(200)
    labels, stain = joined(at), membrane(at)
    whole = parted(labels.copy(), stain).labels
    cut = parted(labels[16:, 16:].copy(), stain[16:, 16:].copy()).labels
    assert whole.max() == 2
    np.testing.assert_array_equal(cut, whole[16:, 16:])


def test_smaller_pixels_give_the_same_place():
    at = beside_tumor(75)
    fine = np.kron(joined(at), np.ones((2, 2), dtype=np.int32))
    found = parted(fine, np.kron(membrane(at), np.ones((2, 2), dtype=np.int16)), px_um=PX_UM / 2)
    assert np.hypot(*(centres_um(found)[1] / 2 - at)) < 1.5


def test_fluorescence_is_left_alone():
    settings = MeasureSettings("fluorescence", channels=(Channel("0", NUCLEI), Channel("1", "CD8")))
    found, planes = nuclei_of(joined(beside_tumor(0))), membrane(beside_tumor(0))[None]
    assert with_ringed(found, planes, Calibration(settings, None), PixelSize(PX_UM, PX_UM)) is found


@pytest.mark.parametrize(
    ("fills", "cells"), [({}, 2), ({"nuclear_markers": frozenset({"CD8"})}, 1), ({"cytoplasm_markers": ("CD8",)}, 1)]
)
def test_stain_that_fills_nuclei_or_cells_has_no_rings(fills, cells):
    stains = (Stain("hematoxylin", NUCLEI, "hematoxylin"), Stain("dab", "CD8", "dab"))
    table = UnmixTable(np.zeros((3, 256), np.uint8), np.zeros((1, 4), np.uint8), 2)
    constants = Calibration(MeasureSettings("brightfield", stains=stains, **fills), None, table=table)
    found, planes = nuclei_of(joined(beside_tumor(0))), 10 * membrane(beside_tumor(0))[None]
    assert len(with_ringed(found, planes, constants, PixelSize(PX_UM, PX_UM)).area_px) == cells
