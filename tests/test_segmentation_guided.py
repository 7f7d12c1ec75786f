"""Cells that grow along a stain of their cytoplasm: outlines that are known, laws, and a real field."""

from __future__ import annotations

import heapq
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from spatial_til.segmentation.cells import CELL_COST, COST_BIT, TERRITORY_COST, label_image
from spatial_til.segmentation.guided import STAINED, _grow, grow_guided, stain_level
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings
from spatial_til.segmentation.slide import measure_slide
from tests.array_source import ArraySource

BLIND = MeasureSettings("fluorescence", channels=(Channel("0", NUCLEI), Channel("1", "CK"), Channel("2", "CD8")))
GUIDED = replace(BLIND, cytoplasm_markers=("CK",))
FIELD = Path(__file__).parents[1].parent / "shared" / "data" / "whole_cell"


@cache
def phantom(side=640, seed=5):
    """Return a picture and its cells (labels): stained cells that touch and end 7 µm out, others beside them.

    Half of the field holds nuclei of 3 to 4.5 µm in cells that CK fills up to where they meet; the other half
    lymphocytes of 2.5 to 3 µm without it.
    """
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(20.0, side - 20, 25.0)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    centres = grid + rng.uniform(-3, 3, grid.shape)
    epithelial = centres[:, 1] < side / 2
    radius = np.where(epithelial, rng.uniform(6, 9, len(centres)), rng.uniform(5, 6, len(centres)))
    pixels = np.stack(np.mgrid[0:side, 0:side], axis=-1).reshape(-1, 2)
    away, nearest = cKDTree(centres).query(pixels)
    end = np.where(epithelial[nearest], 14.0, radius[nearest])
    truth = np.where(away <= end, nearest + 1, 0).reshape(side, side)
    nuclear = (away <= radius[nearest]).reshape(side, side)
    ck = epithelial[nearest].reshape(side, side) & (truth > 0)
    strength = rng.uniform(0.7, 1.3, len(centres))[nearest].reshape(side, side)
    planes = np.stack((900.0 * nuclear, 700 * strength * ck * np.where(nuclear, 0.4, 1.0), 0 * truth), axis=-1)
    light = cv2.GaussianBlur(planes, (0, 0), 0.8) + 100
    return np.round(rng.normal(light, np.sqrt(light))).clip(0).astype(np.uint16), truth


def columns_of(cells):
    """Return all that is known of cells, as bytes by column."""
    columns = {n: getattr(cells, n) for n in ("x_um", "y_um", "nucleus_area_um2", "cell_area_um2")}
    return {n: v.tobytes() for n, v in {**columns, **cells.measurements}.items()}


@cache
def measured(settings, tile_px=2048):
    image = phantom()[0]
    source = ArraySource(image, channels=tuple(str(k) for k in range(image.shape[2])))
    return measure_slide(source, settings=settings, tissue=None, tile_px=tile_px)


def area_errors(settings):
    """Return the relative errors of cell areas: of the stained cells, and of the others."""
    truth = phantom()[1]
    area = np.bincount(truth.ravel()) * 0.25
    cells = measured(settings).cells
    own = truth[(cells.y_um / 0.5).astype(int), (cells.x_um / 0.5).astype(int)]
    assert len(np.unique(own[own > 0])) >= 0.95 * truth.max()
    error = (cells.cell_area_um2 / np.maximum(area[own], 1) - 1)[own > 0]
    stained = cells.x_um[own > 0] < 0.25 * truth.shape[1]
    return error[stained], error[~stained]


def test_cells_end_where_their_cytoplasm_does():
    guided, blind = area_errors(GUIDED)[0], area_errors(BLIND)[0]
    assert np.median(np.abs(guided)) < 0.05
    assert np.abs(np.mean(guided)) < 0.05
    assert np.median(np.abs(guided)) < 0.5 * np.median(np.abs(blind))


def test_cells_without_stain_are_grown_by_the_small_expansion():
    small = replace(BLIND, large_expansion_um=BLIND.cell_expansion_um)
    assert np.mean(area_errors(GUIDED)[1]) == pytest.approx(np.mean(area_errors(small)[1]), abs=0.02)


@pytest.mark.parametrize("tile_px", [128, 256])
def test_the_same_cells_in_any_tiles(tile_px):
    assert columns_of(measured(GUIDED, tile_px).cells) == columns_of(measured(GUIDED).cells)


