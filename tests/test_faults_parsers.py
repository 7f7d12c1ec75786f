"""The worst that `make fuzz` found, as small files: each is refused with a reason, at once and in little memory."""

import gzip
import json
import math
import struct
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from spatial_til.batch.record import times_so_far
from spatial_til.batch.status import read_failures
from spatial_til.errors import (
    AnnotationError,
    CellTableError,
    ProtocolError,
    ReviewError,
    SlideError,
    SpatialTilError,
)
from spatial_til.geometry.place import unplaced
from spatial_til.io.annotations import read_annotations
from spatial_til.io.cell_tables import read_cell_table
from spatial_til.io.cell_tables.hdf5_heaps import check_heaps
from spatial_til.io.cells import read_cells, write_cells
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.json_text import parse_json
from spatial_til.io.lock import holder
from spatial_til.io.measured import Measured, read_key, read_measured, write_measured
from spatial_til.io.regions import read_regions
from spatial_til.io.scores import read_score
from spatial_til.io.slides import open_slide
from spatial_til.io.stain_planes import read_stain_planes, write_stain_planes
from spatial_til.io.tables import cell_text, read_table
from spatial_til.model import Cells
from spatial_til.protocol import load_protocol
from spatial_til.review.journal import read_journal
from spatial_til.run_record import jobs_from_record
from spatial_til.units import PixelSize

PX = PixelSize(0.5, 0.5)
DEEP = "[" * 100_000
HUGE = "9" * 400
MARKERS = ("CD8", "PD-L1", "tumor")


def cell_table(path: Path) -> None:
    read_cell_table(path, markers=MARKERS, um_per_unit=0.5)


def annotation(path: Path) -> None:
    read_annotations([path], pixel_size=PX, image_shape=(1000, 1000))


def regions(path: Path) -> None:
    read_regions(path, pixel_size=PX)


def geojson(ring: str, extra: str = "") -> str:
    geometry = f'{{"type": "Polygon", "coordinates": [{ring}]{extra}}}'
    return f'{{"type": "Feature", "geometry": {geometry}, "properties": {{"classification": {{"name": "Tumor"}}}}}}'


EVENT = '{"schema": 1, "event": "threshold_edit", "who": "anna", "when": "2026-01-01T00:00:00+00:00", "why": "", '
EVENT += '"before": {}, "after": {}, "measure_key": "", "image_sha256": "", "marker": "CD8", "value": '
ELLIPSE = '<Annotations><Annotation Name="Tumor"><Region Type="Ellipse"><V X="-1e308" Y="1"/><V X="1e308" Y="2"/>'
ELLIPSE += "</Region></Annotation></Annotations>"
SPILL = '[panel]\nmodality = "fluorescence"\n[panel.channels]\nA = { marker = "nuclei" }\n[fluorescence]\nspillover = '
HUGE_RING = f"[[0, 0], [{HUGE}, 0], [9, 9]]"
ELLIPTIC = ', "isEllipse": true'
JOURNAL = "review/S1.anna.jsonl"
TEXTS = {
    "GeoJSON nested deeply": ("a.geojson", DEEP, annotation, AnnotationError),
    "GeoJSON beyond every float": ("a.geojson", geojson(HUGE_RING), annotation, AnnotationError),
    "an infinite ellipse": ("a.geojson", geojson("[[-1e308, 0], [1e308, 9]]", ELLIPTIC), annotation, AnnotationError),
    "an infinite ellipse of HALO": ("a.xml", ELLIPSE, annotation, AnnotationError),
    "QuPath cells nested deeply": ("a.csv", '{"features": ' + DEEP, cell_table, CellTableError),
    "a journal nested deeply": (JOURNAL, DEEP + "\n\n", read_journal, ReviewError),
    "a journal beyond every float": (JOURNAL, EVENT + HUGE + "}\n\n", read_journal, ReviewError),
    "a protocol nested deeply": ("p.toml", f"a = {DEEP}", load_protocol, ProtocolError),
    "a protocol of thousands of digits": ("p.toml", f"seed = {'9' * 5000}", load_protocol, ProtocolError),
    "a protocol beyond every float": ("p.toml", f"{SPILL}[[{HUGE}]]", load_protocol, ProtocolError),
    "regions nested deeply": ("r.geojson", DEEP, regions, AnnotationError),
    "a score nested deeply": ("s.json", DEEP, read_score, CellTableError),
    "a score of another kind": ("s.json", '{"key": "a", "rows": []}', read_score, CellTableError),
    "a score cut short": ("s.json", '{"key": "a", "rows": {', read_score, CellTableError),
    "run.json nested deeply": ("run.json", DEEP, jobs_from_record, SpatialTilError),
    "a table with a field without end": ("t.csv", "a,b\n" + "x" * 200_000, read_table, CellTableError),
}


@pytest.mark.parametrize(("name", "text", "read", "error"), TEXTS.values(), ids=TEXTS)
def test_texts_beyond_what_numbers_and_nesting_may_be(tmp_path, name, text, read, error):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(error) as caught:
        read(path)
    assert str(caught.value).startswith((str(path), f"['{path}"))
    assert len(str(caught.value)) < 1500


