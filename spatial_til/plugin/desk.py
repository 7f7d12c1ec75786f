"""The reader's desk: which slide is open, what has been corrected, and what an edit would come to. No window.

An edit is first *proposed*: its numbers are computed, which may take a while and may be cancelled. Only then it
is written to the journal, with the numbers before and after. So the journal holds whole edits only, and what is
cancelled, refused or interrupted leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spatial_til.errors import SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.model import Estimate, SlideMeta
from spatial_til.pipeline.numbers import depth_bands, depth_samples
from spatial_til.pipeline.rows import depth_rows
from spatial_til.review.blinding import Blinding, blind
from spatial_til.review.events import Edit, Event, Redo, SessionClosed, SessionOpened, Unblinded, Undo
from spatial_til.review.journal import Journal, check_reader, open_journal
from spatial_til.review.session import Cancelled, Numbers, Session, edited, figures, numbers, open_session
from spatial_til.review.state import ReviewState, apply, replay
from spatial_til.run_record import jobs_from_record


@dataclass(frozen=True, slots=True)
class Found:
    """What a state comes to: the numbers, and the density by distance to the border, None until it is computed."""

    numbers: Numbers
    depth: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An event not yet written, the state after it, and what it is in words."""

    event: Event
    state: ReviewState
    words: str


def compute(
    session: Session, state: ReviewState, cancelled: Callable[[], bool] = lambda: False, last: Numbers | None = None
) -> Found:
    """Return what a state comes to; for a thread.

    Raises
    ------
    Cancelled, AnnotationError
        As `review.session.numbers`.
    """
    return Found(numbers(session, state, cancelled=cancelled, last=last))


def deepen(found: Found, cancelled: Callable[[], bool] = lambda: False) -> Found:
    """Return the same with the density by distance, which takes longer than all the rest; for a thread.

    Raises
    ------
    Cancelled
        Where `cancelled()` is true already.
    """
    if cancelled():
        raise Cancelled
    scene = found.numbers.scene
    return replace(found, depth=tuple(depth_rows(scene.slide_id, depth_bands(scene, depth_samples(scene)))))


def slides_of(root: Path) -> list[SlideMeta]:
    """Return the slides of a scored folder that can be opened, by patient, lesion and time.

    Raises
    ------
    SpatialTilError
        Where the folder is none of ours.
    """
    folder = ScoredFolder(root)
    study = jobs_from_record(folder.run)
    order = {t: i for i, t in enumerate(study.protocol.longitudinal.timepoints)}
    metas = [j.meta for j in study.jobs if not j.control and folder.measured(j.slide_id).exists()]
    return sorted(metas, key=lambda m: (m.patient_id, m.lesion, order.get(m.timepoint, len(order)), m.slide_id))


def blinding_of(root: Path, reader: str) -> Blinding:
    """Return the cases of a scored folder as this reader sees them blinded.

    Raises
    ------
    SpatialTilError
        Where the folder is none of ours.
    """
    study = jobs_from_record(ScoredFolder(root).run)
    return blind(study.jobs, seed=study.protocol.statistics.seed, reader=reader)


def slide_words(meta: SlideMeta) -> str:
    """Return how a slide is called in a list: who, when, which lesion.

    Examples
    --------
    >>> slide_words(SlideMeta("S1", "P01", "on_treatment", lesion="skin"))
    'P01 · on treatment · skin (S1)'
    """
    parts = [meta.patient_id, meta.timepoint.replace("_", " "), meta.lesion]
    return f"{' · '.join(p for p in parts if p)} ({meta.slide_id})"


