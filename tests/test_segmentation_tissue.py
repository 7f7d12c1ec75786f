"""Where tissue ends: automatic outlines against edges that are known."""

import numpy as np
import pytest
import shapely

from spatial_til.segmentation.tissue import mask_of, tissue_brightfield, tissue_fluorescence
from spatial_til.segmentation.white import estimate_white
from spatial_til.synthetic import (
    HARD_STAINING,
    Camera,
    Staining,
    render_brightfield,
    render_fluorescence,
    tilted_vectors,
    tissue_scene,
)
from spatial_til.units import PixelSize

WHITE = (240.0, 238.0, 242.0)
SIZE_UM = (1200.0, 900.0)


def overview(image: np.ndarray, factor: int) -> np.ndarray:
    rows, cols = (n // factor for n in image.shape[:2])
    blocks = image[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor, -1)
    return np.round(blocks.mean(axis=(1, 3))).astype(image.dtype)


def round_tissue(um: float, radius_um: float, blur_um: float, ground: float, cells: float = 0.0, seed: int = 0):
    """A disk of pale ground, its edge blurred, with dark spots more than 10 µm inside."""
    side = int(1400 / um)
    y, x = (np.mgrid[0:side, 0:side] + 0.5) * um - 700.0
    depth = radius_um - np.hypot(x, y)
    from scipy.special import ndtr

    density = ground * ndtr(depth / blur_um)
    spots = np.random.default_rng(seed).random((side, side)) < cells
    density += np.where(spots & (depth > 10), 0.4, 0.0)
    tint = np.array([0.5, 1.0, 0.7])
    return np.clip(np.round(np.array(WHITE) * 10 ** (-density[..., None] * tint)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("um", [4.0, 6.0])
@pytest.mark.parametrize("blur_um", [0.5, 1.5, 3.0])
@pytest.mark.parametrize(("ground", "cells"), [(0.06, 0.0), (0.06, 0.3), (0.2, 0.15), (0.5, 0.0)])
def test_a_blurred_edge_lies_at_half_the_height_of_its_ground(um, blur_um, ground, cells):
    rgb = round_tissue(um, 500.0, blur_um, ground, cells)
    found = tissue_brightfield(rgb, PixelSize(um, um), WHITE)
    radius_um = np.sqrt(found.area / np.pi)
    assert radius_um == pytest.approx(500.0, abs=0.75)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "staining", "camera", "tilt"),
    [
        (901, Staining(), Camera(), 0.0),
        (902, HARD_STAINING, Camera(), 2.0),
        (903, HARD_STAINING, Camera(blur_um=0.6, defocus_um=1.5, noise=4.0, jpeg_quality=70), 5.0),
        (904, Staining(nuclei=1.3), Camera(white=(250.0, 251.0, 250.0), uneven=0.05), 6.0),
        (905, Staining(nuclei=0.7, cd8=0.4, pdl1=0.3), Camera(white=(225.0, 220.0, 230.0)), 3.0),
    ],
)
def test_tissue_of_a_phantom_ends_where_it_was_laid(seed, staining, camera, tilt):
    """One straight edge of 900 µm: its mean place from the area, in both modalities."""
    scene = tissue_scene(SIZE_UM, seed=seed)
    frame = shapely.box(0, 0, *SIZE_UM)
    true_mm2 = scene.tissue.intersection(frame).area
    rgb = overview(render_brightfield(scene, vectors=tilted_vectors(tilt, seed), staining=staining, camera=camera), 8)
    found = tissue_brightfield(rgb, PixelSize(4.0, 4.0), estimate_white(rgb).rgb)
    assert (found.intersection(frame).area - true_mm2) / SIZE_UM[1] == pytest.approx(0.0, abs=0.5)
    light = overview(render_fluorescence(scene, staining=staining), 8)[..., 0]
    found = tissue_fluorescence(light, PixelSize(4.0, 4.0))
    assert (found.intersection(frame).area - true_mm2) / SIZE_UM[1] == pytest.approx(0.0, abs=1.5)


def test_tissue_that_fills_its_frame_keeps_the_frame_as_its_edge():
    scene = tissue_scene((400.0, 400.0), seed=7, glass=False)
    rgb = overview(render_brightfield(scene), 8)
    found = tissue_brightfield(rgb, PixelSize(4.0, 4.0), WHITE)
    assert found.equals(shapely.box(0, 0, 400, 400))


def test_a_slide_of_glass_has_no_tissue():
    rgb = np.full((300, 300, 3), WHITE, np.float64).round().astype(np.uint8)
    assert tissue_brightfield(rgb, PixelSize(4.0, 4.0), WHITE).is_empty


def test_a_hole_larger_than_asked_for_stays_and_a_smaller_one_is_filled():
    rgb = round_tissue(4.0, 500.0, 2.0, 0.2)
    y, x = (np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]] + 0.5) * 4.0 - 700.0
    rgb[np.hypot(x + 200, y) < 100] = np.round(WHITE)
    rgb[np.hypot(x - 200, y) < 30] = np.round(WHITE)
    found = tissue_brightfield(rgb, PixelSize(4.0, 4.0), WHITE)
    assert len(found.geoms) == 1
    (hole,) = found.geoms[0].interiors
    assert shapely.Polygon(hole).area == pytest.approx(np.pi * 100**2, rel=0.02)


def test_the_mask_of_a_region_holds_the_pixels_whose_centres_lie_in_it():
    region = shapely.MultiPolygon([shapely.box(8.0, 4.0, 20.0, 12.0)])
    mask = mask_of(region, (6, 8), PixelSize(4.0, 4.0))
    assert np.argwhere(mask).tolist() == [[1, 2], [1, 3], [1, 4], [2, 2], [2, 3], [2, 4]]