def test_nesting_is_a_value_error_as_any_other_fault_of_json():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)


@pytest.mark.parametrize("damage", [lambda d: d[:30], lambda d: d[:20] + b"\xff" * 8 + d[28:]], ids=["cut", "changed"])
def test_a_damaged_gzip_table(tmp_path, damage):
    rows = "\n".join(f"{i},{i * 7 % 13},{i % 2}" for i in range(300))
    (tmp_path / "a.csv.gz").write_bytes(damage(gzip.compress(f"X_centroid,Y_centroid,CD8_positive\n{rows}".encode())))
    with pytest.raises(CellTableError, match=r"a\.csv\.gz"):
        cell_table(tmp_path / "a.csv.gz")


# --- what a run stores


def stored(path: Path, n: int = 4) -> None:
    columns = [np.arange(float(n)) * 20 for _ in range(4)]
    calls = {"CD8": np.arange(n) % 2 == 0}
    cells = Cells(*columns, measurements={"CD8_cell_mean": columns[0]}, calls=calls, category=np.full(n, "Tumor"))
    write_measured(path, Measured("k", cells, None, (0.0, 0.0, 9.0, 9.0), PX, settings={"a": "b"}))


def test_measured_cells_come_back_without_a_single_one(tmp_path):
    stored(tmp_path / "a.parquet", 0)
    assert len(read_measured(tmp_path / "a.parquet").cells) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"key": 5}, {"pixel_size": [0.5]}, {"pixel_size": [0, 0.5]}, {"pixel_size": "ab"}, {"image_box": 1.5},
        {"settings": None}, {"tissue": "zz"}, {"tissue": "0101000000000000000000F03F000000000000F03F"}, {"numbers": []},
        {"source": 1}, {"flags": 3},
    ],
    ids=str,
)  # fmt: skip
def test_measured_cells_with_something_else_beside_them(tmp_path, change):
    path = tmp_path / "a.parquet"
    stored(path)
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"spatial_til"]) | change
    pq.write_table(table.replace_schema_metadata({"spatial_til": json.dumps(meta)}), path)
    with pytest.raises(CellTableError, match="not a measured slide of ours"):
        read_measured(path)
    assert read_key(path) is None or "tissue" in change


@pytest.mark.parametrize("name", ["x_um", "CD8_cell_mean", "call:CD8", "category"])
@pytest.mark.parametrize("values", [[[1]] * 4, [b"\xff"] * 4, [None] * 4], ids=["lists", "bytes", "nothing"])
def test_measured_cells_of_another_type(tmp_path, name, values):
    path = tmp_path / "a.parquet"
    stored(path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values)), path)
    with pytest.raises(CellTableError):
        read_measured(path)


@pytest.mark.parametrize("name", ["y_um", "compartment", "CD8_positive", "border_distance_um"])
@pytest.mark.parametrize("values", [[[1]] * 3, [b"\xff"] * 3, ["x"] * 3], ids=["lists", "bytes", "words"])
def test_scored_cells_of_another_type(tmp_path, name, values):
    path = tmp_path / "a.parquet"
    calls = {"CD8": np.array([True, False, True])}
    cells = Cells(*(np.arange(3.0) for _ in range(4)))
    write_cells(path, cells, unplaced(3), positive=calls, positive_raw=calls, tumor_cell=None)
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values)), path)
    with pytest.raises(CellTableError):
        read_cells(path)


