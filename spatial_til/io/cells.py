"""Scored cells as Parquet, one row a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import CellTableError
from spatial_til.io.atomic import writing
from spatial_til.io.parquet import parquet, write_cell_table
from spatial_til.model import COMPARTMENTS, EXCLUDED, UNPLACED, BoolArray, Cells, FloatArray, Placement

EXCLUDED_NAME = "excluded"
MAX_CELLS = 20_000_000
_BASE = ("x_um", "y_um", "nucleus_area_um2", "cell_area_um2")
_PLACED = ("compartment", "border_distance_um")
_TUMOR_CELL = "tumor_cell"
_POSITIVE, _RAW = "_positive", "_positive_raw"


@dataclass(frozen=True, slots=True)
class StoredCells:
    """Cells of one slide with their calls and their place.

    `positive` is the final call by marker, `positive_raw` the one before neighbours and double positives
    were resolved; `tumor_cell` is None where tumour cells are not known.
    """

    cells: Cells
    placement: Placement
    positive: Mapping[str, BoolArray] = field(default_factory=dict)
    positive_raw: Mapping[str, BoolArray] = field(default_factory=dict)
    tumor_cell: BoolArray | None = None


def write_cells(
    path: Path,
    cells: Cells,
    placement: Placement,
    *,
    positive: Mapping[str, BoolArray],
    positive_raw: Mapping[str, BoolArray],
    tumor_cell: BoolArray | None,
) -> None:
    """Write one row a cell in the contract's columns, whole or not at all.

    Parameters
    ----------
    path
        The Parquet file.
    cells, placement
        n cells, ordered by y, then x; `cell_id` is their number from 1.
    positive, positive_raw
        (n,) calls by marker.
    tumor_cell
        (n,) or None, which leaves the column empty.
    """
    import pyarrow as pa

    n = len(cells)
    columns: dict[str, Any] = {"cell_id": np.arange(1, n + 1)}
    columns |= {name: getattr(cells, name) for name in _BASE} | dict(cells.measurements)
    for marker, calls in positive.items():
        columns[marker + _POSITIVE] = calls
        columns[marker + _RAW] = positive_raw[marker]
    columns[_TUMOR_CELL] = pa.nulls(n, pa.bool_()) if tumor_cell is None else tumor_cell
    names = compartment_names(placement.compartment)
    columns["compartment"] = pa.array(names, pa.string(), mask=placement.compartment == UNPLACED)
    columns["border_distance_um"] = placement.border_distance_um
    arrays = [v if isinstance(v, pa.Array) else pa.array(v, from_pandas=True) for v in columns.values()]
    with writing(path) as part:
        write_cell_table(part, pa.table(arrays, names=list(columns)))


def compartment_names(codes: NDArray[np.int8]) -> NDArray[np.object_]:
    """Return the name of the compartment of each cell; empty where no region is known.

    Examples
    --------
    >>> list(compartment_names(np.array([0, 2, -1, -2], dtype=np.int8)))
    ['core', 'outer_margin', 'excluded', '']
    """
    return np.array([*COMPARTMENTS, "", EXCLUDED_NAME], dtype=object)[codes]  # -2 and -1 count from the end


def read_cells(path: Path) -> StoredCells:
    """Read cells that `write_cells` wrote.

    Raises
    ------
    CellTableError
        The file is missing, damaged or not one of ours.
    """
    try:
        file = parquet().ParquetFile(path)
        check_number(path, file.metadata.num_rows)
        table = file.read()
    except (OSError, ValueError) as error:
        msg = f"{path}: the cell table cannot be read ({error}). Score the slide again."
        raise CellTableError(msg) from error
    _check_columns(table, path)
    positive = {n.removesuffix(_POSITIVE): _bools(table, n) for n in table.column_names if n.endswith(_POSITIVE)}
    raw = {n.removesuffix(_RAW): _bools(table, n) for n in table.column_names if n.endswith(_RAW)}
    tumor = table.column(_TUMOR_CELL) if _TUMOR_CELL in table.column_names else None
    known = tumor is not None and tumor.null_count == 0
    return StoredCells(
        cells=_cells(table),
        placement=Placement(_compartment(table, path), _floats(table, "border_distance_um")),
        positive=positive,
        positive_raw=raw,
        tumor_cell=_bools(table, _TUMOR_CELL) if known else None,
    )


def _check_columns(table: Any, path: Path) -> None:
    """Refuse a table whose columns are not those, and of the types, that `write_cells` gives them."""
    import pyarrow.types as kinds

    names = table.column_names
    missing = [name for name in (*_BASE, *_PLACED) if name not in names]
    if missing:
        msg = f"{path}: it lacks {', '.join(missing)}, so it is not a cell table of ours. Score the slide again."
        raise CellTableError(msg)
    wrong = {name for name in names if names.count(name) > 1}
    for name, column in zip(names, table.columns, strict=True):
        kind = column.type
        if name == "compartment":
            fits = kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_null(kind)
        elif name == _TUMOR_CELL or name.endswith((_POSITIVE, _RAW)):
            fits = kinds.is_boolean(kind) and (name == _TUMOR_CELL or not column.null_count)
        else:
            fits = is_number(kind)
        if not fits:
            wrong.add(name)
    if wrong:
        msg = f"{path}: column {', '.join(sorted(wrong))} is not as ours are. Score the slide again."
        raise CellTableError(msg)


def check_number(path: Path, n: int) -> None:
    """Refuse more cells than a slide has: a small file may claim any number of them.

    Raises
    ------
    CellTableError
        More than 20 million.
    """
    if n > MAX_CELLS:
        msg = f"{path}: more than {MAX_CELLS:,} cells are on no slide. Give the cells of one slide."
        raise CellTableError(msg)


def is_number(kind: Any) -> bool:
    """Say whether a type of Arrow is one of numbers."""
    import pyarrow.types as kinds

    return bool(kinds.is_floating(kind) or kinds.is_integer(kind))


def _cells(table: Any) -> Cells:
    known = {"cell_id", *_BASE, *_PLACED, _TUMOR_CELL}
    names = [n for n in table.column_names if n not in known and not n.endswith((_POSITIVE, _RAW))]
    x_um, y_um, nucleus_area_um2, cell_area_um2 = (_floats(table, name) for name in _BASE)
    return Cells(
        x_um=x_um,
        y_um=y_um,
        nucleus_area_um2=nucleus_area_um2,
        cell_area_um2=cell_area_um2,
        measurements={name: table.column(name).to_numpy() for name in names},
    )


def _floats(table: Any, name: str) -> FloatArray:
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _bools(table: Any, name: str) -> BoolArray:
    return np.asarray(table.column(name).to_numpy(), dtype=np.bool_)


def _compartment(table: Any, path: Path) -> NDArray[np.int8]:
    code = {name: i for i, name in enumerate(COMPARTMENTS)} | {EXCLUDED_NAME: EXCLUDED, "": UNPLACED}
    stored = table.column("compartment").cast("string").fill_null("").to_pylist()  # all empty: of no type
    names, where = np.unique(np.asarray(stored, dtype=str), return_inverse=True)
    unknown = [str(name) for name in names if name not in code]
    if unknown:
        msg = f"{path}: {', '.join(unknown)} is no compartment. Score the slide again."
        raise CellTableError(msg)
    return np.array([code[name] for name in names], dtype=np.int8)[where]
