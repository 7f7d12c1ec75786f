"""A third reader: what two readers agree on is the beginning of a journal, the rest is decided by looking."""

from __future__ import annotations

from importlib.metadata import version

from spatial_til.errors import ReviewError
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_key, read_source
from spatial_til.review.disagreements import agreed_edits
from spatial_til.review.events import Edit, SessionClosed, SessionOpened
from spatial_til.review.journal import journals, open_journal, read_journal
from spatial_til.review.state import replay

#: The third reader's name where no other is given.
CONSENSUS = "consensus"


def begin_consensus(
    folder: ScoredFolder, slide_id: str, readers: tuple[str, str], *, who: str = CONSENSUS, blinded: bool = False
) -> tuple[Edit, ...]:
    """Begin a third reader's journal of a slide with the edits that two readers agree on, and return them.

    Raises
    ------
    ReviewError
        Where one of the two has no journal of the slide, or the third has one already.
    """
    known = journals(folder)
    missing = [name for name in readers if (slide_id, name) not in known]
    if missing:
        raise ReviewError([f"{slide_id}: no journal of {name}: both have to review it first" for name in missing])
    if (slide_id, who) in known:
        raise ReviewError([f"{known[slide_id, who]}: the consensus has begun already: open it in the viewer"])
    first, second = (replay(read_journal(known[slide_id, name]).events) for name in readers)
    agreed = agreed_edits(first, second, who=who, readers=" and ".join(readers))
    stored = folder.measured(slide_id)
    with open_journal(folder, slide_id, who) as journal:
        journal.append(
            SessionOpened(
                who=who,
                slide_id=slide_id,
                measure_key=read_key(stored) or "",
                image_sha256=str(read_source(stored).get("sha256", "")),
                blinded=blinded,
                version=version("spatial-til"),
            )
        )
        for edit in agreed:
            journal.append(edit)
        journal.append(SessionClosed(who=who))
    return tuple(agreed)
