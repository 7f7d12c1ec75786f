"""Tumour by example: paint a little of each tissue, see the tumour found where you look, then on the whole slide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from spatial_til.counted import counted
from spatial_til.errors import SpatialTilError
from spatial_til.model import XY
from spatial_til.plugin.brush import Brush
from spatial_til.plugin.example_picture import (
    PROBABILITY,
    STROKES,
    class_color,
    probability_layer,
    probability_picture,
    strokes_layer,
)
from spatial_til.plugin.examples import Examples, Learned, view_of
from spatial_til.plugin.layers import CELLS
from spatial_til.plugin.widgets.confusion import HeldOutTables
from spatial_til.plugin.widgets.paint_tools import PaintTools
from spatial_til.plugin.widgets.parts import heading, row, text
from spatial_til.plugin.widgets.whole_slide import WholeSlide
from spatial_til.plugin.widgets.working import Working

if TYPE_CHECKING:
    from spatial_til.plugin.widgets.dock import ReviewDock

_START = (
    "Choose a tissue, press Paint, and draw over some of it with the mouse held down: at least three strokes of "
    "tumour and three of something else, in different places."
)


class ExamplesTab(QWidget):
    """Strokes on the open slide, what is learned from them, and the tumour it finds."""

    def __init__(self, dock: ReviewDock) -> None:
        super().__init__()
        self._dock = dock
        self._desk: Any = None
        self._session: Any = None
        self._waits = False  # strokes changed while the tab was not in view
        self.examples: Examples | None = None
        self.learned: Learned | None = None
        self.learning = Working()
        self.learning.said.connect(self._on_said)
        self.brush = Brush(dock.stage, self._on_line)
        self.tools = PaintTools(self.add_class, self.take_back)
        self.tools.held.connect(self._hold)
        self.tools.chosen.connect(self.learn)
        self.state = text()
        self.tables = HeldOutTables()
        self.shown = QComboBox()
        self.shown.activated.connect(self._show_probability)
        self.whole = WholeSlide(dock)
        self.whole.accepted.connect(self.tools.put_away)
        self.workings = (self.learning, self.whole.finding)
        layout = QVBoxLayout(self)
        for widget in (
            self.tools,
            heading("Learned from them"),
            self.state,
            self.tables,
            row(text("Show"), self.shown),
            self.whole,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.forget()

    @property
    def is_busy(self) -> bool:
        """Whether something is being learned or found."""
        return any(working.is_busy for working in self.workings)

    def refresh(self) -> None:
        """Take up the slide that is open now, where it is another one than before."""
        session, desk = self._dock.session, self._dock.desk
        if session is self._session:
            return
        self.forget()
        if session is None or desk is None:
            return
        if self._desk is not desk or self.examples is None:
            self._desk, self.examples = desk, Examples(desk.root, desk.reader)
        self._session = session
        try:
            self.examples.open(session)
            channels = self.examples.channels()
        except SpatialTilError as error:
            self.setEnabled(False)
            self._learned_nothing(f"Tissue by example is not available on this slide: {error}")
            return
        self.setEnabled(True)
        self.tools.show_stains(channels)
        self.tools.show_others(len(self.examples.others()))
        self._strokes_changed()

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Show strokes and probability while the tab is in view; learn what it was not in view for."""
        super().showEvent(event)
        self._set_visible(visible=True)
        if self._waits:
            self.learn()

    def hideEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Leave the picture to the other tabs."""
        super().hideEvent(event)
        self.tools.put_away()
        self._set_visible(visible=False)

    def _set_visible(self, *, visible: bool) -> None:
        for name in (STROKES, PROBABILITY):
            layer = self._dock.stage.layer(name)
            if layer is not None:
                layer.visible = visible

    def forget(self) -> None:
        """Let go of the slide; its strokes are saved."""
        self._session, self._waits = None, False
        self.brush.drop()
        self.tools.put_away()
        self.learning.cancel()
        if self.examples is not None:
            self.examples.close()
        self._learned_nothing(_START)

    def toggle_painting(self) -> None:
        """Take the brush, or put it away."""
        self.tools.paint.click()

    def add_class(self, typed: str) -> int | None:
        """Take in a tissue of the reader's own, and return its place; None where it is refused."""
        if self.examples is None:
            return None
        try:
            name = self.examples.add_class(typed)
        except SpatialTilError as error:
            self._dock.say(str(error))
            return None
        self.tools.show_classes(self.examples.counts())
        return self.examples.classes.index(name)

    def take_back(self) -> None:
        """Take the last stroke away."""
        self._change(lambda examples: examples.take_back())

    def _hold(self) -> None:
        if self._session is not None and self.tools.is_held:
            self.brush.hold(self.tools.width.value(), self.tools.color)
        else:
            self.brush.drop()

    def _on_line(self, xy_um: XY) -> None:
        """Take a line that was drawn: as a stroke, or across strokes that go."""
        width_um = self.tools.width.value()
        if self.tools.erase.isChecked():
            self._change(lambda examples: examples.erase(xy_um, width_um))
        else:
            self._change(lambda examples: examples.paint(examples.classes[self.tools.index], xy_um, width_um))

    def _change(self, action: Any) -> None:
        """Change the strokes; they are saved before anything is shown."""
        if self.examples is None or self._session is None:
            return
        try:
            changed = action(self.examples)
        except SpatialTilError as error:
            self._dock.say(str(error))
            return
        if changed:
            self._strokes_changed()

    def _strokes_changed(self) -> None:
        if self.examples is not None:
            self.tools.show_classes(self.examples.counts())
            self._show_strokes(self.examples)
            self.learn()

    def _show_strokes(self, examples: Examples) -> None:
        made = strokes_layer([view_of(examples.strokes, name) for name in examples.classes])
        layer = self._dock.stage.layer(STROKES)
        if layer is not None:
            layer.colormap, layer.data = made[1]["colormap"], made[0]
        elif examples.strokes:
            self._add_behind(made, None)

    def learn(self) -> None:
        """Learn from the strokes as they are now; what is under way is dropped."""
        if self.examples is None or self._session is None:
            return
        self.whole.drop()
        self._waits = not self.isVisible()
        if self._waits:
            return
        try:
            lesson = self.examples.lesson(self.tools.channels, others=self.tools.others.isChecked())
        except SpatialTilError as error:
            self._learned_nothing(str(error))
            return
        if lesson.strokes:
            self.learning.start("Learning …", self.examples.learn, self._on_learned, lesson)
        else:
            self.learning.cancel()
            self._learned_nothing(_START)

    def _on_said(self, said: str) -> None:
        """Say what goes on; after a refusal, which says what is missing, what was learned before no longer holds."""
        if said.startswith("Not done"):
            self._learned_nothing("Not yet:\n• " + said.removeprefix("Not done: ").replace("\n", "\n• "))
        elif said and not said.startswith("Cancelled"):
            self.state.setText(said)

    def _learned_nothing(self, words: str) -> None:
        self.learned = None
        self.whole.use(None)
        self.tables.show_of(None)
        self.state.setText(words if self._dock.desk is None else self._dock.desk.hide(words))
        self.shown.setEnabled(False)
        self._take_away(PROBABILITY)

    def _on_learned(self, learned: Learned) -> None:
        self.learned = learned
        self.whole.use(learned)
        n, slides = sum(learned.trained.training.strokes.values()), len(learned.lesson.strokes)
        self.state.setText(f"From {counted(n, 'stroke')} on {counted(slides, 'slide')}:")
        self.tables.show_of(learned.trained)
        names = [*(f"{name}: how likely" for name in learned.trained.model.classes), "nothing"]
        if [self.shown.itemText(i) for i in range(self.shown.count())] != names:
            self.shown.clear()
            self.shown.addItems(names)
            self.shown.setCurrentIndex(learned.trained.tumor_index)
        self.shown.setEnabled(True)
        self._show_probability()

    def _show_probability(self, _: int = 0) -> None:
        """Show the probability of the chosen tissue; tiles are computed where one looks."""
        self._take_away(PROBABILITY)
        if self.learned is None or self.examples is None:
            return
        classes, at = self.learned.trained.model.classes, self.shown.currentIndex()
        if 0 <= at < len(classes):
            picture = probability_picture(self.learned, at, self._dock.loader)
            color = class_color(self.examples.classes.index(classes[at]))
            front = self._dock.stage.layer(CELLS) or self._dock.stage.layer(STROKES)
            self._add_behind(probability_layer(picture, self.learned, color), front)

    def _add_behind(self, made: Any, front: Any) -> None:
        """Add a layer behind another; the tool in hand stays in hand."""
        layers = self._dock.stage.viewer.layers
        active = layers.selection.active
        (layer,) = self._dock.stage.add([made])
        layer.visible = self.isVisible()
        if front is not None:
            layers.move(layers.index(layer), layers.index(front))
        layers.selection.active = active

    def _take_away(self, name: str) -> None:
        layer = self._dock.stage.layer(name)
        if layer is not None:
            self._dock.stage.viewer.layers.remove(layer)
