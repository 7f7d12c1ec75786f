"""Compile the kernels that tests need and the demo does not: those that draw phantoms and find tissue by example."""

import numpy as np

from spatial_til.io.tissue_model import TrainedModel, Training
from spatial_til.pipeline.examples import find_tumor_by_model
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.planes import StainPlanes, reference_intensity
from spatial_til.segmentation.examples.strokes import samples_under
from spatial_til.segmentation.examples.training import fit
from spatial_til.synthetic import label_images, render_brightfield, render_fluorescence, tissue_scene
from spatial_til.units import PixelSize
from tests.painted import paint

CLASSES = ("Tumor", "Stroma")

scene = tissue_scene((600.0, 600.0), seed=0)
render_brightfield(scene)
label_images(scene)
light = np.moveaxis(render_fluorescence(scene, 2.0)[..., [0, 3]], 2, 0).astype(np.float16)
planes = StainPlanes(
    light,
    ("nuclei", "tumor"),
    "fluorescence",
    PixelSize(2.0, 2.0),
    tuple(reference_intensity(plane) for plane in light),
)
parts = {"Tumor": scene.tumor, "Stroma": scene.tissue.difference(scene.tumor)}
samples, _ = samples_under(
    planes, paint(0, parts, each=4, length_um=(60.0, 150.0)), CLASSES, planes.channels, planes.brightness
)
model = fit(samples, CLASSES, modality="fluorescence", channels=planes.channels, references=planes.brightness)
trained = TrainedModel(model, Training(slides=(), strokes={}, squares={}, held_out=()))
find_tumor_by_model(planes, trained, scene.tissue, Tumor(method="classifier", model="-"))
