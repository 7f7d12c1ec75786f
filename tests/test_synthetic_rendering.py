"""Pixels follow the scene: stains obey their law, labels their outlines, and nothing depends on the block."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from benchmarks import matching, phantoms, plain_pipeline
from spatial_til import synthetic as syn
from spatial_til.phantoms import blocks as blocks_module
from spatial_til.phantoms import brightfield, camera

PLAIN = syn.Camera(noise=0.0, uneven=0.0, jpeg_quality=None, blur_um=0.01, defocus_um=0.01)


@pytest.fixture(scope="module")
def scene() -> syn.Scene:
    return syn.tissue_scene((360, 300), seed=3)


def test_light_through_stain_follows_beer_and_lambert():
    """Hematoxylin 1.0 and DAB 0.5 give (41.92, 26.14, 53.99) with Landini's vectors on white 255."""
    planes = np.array([1.0, 0.5], np.float32).reshape(2, 1, 1)
    vectors = np.array([[0.650, 0.704, 0.286], [0.268, 0.570, 0.776]])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    white, lamp = np.full(3, 255, np.float32), np.ones((1, 1), np.float32)
    light = camera.transmit(planes, vectors, white, lamp)
    np.testing.assert_allclose(light[0, 0], (41.92, 26.14, 53.99), atol=0.01)


def test_labels_lie_where_the_truth_says(scene):
    nuclei, cells = syn.label_images(scene, 0.25)
    inside = nuclei > 0
    np.testing.assert_array_equal(nuclei[inside], cells[inside])
    label = np.arange(1, len(scene.cells) + 1)
    area = ndi.sum_labels(inside, nuclei, label) * 0.25**2
    alone = np.abs(area / scene.cells.nucleus_area_um2 - 1) < 0.05
    x, y = scene.cells.centroids_um.T
    alone &= (x > 15) & (y > 15) & (x < 345) & (y < 285)
    assert alone.sum() > 100
    rows, cols = np.array(ndi.center_of_mass(inside, nuclei, label[alone])).T
    np.testing.assert_allclose((cols + 0.5) * 0.25, x[alone], atol=0.25)
    np.testing.assert_allclose((rows + 0.5) * 0.25, y[alone], atol=0.25)


@pytest.mark.parametrize("um", [0.5, 0.25])
def test_pixels_do_not_depend_on_the_block(scene, um, monkeypatch):
    whole = syn.render_brightfield(scene, um, camera=PLAIN)
    original = blocks_module.blocks
    monkeypatch.setattr(brightfield, "blocks", lambda s, u: original(s, u, side=200))
    pieces = syn.render_brightfield(scene, um, camera=PLAIN)
    assert np.abs(whole.astype(int) - pieces).max() <= 1


def test_the_same_scene_gives_the_same_pixels(scene):
    np.testing.assert_array_equal(syn.render_brightfield(scene), syn.render_brightfield(scene))
    np.testing.assert_array_equal(syn.render_fluorescence(scene), syn.render_fluorescence(scene))


def test_markers_are_seen_on_their_cells_and_only_there():
    scene = syn.tissue_scene((400, 400), seed=9, pdl1_near_cd8=0.0)
    image = syn.render_fluorescence(scene, 0.5).astype(float)
    _, cells = syn.label_images(scene, 0.5)
    label = np.arange(1, len(scene.cells) + 1)
    tumor = scene.cells.kind == syn.KINDS.index("tumor")
    for channel, positive in ((1, scene.cells.cd8), (2, scene.cells.pdl1), (3, tumor)):
        level = np.nan_to_num(ndi.mean(image[..., channel], cells, label))
        ranks = level.argsort().argsort()
        n = positive.sum()
        auc = (ranks[positive].sum() - n * (n - 1) / 2) / (n * (~positive).sum())
        assert auc > 0.97, syn.CHANNELS[channel]


def test_turned_vectors_are_unit_and_so_far_off():
    base = np.array(syn.PRESET_VECTORS)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    turned = syn.tilted_vectors(3.0, 4)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1)
    angles = np.rad2deg(np.arccos((base * turned).sum(axis=1)))
    np.testing.assert_allclose(angles, 3.0, atol=0.2)


def test_matching_finds_more_pairs_than_the_nearest_first():
    found = np.array([[0.0, 0.0], [3.0, 0.0]])
    true = np.array([[2.0, 0.0], [6.0, 0.0]])  # nearest first would pair (3, 2) and leave the rest
    i, j = matching.match(found, true, 4.0)
    assert sorted(zip(i, j, strict=True)) == [(0, 0), (1, 1)]
    assert matching.score(found, true[:1], 4.0).f1 == pytest.approx(2 / 3)


def test_hard_phantoms_are_hard_for_the_plain_pipeline():
    """The ruler of the accuracy table: nuclei at most 0.97, CD8+ at most 0.82."""
    nuclei = cd8 = matching.Score(0, 0, 0)
    for field in phantoms.phantom_set("brightfield", 2, seed=20, size_um=700):
        found = plain_pipeline.run(field.image, field.pixel_size_um)
        xy = np.column_stack((found["x_um"], found["y_um"]))
        nuclei += matching.score(xy, field.truth_um())
        cd8 += matching.score(xy[found["CD8_positive"]], field.truth_um("CD8"))
    assert 0.85 < nuclei.f1 <= 0.97
    assert 0.6 < cd8.f1 <= 0.82


def test_real_layouts_are_painted():
    if not phantoms.LAYOUTS.exists():
        pytest.skip(f"{phantoms.LAYOUTS} is missing: outlines of real melanoma nuclei")
    (field,) = phantoms.layout_set(1, 2)
    assert field.image.shape == (512, 512, 3)
    assert len(field.truth_um()) > 100
    found = plain_pipeline.run(field.image)
    xy = np.column_stack((found["x_um"], found["y_um"]))
    assert matching.score(xy, field.truth_um()).f1 > 0.8
