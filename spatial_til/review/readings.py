"""What each reader made of the slides of a folder: journals replayed, and results with their corrections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shapely.geometry import MultiPolygon

from spatial_til.errors import SpatialTilError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_pixel_size, read_source
from spatial_til.io.regions import read_regions
from spatial_til.io.scores import read_score
from spatial_til.model import SlideScore
from spatial_til.review.journal import journals, read_journal, readers
from spatial_til.review.state import ReviewState, corrections_of, replay
from spatial_til.run_record import read_record


@dataclass(frozen=True, slots=True)
class Reading:
    """One reader's journals of a folder, by slide; the results are read when they are asked for."""

    reader: str
    folder: ScoredFolder
    states: Mapping[str, ReviewState]

    def score(self, slide_id: str) -> SlideScore | None:
        """Return the slide's score with the corrections; None where it could not be scored."""
        path = self._of(slide_id).score(slide_id)
        return read_score(path).score if path.exists() else None

    def tumor(self, slide_id: str) -> MultiPolygon | None:
        """Return the evaluable tumour in µm; None where it is not known."""
        px = read_pixel_size(self.folder.measured(slide_id))
        path = self._of(slide_id).regions(slide_id)
        if px is None or not path.exists():
            return None
        found = read_regions(path, pixel_size=px).get("Tumor")
        return found if isinstance(found, MultiPolygon) else None

    def _of(self, slide_id: str) -> ScoredFolder:
        """Return the folder with the slide's results: the reader's where they corrected it."""
        own = self.folder.reviewed(self.reader)
        corrected = bool(self.states[slide_id].done) or own.score(slide_id).exists()
        return own if corrected else self.folder


def read_readings(folder: ScoredFolder) -> tuple[list[Reading], list[str]]:
    """Return every reader whose results are up to date, and in words whose are not.

    Raises
    ------
    ReviewError
        Where a journal cannot be read.
    """
    found, notices = [], []
    fingerprint = read_record(folder.run).get("protocol_fingerprint")
    for reader in readers(folder):
        own = {slide_id: path for (slide_id, who), path in journals(folder).items() if who == reader}
        reading = Reading(reader, folder, {i: replay(read_journal(path).events) for i, path in own.items()})
        if _applied(folder.reviewed(reader).run, fingerprint) == _digests(folder, reading.states):
            found.append(reading)
        else:
            written = folder.reviewed(reader).run.exists()
            told = "are older, write them anew" if written else "were never written, write them"
            notices.append(f"no agreement with {reader} yet: their tables {told} (rescore --reader {reader})")
    return found, notices


def _digests(folder: ScoredFolder, states: Mapping[str, ReviewState]) -> dict[str, str]:
    """Return the hashes of what the journals come to now, of slides that are measured."""
    digests = {}
    for slide_id, state in states.items():
        path = folder.measured(slide_id)
        corrections = corrections_of(state, str(read_source(path).get("sha256", "")))
        if corrections is not None and path.exists():
            digests[slide_id] = corrections.digest()
    return digests


def _applied(run: Path, fingerprint: str | None) -> dict[str, str] | None:
    """Return the hashes of the corrections in a reviewed folder; None where there are no results like the others'."""
    try:
        record = read_record(run)
    except SpatialTilError:
        return None
    applied = record.get("review", {}).get("corrections")
    return applied if record.get("protocol_fingerprint") == fingerprint else None
