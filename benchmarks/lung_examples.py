"""Tumour by example on the three lung fields: trained by strokes on two, tested on the third, against the vendor's map.

python -m benchmarks.lung_examples

The fields are published as pictures of three colours, and seen here in three ways: as the seven channels that others
estimated from the pictures (`channels`); as the two stains that tissue by example looks at unless told otherwise, read
off the picture (`stains`): CK, shown in cyan, is what is both green and blue, DAPI what is blue beyond that; and as
blue, green and what is both (`colours`). Seven channels have no one answer in three colours: red and cyan in one place
were taken for other stains, so that tumour with PD-L1 has an estimated CK of 0.

Strokes begin anywhere in a class and follow its middle, 8 µm wide and up to 40 to 120 µm long; the
vendor outlines single rows of epithelium, so the probability is smoothed by 4 µm only and nothing is dropped. The same
for every field. Beside strokes: a model of every square of two fields, and one of every square of the very field, which
is as far as these features go.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, map_coordinates

from spatial_til.io.annotations import read_annotations
from spatial_til.io.slides import open_slide
from spatial_til.io.tissue_model import TrainedModel, Training
from spatial_til.pipeline.examples import find_tumor_by_model
from spatial_til.protocol_sections import Tumor
from spatial_til.segmentation.examples.planes import PLANE_UM, StainPlanes, reference_intensity
from spatial_til.segmentation.examples.strokes import joined, painted, samples_under, stroke_along
from spatial_til.segmentation.examples.training import fit
from spatial_til.segmentation.tissue import mask_of
from spatial_til.units import PixelSize

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "lung_fields"
CLASSES = ("Tumor", "Stroma")
KEYS = Tumor(method="classifier", model="-", bandwidth_um=4.0, min_area_mm2=0.0, max_hole_mm2=0.0)
SEEDS = (3, 4, 5)  # not looked at while anything was chosen
SEEN = ("channels", "stains", "colours")
EACH = (10, 20, 40)  # strokes a class and field
WIDTH_UM, LENGTH_UM, SHORTEST_UM, STEP_UM = 8.0, (40.0, 120.0), 16.0, 4.0


def field(path, seen="channels"):
    """Planes of one field above the 1st percentile of each channel, its tissue and the vendor's tumour."""
    with open_slide(path.with_suffix(".ome.tif")) as slide:
        grid = slide.at(PLANE_UM)
        drawn = read_annotations([path], pixel_size=slide.pixel_size, image_shape=slide.shape)
        if seen == "channels":
            channels, size = slide.channels, grid.shape
            image = np.moveaxis(grid.read(0, size[0], 0, size[1]), 2, 0).astype(np.float32)
        else:
            channels, image = from_picture(composite(path), seen, round(slide.shape[0] / grid.shape[0]))
    above = np.maximum(image - np.percentile(image, 1, axis=(1, 2))[:, None, None], 0).astype(np.float16)
    bright = tuple(reference_intensity(plane) for plane in above)
    return StainPlanes(above, channels, "fluorescence", grid.pixel_size, bright), drawn.tissue, drawn.tumor


def composite(path):
    """Return the published picture (rows, cols, 3) of a field."""
    name, x, y = path.stem.rsplit("_", 2)
    with Image.open(path.with_name(f"{name}_[{x},{y}]_composite_image.jpg")) as picture:
        return np.asarray(picture)


