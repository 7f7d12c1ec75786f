"""Tissue by example at the desk: strokes of classes, what is learned from them, the tumour it finds. No window.

Strokes are kept beside the journals as QuPath and `spatial-til train` read them, one file a slide and reader, and
written at every stroke.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry import MultiPolygon

from spatial_til.errors import SpatialTilError
from spatial_til.io.annotations.classes import meaning_of
from spatial_til.io.annotations.strokes import read_strokes, write_strokes
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_pixel_size
from spatial_til.io.stain_planes import read_stain_channels
from spatial_til.io.tissue_model import TrainedModel, write_tissue_model
from spatial_til.pipeline.examples import DEFAULT_CHANNELS, FoundTumor, find_tumor_by_model
from spatial_til.pipeline.training import learn, stains_of, stored_stains, train
from spatial_til.protocol_sections import Tumor
from spatial_til.review.session import Cancelled, Session
from spatial_til.segmentation.examples.classifier import TissueModel, square_size, squares_shape
from spatial_til.segmentation.examples.on_slide import on_slide
from spatial_til.segmentation.examples.planes import StainPlanes
from spatial_til.segmentation.examples.strokes import STROKE_UM, Stroke, stroke_along
from spatial_til.segmentation.tissue import mask_of
from spatial_til.units import PixelSize

FIRST_CLASSES = ("Tumor", "Stroma", "Other")
#: A file of strokes in memory: its slide, the pixel it is written in.
_UNIT = PixelSize(1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What to learn from: the strokes of each slide, in the order of their names, and the stains to look at."""

    folder: ScoredFolder
    slide_id: str
    tissue: MultiPolygon
    strokes: Mapping[str, tuple[Stroke, ...]]
    channels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """A model, and the stains and squares of tissue of the open slide, on which it is tried.

    `on_slide` is the model as it is used on the slide: at its strength, or taught by it.
    """

    lesson: Lesson
    trained: TrainedModel
    planes: StainPlanes
    inside: NDArray[np.bool_]
    on_slide: TissueModel

    @property
    def square(self) -> PixelSize:
        """Size of a square that gets a probability."""
        return square_size(self.planes.pixel_size)


