"""Slides without numbers in the window: without a tumour, open elsewhere, damaged. None has those of another."""

import json

import pytest
from shapely.geometry import MultiPolygon

from tests.gui import require_gui

require_gui()

from spatial_til.io.folder import ScoredFolder  # noqa: E402
from spatial_til.plugin.layers import CELLS, REGIONS  # noqa: E402
from spatial_til.review.events import RegionEdit  # noqa: E402
from spatial_til.review.journal import open_journal  # noqa: E402
from tests.scored_folder import TUMOR  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # napari's, vispy's and Qt's own


def settle(dock, qtbot):
    qtbot.waitUntil(lambda: not (dock.working.is_busy or dock.later.is_busy), timeout=180_000)


def shown(dock):
    """What the window says of a slide's numbers."""
    result = dock.result
    lines = [label.text() for label in (result.verdict, result.why, result.flags, result.plot_words)]
    lines += [*dock.cells_tab.boxes, dock.cutoff.told.text()]
    return [*filter(None, lines), *range(result.bars.layout().count() + result.table.rowCount())]


@pytest.fixture
def without_tumor(folder):
    """A folder whose slide A_on has nothing annotated."""
    run = json.loads((folder / "run.json").read_text())
    for job in run["study"]["jobs"]:
        if job["meta"]["slide_id"] == "A_on":
            job["annotations"] = []
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_a_tumour_given_to_a_slide_without_one_can_be_taken_back(new_dock, without_tumor, qtbot):
    dock = new_dock
    dock.start(without_tumor, "anna", "A_base")
    settle(dock, qtbot)
    assert len(shown(dock)) > 10
    dock.open_slide("A_on")
    settle(dock, qtbot)
    assert "draw the tumour" in dock.status.text()
    assert shown(dock) == []
    dock.propose_edit(RegionEdit, "a tumour", region="tumor", geometry=MultiPolygon([TUMOR]))
    settle(dock, qtbot)
    numbers = shown(dock)
    assert len(numbers) > 10
    dock.undo()
    settle(dock, qtbot)
    assert dock.status.text().startswith("Saved: undo. No tumour is known here")
    assert shown(dock) == []
    assert dock.stage.layer(REGIONS) is None
    assert dock.stage.layer(CELLS) is None
    assert dict(dock.desk.events[-1].after) == {}
    dock.redo()
    settle(dock, qtbot)
    assert shown(dock) == numbers
    dock.tabs.show_page("Edits")
    assert "no class → " in dock.edits.list.item(0).text()


def test_a_slide_that_cannot_be_opened_is_not_named_over_the_one_shown(new_dock, folder, qtbot):
    dock = new_dock
    dock.start(folder, "anna", "A_base")
    settle(dock, qtbot)
    (folder / "measured" / "A_prog.parquet").write_bytes(b"damaged")
    dock.open_slide("A_prog")
    assert dock.slides.currentData() == "A_prog"
    settle(dock, qtbot)
    assert "A_prog" in dock.status.text()
    assert dock.slides.currentData() == dock.session.job.slide_id == "A_base"
    dock.open_slide("A_on")
    dock.working.cancel()
    assert dock.slides.currentData() == "A_base"
    with open_journal(ScoredFolder(folder), "A_on", "anna"):
        dock.open_slide("A_on")
        settle(dock, qtbot)
    assert dock.slides.currentData() == "A_on"
    assert dock.session is None
    assert shown(dock) == []
    dock.open_slide("A_base")
    dock.step(1)
    dock.step(1)
    assert dock.slides.currentData() == "A_prog"
