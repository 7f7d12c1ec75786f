"""The viewer: a pathologist sees a scored slide, corrects it, and the numbers follow.

Only `plugin.widgets` knows napari and Qt. What is shown and what an edit does is decided by the other files,
which are tested without a window.
"""

from __future__ import annotations

from pathlib import Path


def open_review(root: Path, slide_id: str | None = None, reader: str | None = None, *, blinded: bool = False) -> None:
    """Open napari on a scored folder and return when its window is closed.

    Parameters
    ----------
    root
        Folder that `score` has written.
    slide_id
        The slide to open first; the first one by default.
    reader
        Name under which corrections are kept; asked for in the window where it is not given.
    blinded
        Show case numbers in a shuffled order, nothing of patient, time and files.

    Raises
    ------
    SpatialTilError
        Where there is no screen to open a window on.
    """
    from spatial_til.plugin.screen import require_screen

    require_screen()
    from spatial_til.plugin.widgets.window import run_window

    run_window(root, slide_id, reader, blinded=blinded)
