"""What two readers see differently, in words, and where to look; and a third reader in whom they agree. No window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from spatial_til.counted import counted
from spatial_til.io.folder import ScoredFolder
from spatial_til.report.words import in_words, number
from spatial_til.review.agreement import agreement_rows
from spatial_til.review.consensus import CONSENSUS, begin_consensus
from spatial_til.review.disagreements import Disagreement, disagreements
from spatial_til.review.journal import journals
from spatial_til.review.readings import read_readings
from spatial_til.review.session import Cancelled

_WHAT: Mapping[str, str] = {
    "class": "Class", "threshold": "Cut-off", "call": "Cell", "removed": "No cell", "added": "Missed cell",
}  # fmt: skip
_AGREED: Mapping[str, str] = {"class_kappa": "kappa of classes", "class_agreement": "same class"}


@dataclass(frozen=True, slots=True)
class Difference:
    """What two readers see differently on a slide, in words, with the place to look at."""

    readers: tuple[str, str]
    slide_id: str
    words: str
    place_um: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Compared:
    """What readers see differently, how far they agree, and whose results are older than their journals."""

    differences: tuple[Difference, ...]
    agreement: tuple[str, ...]
    notices: tuple[str, ...]


def compare_readers(root: Path, *, cancelled: Callable[[], bool] = lambda: False) -> Compared:
    """Return what the readers of a folder see differently, slide by slide, less the consensus; for a thread.

    Raises
    ------
    ReviewError
        Where a journal cannot be read.
    Cancelled
        Where `cancelled()` became true on the way.
    """
    readings, notices = read_readings(ScoredFolder(root))
    found, agreement = [], []
    for a, b in combinations([reading for reading in readings if reading.reader != CONSENSUS], 2):
        both = sorted(a.states.keys() & b.states.keys())
        pair = (a.reader, b.reader)
        for slide_id in both:
            if cancelled():
                raise Cancelled
            seen = disagreements(a, b, slide_id)
            found += [Difference(pair, slide_id, difference_words(pair, one), one.place_um) for one in seen]
        agreement += [_agreed(pair, row) for row in agreement_rows(a, b, both) if row["measure"] in _AGREED]
    return Compared(tuple(found), tuple(agreement), tuple(notices))


def difference_words(readers: tuple[str, str], found: Disagreement) -> str:
    """Return one difference in words.

    Examples
    --------
    >>> difference_words(("anna", "ben"), Disagreement("S", "class", "", "inflamed", "excluded"))
    'Class: anna inflamed, ben excluded'
    >>> difference_words(("anna", "ben"), Disagreement("S", "border", distance_um=85.2))
    'Border: up to 85 µm apart'
    """
    if found.what == "border":
        apart = "one has none" if found.distance_um is None else f"up to {found.distance_um:.0f} µm apart"
        return f"Border: {apart}"
    values = (found.value_a, found.value_b)
    said = (f"{reader} {_said(value)}" for reader, value in zip(readers, values, strict=True))
    return f"{' '.join(filter(None, (_WHAT[found.what], found.marker)))}: {', '.join(said)}"


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    return "as computed" if value is None else in_words(str(value))


def _agreed(readers: tuple[str, str], row: Mapping[str, object]) -> str:
    name = _AGREED[str(row["measure"])]
    values = [row[key] for key in ("value", "ci_low", "ci_high")]
    told = [f"{v:.2f}" for v in values if isinstance(v, float)]
    shown = told[0] + (f" ({told[1]} to {told[2]})" if len(told) == 3 else "") if told else str(row["reason"])
    return f"{' and '.join(readers)}: {name} {shown}, {counted(int(str(row['n'])), 'slide')}"


def open_consensus(root: Path, difference: Difference, *, blinded: bool) -> None:
    """Begin the consensus of two readers on a slide where it has not begun.

    Raises
    ------
    ReviewError
        Where one of the two has no journal of it.
    """
    folder = ScoredFolder(root)
    if (difference.slide_id, CONSENSUS) not in journals(folder):
        begin_consensus(folder, difference.slide_id, difference.readers, blinded=blinded)