class Desk:
    """One reader at one scored folder, one slide open at a time.

    A blinded reader sees case numbers in a shuffled order. Slides are unblinded one by one, and the journal of each
    says so.
    """

    def __init__(self, root: Path, reader: str, *, blinded: bool = False) -> None:
        self.root = root.resolve()
        self.reader = check_reader(reader)
        self.slides = slides_of(self.root)
        self.blinding = blinding_of(self.root, self.reader) if blinded else None
        self._known: set[str] = set()  # slides unblinded at this desk
        if self.blinding is not None:
            order = [case.slide_id for case in self.blinding.cases]
            self.slides.sort(key=lambda meta: order.index(meta.slide_id))
        self.state = ReviewState()
        self.found: Found | None = None
        self._session: Session | None = None
        self._journal: Journal | None = None
        self._open = ExitStack()

    @property
    def session(self) -> Session:
        """The open slide."""
        if self._session is None:
            msg = "no slide is open"
            raise SpatialTilError(msg)
        return self._session

    @property
    def events(self) -> Sequence[Event]:
        """All that the journal holds of the open slide."""
        return self._journal.events if self._journal else ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What was noticed when the journal was opened, in words."""
        return self._journal.notices if self._journal else ()

    def name_of(self, slide_id: str) -> str:
        """Return how a slide is called in lists: who, when, which lesion, or only the number of the case."""
        words = next((slide_words(meta) for meta in self.slides if meta.slide_id == slide_id), slide_id)
        if self.blinding is None:
            return words
        case = self.blinding.case_of(slide_id).name
        return f"{case}: {words}" if slide_id in self._known else case

    def hide(self, text: str) -> str:
        """Return a message as the reader may see it: blinded, without names of slides, patients and files."""
        return text if self.blinding is None else self.blinding.hide(text)

    def unblind(self, why: str) -> str:
        """Write to the journal that the open slide is known from now on, and return who and when it is.

        Raises
        ------
        SpatialTilError
            Where no reason is given, or it could not be written: then nothing is shown.
        """
        slide_id = self.session.job.slide_id
        if not why.strip():
            msg = "unblinding goes into the record: write why"
            raise SpatialTilError(msg)
        self._write(Unblinded(who=self.reader, why=why.strip()))
        self._known.add(slide_id)
        return self.name_of(slide_id)

    def open(self, slide_id: str, session: Session | None = None) -> None:
        """Open a slide and its journal, as they were left; whatever was open is closed.

        Raises
        ------
        SpatialTilError
            Where the slide cannot be opened, or the same reader has it open elsewhere.
        """
        self.close()
        found = session or open_session(self.root, slide_id)
        journal = self._open.enter_context(open_journal(found.folder, slide_id, self.reader))
        self._session, self._journal = found, journal
        self.state = replay(journal.events)
        opened = SessionOpened(
            who=self.reader,
            slide_id=slide_id,
            measure_key=found.measured.key,
            image_sha256=found.image_sha256,
            blinded=self.blinding is not None and slide_id not in self._known,
            version=version("spatial-til"),
        )
        self._write(opened)

    def close(self) -> None:
        """Close the open slide; its journal is complete at any moment, so nothing is saved here."""
        if self._journal is not None:
            self._write(SessionClosed(who=self.reader))
        self._open.close()
        self._session, self._journal, self.found = None, None, None
        self.state = ReviewState()

    def _write(self, event: Event) -> None:
        if self._journal is not None:
            self._journal.append(event)
            self.state = apply(self.state, event)

    def edit(self, kind: type[Edit], words: str, **fields: Any) -> Proposal:
        """Return an edit of the open slide as a proposal."""
        event = edited(self.session, kind, who=self.reader, **fields)
        return Proposal(event, apply(self.state, event), words)

    def undo(self) -> Proposal | None:
        """Return the taking back of the last edit; None where there is none."""
        event = Undo(who=self.reader)
        return Proposal(event, apply(self.state, event), "undo") if self.state.done else None

    def redo(self) -> Proposal | None:
        """Return the last edit taken back, once more; None where there is none."""
        event = Redo(who=self.reader)
        return Proposal(event, apply(self.state, event), "redo") if self.state.undone else None

    def accept(self, proposal: Proposal, found: Found | None) -> None:
        """Write a proposal to the journal with the numbers before and after it; from then on it holds.

        Parameters
        ----------
        found
            What it comes to; None where an undo takes back the tumour that gave the slide its numbers.

        Raises
        ------
        ReviewError
            Where it could not be written: then nothing changed.
        """
        before = figures(self.found.numbers) if self.found else {}
        self._write(replace(proposal.event, before=before, after=figures(found.numbers) if found else {}))
        self.found = found

    def density(self, population: str, region: str) -> Estimate | None:
        """Return one density of the open slide; None where it was not counted."""
        return self.found.numbers.scene.estimates.get((population, region)) if self.found else None

    @property
    def meta(self) -> SlideMeta:
        """What the sheet says of the open slide."""
        return self.session.job.meta

    def time_points(self) -> list[SlideMeta]:
        """Return the slides of the open slide's patient and lesion, in order of time."""
        here = self.meta
        return [m for m in self.slides if (m.patient_id, m.lesion) == (here.patient_id, here.lesion)]
