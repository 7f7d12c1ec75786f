"""Reading speed as a ratio to tifffile + imagecodecs by themselves, with the same threads; budget 1.3.

    python -m benchmarks.io_bench [--side 8192] [--repeats 5]

Two yardsticks: decoding every tile and nothing else (`segments`), and decoding into one array
(`asarray`). Ours reads blocks at full resolution, and at half, where every pixel is read and averaged.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile

from benchmarks import decode_only
from spatial_til.io.slides import open_slide

BUDGET = 1.3
BLOCK = 1024
TILE = 256


def write_slide(path: Path, side: int) -> None:
    """Write a pyramidal RGB JPEG slide with the texture of a smooth random field."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(3, 512, 512)).astype(np.float32)
    for axis in (1, 2):
        coarse = (coarse + np.roll(coarse, 1, axis) + np.roll(coarse, 2, axis)) / 3
    patch = np.clip(np.moveaxis(coarse, 0, -1) * 60 + (210, 180, 200), 0, 255).astype(np.uint8)
    image = np.tile(patch, (side // 512, side // 512, 1))
    options = {"photometric": "rgb", "compression": "jpeg", "tile": (TILE, TILE), "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for step in (1, 4):
            tif.write(image[::step, ::step], resolution=(40000 / step, 40000 / step), resolutionunit=3, **options)


def read_all(path: Path, pixel_size_um: float, threads: int) -> None:
    """Read the whole slide in blocks, each thread its own."""
    with open_slide(path) as slide:
        grid = slide.at(pixel_size_um)
        starts = [(r, c) for r in range(0, grid.shape[0], BLOCK) for c in range(0, grid.shape[1], BLOCK)]

        def read(start: tuple[int, int]) -> None:
            row, col = start
            grid.read(row, min(row + BLOCK, grid.shape[0]), col, min(col + BLOCK, grid.shape[1]))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, starts))


def decode_array(path: Path, threads: int) -> None:
    with tifffile.TiffFile(path) as tif:
        tif.series[0].levels[0].pages[0].asarray(maxworkers=threads)


def best_seconds(works: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the shortest time of each, taken in turns so that a busy machine is busy for all."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def run(side: int = 8192, repeats: int = 5) -> dict[str, float]:
    """Return seconds over the yardsticks' seconds, and Mpx/s, for 1 and 2 threads."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        write_slide(path, side)
        read_all(path, 0.5, 1)  # compile
        for threads in (1, 2):
            works = {
                "segments": lambda n=threads: decode_only.run(path, n),
                "asarray": lambda n=threads: decode_array(path, n),
                "full": lambda n=threads: read_all(path, 0.25, n),
                "half": lambda n=threads: read_all(path, 0.5, n),
                "quarter": lambda n=threads: read_all(path, 1.0, n),
            }
            best = best_seconds(works, repeats)
            for name in ("full", "half", "quarter"):
                found[f"{name} / segments, {threads} threads"] = best[name] / best["segments"]
            found[f"full / asarray, {threads} threads"] = best["full"] / best["asarray"]
            found[f"full Mpx/s, {threads} threads"] = side**2 / best["full"] / 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for name, value in run(args.side, args.repeats).items():
        budget = f" (budget {BUDGET})" if "full / segments" in name else ""
        print(f"{name:35s} {value:8.2f}{budget}")


if __name__ == "__main__":
    main()
