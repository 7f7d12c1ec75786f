"""Whether a window can be opened here, and a scored folder with pixels to open in it."""

import gc
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.plugin.desk import Desk, compute
from spatial_til.review.events import RegionEdit
from tests.acceptance_study import command
from tests.inline import in_this_process
from tests.own_folder import own_folder
from tests.scored_folder import PLANS, PX, SIZE_UM, make_folder

#: What napari and the window remember is kept here while tests run, apart from what the user has set.
SETTINGS = own_folder("spatial_til_settings_")
os.environ["NAPARI_CONFIG"] = str(SETTINGS / "napari.yaml")  # read when napari is imported

CHANNELS = ("DAPI", "A", "B", "C")
#: One bright pixel block at a known place, in pixels: row, col of its first pixel, and its side.
LANDMARK = (1200, 2000, 8)


@cache
def why_no_window() -> str:
    """Ask in a process of its own: where there is no screen, Qt ends the whole process."""
    if find_spec("napari") is None:
        return "napari is not installed: pip install --group gui"
    code = "from qtpy.QtWidgets import QApplication; QApplication([])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    lines = run.stderr.strip().splitlines()
    return "" if run.returncode == 0 else f"no window can be opened here: {lines[-1] if lines else run.returncode}"


def require_gui() -> None:
    """Skip a module where no window can be opened; fail it where SPATIAL_TIL_REQUIRE_GUI is set."""
    reason = why_no_window()
    if reason and os.environ.get("SPATIAL_TIL_REQUIRE_GUI"):
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason, allow_module_level=True)
    keep_settings_apart()


def keep_settings_apart() -> None:
    """Let napari, even where something has imported it already, and Qt keep settings in a folder of the tests."""
    from napari.settings import NapariSettings
    from qtpy.QtCore import QSettings

    NapariSettings.model_fields["config_path"].default = SETTINGS / "napari.yaml"
    for kind in (QSettings.Format.NativeFormat, QSettings.Format.IniFormat):
        QSettings.setPath(kind, QSettings.Scope.UserScope, str(SETTINGS))


@contextmanager
def one_viewer(**kwargs):
    """Open one napari viewer for many tests, as `make_napari_viewer` opens one for each.

    Nothing of it is saved, and no thread of napari's asks for the value under the pointer.
    """
    import napari
    from napari._app_model._app import NapariApplication, _napari_names
    from napari._qt._qapp_model.qactions import init_qactions
    from napari._qt.qt_main_window import _QtMainWindow
    from napari._qt.qt_viewer import QtViewer
    from napari.plugins import _initialize_plugins
    from napari.settings import get_settings

    get_settings().reset()
    menus = NapariApplication("one_viewer")
    menus.injection_store.namespace = _napari_names
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NapariApplication, "get_app_model", lambda *_: menus)
        patch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None)
        patch.setattr(_QtMainWindow, "_save_current_window_settings", lambda *_: None)
        viewer = napari.Viewer(show_welcome_screen=False, **kwargs)
        yield viewer
        viewer.close()
        del viewer
        gc.collect()
        QtViewer._instances.clear()
        get_settings().reset()
    menus.destroy("one_viewer")
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()


@pytest.fixture(scope="session")
def window(qapp):
    """Open the one viewer that all window tests share: an opening takes seconds."""
    from spatial_til.plugin.widgets.refreshing import spare_collection

    spare_collection()  # as the command does: napari collects garbage at every layer
    with one_viewer(show=True) as viewer:
        viewer.window.resize(1300, 850)
        yield viewer
    gc.unfreeze()


@contextmanager
def docked(window):
    """Put a dock of its own into the shared viewer, and take it out again with all it showed."""
    from spatial_til.plugin.widgets.dock import ReviewDock

    made = ReviewDock(window)
    window.window.add_dock_widget(made, name="Review", area="right")
    yield made
    made.working.cancel()
    made.leave_slide()
    window.window.remove_dock_widget(made)
    window.layers.clear()


@pytest.fixture
def new_dock(window):
    """Return a dock that no test has used before."""
    with docked(window) as made:
        yield made


def write_image(path):
    """Write the image of a slide of `scored_folder`: four dark channels with one bright square."""
    rows, cols = (round(side / PX.x_um) for side in reversed(SIZE_UM))
    image = np.full((len(CHANNELS), rows, cols), 20, np.uint8)
    row, col, side = LANDMARK
    image[:, row : row + side, col : col + side] = 250
    write_slide(path, image, SlideFormat(PX.x_um, CHANNELS, quality=95), levels=3)


@pytest.fixture(scope="session")
def patient_folder(tmp_path_factory):
    """Score three time points of one patient, with pixels: to be copied, not written to."""
    root = make_folder(tmp_path_factory.mktemp("scored") / "study", PLANS[:3])
    write_image(root / "none.tif")
    return root


@pytest.fixture
def folder(patient_folder, tmp_path):
    """Return a copy of the folder that a test may write to."""
    return shutil.copytree(patient_folder, tmp_path / "study")


@pytest.fixture(scope="session")
def twice_read_folder(patient_folder, tmp_path_factory):
    """Let two readers draw another tumour on the first slide, and write their tables: to be copied as well."""
    root = shutil.copytree(patient_folder, tmp_path_factory.mktemp("read") / "study")
    for reader, x1 in (("anna", 1100), ("ben", 1000)):
        desk = Desk(root, reader)
        desk.open("A_base")
        tumor = MultiPolygon([box(400, 350, x1, 1050)])
        proposal = desk.edit(RegionEdit, "a change", region="tumor", geometry=tumor, why="it ends here")
        desk.accept(proposal, compute(desk.session, proposal.state))
        desk.close()
        with in_this_process():
            command("rescore", root, "--reader", reader, "--workers", 1, "--quiet", status=0)
    return root


@pytest.fixture
def read_folder(twice_read_folder, tmp_path):
    """Return a copy of the folder that two readers have read."""
    return shutil.copytree(twice_read_folder, tmp_path / "read")
