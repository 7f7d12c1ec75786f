"""The measure stage end to end on small drawn slides with known truth."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, Stain
from spatial_til.segmentation.slide import _sides_and_halo, measure_slide
from spatial_til.segmentation.stains import stain_matrix
from spatial_til.units import PixelSize
from tests.array_source import ArraySource

VECTORS = ((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.214, 0.851, 0.478))
WHITE = (240.0, 238.0, 242.0)
BRIGHTFIELD = MeasureSettings(
    "brightfield",
    stains=(
        Stain("hematoxylin", NUCLEI, VECTORS[0]),
        Stain("dab", "CD8", VECTORS[1]),
        Stain("red", "PD-L1", VECTORS[2]),
    ),
    white=WHITE,
)
FLUORESCENCE = MeasureSettings(
    "fluorescence", channels=(Channel("DAPI", NUCLEI), Channel("Opal570", "CD8"), Channel("Opal690", "PD-L1"))
)


def draw(*, rows=300, cols=420, radius_px=8, pitch_px=30, seed=0):
    """Draw separate round nuclei; every fourth has a brown rim (CD8), every fifth a red one (PD-L1)."""
    rng = np.random.default_rng(seed)
    amount = np.zeros((3, rows, cols))
    amount[0] = 0.08
    y, x = np.mgrid[0:rows, 0:cols]
    centres = []
    for k, (r, c) in enumerate((r, c) for r in range(20, rows - 20, pitch_px) for c in range(20, cols - 20, pitch_px)):
        row, col = r + rng.uniform(-3, 3), c + rng.uniform(-3, 3)
        distance = np.hypot(y - row, x - col)
        amount[0] += 0.6 * np.clip(radius_px + 0.5 - distance, 0, 1)
        rim = np.clip(2.0 - np.abs(distance - radius_px - 1.5), 0, 1)
        amount[1] += 0.6 * rim * (k % 4 == 0)
        amount[2] += 0.6 * rim * (k % 5 == 0)
        centres.append((col + 0.5, row + 0.5, k % 4 == 0, k % 5 == 0))
    return amount, np.array(centres)


def brightfield(amount, seed=0):
    od = np.moveaxis(amount, 0, 2) @ stain_matrix(VECTORS)
    noise = np.random.default_rng(seed).normal(0, 1.5, od.shape)
    return np.clip(np.array(WHITE) * 10**-od + noise, 0, 255).round().astype(np.uint8)


def fluorescence(amount, seed=0):
    rng = np.random.default_rng(seed)
    signal = np.moveaxis(amount, 0, 2) * 3000 + 200
    return (rng.poisson(signal) + rng.normal(0, 10, signal.shape)).clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize("modality", ["brightfield", "fluorescence"])
def test_separate_nuclei_are_each_found_once_where_they_are(modality):
    amount, truth = draw()
    settings = BRIGHTFIELD if modality == "brightfield" else FLUORESCENCE
    image = brightfield(amount) if modality == "brightfield" else fluorescence(amount)
    channels = ("red", "green", "blue") if modality == "brightfield" else ("DAPI", "Opal570", "Opal690")
    result = measure_slide(ArraySource(image, PixelSize(0.5, 0.5), channels), settings=settings)
    assert len(result.cells) == len(truth)
    distance = np.hypot(
        result.cells.x_um[:, None] - truth[None, :, 0] * 0.5, result.cells.y_um[:, None] - truth[None, :, 1] * 0.5
    )
    assert distance.min(axis=1).max() < 0.5
    nearest = distance.argmin(axis=1)
    for marker, column in (("CD8", 2), ("PD-L1", 3)):
        score = result.cells.measurements[f"{marker}_membrane_own_ridge"]
        positive = truth[nearest, column] == 1
        assert score[positive].min() > 1.5 * score[~positive].max()


def test_cells_come_ordered_by_y_then_x():
    amount, _ = draw(seed=1)
    cells = measure_slide(
        ArraySource(brightfield(amount), PixelSize(0.5, 0.5)), settings=BRIGHTFIELD, tile_px=100, threads=2
    ).cells
    order = np.lexsort((cells.x_um, cells.y_um))
    assert np.array_equal(order, np.arange(len(cells)))


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("side_px", [2731, 5461, 13333])
def test_every_thread_has_tiles_and_those_of_a_large_slide_are_smaller(threads, side_px):
    source = SimpleNamespace(shape=(side_px, side_px), pixel_size=PixelSize(0.75, 0.75))
    constants = SimpleNamespace(guided=False, settings=BRIGHTFIELD)
    (rows, cols), _ = _sides_and_halo(source, constants, None, None, threads)
    assert (side_px / rows) * (side_px / cols) > (2 * threads if threads > 1 else 1) - 1
    assert max(rows, cols) <= (1500 if side_px == 13333 else 1856)
