"""The accuracy table: phantoms with exact truth, and real fields where ../shared/data is present.

    python -m benchmarks.accuracy [--fields 4] [--seed 2000] [--only brightfield desert real ...]

Every set of phantoms is one staining batch with its own cut-offs. Nuclei and positive cells match within 4 µm,
one to one. Method and settings were made on seeds below 1000 and some from 1000 on: report on others.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, box

from benchmarks import real_fields as real
from benchmarks.matching import Score, score
from benchmarks.phantoms import KINDS, LAYOUTS, Phantom, layout_set, phantom_set
from spatial_til import synthetic as syn
from spatial_til.segmentation.cells import label_image
from spatial_til.segmentation.coarser import for_cells
from spatial_til.segmentation.constants import calibrate
from spatial_til.segmentation.nuclei import find_nuclei
from spatial_til.segmentation.positivity import call_positive, score_of
from spatial_til.segmentation.scratch import Scratch
from spatial_til.segmentation.settings import NUCLEI, Channel, MeasureSettings, Stain
from spatial_til.segmentation.slide import MeasuredSlide, measure_slide
from spatial_til.segmentation.thresholds import find_threshold
from spatial_til.segmentation.tile_cells import cells_around, with_ringed
from spatial_til.units import PixelSize

MARKERS = ("CD8", "PD-L1")
WORK_UM = 0.5
BAND_UM = 100.0
HOW = {"compartment": "membrane", "statistic": "robust"}


@dataclass(frozen=True)
class Source:
    """An image in memory."""

    image: np.ndarray
    pixel_size: PixelSize

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape[:2]

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(f"channel {k}" for k in range(self.image.shape[2]))

    def read(self, row0: int, row1: int, col0: int, col1: int) -> np.ndarray:
        return self.image[row0:row1, col0:col1]


def settings_of(phantom: Phantom) -> MeasureSettings:
    """Return the default settings, told the phantom's vectors where they are known."""
    if phantom.fluorescence:
        channels = (Channel("0", NUCLEI), Channel("1", "CD8"), Channel("2", "PD-L1"))
        return MeasureSettings("fluorescence", channels=channels)
    vectors = syn.PRESET_VECTORS if phantom.vectors is None else phantom.vectors
    names = zip(("hematoxylin", "dab", "red"), (NUCLEI, *MARKERS), vectors, strict=True)
    return MeasureSettings("brightfield", stains=tuple(Stain(s, m, tuple(map(float, v))) for s, m, v in names))


