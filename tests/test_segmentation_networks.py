"""Network back ends: what each package is asked, and that labels come back on the tile's own pixels."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from spatial_til.errors import ProtocolError, SlideError, SpatialTilError
from spatial_til.segmentation.networks import METHODS, find_nuclei_with, scaled_plane
from spatial_til.segmentation.nuclei import given_nuclei


def tile(rows=60, cols=90, channels=0):
    """Two dark squares on white, or two bright ones in a plane."""
    plane = np.zeros((rows, cols), np.float32)
    plane[10:20, 10:20] = 0.8
    plane[30:44, 50:70] = 0.8
    if not channels:
        return plane
    return np.repeat((255 - 250 * plane)[..., None], channels, axis=2).astype(np.uint8)


def bright(image):
    """Label what stands out, as a network would."""
    from skimage.measure import label

    grey = image if image.ndim == 2 else 1 - image.mean(axis=2)
    return label(grey > 0.4)


@pytest.fixture
def asked(monkeypatch):
    """Fake packages that note what they were asked."""
    calls = []

    class StarDist2D:
        def __init__(self, config, name, basedir):
            calls.append(("load", config, name, basedir))

        def predict_instances(self, image, *, axes, scale, show_tile_progress):
            calls.append((image.dtype, image.min() >= 0, image.max() <= 1, axes, scale))
            return bright(image), {}

    class CellposeModel:
        def __init__(self, *, gpu, pretrained_model):
            calls.append(("load", gpu, pretrained_model))

        def eval(self, image, *, diameter, normalize):
            calls.append((image.dtype, diameter, normalize))
            return bright(image), None, None

    for package, content in {
        "stardist": {"StarDist2D": StarDist2D},
        "cellpose": {"CellposeModel": CellposeModel},
    }.items():
        module = ModuleType(f"{package}.models")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
        monkeypatch.setitem(sys.modules, f"{package}.models", module)
    monkeypatch.setitem(sys.modules, "torch", fake_torch(calls))
    return calls


def fake_torch(calls):
    class Tensor(SimpleNamespace):
        def numpy(self):
            return self.array

    class Model:
        def eval(self):
            return self

        def __call__(self, tensor):
            image = np.moveaxis(tensor.array[0], 0, 2)
            labels = bright(image[..., 0] if image.shape[2] == 1 else image)
            calls.append((tensor.array.dtype, tensor.array.shape))
            return Tensor(array=np.stack((labels, labels + 100))[None].astype(np.float32))

    class NoGrad:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    torch = ModuleType("torch")
    torch.jit = SimpleNamespace(load=lambda path, map_location: calls.append(("load", path, map_location)) or Model())
    torch.no_grad = NoGrad
    torch.from_numpy = lambda array: Tensor(array=array)
    return torch


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "my_model"
    folder.mkdir()
    return str(folder)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [0, 3], ids=["plane", "rgb"])
@pytest.mark.parametrize("px_um", [0.25, 0.5])
def test_labels_come_back_on_the_pixels_of_the_tile(asked, weights, method, channels, px_um):
    labels = find_nuclei_with(method, weights)(tile(channels=channels), px_um)
    assert labels.dtype == np.int32
    assert labels.shape == (60, 90)
    nuclei = given_nuclei(labels)
    assert nuclei.area_px.tolist() == [100, 280]
    assert (nuclei.peak_row + nuclei.row).tolist() == [14.5, 36.5]
    assert (nuclei.peak_col + nuclei.col).tolist() == [14.5, 59.5]


def test_stardist_is_given_folder_name_axes_and_scale(asked, weights):
    find = find_nuclei_with("stardist", weights)
    assert asked.pop() == ("load", None, "my_model", weights.removesuffix("/my_model"))
    find(tile(), 0.5)
    find(tile(channels=3), 0.25)
    assert asked == [
        (np.float32, True, True, "YX", None),
        (np.float32, True, True, "YXC", (0.5, 0.5, 1)),
    ]


def test_cellpose_never_scales_by_the_tile_itself(asked, weights):
    find = find_nuclei_with("cellpose", weights)
    assert asked.pop() == ("load", False, weights)
    find(tile(), 0.25)
    assert asked == [(np.float32, 32.0, False)]


def test_instanseg_sees_half_micron_pixels(asked, weights):
    find = find_nuclei_with("instanseg", weights)
    assert asked.pop() == ("load", weights, "cpu")
    find(tile(channels=3), 0.25)
    find(tile(), 1.0)
    assert asked == [(np.float32, (1, 3, 32, 64)), (np.float32, (1, 1, 128, 192))]  # filled up to multiples of 32


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_package_says_what_to_install(monkeypatch, weights, method):
    package = METHODS[method][0]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SpatialTilError, match=rf"pip install 'spatial-til\[{method}\]'"):
        find_nuclei_with(method, weights)


@pytest.mark.parametrize("named", ["", "nowhere/model"])
def test_missing_weights_never_fall_back_to_a_downloaded_model(asked, named):
    with pytest.raises(ProtocolError, match="weights must name the weights of cellpose"):
        find_nuclei_with("cellpose", named)
    assert asked == []


def test_an_unknown_method_is_refused(weights):
    with pytest.raises(ProtocolError, match="must be one of stardist, cellpose, instanseg"):
        find_nuclei_with("watershed", weights)


def test_labels_of_another_size_are_refused(asked, weights, monkeypatch):
    monkeypatch.setattr(sys.modules["cellpose.models"].CellposeModel, "eval", lambda *_, **__: (np.zeros((5, 5)),))
    with pytest.raises(SlideError, match="must label every pixel"):
        find_nuclei_with("cellpose", weights)(tile(), 0.5)


def test_threads_take_turns(asked, weights, monkeypatch):
    busy = []

    def evaluate(self, image, **_):
        busy.append(1)
        alone = len(busy) == 1
        labels = bright(image) * alone
        busy.pop()
        return labels, None, None

    monkeypatch.setattr(sys.modules["cellpose.models"].CellposeModel, "eval", evaluate)
    find = find_nuclei_with("cellpose", weights)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find(tile(), 0.5).max(), range(64)))
    assert set(found) == {2}


def test_a_scaled_plane_depends_on_the_slide_alone():
    plane = np.array([[-3, 0, 20, 40, 90]], dtype=np.int16)
    assert scaled_plane(plane, typical=20.0).tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]
