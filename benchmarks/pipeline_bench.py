"""The whole measure stage, file to cell table, beside decoding alone and beside the plain pipeline.

The same pixels in one run, one after the other in each round: cellular tissue over the whole image at 0.5 µm per
pixel, about 5,000 nuclei per mm² (real melanoma fields have 7,500), JPEG. Ours: tissue detection, segmentation,
measurement, quality, hashing of the file, overview and the Parquet table, with two threads. Decoding: every tile of
the finest level, two threads. Plain: one process, on pixels that are in memory already, of one painted block; the
slide holds nothing but that block and its mirror images. All in one process whose threads share one heap, as those
of a worker do.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import decode_only, plain_pipeline
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.slides import open_slide
from spatial_til.model import SlideMeta
from spatial_til.pipeline.measure import MeasureTask, measure
from spatial_til.protocol import parse_protocol
from spatial_til.study import Job
from spatial_til.synthetic import Population, make_large_slide
from spatial_til.workers import one_heap

PANEL = {
    "modality": "brightfield",
    "stains": {
        "hematoxylin": {"marker": "nuclei", "vector": "hematoxylin"},
        "dab": {"marker": "CD8", "vector": "dab"},
        "red": {"marker": "PD-L1", "vector": [0.21, 0.85, 0.48]},
    },
}
#: Lymphocytes beside the tissue of `tissue_scene`, which alone has 3,300 nuclei per mm².
LYMPHOCYTES = Population("lymphocyte", (500.0, 900.0, 2600.0, 2600.0), 3.0, cluster=0.7)
BLOCK_PX = 2048


def seconds_of(work: Callable[[], object]) -> float:
    """Return the wall time of some work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(side_px: int = 8192, rounds: int = 9) -> dict[str, float]:
    """Return Mpx/s of each, of their least disturbed round, and ours as ratios to the other two."""
    one_heap()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "slide.ome.tif"
        shape = (side_px, side_px)
        make_large_slide(
            path, shape, pixel_size_um=0.5, tissue_fraction=1.0, painted_blocks=1, levels=3, extra=[LYMPHOCYTES]
        )
        meta = SlideMeta(slide_id="slide", patient_id="P", timepoint="baseline")
        job = Job(meta, path, parse_protocol({"panel": PANEL}))
        with open_slide(path) as slide:
            pixels = slide.at(0.5).read(0, BLOCK_PX, 0, BLOCK_PX)
        works = {
            "ours, two threads, file to cell table": (
                side_px**2,
                lambda: measure(MeasureTask(job, ScoredFolder(folder / "out"), threads=2, again=True)),
            ),
            "decoding alone, two threads": (side_px**2, lambda: decode_only.run(path, 2)),
            "plain pipeline, one process": (BLOCK_PX**2, lambda: plain_pipeline.run(pixels, 0.5)),
        }
        for _, work in works.values():
            work()  # compile, and read the file into memory
        taken = [{name: seconds_of(work) for name, (_, work) in works.items()} for _ in range(rounds)]
    rates = {name: px / min(one[name] for one in taken) / 1e6 for name, (px, _) in works.items()}
    ours, decoding, plain = rates.values()
    found = {f"{name}, Mpx/s": rate for name, rate in rates.items()}
    return found | {"ours / plain": ours / plain, "decoding / ours": decoding / ours}


if __name__ == "__main__":
    for label, value in run().items():
        print(f"{label:50} {value:8.2f}")
