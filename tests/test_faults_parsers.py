"""The worst that `make fuzz` found, as small files: each is refused with a reason, at once and in little memory."""

import bz2
import gzip
import json
import lzma
import math
import struct
import zlib
from pathlib import Path

import numcodecs
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

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
from spatial_til.io.slides.ome_zarr import ZarrLevel
from spatial_til.io.slides.tiff_series import check_alike
from spatial_til.io.slides.zarr_chunks import check_unpacked
from spatial_til.io.stain_planes import read_stain_planes, write_stain_planes
from spatial_til.io.tables import cell_text, read_table
from spatial_til.model import Cells
from spatial_til.protocol import load_protocol
from spatial_til.review.journal import read_journal
from spatial_til.run_record import jobs_from_record
from spatial_til.units import PixelSize
from tests.test_io_slides_refused import patch_tag, write_array

PX = PixelSize(0.5, 0.5)
DEEP = "[" * 100_000
HUGE = "9" * 400
MARKERS = ("CD8", "PD-L1", "tumor")


def slide(path: Path) -> None:
    with open_slide(path, pixel_size_um=0.5) as opened:
        grid = opened.at(0.5)
        grid.read(0, min(grid.shape[0], 100), 0, min(grid.shape[1], 100))


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


# --- slides


@pytest.mark.parametrize("n", [3, 150])
def test_directories_that_run_in_a_circle(tmp_path, n):
    """A chain of more than a hundred before the circle is not seen by tifffile, which then goes round for hours."""
    data = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for k in range(n):
        data += struct.pack("<HI", 0, 8 + 6 * ((k + 1) if k + 1 < n else n - 1))
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(SlideError, match="run in a circle"):
        slide(tmp_path / "a.tif")


def test_more_channels_than_any_slide_has(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((64, 64), np.uint8), photometric="minisblack", tile=(16, 16), metadata=None
    )
    patch_tag(tmp_path / "a.tif", 277, 65_535)
    with pytest.raises(SlideError, match="65535 channels"):
        slide(tmp_path / "a.tif")


def test_a_tile_of_a_few_bytes_that_unpacks_to_a_gibibyte(tmp_path):
    """The bomb: a deflate stream of zeros, a thousandth of what its tile declares."""
    side = 17_920  # x 17,920 x 3 bytes: 0.9 GiB
    image = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", tile=(64, 64), metadata=None, compression="zlib")
    for code in (256, 257, 322, 323):
        patch_tag(tmp_path / "a.tif", code, side)
    with pytest.raises(SlideError, match=r"0\.9 GiB each"):
        slide(tmp_path / "a.tif")


def test_a_picture_that_is_not_as_large_as_it_says(tmp_path):
    import imagecodecs

    jpeg = bytearray(imagecodecs.jpeg_encode(np.zeros((40, 50, 3), np.uint8)))
    at = jpeg.index(b"\xff\xc0")
    # a frame inside a comment comes first for one reader and not for another
    fake = b"\xff\xc1" + struct.pack(">HBHHB", 8, 8, 9, 9, 3)
    (tmp_path / "a.jpg").write_bytes(
        bytes(jpeg[:at]) + b"\xff\xfe" + struct.pack(">H", 2 + len(fake)) + fake + bytes(jpeg[at:])
    )
    slide(tmp_path / "a.jpg")  # a comment is skipped
    (tmp_path / "b.jpg").write_bytes(bytes(jpeg[:2]) + fake + bytes(jpeg[2:]))
    with pytest.raises(SlideError, match=r"are declared and|cannot be decoded"):
        slide(tmp_path / "b.jpg")


def test_a_png_bomb_is_refused_by_its_header(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = 20_000
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(3 * side + 1) * 20, 9))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
    with pytest.raises(SlideError, match="too much for one picture"):
        slide(tmp_path / "a.png")


@pytest.mark.parametrize("name", [".zattrs", "0/.zarray"])
@pytest.mark.parametrize(
    "text", ["[]", "5", DEEP, '{"multiscales": [1], "chunks": 7}', '{"multiscales": [{"datasets": {}}]}']
)
def test_zarr_metadata_of_another_kind(tmp_path, name, text):
    write_array(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / name).write_text(text)
    with pytest.raises(SlideError):
        slide(tmp_path / "a.zarr")


def test_zarr_chunks_of_more_than_any_number(tmp_path):
    write_array(tmp_path / "a.zarr", chunks=[1, 10**200, 10**200])
    with pytest.raises(SlideError):
        slide(tmp_path / "a.zarr")


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


def test_half_precision_pixels_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.float16))
    with pytest.raises(SlideError, match="float16"):
        open_slide(path)


# --- sizes that must be known before memory is asked for