def test_a_guide_that_is_not_named_changes_nothing():
    other = replace(BLIND, guided_expansion_um=3.0)
    assert columns_of(measured(other).cells) == columns_of(measured(BLIND).cells)


def test_a_channel_without_stain_guides_nothing_and_says_so():
    silent = measured(replace(BLIND, cytoplasm_markers=("CD8",)))
    assert columns_of(silent.cells) == columns_of(measured(BLIND).cells)
    assert any("CD8" in note and "guides no cells" in note for note in silent.qc.warnings)


def plain_growth(nuclei, level, guide, steps):
    """Return labels of cells by shortest ways, written plainly."""
    heap = [(0, int(nuclei[i, j]), int(i), int(j)) for i, j in np.argwhere(nuclei > 0)]
    out, done = np.zeros_like(nuclei), np.zeros(nuclei.shape, bool)
    heapq.heapify(heap)
    while heap:
        cost, k, i, j = heapq.heappop(heap)
        if done[i, j]:
            continue
        done[i, j] = True
        out[i, j] = k
        for y in range(max(i - 1, 0), min(i + 2, nuclei.shape[0])):
            for x in range(max(j - 1, 0), min(j + 2, nuclei.shape[1])):
                stained = int(level[k] > 0)
                enters = guide[y, x] >= level[k] if stained else guide[y, x] < STAINED
                new = cost + int(steps[stained, 0, int(y != i and x != j)])
                if not nuclei[y, x] and enters and new <= CELL_COST:
                    heapq.heappush(heap, (new, k, y, x))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_growth_is_by_the_shortest_ways(seed):
    rng = np.random.default_rng(seed)
    nuclei = np.zeros((60, 70), np.int32)
    for k in range(1, 13):
        i, j = rng.integers(2, 56), rng.integers(2, 66)
        nuclei[i : i + 3, j : j + 3] = k
    guide = cv2.GaussianBlur(rng.uniform(-1500, 2100, nuclei.shape), (0, 0), 1.5).astype(np.int16)
    level = np.concatenate(([0], rng.choice([0, 128, 256, 300], 12)))
    steps = np.array([[[200, 283], [200, 283]], [[40, 57], [120, 170]]])
    keys = np.empty(nuclei.shape, np.uint32)
    _grow(nuclei, level, guide, steps, keys)
    assert np.array_equal(label_image(keys), plain_growth(nuclei, level, guide, steps))
    assert (keys[keys < 1300 << COST_BIT] >> COST_BIT).max() <= TERRITORY_COST


def test_each_cell_is_one_piece_around_its_nucleus():
    """One label a pixel rules out overlap; a cell cut in two by a neighbour would be none."""
    image, truth = phantom()
    nuclei = np.where(image[..., 0] > 550, truth, 0).astype(np.int32)
    guide = np.clip(image[..., 1].astype(np.int32) - 100, 0, 4000).astype(np.int16)
    keys = grow_guided(nuclei, guide, px_um=0.5, cell_expansion_um=2.0, guided_expansion_um=8.0, scratch=Scratch())
    cells = label_image(keys)
    assert (cells[nuclei > 0] == nuclei[nuclei > 0]).all()
    for k in np.unique(nuclei[nuclei > 0]):
        assert ndi.label(cells == k, np.ones((3, 3)))[1] == ndi.label(nuclei == k, np.ones((3, 3)))[1]


def test_level_parts_stain_from_none():
    rng = np.random.default_rng(1)
    values = np.concatenate((rng.normal(100, 20, 30000), rng.normal(1000, 100, 10000))).round().astype(np.int16)
    assert stain_level(values) == pytest.approx(550, abs=5)
    assert stain_level(rng.normal(300, 60, 40000).round().astype(np.int16)) == np.inf
    assert stain_level(np.zeros(10, np.int16)) == np.inf


def test_real_cells_drawn_by_hand():
    if not FIELD.exists():
        pytest.skip("../shared/data/whole_cell is not here")
    from benchmarks import real_fields
    from benchmarks.accuracy import outline, overlap_f1

    field = real_fields.whole_cells()
    guided = replace(field, settings=replace(field.settings, cytoplasm_markers=("cytoplasm",)))
    f1 = [overlap_f1(outline(f)[1], field.truth) for f in (field, guided)]
    assert f1[1] >= 0.60
    assert f1[1] > f1[0]
