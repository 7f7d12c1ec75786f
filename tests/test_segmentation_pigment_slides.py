"""Melanin whose colour is a mix of the slide's stains, on slides with few stained cells or none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from spatial_til.phantoms import brightfield
from spatial_til.segmentation.laden import has_rim, most_pigment
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.slide import measure_slide
from spatial_til.segmentation.stains import PRESETS
from spatial_til.synthetic import HARD_STAINING, PRESET_VECTORS, tissue_scene
from spatial_til.units import PixelSize
from tests.array_source import ArraySource

SETTINGS = MeasureSettings(
    "brightfield",
    stains=(
        Stain("hematoxylin", NUCLEI, PRESETS["hematoxylin"]),
        Stain("dab", "CD8", PRESETS["dab"]),
        Stain("red", "PD-L1", PRESET_VECTORS[2]),
    ),
)

MIXED = tuple(0.35 * np.array(PRESETS["hematoxylin"]) + 0.65 * np.array(PRESETS["dab"]))


def pigmented(monkeypatch, cd8, melanophages):
    """Return a scene and its picture."""
    monkeypatch.setattr(brightfield, "_MELANIN", MIXED)
    scene = tissue_scene((600.0, 600.0), seed=43, cd8_per_mm2=(cd8,) * 4, melanophages_per_mm2=melanophages)
    return scene, brightfield.render_brightfield(scene, staining=HARD_STAINING)


def slide(monkeypatch, cd8, melanophages):
    """Return flags, and of cells with a rim which are pigment and which are truly CD8+."""
    scene, image = pigmented(monkeypatch, cd8, melanophages)
    found = measure_slide(ArraySource(image, PixelSize(0.5, 0.5)), settings=SETTINGS)
    cells, seen = found.cells, has_rim(found.cells.measurements["CD8_membrane_ridge"])
    pigment = cells.measurements["CD8_membrane_pigment"]
    truth = scene.cells.centroids_um[scene.cells.cd8]
    near = np.zeros(len(cells), bool)
    if len(truth):
        near = cKDTree(truth).query(np.column_stack((cells.x_um, cells.y_um)))[0] < 4
    return found.qc.flags, (pigment > most_pigment(pigment))[seen], near[seen]


def test_melanin_that_is_the_lesser_part_of_the_brown_stands_apart(monkeypatch):
    flags, taken, true = slide(monkeypatch, 30.0, 50.0)
    assert "melanin_suspected" in flags
    assert (~true).sum() < true.sum()
    assert not (taken & true).any()
    assert (~taken & ~true).sum() <= 1


def test_what_is_pigment_does_not_depend_on_tiles_or_threads(monkeypatch):
    source = ArraySource(pigmented(monkeypatch, 30.0, 50.0)[1], PixelSize(0.5, 0.5))
    whole, *cut = (
        measure_slide(source, settings=SETTINGS, tile_px=tile_px, threads=threads)
        for tile_px, threads in ((None, 1), (256, 1), (512, 2))
    )
    pigment = whole.cells.measurements["CD8_membrane_pigment"]
    assert (pigment == 1).any()
    for other in cut:
        assert other.qc.flags == whole.qc.flags
        assert np.array_equal(other.cells.measurements["CD8_membrane_pigment"], pigment, equal_nan=True)


@pytest.mark.parametrize("cd8", [0.0, 30.0])
def test_melanin_of_the_colour_of_mixed_stains_is_told_where_hardly_a_cell_is_stained(monkeypatch, cd8):
    flags, taken, true = slide(monkeypatch, cd8, 100.0)
    assert "melanin_suspected" in flags
    assert not (taken & true).any()
    assert (~true).sum() >= 10
    assert (~taken & ~true).sum() <= 0.25 * (~true).sum()


def test_a_desert_without_melanin_loses_no_cell(monkeypatch):
    flags, taken, true = slide(monkeypatch, 30.0, 0.0)
    assert "melanin_suspected" not in flags
    assert true.sum() >= 5
    assert not taken.any()
