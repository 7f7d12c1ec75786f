"""A reader's corrections of a whole study, from the journals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from spatial_til.batch.tables import Summary
from spatial_til.errors import ReviewError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_source
from spatial_til.pipeline.corrections import Corrections
from spatial_til.review.agreement import write_agreement
from spatial_til.review.journal import check_reader, journals, read_journal, readers
from spatial_til.review.state import corrections_of, replay
from spatial_til.study import Study


@dataclass(frozen=True, slots=True)
class Review:
    """One reader's corrections by slide, the folder they were made on, and what the journals gave notice of."""

    reader: str
    base: ScoredFolder
    corrections: Mapping[str, Corrections]
    notices: tuple[str, ...] = ()


def load_review(folder: ScoredFolder, study: Study, reader: str | None) -> Review | None:
    """Return the corrections of a reader; of the only one where none is named; None where nobody reviewed.

    Raises
    ------
    ReviewError
        Where several readers have journals and none is named, the one named has none, or journals cannot be
        read: every fault of all of them.
    """
    known = readers(folder)
    if reader is None and len(known) > 1:
        raise ReviewError([f"{folder.root}: several readers ({', '.join(known)}): give --reader, or --no-review"])
    if reader is None and not known:
        return None
    name = known[0] if reader is None else check_reader(reader)
    if name not in known:
        found = ", ".join(known) or "nobody"
        raise ReviewError([f"{folder.root / 'review'}: no journal of {name} (found: {found}): correct --reader"])
    corrections: dict[str, Corrections] = {}
    problems: list[str] = []
    notices: list[str] = []
    slides = {job.slide_id for job in study.jobs}
    for (slide_id, who), path in journals(folder).items():
        if who != name:
            continue
        if slide_id not in slides:
            notices.append(f"{path}: {slide_id} is not in this study, its journal was not applied")
            continue
        try:
            read = read_journal(path)
        except ReviewError as error:
            problems += error.problems
            continue
        notices += read.notices
        image = str(read_source(folder.measured(slide_id)).get("sha256", ""))
        found_here = corrections_of(replay(read.events), image)
        if found_here is not None:
            corrections[slide_id] = found_here
    if problems:
        raise ReviewError(problems)
    return Review(name, folder, corrections, tuple(notices))


def with_agreement(result: Summary, folder: ScoredFolder) -> Summary:
    """Bring the tables of agreement up to date; journals that cannot be read are told, and are no fault here."""
    try:
        notices = write_agreement(folder)
    except ReviewError as error:
        notices = list(error.problems)
    return replace(result, lines=(*result.lines, *notices))
