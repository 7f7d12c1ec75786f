"""The whole measure stage, file to cell table, beside decoding alone and beside the plain pipeline.

The same pixels in one run: cellular tissue at 0.5 µm per pixel, JPEG. Ours: tissue detection, segmentation,
measurement, hashing of the file, overview and the Parquet table, with two threads. Decoding: every tile of the
finest level, two threads. Plain: one process, on pixels that are in memory already.
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
from spatial_til.synthetic import make_large_slide

PANEL = {
    "modality": "brightfield",
    "stains": {
        "hematoxylin": {"marker": "nuclei", "vector": "hematoxylin"},
        "dab": {"marker": "CD8", "vector": "dab"},
        "red": {"marker": "PD-L1", "vector": [0.21, 0.85, 0.48]},
    },
}


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """Return the least of several wall times: the one least disturbed."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def run(side_px: int = 8192, plain_px: int = 2048, repeats: int = 3) -> dict[str, float]:
    """Return Mpx/s of each, and ours as ratios to the other two."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "slide.ome.tif"
        make_large_slide(path, (side_px, side_px), pixel_size_um=0.5, tissue_fraction=1.0, painted_blocks=1)
        meta = SlideMeta(slide_id="slide", patient_id="P", timepoint="baseline")
        job = Job(meta, path, parse_protocol({"panel": PANEL}))

        def ours() -> None:
            measure(MeasureTask(job, ScoredFolder(folder / "out"), threads=2, again=True))

        ours()  # compile
        with open_slide(path) as slide:
            pixels = slide.at(0.5).read(0, plain_px, 0, plain_px)
        rates = {
            "ours, two threads, file to cell table": side_px**2 / seconds_of(ours, repeats),
            "decoding alone, two threads": side_px**2 / seconds_of(lambda: decode_only.run(path, 2), repeats),
            "plain pipeline, one process": plain_px**2 / seconds_of(lambda: plain_pipeline.run(pixels, 0.5), 1),
        }
    found = {f"{name}, Mpx/s": rate / 1e6 for name, rate in rates.items()}
    ours_rate, decode_rate, plain_rate = rates.values()
    found["ours / plain"] = ours_rate / plain_rate
    found["decoding / ours"] = decode_rate / ours_rate
    return found


if __name__ == "__main__":
    for label, value in run().items():
        print(f"{label:50} {value:8.2f}")
