"""The networks themselves, small and with random weights, where their packages are installed; and their seams."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from spatial_til.segmentation.networks import find_nuclei_with, seams
from spatial_til.segmentation.settings import NUCLEI, MeasureSettings, NucleusSettings, Stain
from spatial_til.segmentation.slide import measure_slide
from spatial_til.synthetic import PRESET_VECTORS, render_brightfield, tissue_scene
from tests.array_source import ArraySource

SETTINGS = MeasureSettings(
    "brightfield",
    stains=(Stain("hematoxylin", NUCLEI, PRESET_VECTORS[0]), Stain("dab", "CD8", PRESET_VECTORS[1])),
)

#: Their own: they deprecate what they use.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@cache
def slide():
    return ArraySource(render_brightfield(tissue_scene((300.0, 330.0), seed=51, glass=False)))


def cells_with(finder, source=None, **cut):
    return measure_slide(source or slide(), settings=SETTINGS, finder=finder, **cut).cells


def assert_same(first, second):
    assert np.array_equal(first.xy_um, second.xy_um)
    assert np.array_equal(first.nucleus_area_um2, second.nucleus_area_um2)
    for name, values in first.measurements.items():
        assert np.array_equal(values, second.measurements[name], equal_nan=True), name


# --- small random weights -----------------------------------------------------------------------------------


def instanseg_weights(folder):
    """Save a U-Net of five halvings whose map is cut at its median and labelled by flooding over 24 pixels."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'spatial-til[instanseg]'")

    class Small(torch.nn.Module):
        def __init__(self, nuclei_dark: bool) -> None:
            super().__init__()
            self.nuclei_dark = nuclei_dark
            self.first = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.deep = torch.nn.Conv2d(4, 4, 3, padding=1)
            self.last = torch.nn.Conv2d(8, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            fine = torch.relu(self.first(x))
            coarse = torch.relu(self.deep(torch.nn.functional.avg_pool2d(fine, 32)))
            coarse = torch.nn.functional.interpolate(coarse, scale_factor=32.0)
            made = self.last(torch.cat((fine, coarse), 1))  # fails where a side is no multiple of 32
            dark = x.mean(1, keepdim=True) < 0.62
            inside = dark if self.nuclei_dark else made > made.median()
            number = torch.arange(1, x.shape[2] * x.shape[3] + 1, dtype=torch.float32)
            labels = number.reshape(1, 1, x.shape[2], x.shape[3]) * inside
            for _ in range(24):
                labels = torch.nn.functional.max_pool2d(labels, 3, 1, 1) * inside
            return torch.cat((labels, labels), 1)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    paths = []
    for dark in (False, True):
        paths.append(str(folder / f"instanseg_{dark}.pt"))
        torch.jit.script(Small(dark).eval()).save(paths[-1])
    return paths


def stardist_weights(folder):
    """Save a U-Net of two halvings; distances are biased to 6 pixels, so that its stars have the size of nuclei."""
    models = pytest.importorskip(
        "stardist.models", reason="stardist is not installed: pip install 'spatial-til[stardist]'"
    )
    from tensorflow.keras.utils import set_random_seed

    set_random_seed(0)
    config = models.Config2D(n_rays=8, grid=(2, 2), n_channel_in=3, unet_n_depth=2, unet_n_filter_base=4)
    model = models.StarDist2D(config, name="small", basedir=str(folder))
    kernel, bias = model.keras_model.get_layer("dist").get_weights()
    model.keras_model.get_layer("dist").set_weights([kernel, bias + 6])
    model.keras_model.save_weights(str(folder / "small" / "weights_best.h5"))
    probability = model.predict(slide().image[:256, :256].astype(np.float32) / 255, axes="YXC")[0]
    thresholds = {"prob": float(np.quantile(probability, 0.97)), "nms": 0.3}
    (folder / "small" / "thresholds.json").write_text(json.dumps(thresholds))
    return str(folder / "small")


def cellpose_weights(folder, monkeypatch):
    """Save Cellpose's own model with a transformer of two layers of 32 features in place of 24 of 1024."""
    pytest.importorskip("cellpose.models", reason="cellpose is not installed: pip install 'spatial-til[cellpose]'")
    import torch
    from cellpose import vit
    from segment_anything.modeling import ImageEncoderViT

    def small(_):
        sizes = {"depth": 2, "embed_dim": 32, "num_heads": 2, "out_chans": 16}
        return SimpleNamespace(image_encoder=ImageEncoderViT(img_size=1024, patch_size=16, use_rel_pos=True, **sizes))

    monkeypatch.setitem(vit.sam_model_registry, "vit_l", small)
    torch.manual_seed(0)
    model = vit.CPSAM()
    path = str(folder / "cellpose")
    model.save_model(path)
    return path


@pytest.fixture
def finder(request, tmp_path, monkeypatch):
    method = request.param
    if method == "cellpose":
        return find_nuclei_with(method, cellpose_weights(tmp_path, monkeypatch))
    made = stardist_weights(tmp_path) if method == "stardist" else instanseg_weights(tmp_path)[0]
    return find_nuclei_with(method, made)


@pytest.mark.parametrize("finder", ["stardist", "cellpose", "instanseg"], indirect=True)
@pytest.mark.parametrize("side", [(256, 256), (200, 330)], ids=str)
def test_a_real_network_labels_every_pixel_of_a_tile_and_the_same_twice(finder, side):
    tile = slide().image[: side[0], : side[1]]
    labels = finder(tile, 0.5)
    assert labels.dtype == np.int32
    assert labels.shape == side
    assert np.array_equal(finder(tile, 0.5), labels)
    assert finder(tile, 0.25).shape == side


@pytest.mark.parametrize("finder", ["stardist", "instanseg"], indirect=True)
def test_a_real_network_gives_the_same_cells_in_any_tiles_and_threads(finder):
    """Cellpose with random weights finds no flow that leads anywhere, so it has no cells to compare."""
    whole = cells_with(finder, tile_px=4096)
    assert len(whole) > 20
    assert_same(whole, cells_with(finder, tile_px=256, threads=2))


def test_instanseg_cells_are_the_same_in_tiles_of_its_own_of_any_size(tmp_path, monkeypatch):
    """What decides of a nucleus here lies within 40 pixels of it, less than is shown around a tile."""
    finder = find_nuclei_with("instanseg", instanseg_weights(tmp_path)[1])
    whole = cells_with(finder)
    assert len(whole) > 100
    for side in (128, 256, 512):
        monkeypatch.setattr(seams, "TILE_PX", side)
        assert_same(whole, cells_with(finder))
    monkeypatch.setattr(seams, "HALO_PX", 0)
    assert len(cells_with(finder)) != len(whole)  # without surroundings the seams show: this can fail


# --- seams, with labels whose truth is known -------------------------------------------------------------------

NUCLEI_AT = np.array([(y, x) for y in range(15, 590, 23) for x in range(13, 640, 23)])


@cache
def dots():
    """Dark discs of radius 8 pixels on tissue, 23 pixels apart: some on seams."""
    y, x = np.mgrid[0:600, 0:660]
    image = np.full((600, 660, 3), (225, 205, 220), np.uint8)
    for row, col in NUCLEI_AT:
        image[np.hypot(y - row, x - col) <= 8] = (90, 70, 140)
    return ArraySource(image)


class Jitter:
    """Labels the discs of a tile, each tile's a little to one side: as a network does that sees other surroundings."""

    def __init__(self, by):
        self.by, self.calls = by, 0

    def __call__(self, tile, px_um):
        from skimage.measure import label

        self.calls += 1
        away = self.by if self.calls % 2 else -self.by
        wide = np.pad(label(tile.mean(axis=2) < 150), self.by)
        rows, cols = tile.shape[:2]
        start = self.by + away
        return wide[start : start + rows, start : start + cols].astype(np.int32)


@pytest.mark.parametrize("by", [0, 1, 2])
@pytest.mark.parametrize("tile_px", [128, 256])
def test_no_cell_is_lost_or_doubled_where_tiles_disagree(by, tile_px, monkeypatch):
    monkeypatch.setattr(seams, "TILE_PX", tile_px)
    monkeypatch.setattr(seams, "HALO_PX", 64)
    cells = cells_with(Jitter(by), dots())
    assert len(cells) == len(NUCLEI_AT)
    truth = (NUCLEI_AT[:, ::-1] + 0.5) * 0.5
    nearest = np.abs(cells.xy_um[:, None] - truth[None]).max(axis=2).min(axis=1)
    assert nearest.max() <= by * 0.5 + 1e-6


def test_without_the_seam_rule_cells_are_lost_or_doubled(monkeypatch):
    """So the test above can fail."""
    monkeypatch.setattr(seams, "TILE_PX", 128)
    monkeypatch.setattr(seams, "HALO_PX", 64)
    monkeypatch.setattr(seams, "SLACK_UM", 1e-9)
    monkeypatch.setattr(seams, "SAME_UM", 1e-9)
    assert len(cells_with(Jitter(2), dots())) != len(NUCLEI_AT)


def test_nuclei_outside_the_sizes_of_the_protocol_are_left_out():
    from dataclasses import replace

    settings = replace(SETTINGS, nucleus=NucleusSettings(min_area_um2=60.0))  # the discs have 49 µm²
    assert len(measure_slide(dots(), settings=settings, finder=Jitter(0)).cells) == 0
