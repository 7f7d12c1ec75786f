"""What is fuzzed: for each parser its valid files, how they are damaged, and how they are read."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.fuzz import seeds
from benchmarks.fuzz.changes import (
    Change,
    change_bytes,
    change_cells,
    change_json,
    change_text,
    change_tiff,
    change_xml,
    json_changed,
)
from spatial_til.batch.record import times_so_far
from spatial_til.batch.status import read_failures, status_lines
from spatial_til.errors import CellTableError
from spatial_til.io.annotations import read_annotations
from spatial_til.io.annotations.strokes import read_strokes
from spatial_til.io.cell_tables import read_cell_table
from spatial_til.io.cells import read_cells
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.labels import LabelImage, labels_on_grid, open_labels
from spatial_til.io.measured import read_key, read_made_of, read_measured, read_pixel_size, read_source
from spatial_til.io.overview import read_overview
from spatial_til.io.regions import read_regions
from spatial_til.io.scores import read_score
from spatial_til.io.slides import open_slide
from spatial_til.io.stain_planes import read_stain_planes
from spatial_til.io.tissue_model import read_tissue_model
from spatial_til.pipeline.compare import compare
from spatial_til.protocol import load_protocol, parse_protocol
from spatial_til.review.journal import read_journal
from spatial_til.review.state import corrections_of, replay
from spatial_til.run_record import jobs_from_record
from spatial_til.study import load_study
from spatial_til.units import PixelSize
from tests.scored_folder import PROTOCOL

MARKERS = ("CD8", "PD-L1", "tumor")
PX = PixelSize(0.5, 0.5)
#: A level larger than this is read in parts only: that takes long on any slide.
OVERVIEW_PX = 50_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """One parser: `make` writes valid files into a folder and names those to damage; `read` takes a damaged one."""

    name: str
    make: Callable[[Path], list[str]]
    change: Change
    read: Callable[[Path], object]
    share: int  # of all inputs, in parts


def _slide(path: Path) -> None:
    with open_slide(path) as slide:
        if slide.shape[0] * slide.shape[1] <= OVERVIEW_PX:
            slide.overview(100)
    with open_slide(path, pixel_size_um=0.5) as slide:
        for um in (0.5, 2.0):
            grid = slide.at(um)
            rows, cols = (min(n, 200) for n in grid.shape)
            grid.read(0, rows, 0, cols)
            grid.read(grid.shape[0] - rows, grid.shape[0], grid.shape[1] - cols, grid.shape[1])


def _described(path: Path) -> None:
    """Put the damaged XML into a TIFF of the kind it belongs to, and open that."""
    import tifffile

    qpi, planes = path.name == "qpi.xml", path.name == "planes.xml"
    target = path.with_name("x.qptiff" if qpi else "x.ome.tif")
    tifffile.imwrite(
        target,
        seeds.GREY if planes else seeds.COLOUR,
        photometric="minisblack" if planes else "rgb",
        metadata=None,
        software="PerkinElmer-QPI" if qpi else None,
        description=path.read_bytes(),
    )
    _slide(target)


def _zarr(path: Path) -> None:
    while path.name not in {"0.4", "0.5"}:
        path = path.parent
    _slide(path)


def _annotations(path: Path) -> None:
    read_annotations([path], pixel_size=PX, image_shape=(1000, 2000))


def _geojson(path: Path) -> None:
    try:
        _annotations(path)
    finally:
        read_strokes(path, pixel_size=PX)


def _table(path: Path) -> None:
    mapping = {"x": "X", "y": "Y", "positive": {"CD8": "p"}} if path.name == "mapped.csv" else None
    read_cell_table(path, markers=MARKERS, um_per_unit=0.5, mapping=mapping)


def _labels(path: Path) -> None:
    with LabelImage(path) as labels:
        labels.read(0, min(labels.shape[0], 300), 0, min(labels.shape[1], 300))
    with open_slide(path.with_name("slide.ome.tif")) as slide:
        grid = slide.at(0.5)
        labels_on_grid(open_labels(path, slide), slide, grid).read(0, grid.shape[0], 0, grid.shape[1])


def _journal(path: Path) -> None:
    corrections = corrections_of(replay(read_journal(path).events), "s")
    if corrections is not None:
        corrections.digest()


def _measured(path: Path) -> None:
    for read in (read_key, read_source, read_made_of, read_pixel_size, read_cells_of_ours):
        read(path)
    read_measured(path, markers=["CD8"])
    read_measured(path)


def read_cells_of_ours(path: Path) -> None:
    """Read measured cells as if they came as a table: they are no scored ones, and that must be said."""
    try:
        read_cell_table(path, markers=MARKERS, um_per_unit=None)
    except CellTableError:
        return


def _score(path: Path) -> None:
    compare([read_score(path).score], parse_protocol(PROTOCOL, "test"))


def _record(path: Path) -> None:
    folder = ScoredFolder(path.parent)
    times_so_far(folder)
    jobs_from_record(path)


def _status(path: Path) -> None:
    root = next(folder for folder in path.parents if folder.name == "scored")
    times_so_far(ScoredFolder(root))
    read_failures(ScoredFolder(root))
    status_lines(root)


def _parquet(data: bytes, rng: Random) -> bytes:
    """Change a Parquet file: its columns and its metadata, or its bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if rng.random() < 0.5:
        return change_bytes(data, rng)
    table = pq.read_table(pa.BufferReader(data))
    at = rng.randrange(table.num_columns)
    name, n = table.column_names[at], table.num_rows
    match rng.randrange(6):
        case 0:
            odd: Any = rng.choice(
                (["x"] * n, [None] * n, [1] * n, [True] * n, [float("nan")] * n, [[1]] * n, [b"\xff"] * n)
            )
            table = table.set_column(at, name, pa.array(odd))
        case 1:
            table = table.remove_column(at)
        case 2:
            table = table.append_column(rng.choice((name, "x", "", "CD8_positive", "call:CD8")), table.column(at))
        case 3:
            names = [*table.column_names]
            names[at] = rng.choice(("x", "", name + "_positive", name.upper(), "compartment"))
            table = table.rename_columns(names)
        case 4:
            table = table.slice(0, rng.choice((0, 1)))
        case _:
            meta: Mapping[bytes, bytes] = table.schema.metadata or {b"spatial_til": b"{}"}
            changed = {key: json_changed(value, rng) for key, value in meta.items() if key == b"spatial_til"}
            table = table.replace_schema_metadata(changed)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _hdf5(data: bytes, rng: Random) -> bytes:
    """Change an HDF5 file: a dataset or an attribute gone or of another kind, or its bytes."""
    import h5py

    if rng.random() < 0.3:
        return change_bytes(data, rng)
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = rng.choice(names)
        odd = rng.choice((np.arange(3), np.zeros((3, 3)), np.nan, "text", b"\xff", np.array(["a", "b"], "S1"), 10**9))
        match rng.randrange(4):
            case 0:
                del file[name]
            case 1:
                del file[name]
                file[name] = odd
            case 2:
                for key in list(file[name].attrs)[:1]:
                    file[name].attrs[key] = odd
            case _:
                file[name].attrs.clear()
    return buffer.getvalue()


