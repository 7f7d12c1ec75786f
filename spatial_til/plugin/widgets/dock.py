"""The one dock widget: which slide, its result, the tools to correct it, and a line that says what goes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QEvent
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from spatial_til.errors import SpatialTilError
from spatial_til.plugin.convert import from_napari
from spatial_til.plugin.desk import Desk, Found, Proposal, deepen
from spatial_til.plugin.opened import Opened, Painted, ShownCells, overlay_problem
from spatial_til.plugin.reader import METADATA
from spatial_til.plugin.region_picture import PARTS
from spatial_til.plugin.stage import Stage
from spatial_til.plugin.thread_work import compute_and_paint, open_for_review
from spatial_til.plugin.widgets.cells_tab import CellsTab
from spatial_til.plugin.widgets.cutoff_tab import CutoffTab
from spatial_til.plugin.widgets.edits_tab import EditsTab
from spatial_til.plugin.widgets.examples_tab import ExamplesTab
from spatial_til.plugin.widgets.pages import Pages
from spatial_til.plugin.widgets.parts import button, row
from spatial_til.plugin.widgets.readers_tab import ReadersTab
from spatial_til.plugin.widgets.refreshing import shared_refresher
from spatial_til.plugin.widgets.regions_tab import RegionsTab
from spatial_til.plugin.widgets.result_tab import ResultTab
from spatial_til.plugin.widgets.start_page import StartPage
from spatial_til.plugin.widgets.timeline_tab import TimelineTab
from spatial_til.plugin.widgets.working import Working
from spatial_til.plugin.widgets.worklist_tab import WorklistTab
from spatial_til.review.events import Undo
from spatial_til.review.session import Session
from spatial_til.review.state import ReviewState


class ReviewDock(QWidget):
    """Review of a scored folder in a napari viewer."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        refresher = shared_refresher()
        refresher.watch(napari_viewer)
        self.loader = refresher.loader
        self.stage = Stage(napari_viewer)
        self.desk: Desk | None = None
        self.session: Session | None = None
        self.opened: Opened | None = None
        self.painted: Painted | None = None
        self._populations: Sequence[str] | None = None
        self._parts: Sequence[str] = PARTS
        self.working = Working()
        self.later = Working()  # what may come after the numbers: it holds up no edit
        self.working.said.connect(self.say)
        self.working.busy.connect(self._on_busy)
        self._build()
        self.later.said.connect(self.result.plot_words.setText)  # a fault too
        self._mouse = self._on_mouse
        napari_viewer.mouse_drag_callbacks.append(self._mouse)
        self.destroyed.connect(partial(_close, self.__dict__))
        self._find_folder(napari_viewer)

    def _build(self) -> None:
        self.start_page = StartPage(self.start)
        self.slides = QComboBox()
        self.slides.activated.connect(lambda _: self.open_slide(self.slides.currentData()))
        self.back = button("‹", partial(self.step, -1), "Slide before (Alt+Up)")
        self.next = button("›", partial(self.step, 1), "Next slide (Alt+Down)")
        self.result, self.regions, self.cells_tab = ResultTab(self), RegionsTab(self), CellsTab(self)
        self.cutoff, self.edits, self.timeline = CutoffTab(self), EditsTab(self), TimelineTab(self)
        self.examples, self.worklist, self.readers = ExamplesTab(self), WorklistTab(self), ReadersTab(self)
        slide = {"Result": self.result, "Regions": self.regions, "Cells": self.cells_tab, "Cut-off": self.cutoff}
        slide |= {"By example": self.examples, "Edits": self.edits}
        study = {"Slides": self.worklist, "Over time": self.timeline, "Readers": self.readers}
        self.tabs = Pages({"Slide": slide, "Study": study})
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.cancel = button("Cancel", self.working.cancel, "Stop computing; nothing is changed")
        self.cancel.hide()
        review = QWidget()
        layout = QVBoxLayout(review)
        for widget in (row(self.back, self.slides, self.next), self.tabs, row(self.status, self.cancel)):
            layout.addWidget(widget)
        layout.setStretch(1, 1)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.start_page)
        self.pages.addWidget(review)
        QVBoxLayout(self).addWidget(self.pages)
        self.setMinimumWidth(430)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        for keys, action in (
            ("Alt+Left", self.undo),
            ("Alt+Right", self.redo),
            ("Alt+Up", partial(self.step, -1)),
            ("Alt+Down", partial(self.step, 1)),
            ("Alt+P", self.examples.toggle_painting),
            ("Ctrl+Return", self.regions.commit_outline),
            ("Ctrl+Backspace", self.regions.cancel_outline),
        ):
            QShortcut(QKeySequence(keys), self).activated.connect(action)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802  Qt's name
        """Let go of slide, record and mouse when napari takes the dock out of its window; it does not delete it."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            _close(self.__dict__)
        super().changeEvent(event)

    @property
    def cells(self) -> ShownCells | None:
        """The cells of the open slide as they are shown."""
        return None if self.painted is None else self.painted.cells

    def say(self, words: str) -> None:
        """Say what goes on; to a blinded reader without names."""
        words = words if self.desk is None else self.desk.hide(words)
        self.status.setText(words)
        self.start_page.message.setText(words)

    def start(self, root: Path, reader: str, slide_id: str | None = None, *, blinded: bool = False) -> None:
        """Open a scored folder for a reader, and its first slide or the one asked for."""
        try:
            desk = Desk(root, reader, blinded=blinded)
        except SpatialTilError as error:
            self.say(str(error))
            return
        if not desk.slides:
            self.say(f"No slide of {root} was measured; run score again.")
            return
        self.leave_slide()
        self.desk = desk
        self.list_slides([meta.slide_id for meta in desk.slides])
        self.pages.setCurrentIndex(1)
        self.open_slide(slide_id or desk.slides[0].slide_id)

    def list_slides(self, order: Sequence[str]) -> None:
        """List slides in this order, in which one goes on to the next, too."""
        if self.desk is not None:
            here = self.slides.currentData()
            self.slides.clear()
            for slide_id in order:
                self.slides.addItem(self.desk.name_of(slide_id), slide_id)
            self.slides.setCurrentIndex(max(self.slides.findData(here), 0))

    def step(self, by: int) -> None:
        """Go to another slide."""
        at = self.slides.currentIndex() + by
        if 0 <= at < self.slides.count():
            self.open_slide(self.slides.itemData(at))

    def open_slide(self, slide_id: str) -> None:
        """Open a slide: its picture first, then its numbers."""
        if self.desk is None:
            return
        self.regions.cancel_outline()
        done = partial(self._on_opened, self.desk)
        self.working.start(f"Opening {slide_id} …", open_for_review, done, self.desk.root, slide_id, self.loader)
        self._point_at(slide_id)

    def _point_at(self, slide_id: str) -> None:
        """Name a slide above the tools."""
        self.slides.setCurrentIndex(self.slides.findData(slide_id))

    def leave_slide(self) -> None:
        """Take the slide out of the viewer; its edits are saved already."""
        self.later.cancel()
        self.examples.forget()
        self.stage.clear()
        if self.opened is not None and self.opened.slide is not None:
            self.opened.slide.close()
        if self.desk is not None:
            self.desk.close()
        self.session, self.opened, self.painted = None, None, None

    def _on_opened(self, desk: Desk, result: tuple[Session, Opened]) -> None:
        session, opened = result
        self.leave_slide()
        self._point_at(session.job.slide_id)
        try:
            desk.open(session.job.slide_id, session)
        except SpatialTilError as error:
            self._refresh()  # no number of the slide before may stand here
            self.say(str(error))
            return
        self.session, self.opened = session, opened
        self.stage.show_slide(opened)
        self._refresh()
        self._compute("Computing the numbers …", partial(self._on_first_numbers, desk, opened), session, desk.state)

    def _compute(self, words: str, done: Any, session: Session, state: ReviewState, **named: Any) -> None:
        """Compute what a state comes to and paint it, in a thread."""
        shown = (self.opened, self.loader, self._populations, self._parts)
        self.working.start(words, compute_and_paint, done, session, state, shown, **named)

    def _on_first_numbers(self, desk: Desk, opened: Opened, result: tuple[Found, Painted]) -> None:
        desk.found, self.painted = result
        found = desk.found
        self._show(found)
        problems = (opened.problem, overlay_problem(found.numbers.scene))
        self.say(". ".join(filter(None, problems)))

    def propose_edit(self, kind: Any, words: str, **fields: Any) -> None:
        """Compute what an edit would come to; when that is done, write it to the record and show it."""
        if self.desk is None or self.session is None:
            self.say("Open a slide first.")
            return
        self._propose(self.desk, self.session, self.desk.edit(kind, words, **fields))

    def undo(self) -> None:
        """Take the last edit back."""
        if self.desk is not None and self.session is not None:
            self._propose(self.desk, self.session, self.desk.undo())

    def redo(self) -> None:
        """Make the edit again that was taken back."""
        if self.desk is not None and self.session is not None:
            self._propose(self.desk, self.session, self.desk.redo())

    def _propose(self, desk: Desk, session: Session, proposal: Proposal | None) -> None:
        if proposal is None:
            return
        if self.working.is_busy:
            self.say("Wait until the numbers are there, or cancel.")
            return
        done = partial(self._accept, desk, proposal)
        last = desk.found.numbers if desk.found else None
        known = {"last": last, "undone": isinstance(proposal.event, Undo)}
        self._compute(f"Computing: {proposal.words} …", done, session, proposal.state, **known)

    def _accept(self, desk: Desk, proposal: Proposal, result: tuple[Found, Painted] | None) -> None:
        found, painted = result or (None, None)
        try:
            desk.accept(proposal, found)
        except SpatialTilError as error:
            self.say(str(error))
            return
        self.painted = painted
        if found is None:
            self.stage.hide_overlay()
            self._refresh()
            self.say(f"Saved: {proposal.words}. No tumour is known here, as before: draw it, or find it by example.")
            return
        self._show(found)
        self.say(f"Saved: {proposal.words}.")

    def _show(self, found: Found) -> None:
        if self.painted is not None:
            self.painted.switch(self._populations, self._parts)
            self.stage.show_regions(self.painted.regions)
            self.stage.show_cells(self.painted.cells)
        self._refresh()
        self.later.start("The profile follows …", deepen, self._on_depth, found)

    def _on_depth(self, found: Found) -> None:
        if self.desk is not None and self.desk.found is not None and self.desk.found.numbers is found.numbers:
            self.desk.found = found
            self.result.refresh_depth()

    def _refresh(self) -> None:
        for tab in (self.result, self.examples, self.cells_tab, self.cutoff, self.edits, self.timeline):
            tab.refresh()
        self.worklist.refresh()
        self.readers.refresh()

    def show_populations(self, shown: Sequence[str]) -> None:
        """Show the cells of these populations only."""
        self._populations = list(shown)
        if self.cells is not None:
            self.cells.show(shown)
            self.stage.repaint_cells(self.cells)

    def show_parts(self, shown: Sequence[str]) -> None:
        """Show these parts of the regions only."""
        self._parts = tuple(shown)
        if self.painted is not None:
            self.painted.regions.show(shown)
            self.stage.repaint_regions()

    def show_members(self, members: Any) -> None:
        """Show cells as another cut-off would call them."""
        if self.cells is not None:
            self.cells.members = members
            self.show_populations(self.cells.shown)

    def _on_busy(self, busy: bool) -> None:  # noqa: FBT001
        self.cancel.setVisible(busy)
        if not busy and self.session is not None:
            self._point_at(self.session.job.slide_id)  # another that could not be opened is not the one shown

    def _on_mouse(self, _: Any, event: Any) -> Any:
        """Take a click, but not the end of a drag, as the choice of a cell."""
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        drawing = self.stage.layer("Your outline") is not None or self.examples.brush.is_held
        if not dragged and self.session is not None and not drawing:
            x_um, y_um = from_napari([event.position])[0]
            self.cells_tab.clicked(float(x_um), float(y_um))

    def _find_folder(self, viewer: Any) -> None:
        """Offer the scored folder whose layers stand in the viewer already."""
        found = [la.metadata[METADATA]["folder"] for la in viewer.layers if METADATA in la.metadata]
        if found:
            self.start_page.folder.setText(found[0])


def _close(state: dict[str, Any]) -> None:
    """Close what is open when the dock goes; clicks in the picture are no longer its own."""
    callbacks = state["stage"].viewer.mouse_drag_callbacks
    if state["_mouse"] in callbacks:
        callbacks.remove(state["_mouse"])
    tabs = (state["worklist"], state["edits"].tables, state["readers"].tables)
    for working in (state["working"], state["later"], *state["examples"].workings, *(tab.working for tab in tabs)):
        working.cancel()
    if state["desk"] is not None:
        state["desk"].close()