def test_a_parquet_file_of_a_few_bytes_with_more_cells_than_a_slide_has(tmp_path):
    path = tmp_path / "a.parquet"
    schema = pa.schema([(name, pa.float32()) for name in ("x_um", "y_um")])
    block = pa.table([pa.array(np.zeros(3_000_000, np.float32))] * 2, schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for _ in range(7):
            file.write_table(block)
    assert path.stat().st_size < 200_000
    for read in (read_cells, read_measured, cell_table):
        with pytest.raises(CellTableError, match=r"20,000,000 cells|not a measured slide"):
            read(path)


def planes(path: Path) -> None:
    tile = np.ones((512, 512, 2), np.uint8)
    write_stain_planes(
        path, iter([tile]), shape=(60, 80), channels=("nuclei", "CD8"), modality="brightfield", pixel_size=PX
    )


@pytest.mark.parametrize(
    ("code", "value"), [(256, 2**32 - 1), (257, 2**31), (277, 60_000), (322, 16), (324, 5), (325, 0)]
)
def test_stain_planes_whose_header_says_what_the_file_does_not_hold(tmp_path, code, value):
    planes(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    first, n = (
        struct.unpack_from("<Q", data, 8)[0],
        struct.unpack_from("<Q", data, struct.unpack_from("<Q", data, 8)[0])[0],
    )
    for k in range(n):
        entry = first + 8 + 20 * k
        if struct.unpack_from("<H", data, entry)[0] == code:
            struct.pack_into("<HQQ", data, entry + 2, 4, 1, value)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(SlideError, match=r"damaged|no slide has"):
        read_stain_planes(tmp_path / "a.tif")


def test_stain_planes_whose_tile_is_damaged(tmp_path):
    planes(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        at = tif.pages[0].dataoffsets[0]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[at : at + 8] = b"\xff" * 8
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(SlideError, match="damaged"):
        read_stain_planes(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "text", ["[]", '{"slides": [1]}', '{"slides": {"a": 5}}', '{"slides": {"a": {"stages": true}}}', DEEP]
)
def test_an_earlier_run_json_of_any_kind_costs_its_times_only(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    assert times_so_far(ScoredFolder(tmp_path)) == {}


@pytest.mark.parametrize("line", ['{"stage": "a", "slide_id": ["x"], "what": "failed"}', DEEP, "5", '{"stage": 1}'])
def test_events_of_any_kind_cost_themselves_only(tmp_path, line):
    folder = ScoredFolder(tmp_path)
    folder.running.mkdir()
    folder.journal.write_text(line + '\n{"stage": "measure", "slide_id": "s", "what": "failed", "message": "m"}')
    assert read_failures(folder) == {"s": ("measure", "m")}


@pytest.mark.parametrize(
    "entry",
    [{"created": 1e300}, {"created": -1}, {"pid": 10**30}, {"pid": -5}, {"host": 5}, {"pid": "x"}, {"created": None}],
    ids=str,
)
def test_a_lock_of_any_kind_is_nobodys(tmp_path, entry):
    import socket

    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": 1, "host": socket.gethostname(), "created": 1.0} | entry))
    assert holder(path) is None


def test_a_table_cut_short_has_nothing_rather_than_none(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1\n1,2,3\n")
    assert read_table(tmp_path / "t.csv") == [{"a": "1", "b": ""}, {"a": "1", "b": "2"}]


def test_a_slide_id_in_run_json_leads_out_of_no_folder(tmp_path):
    """A scored folder may come from elsewhere: rescoring it must not write beside it."""
    from tests.scored_folder import PLANS, PROTOCOL, _job

    job = _job(tmp_path, PLANS[0])
    from spatial_til.protocol import parse_protocol
    from spatial_til.run_record import record_job

    values = record_job(job) | {}
    values["meta"] = values["meta"] | {"slide_id": "../../outside"}
    study = {"path": None, "extra_columns": [], "jobs": [values]}
    record = {"protocol": parse_protocol(PROTOCOL, "test").resolved(), "study": study}
    (tmp_path / "run.json").write_text(json.dumps(record, default=str))
    with pytest.raises(SpatialTilError, match=r"no run\.json of ours.*outside"):
        jobs_from_record(tmp_path / "run.json")


@pytest.mark.parametrize("side", [1e-320, 1e-9, 1e12])
def test_a_pixel_of_a_size_that_none_has(tmp_path, side):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), metadata={"axes": "YXS", "PhysicalSizeX": side})
    with open_slide(path) as opened:
        assert opened.pixel_size is None
    with pytest.raises(SlideError, match=r"pixel_size_um must lie between 0\.001 and 1000") as refused:
        open_slide(path, pixel_size_um=side)
    # while the error, and with it the frame that opened the file, still lives
    assert str(path) not in {file.path for file in psutil.Process().open_files()}, refused


def test_scored_cells_whose_compartments_are_all_empty(tmp_path):
    path = tmp_path / "S1.parquet"
    zero = np.zeros(3)
    write_cells(
        path, Cells(zero, zero, zero, zero, measurements={}), unplaced(3), positive={}, positive_raw={}, tumor_cell=None
    )
    table = pq.read_table(path)
    at = table.column_names.index("compartment")
    pq.write_table(table.set_column(at, "compartment", pa.nulls(3)), path)
    assert set(read_cells(path).placement.compartment) == {-2}


@pytest.mark.parametrize("number", [int(HUGE), 1e400])
def test_a_region_of_a_journal_beyond_every_float(tmp_path, number):
    ring = [[0, 0], [number, 0], [1, 1], [0, 0]]
    shape = {"type": "MultiPolygon", "coordinates": [[ring]]}
    line = {"what": "region", "who": "anna", "when": "2026-01-01T00:00:00+00:00", "region": "tumor", "after": shape}
    path = tmp_path / "review" / "S1.anna.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(ReviewError):
        read_journal(path)


# --- sizes that must be known before memory is asked for


def test_a_heap_of_text_that_hdf5_would_walk_for_ever(tmp_path):
    """Free space of no size before the end of the heap: h5py's call never comes back."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5ad"
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "anndata"
    check_heaps(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"GCOL") + 16
    size = -(-int.from_bytes(data[at + 8 : at + 16], "little") // 8) * 8
    free = at + 16 + size  # the object after the only text
    assert data[free : free + 2] == b"\0\0"
    data[free + 8 : free + 16] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(CellTableError, match="a heap of text is damaged"):
        check_heaps(path)


def test_infinity_in_a_table_is_told_apart_from_what_is_missing():
    assert [cell_text(v) for v in (math.inf, -math.inf, math.nan, None, -0.0)] == ["inf", "-inf", "", "", "0"]
