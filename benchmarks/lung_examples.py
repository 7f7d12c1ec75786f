"""Tumour by example on the three lung fields: trained by strokes on two, tested on the third, against the vendor's map.

python -m benchmarks.lung_examples

All seven channels, 10 strokes of 8 µm a class and field; the vendor outlines single rows of epithelium, so
the probability is smoothed by 4 µm only and nothing is dropped. The same for every field.
"""

from pathlib import Path

import numpy as np

from spatial_til.io.annotations import read_annotations
from spatial_til.io.slides import open_slide
from spatial_til.io.tissue_model import TrainedModel, Training
from spatial_til.pipeline.examples import find_tumor_by_model
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.planes import PLANE_UM, StainPlanes, reference_intensity
from spatial_til.segmentation.examples.strokes import joined, samples_under
from spatial_til.segmentation.examples.training import fit, hold_out
from tests.painted import paint

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "lung_fields"
CLASSES = ("Tumor", "Stroma")
KEYS = Tumor(method="classifier", model="-", bandwidth_um=4.0, min_area_mm2=0.0, max_hole_mm2=0.0)
SEEDS = (3, 4, 5)  # not looked at while anything was chosen


def field(path):
    """Planes of one field above the 1st percentile of each channel, its tissue and the vendor's tumour."""
    with open_slide(path.with_suffix(".ome.tif")) as slide:
        grid = slide.at(PLANE_UM)
        image = np.moveaxis(grid.read(0, grid.shape[0], 0, grid.shape[1]), 2, 0).astype(np.float32)
        drawn = read_annotations([path], pixel_size=slide.pixel_size, image_shape=slide.shape)
        above = np.maximum(image - np.percentile(image, 1, axis=(1, 2))[:, None, None], 0).astype(np.float16)
        bright = tuple(reference_intensity(plane) for plane in above)
        return StainPlanes(above, slide.channels, "fluorescence", grid.pixel_size, bright), drawn.tissue, drawn.tumor


def overlap(fields, held_out, seed):
    """Intersection over union on one field, and the accuracy on held-out strokes, of a model of the others."""
    others = [of for name, of in fields.items() if name != held_out]
    channels = others[0][0].channels
    references = tuple(float(v) for v in np.median([planes.brightness for planes, _, _ in others], axis=0))
    parts, first = [], 0
    for k, (planes, tissue, tumor) in enumerate(others):
        regions = {"Tumor": tumor, "Stroma": tissue.difference(tumor)}
        strokes = paint(seed, regions, each=10, length_um=(50.0, 120.0), width_um=8.0)
        parts.append(samples_under(planes, strokes, CLASSES, channels, references, slide=k, first_stroke=first)[0])
        first += len(strokes)
    samples = joined(parts)
    model = fit(samples, CLASSES, modality="fluorescence", channels=channels, references=references)
    planes, tissue, tumor = fields[held_out]
    trained = TrainedModel(model, Training(slides=(), strokes={}, squares={}, held_out=()))
    found = find_tumor_by_model(planes, trained, tissue, KEYS)
    region = found.found.region
    iou = region.intersection(tumor).area / region.union(tumor).area
    return iou, hold_out(samples, CLASSES).accuracy, region.area / tumor.area - 1, found.unlike


def main():
    fields = {path.stem: field(path) for path in sorted(DATA.glob("*.geojson"))}
    for name in fields:
        for seed in SEEDS:
            iou, accuracy, area, unlike = overlap(fields, name, seed)
            print(
                f"  {name} strokes {seed}: IoU {iou:.3f}, area {area:+.0%}, unlike {unlike:.0%}; "
                f"held-out strokes of the other fields {accuracy:.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
