"""Cell tables of every kind to cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from spatial_til.errors import CellTableError
from spatial_til.io.cell_tables.anndata_table import anndata_layout, load_anndata
from spatial_til.io.cell_tables.building import build_cells, unit_of
from spatial_til.io.cell_tables.halo import halo_layout
from spatial_til.io.cell_tables.inform import inform_layout
from spatial_til.io.cell_tables.layout import Layout
from spatial_til.io.cell_tables.mapping import mapped_layout, with_mapping
from spatial_til.io.cell_tables.marker_names import TUMOR
from spatial_til.io.cell_tables.mcmicro import mcmicro_layout
from spatial_til.io.cell_tables.qupath_objects import load_qupath_objects
from spatial_til.io.cell_tables.qupath_table import qupath_layout
from spatial_til.io.cell_tables.text_table import open_text_table
from spatial_til.io.cells import read_cells
from spatial_til.model import Cells
from spatial_til.units import PixelSize

#: Cells that one square of tissue can hold at the very most.
MAX_CROWD, CROWD_UM = 100, 10.0
_PARQUET_MAGIC, _HDF5_MAGIC = b"PAR1", b"\x89HDF"
_TEXT_LAYOUTS = (inform_layout, halo_layout, qupath_layout, mcmicro_layout)
_NO_MAPPING: Mapping[str, Any] = MappingProxyType({})


def read_cell_table(
    path: str | Path,
    *,
    markers: Sequence[str],
    um_per_unit: float | None,
    image_pixel: PixelSize | None = None,
    mapping: Mapping[str, Any] | None = None,
) -> Cells:
    """Read the cells of one slide that another program found.

    Parameters
    ----------
    path
        Cells of ours (Parquet), inForm `cell_seg_data`, HALO object data, QuPath measurements (text) or
        cells (GeoJSON), MCMICRO quantification, or AnnData; text may be gzipped.
    markers
        The protocol's markers. Only these are read, by any of their spellings.
    um_per_unit
        µm in one unit of the table's positions; not used where the table itself says that they are µm.
    image_pixel
        Pixel size of the image that the cells are of: the unit of a table that is known to count pixels.
    mapping
        The protocol's `[cells]`: x, y, nucleus_area_um2, cell_area_um2, category, positive.

    Returns
    -------
    cells
        Ordered by y, then x. `calls` holds the vendor's positivity by marker, those that no column or
        label tells left out; `category` the vendor's tissue label; areas that are not known are NaN.

    Raises
    ------
    CellTableError
        The table is damaged or of an unknown kind, lacks a column, or its unit is not known.
    """
    path, mapping = Path(path), mapping or _NO_MAPPING
    magic = _magic(path)
    if magic.startswith(_PARQUET_MAGIC):
        return _ours(path, markers)
    if magic.startswith(_HDF5_MAGIC):
        frame = load_anndata(path, markers)
        columns = tuple(map(str, frame.columns))
        layout = _layout(anndata_layout(columns, markers), mapping, columns, path)
    elif magic.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        frame = load_qupath_objects(path)
        columns = tuple(map(str, frame.columns))
        layout = _layout(qupath_layout(columns, markers), mapping, columns, path)
    else:
        table = open_text_table(path)
        found = (recognise(table.columns, markers) for recognise in _TEXT_LAYOUTS)
        layout = _layout(next((known for known in found if known), None), mapping, table.columns, path)
        frame = table.load([*layout.number_columns, *layout.text_columns], layout.text_columns)
    unit = unit_of(layout, um_per_unit, image_pixel, path)
    cells = build_cells(frame, layout, markers=markers, unit=unit, path=path)
    _check_crowding(cells, path)
    return cells


def _check_crowding(cells: Cells, path: Path) -> None:
    """Refuse cells that lie on each other as none can: a wrong unit, or a damaged table.

    Raises
    ------
    CellTableError
        More than 100 centres within 10 µm x 10 µm: nuclei of 1 µm².
    """
    if len(cells) <= MAX_CROWD:
        return
    squares = np.floor(cells.xy_um / CROWD_UM)
    squares = squares[np.lexsort(squares.T)]
    ends = np.flatnonzero(np.append((np.diff(squares, axis=0) != 0).any(axis=1), True))
    runs = np.diff(ends, prepend=-1)
    most = int(runs.argmax())
    if runs[most] > MAX_CROWD:
        x, y = squares[ends[most]] * CROWD_UM
        msg = (
            f"{path}: {runs[most]} cells lie within {CROWD_UM:g} µm at x {x:g}, y {y:g} µm; at most {MAX_CROWD} can. "
            "Correct pixel_size_um, the µm in one unit of the table's positions, or export the table again."
        )
        raise CellTableError(msg)


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        msg = f"{path}: the cell table cannot be opened ({error.strerror}). Correct the path in the sheet."
        raise CellTableError(msg) from error


def _layout(found: Layout | None, mapping: Mapping[str, Any], columns: Sequence[str], path: Path) -> Layout:
    layout = mapped_layout(mapping) or found
    if layout is None:
        shown = ", ".join(columns[:20]) + (" …" if len(columns) > 20 else "")
        msg = f"{path}: this kind of cell table is not known. Columns: {shown}. Name x and y in the protocol's [cells]."
        raise CellTableError(msg)
    return with_mapping(layout, mapping, columns, path)


def _ours(path: Path, markers: Sequence[str]) -> Cells:
    stored = read_cells(path)
    calls = {marker: calls for marker, calls in stored.positive.items() if marker in markers}
    if stored.tumor_cell is not None:
        calls[TUMOR] = stored.tumor_cell
    return replace(stored.cells, calls=calls)
