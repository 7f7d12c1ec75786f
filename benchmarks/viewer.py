"""How fast the viewer is: first picture, longest block of the window while panning and zooming.

Run on a screen, or on one that is not there: ``xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.viewer``.
The slide is made once under the folder for temporary files. Without a graphics card drawing is done by the processor.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spatial_til.io.slides import open_slide
from spatial_til.phantoms.large import make_large_slide

SIDE_PX = 40_000
UM = 0.25
CELLS = 1_000_000
STEPS = 200


def large_slide() -> Path:
    """Return a 1.6-gigapixel slide, made where it is not there yet."""
    path = Path(tempfile.gettempdir()) / f"viewer_{SIDE_PX}.ome.tif"
    if not path.exists():
        make_large_slide(path, (SIDE_PX, SIDE_PX), pixel_size_um=UM)
    return path


def main(n_cells: int = CELLS, steps: int = STEPS) -> dict[str, float]:
    """Measure, print and return seconds by what they were spent on."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from spatial_til.plugin.opened import open_file, show_cells
    from spatial_til.plugin.stage import Stage
    from spatial_til.plugin.widgets.refreshing import shared_refresher

    path = large_slide()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    app = QApplication.instance()
    refresher = shared_refresher()
    refresher.watch(viewer)
    stage = Stage(viewer)
    app.processEvents()
    found: dict[str, float] = {}

    start = time.perf_counter()
    opened = open_file(path, refresher.loader)
    found["slide opened (in a thread)"] = time.perf_counter() - start
    stage.show_slide(opened)
    app.processEvents()
    found["first picture"] = time.perf_counter() - start

    rng = np.random.default_rng(0)
    xy_um = rng.uniform(0, SIDE_PX * UM, (n_cells, 2))
    members = {"CD8+": rng.random(n_cells) < 0.1, "all": np.ones(n_cells, bool)}
    start = time.perf_counter()
    cells = show_cells(opened, xy_um, members, refresher.loader, ["CD8+", "all"])
    found["cells painted (in a thread)"] = time.perf_counter() - start
    start = time.perf_counter()
    stage.show_cells(cells)
    app.processEvents()
    found["cells shown"] = time.perf_counter() - start

    beats: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start(5)
    viewer.camera.zoom = 0.08
    for step in range(steps):
        viewer.camera.zoom = 0.08 * 2.0 ** (5 * np.sin(np.pi * step / steps))
        viewer.camera.center = (0, 5000 + 2000 * np.sin(step / 15), 5000 + 2000 * np.cos(step / 15))
        until = time.perf_counter() + 0.03
        while time.perf_counter() < until:
            app.processEvents()
    timer.stop()
    blocks = np.diff(beats)
    found["longest block over pan and zoom"] = float(blocks.max())
    found["99th percentile of blocks"] = float(np.percentile(blocks, 99))
    found["blocks above 100 ms"] = float((blocks > 0.1).sum())

    start = time.perf_counter()
    cells.show(["CD8+"])
    stage.repaint_cells(cells)
    app.processEvents()
    found["a population switched off"] = time.perf_counter() - start

    start = time.perf_counter()
    open_slide(path).overview(1400)
    found["for comparison: overview read"] = time.perf_counter() - start
    stage.clear()
    viewer.close()
    for words, seconds in found.items():
        sys.stdout.write(f"  {words:40} {seconds:8.3f}\n")
    return found


if __name__ == "__main__":
    main()
