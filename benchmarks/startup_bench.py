"""What a fresh process waits for before the first pixel: importing, and compiled kernels loaded or compiled.

Each figure is of processes of their own. Kernels are compiled once and kept beside the package; a second process
loads them. Both are counted over every kernel of the package, after one small slide was measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.synthetic import render_brightfield, tissue_scene

_IMPORT = "import time; t = time.perf_counter(); import spatial_til; print(time.perf_counter() - t)"
_MEASURE = """
import json, sys, time
from pathlib import Path
start = time.perf_counter()
from benchmarks.pipeline_bench import PANEL
from spatial_til.io.folder import ScoredFolder
from spatial_til.model import SlideMeta
from spatial_til.pipeline.measure import MeasureTask, measure
from spatial_til.protocol import parse_protocol
from spatial_til.study import Job
path = Path(sys.argv[1])
job = Job(SlideMeta(slide_id="s", patient_id="P", timepoint="baseline"), path, parse_protocol({"panel": PANEL}))
task = MeasureTask(job, ScoredFolder(path.parent / "out"), again=True)
measure(task)
first = time.perf_counter() - start
from benchmarks.startup_bench import kernels
loaded, compiled = kernels()
start = time.perf_counter()
measure(task)
print(json.dumps([first, time.perf_counter() - start, loaded, compiled]))
"""


def kernels() -> tuple[int, int]:
    """Return how many compiled kernels of the package this process loaded from the cache, and how many it compiled."""
    from numba.core.dispatcher import Dispatcher

    modules = [module for name, module in list(sys.modules.items()) if name.startswith("spatial_til")]
    found = {id(thing): thing for module in modules for thing in vars(module).values() if isinstance(thing, Dispatcher)}
    stats = [thing.stats for thing in found.values()]
    return sum(sum(s.cache_hits.values()) for s in stats), sum(sum(s.cache_misses.values()) for s in stats)


def _python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run() -> dict[str, float]:
    """Return seconds of importing and of a small slide, first and again, and the kernels loaded and compiled."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "slide.ome.tif"
        image = render_brightfield(tissue_scene((300.0, 300.0), seed=0, glass=False), 0.5)
        write_slide(path, image, SlideFormat(0.5), levels=2)
        _python(_MEASURE, path)  # whatever was not compiled yet
        first, again, loaded, compiled = json.loads(_python(_MEASURE, path))
    return {
        "import of the package, s (budget 0.3)": min(float(_python(_IMPORT)) for _ in range(5)),
        "small slide in a fresh process, s": first,
        "the same slide again, s": again,
        "kernels loaded from the cache": loaded,
        "kernels compiled": compiled,
    }


if __name__ == "__main__":
    for label, value in run().items():
        print(f"{label:50} {value:8.2f}")