class Examples:
    """The strokes of one reader at one scored folder, and those of the open slide."""

    def __init__(self, root: Path, reader: str) -> None:
        self.folder = ScoredFolder(root.resolve())
        self._kept = self.folder.strokes(reader)
        self._stained: dict[str, StainPlanes] = {}
        self._session: Session | None = None
        self.strokes: list[Stroke] = []
        self.classes: list[str] = list(FIRST_CLASSES)

    def open(self, session: Session) -> None:
        """Take up the strokes of a slide as they were left.

        Raises
        ------
        SpatialTilError
            Where their file is none of ours.
        """
        self._session, self.strokes, self._stained = session, [], {}
        path = self._path(session.job.slide_id)
        if path.exists():
            self.strokes = list(read_strokes(path, pixel_size=session.measured.pixel_size or _UNIT))
        for stroke in self.strokes:
            self.add_class(stroke.name)

    def close(self) -> None:
        """Let go of the slide; its strokes are saved already."""
        self._session, self.strokes, self._stained = None, [], {}

    def add_class(self, name: str) -> str:
        """Take in a class of the reader's own, and return it as it is called from now on.

        Raises
        ------
        SpatialTilError
            Where it has no name, or one that says elsewhere that an area is to be left out.
        """
        words = " ".join(name.split())[:100]
        meaning = meaning_of(words)
        if not words or meaning not in (None, "tumor"):
            found = f"{words} marks an area, it is no kind of tissue" if words else "a class needs a name"
            msg = f"{found}: choose a name such as Gland or Necrotic debris"
            raise SpatialTilError(msg)
        words = FIRST_CLASSES[0] if meaning == "tumor" else words
        known = {name.casefold(): name for name in self.classes}
        if words.casefold() not in known:
            self.classes.append(words)
        return known.get(words.casefold(), words)

    def paint(self, name: str, xy_um: ArrayLike, width_um: float = STROKE_UM) -> Stroke:
        """Add a stroke along a line (n, 2) of x, y, and keep it."""
        stroke = stroke_along(name, xy_um, width_um)
        self._keep([*self.strokes, stroke])
        return stroke

    def erase(self, xy_um: ArrayLike, width_um: float = STROKE_UM) -> int:
        """Take away every stroke that a line touches, and return how many there were."""
        rubber = stroke_along("", xy_um, width_um).region
        left = [stroke for stroke in self.strokes if not stroke.region.intersects(rubber)]
        n = len(self.strokes) - len(left)
        if n:
            self._keep(left)
        return n

    def take_back(self) -> bool:
        """Take the last stroke away; say whether there was one."""
        if not self.strokes:
            return False
        self._keep(self.strokes[:-1])
        return True

    def counts(self) -> dict[str, int]:
        """Return the strokes of each class on the open slide."""
        return {name: sum(stroke.name == name for stroke in self.strokes) for name in self.classes}

    def others(self) -> list[str]:
        """Return the other slides that this reader painted on."""
        here = self._session.job.slide_id if self._session else ""
        return sorted(path.stem for path in self._kept.glob("*.geojson") if path.stem != here)

    def channels(self) -> dict[str, bool]:
        """Return what may be looked at on the open slide, and whether it is unless told otherwise."""
        if self._session is None:
            return {}
        names = read_stain_channels(stored_stains(self.folder, self._session.job.slide_id))
        return {name: name in DEFAULT_CHANNELS for name in names}

    def lesson(self, channels: Sequence[str] | None, *, others: bool) -> Lesson:
        """Return what there is to learn from now.

        Raises
        ------
        SpatialTilError
            Where no slide is open, or its tissue is not known, or no stain is looked at; where the strokes of another
            slide cannot be read.
        """
        if self._session is None or self._session.measured.tissue is None:
            msg = "no slide is open whose tissue is known: open one first"
            raise SpatialTilError(msg)
        if channels is not None and not channels:
            msg = "no stain is looked at: tick one"
            raise SpatialTilError(msg)
        here = self._session.job.slide_id
        strokes = {here: tuple(self.strokes)}
        for slide_id in self.others() if others else ():
            px = read_pixel_size(self.folder.measured(slide_id)) or _UNIT
            strokes[slide_id] = read_strokes(self._path(slide_id), pixel_size=px)
        painted = {slide_id: strokes[slide_id] for slide_id in sorted(strokes) if strokes[slide_id]}
        tissue = self._session.measured.tissue
        return Lesson(self.folder, here, tissue, painted, tuple(channels) if channels is not None else None)

    def learn(self, lesson: Lesson, *, cancelled: Callable[[], bool] = lambda: False) -> Learned:
        """Learn; for a thread.

        Raises
        ------
        TrainingError
            With all that is missing.
        Cancelled
            Where `cancelled()` became true on the way.
        """

        def step() -> None:
            if cancelled():
                raise Cancelled

        stained = {slide_id: self._planes(slide_id) for slide_id in lesson.strokes}
        trained = learn(stained, lesson.strokes, lesson.channels, step)
        planes = self._planes(lesson.slide_id)
        inside = mask_of(lesson.tissue, squares_shape(planes), square_size(planes.pixel_size))
        return Learned(lesson, trained, planes, inside, on_slide(trained.model, planes, inside).model)

    def _planes(self, slide_id: str) -> StainPlanes:
        kept = self._stained  # of the slide open now: what a thread read for another one goes with it
        found = kept.get(slide_id)
        if found is None:
            found = kept[slide_id] = stains_of(self.folder, slide_id)
        return found

    def _path(self, slide_id: str) -> Path:
        return self._kept / f"{slide_id}.geojson"

    def _keep(self, strokes: list[Stroke]) -> None:
        if self._session is None:
            msg = "no slide is open: open one first"
            raise SpatialTilError(msg)
        px = self._session.measured.pixel_size or _UNIT
        try:
            write_strokes(self._path(self._session.job.slide_id), strokes, pixel_size=px)
        except OSError as error:
            msg = f"{self._kept}: the strokes were not saved ({error.strerror}): make room, or check the folder"
            raise SpatialTilError(msg) from None
        self.strokes = strokes


def find(
    learned: Learned,
    keys: Tumor,
    told: Callable[[float], None] = lambda _: None,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> FoundTumor:
    """Return the tumour of the whole slide, as a batch with the same model and keys finds it; for a thread.

    Parameters
    ----------
    keys
        Of the protocol: smoothing in µm, smallest island and largest hole in mm².
    told
        What share of the slide is done.
    """

    def on_tile(share: float) -> None:
        if cancelled():
            raise Cancelled
        told(share)

    return find_tumor_by_model(learned.planes, learned.trained, learned.lesson.tissue, keys, on_tile=on_tile)


def save_model(lesson: Lesson, path: Path, *, cancelled: Callable[[], bool] = lambda: False) -> Path:
    """Learn once more from the stored strokes, with the record of each slide, and write the model; for a thread."""
    trained = train(lesson.folder, lesson.strokes, lesson.channels)
    if cancelled():
        raise Cancelled
    write_tissue_model(path, trained)
    return path


def view_of(strokes: Sequence[Stroke], name: str) -> MultiPolygon:
    """Return all that was painted as one class."""
    parts = shapely.union_all([stroke.region for stroke in strokes if stroke.name == name])
    return MultiPolygon([part for part in shapely.get_parts(parts) if part.geom_type == "Polygon"])
