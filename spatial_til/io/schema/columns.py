"""What a table is made of, and the columns that most tables have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Column(NamedTuple):
    """One column: its name, its unit or kind, and what it means."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what a row is, and its columns in order."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


def columns(*specs: tuple[str, str, str]) -> tuple[Column, ...]:
    """Return columns from their names, units and meanings."""
    return tuple(Column(*spec) for spec in specs)


def with_interval(name: str, unit: str, meaning: str) -> tuple[Column, ...]:
    """Return a column and those of its interval."""
    return columns(
        (name, unit, meaning),
        (f"{name}_ci_low", unit, f"lower end of the interval of {name}"),
        (f"{name}_ci_high", unit, f"upper end of the interval of {name}"),
    )


SLIDE = Column("slide_id", "text", "the slide, as named in the study sheet")
PATIENT = Column("patient_id", "text", "the patient, as named in the study sheet")
TIMEPOINT = Column("timepoint", "text", "the time point, as named in the protocol")
LESION = Column("lesion", "text", "the lesion, constant over time; empty: one unspecified lesion")
FLAGS = Column("flags", "codes", "codes separated by `;`, explained in the report and the README")
