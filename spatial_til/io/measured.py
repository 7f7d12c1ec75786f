"""Cells as measured, to one Parquet file a slide and back: all that later stages need instead of the image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import shapely
from pydantic import BaseModel, Field, FiniteFloat
from shapely.geometry import MultiPolygon

from spatial_til.errors import CellTableError
from spatial_til.io.atomic import writing
from spatial_til.io.cells import check_number, is_number
from spatial_til.io.parquet import parquet, write_cell_table
from spatial_til.model import Cells
from spatial_til.units import PixelSize

_META = b"spatial_til"
_BASE = ("x_um", "y_um", "nucleus_area_um2", "cell_area_um2")
_CALL = "call:"
_CATEGORY = "category"
_Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Measured:
    """Cells of one slide and what reading its pixels told.

    `tissue` is None where it is not known (cell tables); `image_box` is x0, y0, x1, y1 in µm.
    `numbers` holds quality figures, `settings` what must agree between time points.
    """

    key: str
    cells: Cells
    tissue: MultiPolygon | None
    image_box: tuple[float, float, float, float] | None
    pixel_size: PixelSize | None
    flags: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)  # path, size and hash of the file read
    made_of: Mapping[str, Any] = field(default_factory=dict)  # what the key is a hash of
    stains: Path | None = None  # stains at low resolution, beside what was read


def write_measured(path: Path, measured: Measured) -> None:
    """Write a measured slide, whole or not at all."""
    import pyarrow as pa

    cells = measured.cells
    columns: dict[str, Any] = {name: getattr(cells, name) for name in _BASE}
    columns |= dict(cells.measurements)
    columns |= {f"{_CALL}{marker}": calls for marker, calls in cells.calls.items()}
    if cells.category is not None:
        columns[_CATEGORY] = pa.array(cells.category.astype(object), pa.string())
    px = measured.pixel_size
    meta = {
        "key": measured.key,
        "tissue": None if measured.tissue is None else shapely.to_wkb(measured.tissue, hex=True),
        "image_box": measured.image_box,
        "pixel_size": None if px is None else [px.x_um, px.y_um],
        "flags": measured.flags,
        "numbers": measured.numbers,
        "settings": measured.settings,
        "source": measured.source,
        "made_of": measured.made_of,
    }  # as `_Meta` reads it
    table = pa.table(columns).replace_schema_metadata({_META: json.dumps(meta)})
    with writing(path) as part:
        write_cell_table(part, table)


class _Meta(BaseModel):
    """What is stored beside the cells."""

    key: str
    tissue: str | None
    image_box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None
    pixel_size: tuple[_Length, _Length] | None
    flags: tuple[str, ...]
    numbers: dict[str, Any]
    settings: dict[str, str]
    source: dict[str, Any]
    made_of: dict[str, Any] = {}


def _metadata(schema: Any, path: Path) -> _Meta:
    try:
        return _Meta.model_validate_json(schema.metadata[_META])
    except (KeyError, TypeError, ValueError):
        raise _not_ours(path) from None


def _not_ours(path: Path) -> CellTableError:
    return CellTableError(f"{path} is not a measured slide of ours: score the slide again with --rerun all")


def _stored(path: Path) -> _Meta | None:
    """Return what is stored beside the cells, without reading them; None where there is none."""
    try:
        return _metadata(parquet().read_schema(path), path)
    except (OSError, ValueError, CellTableError):
        return None


def read_key(path: Path) -> str | None:
    """Return the key of a stored slide without reading its cells; None where there is none."""
    meta = _stored(path)
    return None if meta is None else meta.key


def read_source(path: Path) -> Mapping[str, Any]:
    """Return what is recorded of the file a stored slide was read from; empty where there is none."""
    meta = _stored(path)
    return {} if meta is None else meta.source


def read_made_of(path: Path) -> Mapping[str, Any]:
    """Return what the key of a stored slide is a hash of; empty where there is none."""
    meta = _stored(path)
    return {} if meta is None else meta.made_of


def read_pixel_size(path: Path) -> PixelSize | None:
    """Return the pixel size of a stored slide without reading its cells; None where it has none."""
    meta = _stored(path)
    return None if meta is None or meta.pixel_size is None else PixelSize(*meta.pixel_size)


def read_measured(path: Path, markers: Sequence[str] | None = None, columns: Sequence[str] = ()) -> Measured:
    """Read a measured slide; `markers` limits the measurements to theirs, and to those `columns` beside.

    Raises
    ------
    CellTableError
        Where the file is missing, damaged or not ours.
    """
    try:
        file = parquet().ParquetFile(path)
        wanted = None if markers is None else tuple(f"{marker}_" for marker in markers)
        all_names = file.schema_arrow.names
        names = [n for n in all_names if wanted is None or n.startswith(wanted) or n in columns or _always(n)]
        check_number(path, file.metadata.num_rows)
        table = file.read(columns=names)
    except (OSError, ValueError, KeyError) as error:
        msg = f"{path} cannot be read ({error}): score the slide again"
        raise CellTableError(msg) from None
    meta = _metadata(table.schema, path)
    px = meta.pixel_size
    return Measured(
        key=meta.key,
        cells=_cells(table, path),
        tissue=_tissue(meta.tissue, path),
        image_box=meta.image_box,
        pixel_size=None if px is None else PixelSize(*px),
        flags=meta.flags,
        numbers=meta.numbers,
        settings=meta.settings,
        source=meta.source,
        made_of=meta.made_of,
        stains=path.with_suffix(".stains.tif"),
    )


def _cells(table: Any, path: Path) -> Cells:
    """Return the cells of a stored table whose columns are of the types that `write_measured` gives them."""
    import pyarrow.types as kinds

    names = table.column_names
    wrong = [n for n in _BASE if n not in names]
    for name, column in zip(names, table.columns, strict=True):
        kind = column.type
        fits = kinds.is_boolean if name.startswith(_CALL) else kinds.is_string if name == _CATEGORY else is_number
        if not fits(kind) or (column.null_count and not is_number(kind)):
            wrong.append(name)
    if wrong or len(set(names)) < len(names):
        raise _not_ours(path)
    arrays = {n: table[n].to_numpy() for n in names}
    return Cells(
        **{n: np.asarray(arrays[n], dtype=np.float64) for n in _BASE},
        measurements={n: arrays[n] for n in names if not _always(n)},
        calls={n.removeprefix(_CALL): arrays[n].astype(np.bool_) for n in names if n.startswith(_CALL)},
        category=arrays[_CATEGORY].astype(np.str_) if _CATEGORY in arrays else None,
    )


def _tissue(text: str | None, path: Path) -> MultiPolygon | None:
    if text is None:
        return None
    try:
        tissue = shapely.from_wkb(text)
    except (ValueError, TypeError, shapely.errors.ShapelyError):
        raise _not_ours(path) from None
    if not isinstance(tissue, MultiPolygon):
        raise _not_ours(path)
    return tissue


def _always(name: str) -> bool:
    return name in _BASE or name == _CATEGORY or name.startswith(_CALL)