def measure(phantom: Phantom) -> MeasuredSlide:
    """Return the cells of a phantom, read at 0.5 µm per pixel."""
    image, um = phantom.image, phantom.pixel_size_um
    factor = round(WORK_UM / um)
    if factor > 1:
        rows, cols = (n // factor for n in image.shape[:2])
        blocks = image[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor, -1)
        image, um = np.round(blocks.mean(axis=(1, 3))).astype(image.dtype), um * factor
    return measure_slide(Source(image, PixelSize(um, um)), settings=settings_of(phantom))


def positions(slide: MeasuredSlide) -> np.ndarray:
    """Return the centres of a slide's cells, (n, 2) in µm."""
    return np.column_stack((slide.cells.x_um, slide.cells.y_um))


def called(slides: Sequence[MeasuredSlide], marker: str, modality: str) -> list[np.ndarray]:
    """Return which cells of each slide are positive, by the cut-off of all."""
    scores, seen = ([score_of(slide.cells, marker, **HOW, own=own) for slide in slides] for own in (True, False))
    cut = find_threshold(scores, seen=seen, batch="", marker=marker, modality=modality).threshold
    return [call_positive(slide.cells, marker, cut, **HOW)[1] for slide in slides]


def near(phantom: Phantom, xy: np.ndarray, where: str) -> int:
    """Return how many positions lie in the core, or within BAND_UM of the tumour's border."""
    tumor, points = phantom.scene.tumor, shapely.points(xy)
    margin = shapely.distance(points, tumor.boundary) <= BAND_UM
    return int((margin if where == "margin" else shapely.contains(tumor, points) & ~margin).sum())


def phantom_line(name: str, phantoms: Sequence[Phantom]) -> str:
    """Return one row of the table."""
    slides = [measure(p) for p in phantoms]
    places = [positions(s) for s in slides]
    nuclei = sum((score(xy, p.truth_um()) for xy, p in zip(places, phantoms, strict=True)), Score(0, 0, 0))
    line = f"{name:26} nuclei {nuclei.f1:.3f} count {100 * nuclei.bias:+.1f} %"
    modality = "fluorescence" if phantoms[0].fluorescence else "brightfield"
    area_mm2 = sum(p.scene.width_um * p.scene.height_um for p in phantoms) / 1e6
    for marker in MARKERS:
        found = [xy[on] for xy, on in zip(places, called(slides, marker, modality), strict=True)]
        truth = [p.truth_um(marker) for p in phantoms]
        total = sum((score(f, t) for f, t in zip(found, truth, strict=True)), Score(0, 0, 0))
        f1 = f"{total.f1:.3f} of {total.n_true}" if total.n_true else "none there"
        line += f" | {marker}+ {f1}, false {(total.n_found - total.n_matched) / area_mm2:.1f}/mm²"
        if marker == "CD8" and total.n_true:
            for where in ("core", "margin"):
                n, m = (sum(near(p, xy, where) for p, xy in zip(phantoms, of, strict=True)) for of in (found, truth))
                line += f", {where} {100 * (n / max(m, 1) - 1):+.1f} %"
    flagged = sum("melanin_suspected" in s.qc.flags for s in slides)
    return line + (f" | melanin flagged on {flagged} of {len(slides)}" if flagged else "")


def outline(field: real.RealField) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels of nuclei and of cells (rows, cols), and the nuclear centres (n, 2) in µm, of a whole picture."""
    px = PixelSize(field.pixel_size_um, field.pixel_size_um)
    source, settings, scratch = for_cells(Source(field.image, px), field.settings), field.settings, Scratch()
    (rows, cols), px = source.shape, source.pixel_size
    frame = MultiPolygon([box(0, 0, cols * px.x_um, rows * px.y_um)])
    constants = calibrate(source, None, settings, frame)
    nuclear, markers = constants.planes(source.read(0, rows, 0, cols), scratch)
    contrast = constants.contrast(nuclear, (0, 0), px, scratch)
    guide = constants.guide(markers, px.mean_um, scratch)
    found = find_nuclei(
        contrast,
        px_um=px.mean_um,
        typical=constants.typical,
        settings=settings.nucleus,
        scratch=scratch,
        shares=settings.shares,
        guide=guide,
    )
    found = with_ringed(found, constants.membrane_planes(markers, px.mean_um, scratch), constants, px)
    keys = cells_around(found, guide, settings, px, scratch)
    xy = np.column_stack((found.peak_col + found.col, found.peak_row + found.row)) + 0.5
    return found.labels.copy(), label_image(keys), xy * px.mean_um


def overlap_f1(found: np.ndarray, truth: np.ndarray) -> float:
    """Return F1 of labels that overlap by more than half of their union."""
    both = (found > 0) & (truth > 0)
    pairs, shared = np.unique(np.stack((found[both], truth[both])), axis=1, return_counts=True)
    a, b = np.bincount(found.ravel()), np.bincount(truth.ravel())
    hits = int((shared / (a[pairs[0]] + b[pairs[1]] - shared) > 0.5).sum())
    return 2 * hits / ((a[1:] > 0).sum() + (b[1:] > 0).sum())


def real_lines() -> list[str]:
    """Return the rows of the real fields; all are cut with the default settings."""
    component, whole = real.component_field(), real.whole_cells()
    lines = [f"{component.name:26} nuclei, IoU 0.5: {overlap_f1(outline(component)[0], component.truth):.3f}"]
    lines.append(f"{whole.name:26} cells, IoU 0.5: {overlap_f1(outline(whole)[1], whole.truth):.3f}")
    guided = replace(whole, settings=replace(whole.settings, cytoplasm_markers=("cytoplasm",)))
    lines.append(f"{whole.name + ', guided':26} cells, IoU 0.5: {overlap_f1(outline(guided)[1], whole.truth):.3f}")
    lung = [real.lung_field(name) for name in real.LUNG]
    panels = [real.six_panels(name) for name in ("Bladder1", "Lung1")]
    f1 = []
    for field, within in [*((f, 3.0) for f in lung), *((f, 4.0) for f in panels)]:
        total = score(outline(field)[2], field.truth_xy_um, within)
        f1.append(total.f1)
        lines.append(f"{field.name:26} nuclei, {within:g} µm: {total.f1:.3f}, {total.n_found} of {total.n_true}")
    lines.append(f"mean: lung {np.mean(f1[: len(lung)]):.3f}, H-DAB {np.mean(f1[len(lung) :]):.3f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=4, help="phantoms of each kind")
    parser.add_argument("--seed", type=int, default=2000, help="first seed")
    parser.add_argument("--only", nargs="+", help=f"of {', '.join(KINDS)}, layouts, real")
    options = parser.parse_args()
    wanted = options.only or [*KINDS, "layouts", "real"]
    for kind in (k for k in KINDS if k in wanted):
        print(phantom_line(kind, list(phantom_set(kind, options.fields, options.seed))), flush=True)
    if "layouts" in wanted and LAYOUTS.exists():
        print(phantom_line("layouts", list(layout_set(options.fields, options.seed % 100))), flush=True)
    if "real" in wanted and real.DATA.exists():
        print("\n".join(real_lines()), flush=True)
    elif "real" in wanted:
        print(f"real fields: not here, {real.DATA} is missing")


if __name__ == "__main__":
    main()
