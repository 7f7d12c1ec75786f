"""Tables to CSV files and back, column by column as `io.schema` lists them.

Empty means not available. Numbers are written with up to ten significant digits, so that equal
results are equal bytes. Text that a spreadsheet would run as a formula is made inert.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from spatial_til.errors import CellTableError
from spatial_til.io.atomic import write_text
from spatial_til.io.schema import Table

Row: TypeAlias = Mapping[str, Any]
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cell_text(value: Any) -> str:
    """Return how one value stands in a CSV cell.

    Examples
    --------
    >>> cell_text(None), cell_text(float("nan")), cell_text(True), cell_text(0.1 + 0.2), cell_text(3)
    ('', '', 'true', '0.3', '3')
    >>> cell_text("=1+1"), cell_text("-"), cell_text("CD8+")
    ("'=1+1", "'-", 'CD8+')
    """
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return _number(float(value))
    if isinstance(value, tuple | list):
        return ";".join(cell_text(v) for v in value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = f"{value:.10g}"
    return "0" if text == "-0" else text


def table_text(table: Table, rows: Iterable[Row], extra: Sequence[str] = ()) -> str:
    """Return a table as CSV text, its columns first, then `extra` ones.

    Raises
    ------
    KeyError
        Where a row has a key that is no column: a fault of the caller.
    """
    names = [*table.names, *extra]
    known = set(names)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([cell_text(name) for name in names])
    for row in rows:
        unknown = sorted(set(row) - known)
        if unknown:
            msg = f"table {table.name} has no column {', '.join(unknown)}"
            raise KeyError(msg)
        writer.writerow([cell_text(row.get(name)) for name in names])
    return buffer.getvalue()


def write_table(folder: Path, table: Table, rows: Iterable[Row], extra: Sequence[str] = ()) -> Path:
    """Write a table to ``folder/<name>.csv``, whole or not at all, and return its path."""
    path = folder / f"{table.name}.csv"
    write_text(path, table_text(table, rows, extra))
    return path


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV table as text by column; "" where a row is cut short.

    Raises
    ------
    OSError
        The file cannot be opened.
    CellTableError
        It is no CSV table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (csv.Error, UnicodeDecodeError) as error:
        msg = f"{path}: is no table of ours ({error}): run rescore, which writes it again"
        raise CellTableError(msg) from None
    return [{name: value for name, value in row.items() if name is not None} for row in rows]


def dictionary_text(tables: Iterable[Table]) -> str:
    """Return the data dictionary of the tables as Markdown."""
    parts = [
        "# Tables",
        "",
        "CSV, UTF-8, one header row, `.` decimals. Empty means not available, never 0.",
        "Lengths in µm, areas in mm², densities per mm². Intervals have the protocol's confidence.",
        "Text that begins with = + - or @ is preceded by an apostrophe, so that no spreadsheet runs it.",
    ]
    for table in tables:
        parts += ["", f"## {table.name}.csv", "", f"One row: {table.row}.", "", "| column | unit | meaning |"]
        parts += ["|---|---|---|", *(f"| `{c.name}` | {c.unit} | {c.meaning} |" for c in table.columns)]
    return "\n".join(parts) + "\n"
