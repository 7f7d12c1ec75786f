"""The window, driven as a reader would: draw, move the cut-off, flip a cell, save, reopen; and what is on screen."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import shapely
from shapely.geometry import Polygon

from spatial_til.io.tables import read_table
from tests.gui import LANDMARK, docked, require_gui
from tests.scored_folder import TUMOR

require_gui()

from qtpy.QtCore import QPoint, Qt, QTimer  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from spatial_til.plugin.stage import DRAWING, MARK, PREVIEW  # noqa: E402
from tests.hand import drag_through, draw, press, rest, settle  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # napari's, vispy's and Qt's own


@pytest.fixture(scope="module")
def module_dock(window):
    with docked(window) as made:
        yield made


@pytest.fixture
def dock(module_dock):
    """Return the dock on its first page, with nothing in the viewer, and the tumour as the region to change."""
    module_dock.working.cancel()
    module_dock.leave_slide()
    module_dock.pages.setCurrentIndex(0)
    module_dock.regions.target.setCurrentIndex(0)
    return module_dock


@pytest.fixture(scope="module")
def untouched(patient_folder, tmp_path_factory):
    """Return a folder that tests look at and change nothing in."""
    return shutil.copytree(patient_folder, tmp_path_factory.mktemp("untouched") / "study")


def start(dock, folder, qtbot):
    dock.start(folder, "anna", "A_base")
    settle(dock, qtbot)
    assert dock.desk.found is not None, dock.status.text()
    return dock


@pytest.fixture
def opened(dock, folder, qtbot):
    """Return the dock with a slide of a folder of its own, for a test that changes something."""
    return start(dock, folder, qtbot)


@pytest.fixture
def looked_at(module_dock, untouched, qtbot):
    """Return the dock with a slide as it was scored, for a test that changes nothing of it: opened once for several."""
    desk = module_dock.desk
    if desk is None or desk.root != untouched or desk.found is None:
        start(module_dock, untouched, qtbot)
    module_dock.regions.target.setCurrentIndex(0)
    shown = {layer: layer.visible for layer in module_dock.stage.viewer.layers}
    yield module_dock
    for layer, visible in shown.items():
        layer.visible = visible
    module_dock.regions.cancel_outline()
    module_dock.stage.viewer.scale_bar.visible = True


def seen(dock, qtbot):
    """Return what the canvas shows, without alpha, and where a place in µm is on it."""
    viewer = dock.stage.viewer
    rest(dock, qtbot)
    shot = viewer.screenshot(flash=False)[..., :3].astype(int)

    def pixel(x_um, y_um):
        middle = np.array(shot.shape[:2]) / 2
        away = (np.array([y_um, x_um]) - viewer.camera.center[-2:]) * viewer.camera.zoom
        return tuple(np.round(middle + away).astype(int))

    return shot, pixel


def test_a_study_is_opened_from_the_first_page(dock, folder, qtbot):
    dock.start_page.folder.setText(str(folder))
    dock.start_page.reader.setText("no such name!")
    press(qtbot, dock.start_page.open)
    assert "letters, digits" in dock.start_page.message.text()
    dock.start_page.reader.setText("anna")
    press(qtbot, dock.start_page.open)
    settle(dock, qtbot)
    assert dock.slides.count() == 3
    assert dock.result.verdict.text().startswith("Excluded")
    assert [bar.text() for bar in dock.result.bars.findChildren(type(dock.result.bars.children()[1]))]
    rows = [dock.result.table.item(i, 0).text() for i in range(dock.result.table.rowCount())]
    assert rows[:3] == ["Core", "Inner margin", "Outer margin"]
    assert dock.result.flags.text().startswith("•")
    assert "CD8+ densest" in dock.result.plot_words.text()
    viewer = dock.stage.viewer
    assert viewer.scale_bar.visible
    assert {"Cells", "Regions"} <= {la.name for la in viewer.layers}


def test_what_is_drawn_stands_where_it_is_in_the_slide(looked_at, qtbot):
    viewer = looked_at.stage.viewer
    for layer in viewer.layers:
        layer.visible = layer.name == "CD8 (A)"
    viewer.scale_bar.visible = False
    viewer.layers["CD8 (A)"].contrast_limits = (0, 255)  # so that compression around the square stays dark
    row, col, side = LANDMARK
    x_um, y_um = (col + side / 2) * 0.5, (row + side / 2) * 0.5
    viewer.camera.zoom, viewer.camera.center = 20.0, (0, y_um + 3, x_um - 4)
    shot, pixel = seen(looked_at, qtbot)
    rows, cols = np.nonzero(shot[..., 1] > 128)
    assert (rows.mean(), cols.mean()) == pytest.approx(pixel(x_um, y_um), abs=1.5)  # a pixel of the slide is 10 here
    assert np.ptp(rows) == pytest.approx(side * 0.5 * 20, abs=3)


def test_coarse_levels_lie_within_a_screen_pixel(looked_at, qtbot):
    viewer = looked_at.stage.viewer
    for layer in viewer.layers:
        layer.visible = layer.name == "CD8 (A)"
    viewer.scale_bar.visible = False
    viewer.layers["CD8 (A)"].contrast_limits = (0, 255)  # so that compression around the square stays dark
    row, col, side = LANDMARK
    x_um, y_um = (col + side / 2) * 0.5, (row + side / 2) * 0.5
    viewer.camera.zoom, viewer.camera.center = 0.7, (0, 700, 800)
    shot, pixel = seen(looked_at, qtbot)
    assert viewer.layers["CD8 (A)"].data_level > 0
    weight = np.clip(shot[..., 1] - 60, 0, None)
    rows, cols = np.mgrid[: shot.shape[0], : shot.shape[1]]
    middle = (rows * weight).sum() / weight.sum(), (cols * weight).sum() / weight.sum()
    assert middle == pytest.approx(pixel(x_um, y_um), abs=1.5)


def test_a_move_is_drawn_once_and_mouse_and_keys_are_heard_between_two_drawings(looked_at, qtbot):
    viewer = looked_at.stage.viewer
    canvas = viewer.window._qt_viewer.canvas
    places = [(0.7, (0, 700, 800)), (3.0, (0, 500, 400)), (12.0, (0, 800, 1000))]

    def go(zoom, center):
        viewer.camera.zoom, viewer.camera.center = zoom, center

    for place in places:  # so that every tile is in memory
        go(*place)
        rest(looked_at, qtbot)
    told = []
    canvas._scene_canvas.events.draw.connect(lambda _: told.append("drawn"))
    turns = QTimer()
    turns.timeout.connect(lambda: told.append("heard"))
    turns.start(0)
    for i, place in enumerate(places, start=1):
        go(*place)
        qtbot.wait(300)
        assert told.count("drawn") == i
        assert viewer.layers["CD8 (A)"].data_level == (1, 0, 0)[i - 1]
    for _ in range(5):
        canvas._scene_canvas.update()
        QApplication.processEvents()
        canvas._scene_canvas.update()
        QApplication.processEvents()
    turns.stop()
    assert all("heard" in (a, b) for a, b in pairwise(told))


def test_a_cancelled_outline_changes_nothing(looked_at, qtbot):
    lines = len(looked_at.desk.events)
    press(qtbot, looked_at.regions.tool_buttons["draw"])
    draw(looked_at, qtbot, [(200, 200), (350, 200), (350, 350)])
    press(qtbot, looked_at.regions.cancel)
    assert len(looked_at.desk.events) == lines
    assert looked_at.stage.layer(DRAWING) is None
    assert not looked_at.regions.commit.isEnabled()


def test_a_bow_tie_is_refused_in_words(looked_at, qtbot):
    press(qtbot, looked_at.regions.tool_buttons["replace"])
    draw(looked_at, qtbot, [(500, 450), (1100, 950), (1100, 450), (500, 950)])
    assert looked_at.regions.message.text().startswith("Refused: the outline crosses itself"), (
        looked_at.regions.message.text()
    )
    assert not looked_at.regions.commit.isEnabled()


def test_the_delete_key_takes_no_region_away(looked_at, qtbot):
    viewer = looked_at.stage.viewer
    count = len(viewer.layers)
    for layer in ("Regions", "Cells"):
        viewer.layers.selection.active = viewer.layers[layer]
        native = viewer.window._qt_viewer.canvas.native
        for key in (Qt.Key.Key_3, Qt.Key.Key_Backspace):
            qtbot.keyClick(native, key)
    assert len(viewer.layers) == count
    assert looked_at.desk.state.done == ()


def test_a_click_in_the_picture_chooses_the_cell_under_it(looked_at, qtbot):
    viewer = looked_at.stage.viewer
    scene = looked_at.desk.found.numbers.scene
    x, y = scene.measured.cells.xy_um[321]
    viewer.camera.zoom, viewer.camera.center = 5.0, (0, y + 10, x - 10)
    qtbot.wait(100)
    native = viewer.window._qt_viewer.canvas.native
    away = (np.array([y, x]) - viewer.camera.center[-2:]) * viewer.camera.zoom
    place = (np.array([native.height(), native.width()]) / 2 + away)[::-1]
    qtbot.mouseMove(native, QPoint(*(int(v) for v in place)))
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=QPoint(*(int(v) for v in place)))
    qtbot.wait(50)
    assert looked_at.cells_tab.picked is not None
    assert looked_at.cells_tab.picked.index == 321


def test_populations_are_switched_and_the_picture_follows(looked_at, qtbot):
    viewer = looked_at.stage.viewer
    for layer in viewer.layers:
        layer.visible = layer.name == "Cells"
    boxes = looked_at.cells_tab.boxes
    for box in boxes.values():
        box.setChecked(False)
    shot, _ = seen(looked_at, qtbot)
    assert shot.max() < 60 or (shot.std(-1).max() < 5)  # nothing coloured is left
    boxes["CD8+"].setChecked(True)
    shot, _ = seen(looked_at, qtbot)
    green = (shot[..., 1] > 150) & (shot[..., 0] < 100)
    assert green.sum() > 100


def test_regions_stand_where_they_are_and_their_parts_are_switched(looked_at, qtbot):
    """At a corner of the tumour: its red line, core and margin within, and nothing once all is switched off."""
    viewer, boxes = looked_at.stage.viewer, looked_at.regions.parts.boxes
    for layer in viewer.layers:
        layer.visible = layer.name == "Regions"
    viewer.scale_bar.visible = False
    for part, box in boxes.items():
        box.setChecked(part in ("Core and margin", "Tumour"))
    x0, y0 = TUMOR.bounds[:2]
    viewer.camera.zoom, viewer.camera.center = 4.0, (0, y0 + 30, x0 - 20)
    shot, pixel = seen(looked_at, qtbot)
    red = (shot[..., 0] > 150) & (shot[..., 1] < 40)
    rows, cols = np.nonzero(red)
    row, col = pixel(x0, y0)
    assert (rows.min(), cols.min()) == pytest.approx((row, col), abs=3)  # half a line's width
    boxes["Tumour"].setChecked(False)
    shot, _ = seen(looked_at, qtbot)
    filled = shot.sum(-1) > 30
    rows, cols = np.nonzero(filled & (shot[..., 2] < shot[..., 0]))  # inner margin; the outer one is blue
    assert (rows.min(), cols.min()) == pytest.approx((row, col), abs=2)
    boxes["Core and margin"].setChecked(False)
    shot, _ = seen(looked_at, qtbot)
    assert shot.max() < 30
    for box in boxes.values():
        box.setChecked(True)


def test_a_region_is_drawn_committed_and_the_tables_follow(opened, folder, qtbot):
    before = opened.desk.density("CD8+", "core").area_mm2
    opened.tabs.show_page("Regions")
    press(qtbot, opened.regions.tool_buttons["replace"])
    assert opened.stage.viewer.layers.selection.active.name == DRAWING
    corners = [(500, 450), (1100, 450), (1100, 950), (500, 950)]
    draw(opened, qtbot, corners)
    assert opened.regions.commit.isEnabled(), opened.regions.message.text()
    assert opened.stage.layer(PREVIEW) is not None
    drawn = opened.regions.commit_found.region
    assert drawn.symmetric_difference(Polygon(corners)).area / Polygon(corners).area < 0.03  # a hand's precision
    opened.regions.why.setText("drawn too wide")
    press(qtbot, opened.regions.commit)
    settle(opened, qtbot)
    assert opened.desk.density("CD8+", "core").area_mm2 < before
    assert opened.stage.layer(DRAWING) is None
    assert opened.stage.layer(PREVIEW) is None
    regions = opened.stage.layer("Regions").data[-1]
    assert np.array_equal(regions[:, :], opened.painted.regions.picture.levels[-1][:, :])  # the new ones are shown
    assert "drawn too wide" in opened.edits.list.item(0).text()
    shown = opened.desk.density("CD8+", "core")
    opened.tabs.show_page("Edits")
    press(qtbot, opened.edits.tables.write)
    qtbot.waitUntil(lambda: not opened.edits.tables.working.is_busy, timeout=60_000)
    assert str(folder / "reviewed" / "anna" / "tables") in opened.edits.tables.told.text()
    assert opened.edits.tables.open_report.isVisible()
    rows = read_table(folder / "reviewed" / "anna" / "tables" / "density.csv")
    row = next(r for r in rows if (r["slide_id"], r["population"], r["compartment"]) == ("A_base", "CD8+", "core"))
    assert (int(row["n_cells"]), float(row["area_mm2"])) == (shown.n_cells, pytest.approx(shown.area_mm2, rel=1e-9))


def test_one_corner_is_dragged_and_the_rest_of_the_outline_stays(opened, qtbot):
    before = opened.regions.region()
    press(qtbot, opened.regions.tool_buttons["corners"])
    viewer, (ring, *others) = opened.stage.viewer, opened.regions._rings
    assert not others
    assert len(viewer.layers[DRAWING].data) == 1
    assert not opened.regions.commit.isEnabled()
    corner = ring.handles[1]
    outwards = corner + 80.0 * np.sign(corner - np.mean(ring.handles, axis=0))
    viewer.camera.zoom, viewer.camera.center = 1.5, (0, *corner[::-1])
    rest(opened, qtbot)
    drag_through(opened, qtbot, [corner, outwards])
    assert opened.regions.commit.isEnabled(), opened.regions.message.text()
    assert opened.stage.layer(PREVIEW) is not None
    assert viewer.layers.selection.active.name == DRAWING  # the next corner can be dragged at once
    press(qtbot, opened.regions.commit)
    settle(opened, qtbot)
    after = opened.regions.region()
    old, new = (set(map(tuple, shapely.get_coordinates(region))) for region in (before, after))
    assert len(old - new) == 1
    dropped, come = np.array([*(old - new)]), np.array([*(new - old)])
    assert dropped == pytest.approx(corner[None])
    assert come == pytest.approx(outwards[None], abs=2.0)  # a pixel of the screen is 0.7 µm
    assert opened.stage.layer(DRAWING) is None
    assert opened.desk.events[-1].region == "tumor"
    assert opened.desk.events[-1].geometry.equals_exact(after, 0)


def test_necrosis_becomes_a_hole_that_survives_reopening(opened, qtbot):
    targets = [opened.regions.target.itemText(i) for i in range(opened.regions.target.count())]
    opened.regions.target.setCurrentIndex(next(i for i, t in enumerate(targets) if t.startswith("Necrosis")))
    press(qtbot, opened.regions.tool_buttons["draw"])
    draw(opened, qtbot, [(700, 600), (900, 600), (900, 800), (700, 800)])
    press(qtbot, opened.regions.commit)
    settle(opened, qtbot)
    excluded = opened.desk.found.numbers.scene.compartments.excluded
    assert excluded.area == pytest.approx(200 * 200, rel=0.05)
    assert "necrosis" in opened.edits.list.item(0).text()
    estimates = opened.desk.found.numbers.scene.estimates
    opened.open_slide("A_base")
    settle(opened, qtbot)
    again = opened.desk.found.numbers.scene
    assert again.compartments.excluded.equals_exact(excluded, 0)
    assert again.estimates == estimates


def test_the_cut_off_is_dragged_and_the_cells_follow(opened, qtbot):
    opened.tabs.show_page("Cut-off")
    qtbot.wait(50)
    histogram = opened.cutoff.histogram
    opened.cutoff.marker.setCurrentText("CD8")
    before = int(opened.cells.members["CD8+"].sum())
    start, end = QPoint(round(histogram.x_of(histogram.cut)), 60), QPoint(histogram.width() - 12, 60)
    qtbot.mousePress(histogram, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(histogram, end)
    qtbot.mouseRelease(histogram, Qt.MouseButton.LeftButton, pos=end)
    qtbot.wait(200)
    moved = histogram.cut
    assert moved > 0.9
    assert int(opened.cells.members["CD8+"].sum()) < before  # the overlay follows, nothing is written yet
    assert opened.desk.state.thresholds == {}
    press(qtbot, opened.cutoff.use)
    settle(opened, qtbot)
    assert opened.desk.state.thresholds == {"CD8": moved}
    assert opened.desk.density("CD8+", "tissue").n_cells == int(opened.cells.members["CD8+"].sum()) < before
    press(qtbot, opened.cutoff.own)
    settle(opened, qtbot)
    assert opened.desk.density("CD8+", "tissue").n_cells == before


def test_single_cells_are_flipped_removed_and_added(opened, qtbot):
    scene = opened.desk.found.numbers.scene
    x, y = scene.measured.cells.xy_um[100]
    n = len(scene.measured.cells)
    opened.cells_tab.clicked(x, y)
    assert opened.stage.layer(MARK) is not None
    was = bool(scene.calls.positive["CD8"][100])
    press(qtbot, opened.cells_tab.flips["CD8"])
    settle(opened, qtbot)
    assert bool(opened.desk.found.numbers.scene.calls.positive["CD8"][100]) is not was
    opened.cells_tab.clicked(x, y)
    press(qtbot, opened.cells_tab.remove)
    settle(opened, qtbot)
    assert len(opened.desk.found.numbers.scene.measured.cells) == n - 1
    press(qtbot, opened.cells_tab.add)
    opened.cells_tab.missed["CD8"].setChecked(True)
    opened.cells_tab.clicked(800.0, 700.0)
    settle(opened, qtbot)
    assert len(opened.desk.found.numbers.scene.measured.cells) == n
    assert opened.edits.list.count() == 3
    press(qtbot, opened.edits.undo)
    settle(opened, qtbot)
    assert len(opened.desk.found.numbers.scene.measured.cells) == n - 1
    press(qtbot, opened.edits.redo)
    settle(opened, qtbot)
    assert len(opened.desk.found.numbers.scene.measured.cells) == n


def test_a_class_of_ones_own_needs_a_reason(opened, qtbot):
    opened.result.own_class.setCurrentText("desert")
    press(qtbot, opened.result.own_button)
    assert opened.desk.state.override is None
    assert "needs a reason" in opened.status.text()
    opened.result.own_reason.setText("folded tissue")
    press(qtbot, opened.result.own_button)
    settle(opened, qtbot)
    assert opened.result.verdict.text().startswith("Desert")
    assert "folded tissue" in opened.result.why.text()
    press(qtbot, opened.result.computed_button)
    settle(opened, qtbot)
    assert opened.result.verdict.text().startswith("Excluded")


def test_a_computation_is_cancelled_without_a_trace(opened, qtbot):
    lines = len(opened.desk.events)
    press(qtbot, opened.cutoff.use)
    opened.cutoff.histogram.set_cut(0.9)
    opened.cutoff.use_cut()
    assert opened.working.is_busy
    press(qtbot, opened.cancel)
    qtbot.wait(500)
    assert "Cancelled" in opened.status.text()
    assert len(opened.desk.events) == lines


def test_the_time_points_are_shown_side_by_side(opened, qtbot):
    press(qtbot, opened.timeline.show_button)
    settle(opened, qtbot)
    names = [layer.name for layer in opened.stage.viewer.layers]
    assert [n for n in names if n.endswith("Cells")] == ["baseline: Cells", "on treatment: Cells", "progression: Cells"]
    assert "reversion to excluded" in opened.timeline.told.text()
    scales = {tuple(la.scale) for la in opened.stage.viewer.layers if la.name.endswith("CD8 (A)")}
    assert scales == {(0.5, 0.5)}
    press(qtbot, opened.timeline.back_button)
    settle(opened, qtbot)
    assert "Cells" in [layer.name for layer in opened.stage.viewer.layers]


def test_another_slide_closes_this_one(opened, folder, qtbot):
    press(qtbot, opened.next)
    settle(opened, qtbot)
    assert opened.desk.session.job.slide_id == "A_on"
    last = json.loads((folder / "review" / "A_base.anna.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "session_closed"


def test_the_manifest_is_what_napari_takes():
    from npe2 import PluginManifest

    from spatial_til import plugin

    manifest = PluginManifest.from_file(plugin.__path__[0] + "/napari.yaml")
    manifest.validate_imports()
    assert [w.display_name for w in manifest.contributions.widgets] == ["Review a scored study"]
