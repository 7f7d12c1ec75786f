"""What only shows when the rows of a study sheet are seen together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Columns whose labels tell rows that belong together from others. Equal but for case, they are one label mistyped.
LABELS = ("patient_id", "lesion", "batch", "response")


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row as text: where it stands, and what its columns say."""

    line: int
    text: Callable[[str], str]


def sheet_problems(rows: Sequence[SheetRow]) -> list[str]:
    """Return what is wrong between rows: names given twice, and labels that are not alike."""
    return [*_names_twice(rows), *_inconstant(rows), *_case_only(rows)]


def spelled_otherwise(header: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return columns that are a known one but for case, space or hyphen.

    Carried through as a column of the user's own, `Batch` would leave the study one batch, and `Lesion` all
    lesions one: calls would be made that the sheet forbids.
    """
    header = list(header)
    plain = {_plain(name): name for name in known}
    return [
        f"column {name!r} is spelled {plain[_plain(name)]!r} here: rename it"
        for name in header
        if name not in known and _plain(name) in plain and plain[_plain(name)] not in header
    ]


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name).casefold()


def _names_twice(rows: Sequence[SheetRow]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for row in rows:
        # Names of output files: equal but for case would overwrite each other on some file systems.
        key = row.text("slide_id").casefold()
        if key and key in seen:
            found = row.text("slide_id")
            yield f"row {row.line}, column slide_id: {found!r} stands in row {seen[key]} already: make it unique"
        seen.setdefault(key, row.line)


def _inconstant(rows: Sequence[SheetRow]) -> Iterator[str]:
    for column in ("response", "response_months"):
        for patient, found in _values(rows, column).items():
            if patient and len(found) > 1:
                said = ", ".join(sorted(found))
                yield f"column {column}: patient {patient} has {said}: it must be constant per patient"


def _values(rows: Sequence[SheetRow], column: str) -> Mapping[str, set[str]]:
    by_patient: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.text(column):
            by_patient[row.text("patient_id")].add(row.text(column))
    return by_patient


def _case_only(rows: Sequence[SheetRow]) -> Iterator[str]:
    for column in LABELS:
        spelled: dict[str, dict[str, int]] = defaultdict(dict)
        for row in rows:
            if row.text(column):
                spelled[row.text(column).casefold()].setdefault(row.text(column), row.line)
        for found in spelled.values():
            if len(found) > 1:
                where = ", ".join(f"{name!r} in row {line}" for name, line in found.items())
                yield f"column {column}: labels must not differ by case alone, found {where}: write one of them"
