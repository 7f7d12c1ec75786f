"""Which columns of the study sheet divide patients into groups, and which are numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from spatial_til.metrics.groups import Biopsy

#: Columns of the contract that hold labels.
LABELS = ("response", "therapy", "biopsy_type", "tumor_type", "site")
#: A column with more labels than this that two patients share is no grouping.
MOST_LABELS = 8


class SheetColumn(NamedTuple):
    """A column of the sheet, and how to read it from a biopsy."""

    name: str
    read: Callable[[Biopsy], str]


def label_columns(groups: Sequence[Biopsy]) -> list[SheetColumn]:
    """Return the columns that divide patients: at least two labels that two patients or more have.

    Of the columns beyond the contract's, text, and numbers of which there are only two (0 and 1).
    """
    candidates = [SheetColumn(name, _reader(name)) for name in LABELS]
    candidates += [column for column in _extra_columns(groups) if not _is_number(groups, column)]
    return [column for column in candidates if 2 <= _shared_labels(groups, column) <= MOST_LABELS]


def number_columns(groups: Sequence[Biopsy]) -> list[SheetColumn]:
    """Return the columns that hold numbers, of which there are at least three."""
    months = SheetColumn("response_months", _months)
    return [column for column in (months, *_extra_columns(groups)) if _is_number(groups, column)]


def _reader(name: str) -> Callable[[Biopsy], str]:
    """Return how to read a column of the contract."""
    return lambda biopsy: str(getattr(biopsy.score.meta, name)).strip()


def _extra_columns(groups: Sequence[Biopsy]) -> list[SheetColumn]:
    """Return the columns beyond the contract's."""
    names = dict.fromkeys(name for biopsy in groups for name in biopsy.score.meta.extra)
    return [SheetColumn(name, _extra_reader(name)) for name in names]


def _extra_reader(name: str) -> Callable[[Biopsy], str]:
    """Return how to read a column beyond the contract's."""
    return lambda biopsy: biopsy.score.meta.extra.get(name, "").strip()


def _months(biopsy: Biopsy) -> str:
    """Return the duration of response."""
    months = biopsy.score.meta.response_months
    return "" if months is None else str(months)


def _is_number(groups: Sequence[Biopsy], column: SheetColumn) -> bool:
    """Return whether every entry is a number and there are at least three different ones."""
    entries = {column.read(biopsy) for biopsy in groups} - {""}
    return len(entries) > 2 and all(_finite(entry) for entry in entries)


def _finite(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _shared_labels(groups: Sequence[Biopsy], column: SheetColumn) -> int:
    """Return how many labels at least two patients have."""
    patients: dict[str, set[str]] = defaultdict(set)
    for biopsy in groups:
        patients[column.read(biopsy)].add(biopsy.patient_id)
    return sum(len(having) > 1 for label, having in patients.items() if label)
