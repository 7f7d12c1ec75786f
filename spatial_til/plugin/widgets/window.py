"""A viewer of its own for `spatial-til review`."""

from __future__ import annotations

from pathlib import Path

import napari

from spatial_til.plugin.widgets.dock import ReviewDock
from spatial_til.plugin.widgets.refreshing import spare_collection


def make_window(
    root: Path, slide_id: str | None, reader: str | None, *, blinded: bool = False, show: bool = True
) -> ReviewDock:
    """Return the dock of a new viewer on a scored folder; the reader's name is asked for where it is not given."""
    viewer = napari.Viewer(title="spatial_til review", show=show)
    dock = ReviewDock(viewer)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    dock.start_page.folder.setText(str(root))
    dock.start_page.blinded.setChecked(blinded)
    reader = reader or dock.start_page.reader.text()
    if reader:
        dock.start(root, reader, slide_id, blinded=blinded)
    return dock


def run_window(root: Path, slide_id: str | None, reader: str | None, *, blinded: bool = False) -> None:
    """Open the window and return when it is closed."""
    spare_collection()
    make_window(root, slide_id, reader, blinded=blinded)
    napari.run()
