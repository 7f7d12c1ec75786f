"""The same cells whatever the tile size and the number of workers, bit for bit, cells on seams included."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, Stain
from spatial_til.segmentation.slide import measure_slide
from spatial_til.segmentation.stains import stain_matrix
from spatial_til.synthetic import Population, render_brightfield, tissue_scene
from tests.array_source import ArraySource

VECTORS = ((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), (0.214, 0.851, 0.478))
WHITE = (240.0, 238.0, 242.0)
NO_SHRINKING = (Phase.explicit, Phase.generate)  # a smaller failure is not worth minutes
SETTINGS = MeasureSettings(
    "brightfield",
    stains=(
        Stain("hematoxylin", NUCLEI, VECTORS[0]),
        Stain("dab", "CD8", VECTORS[1]),
        Stain("red", "PD-L1", VECTORS[2]),
    ),
    white=WHITE,
)


@cache
def tissue_picture():
    """Return 1024 x 1024 pixels of crowded tumour and stroma, 5,400 nuclei per mm²."""
    lymphocytes = Population("lymphocyte", (500.0, 900.0, 2600.0, 2600.0), 3.0, cluster=0.7)
    return render_brightfield(tissue_scene((512.0, 512.0), seed=1, glass=False, extra=[lymphocytes]), 0.5)


def texture(rows, cols, seed, blur_px):
    """Return stain that no tissue has: three stains as random fields of one grain, contrast from end to end."""
    rng = np.random.default_rng(seed)
    od = np.zeros((rows, cols, 3))
    for vector, grain, depth in zip(
        stain_matrix(VECTORS), (blur_px, 2 * blur_px, 2 * blur_px), (0.7, 0.4, 0.4), strict=True
    ):
        field = cv2.GaussianBlur(rng.standard_normal((rows, cols)).astype(np.float32), (0, 0), grain)
        od += depth * np.clip(field / field.std(), 0, 2)[:, :, None] * vector
    return np.clip(np.asarray(WHITE) * 10**-od + rng.normal(0, 1.5, od.shape), 0, 255).round().astype(np.uint8)


def cells_of(image, tile_px, threads, tissue=None):
    """Return all that is known of the cells of an image, as bytes by column, and their number."""
    cells = measure_slide(ArraySource(image), settings=SETTINGS, tissue=tissue, tile_px=tile_px, threads=threads).cells
    columns = {n: getattr(cells, n) for n in ("x_um", "y_um", "nucleus_area_um2", "cell_area_um2")}
    return {n: v.tobytes() for n, v in {**columns, **cells.measurements}.items()}, cells


def differing(one, other):
    return [name for name in one if one[name] != other[name]]


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True, phases=NO_SHRINKING)
@given(
    shape=st.tuples(st.integers(200, 700), st.integers(4100, 4500)),
    turned=st.booleans(),
    start=st.tuples(st.integers(0, 1023), st.integers(0, 1023)),
    tile_px=st.sampled_from((512, 1024, 2048, 4096)),
    threads=st.sampled_from((1, 2)),
)
def test_tissue_gives_the_same_cells_in_any_tiles(shape, turned, start, tile_px, threads):
    """Strips of crowded tissue longer than the largest tile, cut anywhere, lying or standing."""
    rows, cols = (np.arange(n) + s for n, s in zip(shape, start, strict=True))
    image = np.take(np.take(tissue_picture(), rows % 1024, axis=0), cols % 1024, axis=1)
    image = np.ascontiguousarray(image.swapaxes(0, 1) if turned else image)
    whole, cells = cells_of(image, 8192, 1)
    tiled, _ = cells_of(image, tile_px, threads)
    assert len(cells) > 100
    along = (cells.y_um if turned else cells.x_um) / 0.5
    seam = np.abs(along - np.round(along / tile_px) * tile_px) < 10
    assert (seam & (along > 100)).any(), "no cell lies on a seam: the test shows nothing"
    assert differing(whole, tiled) == []


@settings(max_examples=25, deadline=None, derandomize=True, phases=NO_SHRINKING)
@given(
    shape=st.tuples(st.integers(150, 500), st.integers(150, 500)),
    seed=st.integers(0, 2**32 - 1),
    blur_px=st.floats(1.0, 12.0),
    tile_px=st.integers(40, 300),
    threads=st.sampled_from((1, 2)),
    corner=st.tuples(st.integers(0, 120), st.integers(0, 120)),
)
def test_any_texture_gives_the_same_cells_in_any_tiles(shape, seed, blur_px, tile_px, threads, corner):
    """Stain without a shape of nuclei, in small tiles, with tissue that ends in the middle of them."""
    image = texture(*shape, seed, blur_px)
    height, width = shape[0] * 0.5, shape[1] * 0.5
    tissue = shapely.MultiPolygon(
        [shapely.Polygon([(corner[0] / 2, corner[1] / 2), (width, 0), (width, height), (0, height)])]
    )
    whole, _ = cells_of(image, 4096, 1, tissue)
    tiled, _ = cells_of(image, tile_px, threads, tissue)
    assert differing(whole, tiled) == []


def test_tiles_of_tissue_without_a_nucleus_give_no_cells():
    image = texture(300, 900, 0, 4.0)
    image[:, 100:] = (np.asarray(WHITE) * 10 ** (-0.1 * stain_matrix(VECTORS)[0])).round().astype(np.uint8)
    tissue = shapely.MultiPolygon([shapely.box(0, 0, 450, 150)])
    whole, cells = cells_of(image, 4096, 1, tissue)
    tiled, _ = cells_of(image, 300, 1, tissue)
    assert len(cells) > 0
    assert cells.x_um.max() < 60
    assert differing(whole, tiled) == []