def from_picture(rgb, seen, times):
    """Return what is seen in a picture (rows, cols, 3): names and planes (n, rows, cols), pixels larger by `times`."""
    green, blue = (rgb[..., k].astype(np.float32) for k in (1, 2))
    both = np.minimum(green, blue)
    found = {"DAPI": blue - both, "CK": both} if seen == "stains" else {"blue": blue, "green": green, "CK": both}
    rows, cols = (n // times for n in rgb.shape[:2])
    planes = np.stack(list(found.values()))[:, : rows * times, : cols * times]
    return tuple(found), planes.reshape(-1, rows, times, cols, times).mean(axis=(2, 4))


def along_the_middle(random, region, each):
    """Return lines that begin anywhere in a region and follow its middle, as a user follows a row of epithelium."""
    shape = tuple(int(n) for n in np.ceil(region.bounds[3:1:-1]))
    depth = distance_transform_edt(np.pad(mask_of(region, shape, PixelSize(1.0, 1.0)), 1))[1:-1, 1:-1]
    starts = np.argwhere(depth >= WIDTH_UM / 2)
    lines = []
    while len(lines) < each:
        line = _line(random, depth, starts[random.integers(len(starts))][::-1], random.uniform(*LENGTH_UM))
        if STEP_UM * (len(line) - 1) >= SHORTEST_UM:
            lines.append(line)
    return lines


def _line(random, depth, start, length_um):
    """Return one line (n, 2) of x, y: each step goes where the border is farther, and rather straight on."""
    points, heading = [start.astype(float)], None
    for _ in range(int(length_um / STEP_UM)):
        turns = np.deg2rad(np.arange(0, 360, 15) if heading is None else np.arange(-40, 41, 10))
        turns = random.permutation(turns) if heading is None else turns
        angles = turns + (heading or 0.0)
        steps = points[-1] + STEP_UM * np.stack((np.cos(angles), np.sin(angles)), axis=1)
        there = map_coordinates(depth, [steps[:, 1], steps[:, 0]], order=1, mode="constant")
        room = np.minimum(there, WIDTH_UM / 2 + (2.0 if heading is None else 6.0))
        best = int((room - (0.0 if heading is None else 0.3) * np.abs(turns)).argmax())
        if there[best] < WIDTH_UM / 2:
            break
        heading = angles[best]
        points.append(steps[best])
    return np.array(points)


def strokes_on(tissue, tumor, each, seed):
    """Return the strokes of one field; the whole of each class where `each` is none."""
    regions = {"Tumor": tumor.intersection(tissue), "Stroma": tissue.difference(tumor)}
    if each is None:
        return [painted(name, region) for name, region in regions.items()]
    random = np.random.default_rng(seed)
    return [
        stroke_along(name, line, WIDTH_UM)
        for name, region in regions.items()
        for line in along_the_middle(random, region, each)
    ]


def overlap(learned, found_on, each, seed):
    """Intersection over union on one field, its area and what is unlike, by a model of some fields."""
    channels = learned[0][0].channels
    references = tuple(float(v) for v in np.median([planes.brightness for planes, _, _ in learned], axis=0))
    parts, first = [], 0
    for k, of in enumerate(learned):
        strokes = strokes_on(*of[1:], each, [seed, k])
        parts.append(samples_under(of[0], strokes, CLASSES, channels, references, slide=k, first_stroke=first)[0])
        first += len(strokes)
    model = fit(joined(parts), CLASSES, modality="fluorescence", channels=channels, references=references)
    planes, tissue, tumor = found_on
    trained = TrainedModel(model, Training(slides=(), strokes={}, squares={}, held_out=()))
    found = find_tumor_by_model(planes, trained, tissue, KEYS)
    region = found.found.region
    return region.intersection(tumor).area / region.union(tumor).area, region.area / tumor.area - 1, found.unlike


def main():
    for seen in SEEN:
        fields = {path.stem: field(path, seen) for path in sorted(DATA.glob("*.geojson"))}
        for name, of in fields.items():
            others = [other for other in fields.values() if other is not of]
            cases = [
                (f"{each} strokes a class and field, draw {seed}", others, each, seed)
                for each in EACH
                for seed in SEEDS
            ]
            cases += [("every square of the others", others, None, 0), ("every square of itself", [of], None, 0)]
            for words, learned, each, seed in cases:
                iou, area, unlike = overlap(learned, of, each, seed)
                print(f"  {seen} {name} {words}: IoU {iou:.3f}, area {area:+.0%}, unlike {unlike:.0%}", flush=True)


if __name__ == "__main__":
    main()
