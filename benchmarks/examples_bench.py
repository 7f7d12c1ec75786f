"""Tissue by example: megapixels of 2 µm a second and core, and how long the viewer waits for what was learned.

python -m benchmarks.examples_bench

The slide of 16 mm² is noise; in fluorescence it has 100 mm², is half tumour, and teaches the model anew before it is
classified. The viewer's slide is 12 mm wide and high, of one stain or two channels of fluorescence among four that are
stored, with ten strokes of each of two classes.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from shapely.geometry import MultiPolygon, box

from spatial_til.io.folder import ScoredFolder
from spatial_til.io.tissue_model import TrainedModel, Training
from spatial_til.pipeline.examples import find_tumor_by_model
from spatial_til.pipeline.training import learn
from spatial_til.plugin.example_picture import ClassifiedSquares
from spatial_til.plugin.examples import Learned, Lesson
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.classifier import (
    Painted,
    TissueModel,
    classify_slide,
    square_size,
    squares_shape,
)
from spatial_til.segmentation.examples.features import feature_names
from spatial_til.segmentation.examples.on_slide import on_slide
from spatial_til.segmentation.examples.planes import StainPlanes, reference_intensity
from spatial_til.segmentation.examples.strokes import stroke_along
from spatial_til.segmentation.tissue import mask_of
from spatial_til.units import PixelSize

SIDE_PX, WIDE_PX = 2000, 5000
PX = PixelSize(2.0, 2.0)
KEYS = Tumor(method="classifier", model="-")
ROUNDS = 3
VIEWED_PX, EACH, STROKE_UM = 6000, 10, 300.0
TILE_SQUARES = 512


def _model(channels):
    n = len(feature_names(channels))
    weights = np.random.default_rng(0).normal(size=(4, n)) / 5000  # as of two classes learned, two looks each
    low, high = np.zeros(n, np.int16), np.full(n, 9000, np.int16)
    look_of = np.array([0, 0, 1, 1])
    count = Painted.per_channel()
    mean = np.random.default_rng(0).uniform(2000, 4000, (4, len(channels), count))
    painted = Painted(np.full(4, 0.25), mean, np.broadcast_to(1e6 * np.eye(count), (4, len(channels), count, count)))
    classes = ("Tumor", "Stroma")
    return TissueModel("brightfield", channels, (), classes, look_of, weights, np.zeros(4), low, high, painted)


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
    three, model = StainPlanes(noise, channels, "brightfield", PX), _model(channels)
    found["3 stains evened out and classes, Mpx/s"] = _speed(partial(_on_slide, three, model, inside))
    return found


def fluorescence():
    """Return Mpx/s of CPU time, best of three, for slides of one to three channels, as learned and taught anew."""
    random, half_um = np.random.default_rng(3), WIDE_PX * PX.x_um / 2
    light = random.gamma(4.0, 100.0, (3, WIDE_PX, WIDE_PX)).astype(np.float16)
    light[:, :, : WIDE_PX // 2] *= 3  # tumour is bright, and lies left
    strokes = {"slide": _strokes(random, half_um)}
    tissue = MultiPolygon([box(0, 0, 2 * half_um, 2 * half_um)])
    found = {}
    for count in (1, 2, 3):
        channels = ("nuclei", "tumor", "cytoplasm")[:count]
        bright = tuple(reference_intensity(plane) for plane in light[:count])
        planes = StainPlanes(light[:count], channels, "fluorescence", PX, bright)
        trained, inside = learn({"slide": planes}, strokes), np.ones(squares_shape(planes), dtype=np.bool_)
        model = trained.model
        assert not on_slide(model, planes, inside).taught.reason, "the bench needs a slide that teaches"
        as_learned, taught = partial(classify_slide, planes, model, inside, wanted=0), partial(_on_slide, planes, model)
        whole = partial(find_tumor_by_model, planes, trained, tissue, KEYS)
        found[f"{count} channels, as learned, Mpx/s"] = _speed(as_learned, WIDE_PX)
        found[f"{count} channels, taught anew, Mpx/s"] = _speed(partial(taught, inside), WIDE_PX)
        found[f"{count} channels to the tumour's polygons, Mpx/s"] = _speed(whole, WIDE_PX)
    return found


def _on_slide(planes, model, inside):
    return classify_slide(planes, on_slide(model, planes, inside).model, inside, wanted=0)


def _strokes(random, half_um):
    """Return strokes of tumour on the left and stroma on the right half of a square slide."""
    starts = random.uniform(0, 1, (2 * EACH, 2)) * (half_um - STROKE_UM, 2 * half_um)
    return tuple(
        stroke_along(name, np.add(xy, [(half_um * k, 0.0), (half_um * k + STROKE_UM, 0.0)]))
        for k, name in enumerate(("Tumor", "Stroma"))
        for xy in starts[k::2]
    )


def wait():
    """Return seconds of CPU time, best of three, between a stroke and what the viewer shows of it."""
    random = np.random.default_rng(2)
    nuclei = random.integers(0, 120, (1, VIEWED_PX, VIEWED_PX)).astype(np.uint8)
    nuclei[:, :, : VIEWED_PX // 2] //= 2  # tumour is pale, and lies left
    found = _waited("1 stain", StainPlanes(nuclei, ("nuclei",), "brightfield", PX), None)
    light = random.gamma(4.0, 100.0, (1, VIEWED_PX, VIEWED_PX)).astype(np.float16)
    light[:, :, : VIEWED_PX // 2] *= 3
    four = np.broadcast_to(light, (4, VIEWED_PX, VIEWED_PX))
    bright = (reference_intensity(light[0]),) * 4
    planes = StainPlanes(four, ("CD8", "nuclei", "PD-L1", "tumor"), "fluorescence", PX, bright)
    return found | _waited("2 of 4 channels", planes, ("nuclei", "tumor"))


def _waited(name, planes, channels):
    side_um = VIEWED_PX * PX.x_um
    tissue = MultiPolygon([box(0, 0, side_um, side_um)])
    strokes = {"viewed": _strokes(np.random.default_rng(2), side_um / 2)}

    def at_a_stroke():
        trained = learn({"viewed": planes}, strokes, channels)
        inside = mask_of(tissue, squares_shape(planes), square_size(PX))
        lesson = Lesson(ScoredFolder(Path(tempfile.gettempdir())), "viewed", tissue, strokes)
        return Learned(lesson, trained, planes, inside, on_slide(trained.model, planes, inside).model)

    learned = at_a_stroke()
    found = {f"{name}: from a stroke to what was learned, s": _best(at_a_stroke)}
    for factor in (1, 4):
        picture = ClassifiedSquares(learned, 0, factor)
        wide_mm = TILE_SQUARES * factor * square_size(PX).x_um / 1000
        tile = partial(picture.read, 0, TILE_SQUARES, 0, TILE_SQUARES)
        found[f"{name}: a tile of {wide_mm:.0f} mm, s"] = _best(tile)
    return found


def _speed(work, side_px=SIDE_PX):
    return side_px**2 / 1e6 / _best(work)


def _best(work):
    best = np.inf
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


if __name__ == "__main__":
    import cv2

    cv2.setNumThreads(1)
    for name, value in (run() | fluorescence() | wait()).items():
        print(f"  {name:45} {value:8.3g}", flush=True)
