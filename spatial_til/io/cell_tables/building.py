"""Cells from the columns of a table."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from spatial_til.counted import counted
from spatial_til.errors import CellTableError
from spatial_til.io.cell_tables.labels_to_calls import calls_of_labels, flags_to_calls, has_value, parse_label
from spatial_til.io.cell_tables.layout import Layout
from spatial_til.model import BoolArray, Cells, FloatArray
from spatial_til.units import PixelSize

if TYPE_CHECKING:
    import pandas as pd

_CELL_OBJECTS = {"cell", "detection", "pathcellobject", "pathdetectionobject", ""}
_PARENT = re.compile(r"^Annotation \((.*)\)$")
#: Boxes of fields may touch or overlap by this share of their area, as neighbouring fields do.
_FIELD_OVERLAP = 0.05


def build_cells(frame: pd.DataFrame, layout: Layout, *, markers: Sequence[str], unit: PixelSize, path: Path) -> Cells:
    """Return the cells of a table, in µm, ordered by y, then x; `unit` as from `unit_of`.

    Raises
    ------
    CellTableError
        A position or call is missing, or the rows are of several images.
    """
    frame = _only_cells(frame, layout)
    x, y = (_mean(frame, names, path) for names in (layout.x, layout.y))
    _check_positions(frame, layout, x, y, path)
    shift = 0.5 if layout.pixel_centres else 0.0
    x, y = (x + shift) * unit.x_um, (y + shift) * unit.y_um
    order = np.lexsort((x, y))
    area = 1.0 if layout.areas == "um2" else unit.x_um * unit.y_um
    n = len(frame)
    measured = {name: _numbers(frame, column, path)[order] for name, column in layout.measurements.items()}
    return Cells(
        x_um=x[order],
        y_um=y[order],
        nucleus_area_um2=_optional(frame, layout.nucleus_area, n, path)[order] * area,
        cell_area_um2=_optional(frame, layout.cell_area, n, path)[order] * area,
        measurements=measured,
        calls={m: calls[order] for m, calls in _calls(frame, layout, markers, path).items()},
        category=_category(frame, layout.category)[order] if layout.category else None,
    )


def unit_of(layout: Layout, um_per_unit: float | None, image_pixel: PixelSize | None, path: Path) -> PixelSize:
    """Return the µm in one unit of the table's positions: as the table says, the sheet, or its image's pixel.

    Raises
    ------
    CellTableError
        None of them tells.
    """
    if um_per_unit is not None and not (math.isfinite(um_per_unit) and um_per_unit > 0):
        msg = f"{path}: pixel_size_um must be a positive number; got {um_per_unit}. Correct it in the sheet."
        raise CellTableError(msg)
    if layout.unit == "um":
        return PixelSize(1.0, 1.0)  # the table says so; what the sheet gives is then the pixel of its annotations
    if um_per_unit is None and layout.unit == "px" and image_pixel is not None:
        return image_pixel
    if um_per_unit is None:
        unit = "pixels" if layout.unit == "px" else "an unknown unit"
        msg = (
            f"{path}: positions of this {layout.name} table are in {unit}. Give the µm in one unit as pixel_size_um in "
            "the study sheet (1 where they are µm)."
        )
        raise CellTableError(msg)
    return PixelSize(um_per_unit, um_per_unit)


def _only_cells(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    if not layout.object_type:
        return frame
    return frame[frame[layout.object_type].str.strip().str.casefold().isin(_CELL_OBJECTS)]


def _numbers(frame: pd.DataFrame, column: str, path: Path) -> FloatArray:
    try:
        return np.asarray(frame[column], dtype=np.float64)
    except (ValueError, TypeError) as error:
        msg = f"{path}: column {column!r} must hold numbers ({error}). Export the table again."
        raise CellTableError(msg) from error


def _optional(frame: pd.DataFrame, column: str, n: int, path: Path) -> FloatArray:
    return _numbers(frame, column, path) if column else np.full(n, np.nan)


def _mean(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> FloatArray:
    mean: FloatArray = np.mean([_numbers(frame, name, path) for name in columns], axis=0)
    return mean


def _texts(frame: pd.DataFrame, column: str) -> NDArray[np.str_]:
    return np.asarray(frame[column].astype(str).str.strip(), dtype=np.str_)


def _category(frame: pd.DataFrame, column: str) -> NDArray[np.str_]:
    """Return tissue labels; QuPath may write ``Annotation (Tumor)`` for the class of a cell's parent."""
    labels, where = np.unique(_texts(frame, column), return_inverse=True)
    return np.array([_PARENT.sub(r"\1", label) for label in labels], dtype=np.str_)[where]


def _check_positions(frame: pd.DataFrame, layout: Layout, x: FloatArray, y: FloatArray, path: Path) -> None:
    missing = int((~(np.isfinite(x) & np.isfinite(y))).sum())
    if missing:
        found = f"{missing} of {counted(len(x), 'row')} have none"
        msg = f"{path}: every cell needs a position; {found}. Export the table again."
        raise CellTableError(msg)
    images = _texts(frame, layout.image) if layout.image else np.zeros(0, dtype=np.str_)
    names = np.unique(images)
    if len(names) < 2:
        return
    boxes = [shapely.box(*_bounds(x[images == name], y[images == name])) for name in names]
    if shapely.union_all(boxes).area < (1 - _FIELD_OVERLAP) * sum(box.area for box in boxes):
        msg = (
            f"{path}: column {layout.image!r} names {len(names)} images whose positions overlap. Split the table, one "
            "file an image, one row each in the sheet."
        )
        raise CellTableError(msg)


def _bounds(x: FloatArray, y: FloatArray) -> tuple[float, float, float, float]:
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _calls(frame: pd.DataFrame, layout: Layout, markers: Sequence[str], path: Path) -> dict[str, BoolArray]:
    """Return calls by marker, the more explicit over the less.

    From labels, a marker's own phenotype column, columns of 0 and 1, and a value that the protocol names.
    """
    calls: dict[str, BoolArray] = {}
    for column in layout.labels:
        calls |= calls_of_labels(_texts(frame, column), markers)
    for marker, column in layout.own_labels.items():
        calls[marker] = label_calls(_texts(frame, column), marker)
    for marker, column in layout.positive.items():
        calls[marker] = _flagged(frame, marker, column, path)
    for marker, (column, value) in layout.values.items():
        calls[marker] = has_value(_texts(frame, column), value)
    return calls


def label_calls(labels: NDArray[np.str_], marker: str) -> BoolArray:
    """Return which labels name one marker as positive."""
    names, where = np.unique(labels, return_inverse=True)
    return np.array([parse_label(str(name), [marker]).get(marker, False) for name in names], dtype=np.bool_)[where]


def _flagged(frame: pd.DataFrame, marker: str, column: str, path: Path) -> BoolArray:
    values: NDArray[Any] = np.asarray(frame[column])
    calls = flags_to_calls(values)
    if calls is None:
        msg = (
            f"{path}: column {column!r} must say of each cell whether it is {marker}+ (1/0, true/false, "
            "positive/negative); some values are empty or other words. Correct the table or [cells.positive]."
        )
        raise CellTableError(msg)
    return calls
