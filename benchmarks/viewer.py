"""How fast the viewer is: first picture, longest block of the window while panning and zooming.

Run on a screen, or on one that is not there: ``xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.viewer``.
The slide is made once under the folder for temporary files. Over it lie 1,000,000 cells and regions of some 140,000
corners in all, switched off with ``--no-regions``. Without a graphics card drawing is done by the processor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.affinity import scale

from benchmarks.geometry_bench import SIDE_UM, scene
from spatial_til.geometry.compartments import build_compartments
from spatial_til.io.regions import named_regions
from spatial_til.io.slides import open_slide
from spatial_til.phantoms.large import make_large_slide

SIDE_PX = 40_000
UM = 0.25
CELLS = 1_000_000
CORNERS, ISLANDS = 20_000, 200
STEPS = 200
BAR_S = 0.1


def large_slide() -> Path:
    """Return a 1.6-gigapixel slide, made where it is not there yet."""
    path = Path(tempfile.gettempdir()) / f"viewer_{SIDE_PX}.ome.tif"
    if not path.exists():
        make_large_slide(path, (SIDE_PX, SIDE_PX), pixel_size_um=UM)
    return path


def ragged_regions() -> dict[str, Any]:
    """Return what a ragged tumour with islands divides the tissue of the slide into."""
    side_um = SIDE_PX * UM
    small = side_um / SIDE_UM
    parts = {name: scale(region, small, small, origin=(0, 0)) for name, region in scene(CORNERS, ISLANDS).items()}
    box = (0, 0, side_um, side_um)
    return named_regions(build_compartments(**parts, image_box=box, inner_um=500, outer_um=500, edge_tolerance_um=30))


class Heart:
    """Beats every 5 ms where the window lets it; so a long time between two beats is a block."""

    def __init__(self, app: Any) -> None:
        from qtpy.QtCore import QTimer

        self._app = app
        self._beats: list[float] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(5)

    def _beat(self) -> None:
        self._beats.append(time.perf_counter())

    def run(self, seconds: float) -> None:
        """Let the window work for a while."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._app.processEvents()

    def blocks(self) -> np.ndarray:
        """Return seconds between beats since this was asked last."""
        found, self._beats = np.diff(self._beats), self._beats[-1:]
        return found

    def stop(self) -> None:
        """Beat no more."""
        self._timer.stop()


def pan_and_zoom(viewer: Any, heart: Heart, steps: int) -> np.ndarray:
    """Return the seconds between beats over a scripted pan and zoom."""
    viewer.camera.zoom = 0.08
    heart.blocks()
    for step in range(steps):
        viewer.camera.zoom = 0.08 * 2.0 ** (5 * np.sin(np.pi * step / steps))
        viewer.camera.center = (0, 5000 + 2000 * np.sin(step / 15), 5000 + 2000 * np.cos(step / 15))
        heart.run(0.03)
    return heart.blocks()


def main(n_cells: int = CELLS, steps: int = STEPS, *, regions: bool = True) -> dict[str, float]:
    """Measure, print and return seconds by what they were spent on."""
    import napari
    from qtpy.QtWidgets import QApplication

    from spatial_til.plugin.opened import open_file, show_cells, show_regions
    from spatial_til.plugin.stage import Stage
    from spatial_til.plugin.widgets.refreshing import shared_refresher

    path = large_slide()
    named = ragged_regions() if regions else {}
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    app = QApplication.instance()
    refresher = shared_refresher()
    refresher.watch(viewer)
    stage = Stage(viewer)
    app.processEvents()
    heart = Heart(app)
    found: dict[str, float] = {}
    if regions:
        found["corners of the regions"] = float(sum(len(shapely.get_coordinates(r)) for r in named.values()))

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
    painted = show_regions(opened, named, refresher.loader) if regions else None
    found["regions painted (in a thread)"] = time.perf_counter() - start
    start = time.perf_counter()
    cells = show_cells(opened, xy_um, members, refresher.loader, ["CD8+", "all"])
    found["cells painted (in a thread)"] = time.perf_counter() - start
    heart.run(0.5)
    for what, show in (("regions", lambda: stage.show_regions(painted)), ("cells", lambda: stage.show_cells(cells))):
        if what == "cells" or regions:
            heart.blocks()
            show()
            heart.run(0.5)
            found[f"longest block when {what} are first shown"] = float(heart.blocks().max())

    blocks = pan_and_zoom(viewer, heart, steps)
    found["longest block over pan and zoom"] = float(blocks.max())
    found["99th percentile of blocks"] = float(np.percentile(blocks, 99))
    found["median of blocks above 20 ms"] = float(np.median(blocks[blocks > 0.02]))
    found["blocks above 100 ms"] = float((blocks > BAR_S).sum())

    anew = show_cells(opened, xy_um, members, refresher.loader, ["CD8+", "all"])
    heart.run(0.1)
    heart.blocks()
    if painted is not None:
        stage.show_regions(painted)
    stage.show_cells(anew)
    heart.run(0.5)
    found["longest block when shown anew, after an edit"] = float(heart.blocks().max())

    start = time.perf_counter()
    anew.show(["CD8+"])
    stage.repaint_cells(anew)
    app.processEvents()
    found["a population switched off"] = time.perf_counter() - start

    start = time.perf_counter()
    open_slide(path).overview(1400)
    found["for comparison: overview read"] = time.perf_counter() - start
    heart.stop()
    stage.clear()
    viewer.close()
    for words, seconds in found.items():
        sys.stdout.write(f"  {words:45} {seconds:10.3f}\n")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-regions", action="store_true", help="slide and cells only")
    main(regions=not parser.parse_args().no_regions)