def test_channels_that_are_not_stored_alike(tmp_path):
    """The third page's tiles are 4 billion pixels long; with the first page's size they would be read as if not."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((3, 128, 128), np.uint16), photometric="minisblack", tile=(64, 64), metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tag = tif.pages[2].aspage().tags[323]
        at = tag.offset
    data = bytearray(path.read_bytes())
    data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 2**32 - 1)
    path.write_bytes(data)
    with tifffile.TiffFile(path) as tif:
        pages = [tif.pages[k].aspage() for k in range(3)]
        check_alike([pages[:2]], path)
        with pytest.raises(SlideError, match="not of one size and type"):
            check_alike([pages], path)


def test_a_level_of_another_type(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((128, 128), np.uint16), photometric="minisblack", metadata=None)
        tif.write(np.zeros((64, 64), np.uint8), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        levels = [[tif.pages[0]], [tif.pages[1]]]
        check_alike(levels[:1], path)
        with pytest.raises(SlideError, match="level 1 of the pyramid is not of the type of the first"):
            check_alike(levels, path)


def test_more_pages_declared_than_a_list_can_hold(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((2, 64, 64), np.uint8), photometric="minisblack", metadata={"axes": "CYX"})
    with tifffile.TiffFile(path, mode="r+b") as tif:
        text = tif.pages.first.description.replace('SizeX="64"', 'SizeX="9000000000"')
        tif.pages.first.tags["ImageDescription"].overwrite(text)
    with pytest.raises(SlideError, match="pages of 64 x 64 px are declared"):
        slide(path)


@pytest.mark.parametrize(
    ("codec", "head"),
    [
        ({"id": "blosc"}, b"\x02\x01\x21\x02" + struct.pack("<III", 2_000_000_000, 8192, 40)),
        ({"id": "lz4"}, struct.pack("<I", 2_000_000_000)),
        ({"id": "zstd"}, b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", 2_000_000_000)),
        ({"id": "gzip"}, gzip.compress(bytes(10_000_000))),
        ({"id": "bz2"}, bz2.compress(bytes(10_000_000))),
        ({"id": "lzma"}, lzma.compress(bytes(10_000_000))),
    ],
    ids=lambda value: value.get("id") if isinstance(value, dict) else "",
)
def test_a_chunk_that_unpacks_to_more_than_its_pixels(tmp_path, codec, head):
    (tmp_path / "0.0.0").write_bytes(head + bytes(200))
    with pytest.raises(SlideError, match=r"unpacks to .* bytes, and its pixels take 8192"):
        check_unpacked(tmp_path / "0.0.0", ["shuffle", codec["id"]], 8192)


@pytest.mark.parametrize("data", [b"\x02\x01\x21\x02" + struct.pack("<III", 8192, 8192, 10**9) + bytes(200), b"\x02"])
def test_a_blosc_chunk_that_ends_before_it_says(tmp_path, data):
    """The library believes its header and would read on behind the bytes of the file: the process would die."""
    (tmp_path / "0.0.0").write_bytes(data)
    with pytest.raises(SlideError, match="cut short or damaged"):
        check_unpacked(tmp_path / "0.0.0", ["blosc"], 8192)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", ["blosc", "zstd", "gzip"])
def test_chunks_that_hold_their_pixels_are_read(tmp_path, version, codec):
    import zarr

    image = np.random.default_rng(0).integers(0, 9000, (2, 100, 90), np.uint16)
    if version == 2:
        packed = {"blosc": numcodecs.Blosc(), "zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip()}[codec]
    else:
        packed = {"blosc": BloscCodec(), "zstd": ZstdCodec(checksum=True), "gzip": GzipCodec()}[codec]
    array = zarr.create_array(
        tmp_path / "0", shape=image.shape, chunks=(2, 64, 64), dtype="u2", zarr_format=version, compressors=packed
    )
    array[:] = image
    level = ZarrLevel(tmp_path / "0", array, "cyx", [codec])
    np.testing.assert_array_equal(level.decode(1, 1, 1)[:36, :26, 0], image[1, 64:, 64:])


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


def test_a_slide_that_is_cut_short_while_it_is_open_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((600, 600), np.uint16), photometric="minisblack", metadata=None, rowsperstrip=600)
    with open_slide(path, pixel_size_um=0.5) as opened:
        with path.open("r+b") as file:
            file.truncate(5000)
        with pytest.raises(SlideError, match=r"the file ends before byte .* cut short"):
            opened.at(0.5).read(0, 600, 0, 600)


def test_a_picture_of_less_than_a_header_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(SlideError, match="the PNG has no header"):
        slide(tmp_path / "a.png")


def test_infinity_in_a_table_is_told_apart_from_what_is_missing():
    assert [cell_text(v) for v in (math.inf, -math.inf, math.nan, None, -0.0)] == ["inf", "-inf", "", "", "0"]
