"""A slide of 1.6 gigapixels scored from the command line, and memory from 0.1 gigapixels up.

    python -m benchmarks.whole_slide_bench [--gigapixels 0.1 0.4 1.6]

Square slides at 0.25 µm per pixel, JPEG, 60 % cellular tissue, with levels at 1 and 1/4 of the side as scanners write
them, so that every pixel of tissue is decoded at full resolution and reduced; a square of tumour is annotated.
Seconds are those of ``spatial-til slide`` from start to end, every table included, with two workers, after a run that
compiled. Memory is the largest sum over all its processes of what each has for itself and its share of what they
share (PSS), looked at every 50 ms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.pipeline_bench import LYMPHOCYTES
from spatial_til.synthetic import make_large_slide

BUDGET_S, BUDGET_MIB = 60.0, 2048.0
PROTOCOL = """
[panel]
modality = "brightfield"
[panel.stains]
hematoxylin = { marker = "nuclei", vector = "hematoxylin" }
dab = { marker = "CD8", vector = "dab" }
red = { marker = "PD-L1", vector = [0.21, 0.85, 0.48] }
"""


def tree_mib(process: psutil.Process) -> float:
    """Return the memory of a process and all it started, shared pages once."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:  # it has just ended
            continue
    return total / 2**20


def tumor(path: Path, side_px: int) -> Path:
    """Write a square tumour in the middle of a slide, half as wide."""
    low, high = side_px // 4, 3 * side_px // 4
    ring = [[low, low], [high, low], [high, high], [low, high], [low, low]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    properties = {"objectType": "annotation", "classification": {"name": "Tumor"}}
    path.write_text(json.dumps([{"type": "Feature", "geometry": shape, "properties": properties}]))
    return path


def score(slide: Path, annotation: Path, protocol: Path, out: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory in MiB of scoring one slide."""
    command = [sys.executable, "-m", "spatial_til.cli", "slide", slide, "--out", out, "--quiet"]
    command += ["--protocol", protocol, "--annotation", annotation]
    start = time.perf_counter()
    with subprocess.Popen([*map(str, command), "--workers", "2"], stdout=subprocess.DEVNULL) as run:
        watched, peak = psutil.Process(run.pid), 0.0
        while run.poll() is None:
            peak = max(peak, tree_mib(watched))
            time.sleep(0.05)
    if run.returncode:
        msg = f"scoring {slide} ended with status {run.returncode}"
        raise SystemExit(msg)
    return time.perf_counter() - start, peak


def run(gigapixels: tuple[float, ...] = (0.1, 0.4, 1.6)) -> dict[str, float]:
    """Return seconds and MiB by size."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        protocol = folder / "protocol.toml"
        protocol.write_text(PROTOCOL)
        for size in gigapixels:
            side = round((size * 1e9) ** 0.5)
            slide = folder / f"{size:g}.ome.tif"
            make_large_slide(slide, (side, side), painted_blocks=1, levels=3, level_step=2, extra=[LYMPHOCYTES])
            annotation = tumor(folder / "tumor.geojson", side)
            if not found:
                score(slide, annotation, protocol, folder / "compile")
            seconds, mib = score(slide, annotation, protocol, folder / f"out{size:g}")
            found |= {f"{size:g} gigapixels, s": seconds, f"{size:g} gigapixels, MiB": mib}
            slide.unlink()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigapixels", type=float, nargs="+", default=(0.1, 0.4, 1.6))
    for label, value in run(tuple(parser.parse_args().gigapixels)).items():
        print(f"{label:40} {value:10.1f}")