def _described_planes(data: bytes, rng: Random) -> bytes:
    return change_json(data, rng) if data[:1] == b"{" else change_tiff(data, rng)


def _any_text(data: bytes, rng: Random) -> bytes:
    return change_json(data, rng) if data.lstrip()[:1] in {b"{", b"["} else change_cells(data, rng)


def _any_table(data: bytes, rng: Random) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        return change_bytes(data, rng)
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data[:2] + change_bytes(data[2:], rng)
    return _any_text(data, rng) if rng.random() < 0.8 else change_text(data, rng)


def _meta_json(data: bytes, rng: Random) -> bytes:
    return change_json(data, rng) if data.lstrip()[:1] in {b"{", b"["} else change_bytes(data, rng)


def _toml(data: bytes, rng: Random) -> bytes:
    return change_text(data, rng) if rng.random() < 0.85 else change_bytes(data, rng)


TARGETS = (
    Target("TIFF", seeds.slide_files, change_tiff, _slide, 10),
    Target("OME-XML, QPI-XML", seeds.ome_xml_files, change_xml, _described, 3),
    Target("OME companion", seeds.companion_files, change_xml, _slide, 2),
    Target("OME-Zarr", seeds.zarr_files, _meta_json, _zarr, 3),
    Target("PNG, JPEG", seeds.picture_files, change_bytes, _slide, 6),
    Target("GeoJSON", seeds.geojson_files, change_json, _geojson, 11),
    Target("annotation XML", seeds.xml_files, change_xml, _annotations, 6),
    Target("study sheet", seeds.sheet_files, change_cells, load_study, 10),
    Target("protocol", seeds.protocol_files, _toml, load_protocol, 9),
    Target("cell table", seeds.table_files, _any_table, _table, 10),
    Target("AnnData", seeds.anndata_files, _hdf5, _table, 1),
    Target("label image", seeds.label_files, change_tiff, _labels, 4),
    Target("stored cells", seeds.scored_files(lambda f: [f.cells("A_base")]), _parquet, read_cells, 3),
    Target("measured cells", seeds.scored_files(lambda f: [f.measured("A_base")]), _parquet, _measured, 3),
    Target("journal", seeds.journal_files, change_json, _journal, 11),
    Target("tissue model", seeds.model_files, change_json, read_tissue_model, 6),
    Target("stain planes", seeds.planes_files, change_tiff, read_stain_planes, 4),
    Target("scores", seeds.scored_files(lambda f: [f.score("A_base")]), change_json, _score, 1),
    Target("run.json", seeds.scored_files(lambda f: [f.run]), change_json, _record, 4),
    Target(
        "status",
        seeds.scored_files(lambda f: [f.journal, f.lock, f.errors, f.tiles("A_on")]),
        _any_text,
        _status,
        4,
    ),
    Target(
        "regions",
        seeds.scored_files(lambda f: [f.regions("A_base")]),
        change_json,
        lambda p: read_regions(p, pixel_size=PX),
        2,
    ),
    Target("overview", seeds.scored_files(lambda f: [f.overview("A_base")]), change_bytes, read_overview, 1),
)
