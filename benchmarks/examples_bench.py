"""Megapixels of 2 µm a second and core: tissue by example, from stored stains to the tumour of a slide.

python -m benchmarks.examples_bench
"""

import time
from functools import partial

import numpy as np
from shapely.geometry import MultiPolygon, box

from spatial_til.io.tissue_model import TrainedModel, Training
from spatial_til.pipeline.examples import find_tumor_by_model
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.classifier import TissueModel, classify_slide, squares_shape
from spatial_til.segmentation.examples.features import feature_names
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.units import PixelSize

SIDE_PX = 2000
PX = PixelSize(2.0, 2.0)
KEYS = Tumor(method="classifier", model="-")
ROUNDS = 3


def _model(channels):
    n = len(feature_names(channels))
    weights = np.random.default_rng(0).normal(size=(4, n)) / 5000  # as of two classes learned, two looks each
    low, high = np.zeros(n, np.int16), np.full(n, 9000, np.int16)
    look_of = np.array([0, 0, 1, 1])
    return TissueModel("brightfield", channels, (), ("Tumor", "Stroma"), look_of, weights, np.zeros(4), low, high)


def run():
    """Return Mpx/s of CPU time, best of three: features and classes for one to three stains, and the whole way."""
    noise = np.random.default_rng(1).integers(0, 120, (3, SIDE_PX, SIDE_PX)).astype(np.uint8)
    found = {}
    for count in (1, 2, 3):
        channels = ("nuclei", "tumor", "cytoplasm")[:count]
        planes, model = StainPlanes(noise[:count], channels, "brightfield", PX), _model(channels)
        inside = np.ones(squares_shape(planes), dtype=np.bool_)
        classify_slide(planes, model, inside[:8, :8], wanted=0)
        work = partial(classify_slide, planes, model, inside, wanted=0)
        found[f"classes of {count} stains, Mpx/s"] = _speed(work)
    one = StainPlanes(noise[:1], ("nuclei",), "brightfield", PX)
    trained = TrainedModel(_model(("nuclei",)), Training(slides=(), strokes={}, squares={}, held_out=()))
    tissue = MultiPolygon([box(0, 0, SIDE_PX * PX.x_um, SIDE_PX * PX.y_um)])
    found["1 stain to the tumour's polygons, Mpx/s"] = _speed(lambda: find_tumor_by_model(one, trained, tissue, KEYS))
    return found


def _speed(work):
    best = np.inf
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return SIDE_PX**2 / 1e6 / best


if __name__ == "__main__":
    import cv2

    cv2.setNumThreads(1)
    for name, value in run().items():
        print(f"  {name:45} {value:8.1f}", flush=True)
