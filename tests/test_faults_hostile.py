"""Input that means harm, or was made by another system: what it may reach, and how it is told."""

import csv
import io
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from spatial_til import cli
from spatial_til.batch.runs import run_folder
from spatial_til.errors import SpatialTilError, StudyError
from spatial_til.io.annotations import read_annotations
from spatial_til.io.schema import SLIDE_SCORES
from spatial_til.io.tables import table_text
from spatial_til.protocol import load_protocol
from spatial_til.study import MAX_ROWS, load_study
from spatial_til.units import PixelSize
from tests.batch_study import PROTOCOL, make_study, table
from tests.inline import stages_here  # noqa: F401

PX = PixelSize(0.5, 0.5)
NAME = "<script>alert('x')</script>"
FORMULA = "=cmd|' /C calc'!A0"
SPARSE = 10 << 30


def status(*arguments: object) -> int:
    """Run a command in this process and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(a) for a in arguments])
    return ended.value.code


def write_sheet(folder, text, **options):
    (folder / "protocol.toml").write_text(PROTOCOL)
    (folder / "a.tif").write_bytes(b"x")
    (folder / "study.csv").write_text(text, **options)
    return folder / "study.csv"


# --- names


@pytest.mark.parametrize(
    "slide_id",
    ["../x", "..", "/etc/x", "a/b", "a\\b", "", "-rf", ".hidden", "a\0b", "a\nb", "CON\u202e", "é", "a b", "*"],
)
def test_a_slide_id_names_files_in_the_folder_and_nothing_else(tmp_path, slide_id):
    quoted = '"' + slide_id.replace('"', '""') + '"'
    path = write_sheet(tmp_path, f"slide_id,patient_id,timepoint,image\n{quoted},P,baseline,a.tif\n", newline="")
    with pytest.raises(StudyError, match="slide_id"):
        load_study(path)


@pytest.mark.parametrize("image", ["../../../../etc/none", "a\0b", "x" * 5000, "~/none", "\\\\server\\none"])
def test_a_path_that_leads_nowhere_is_told_by_its_row(tmp_path, image):
    path = write_sheet(tmp_path, f"slide_id,patient_id,timepoint,image\nS,P,baseline,{image}\n")
    with pytest.raises(StudyError, match=r"row 2, column image: file not found"):
        load_study(path)


def test_what_a_file_brings_along_stays_on_one_line_and_steers_no_terminal(tmp_path, capsys):
    text = 'slide_id,patient_id,timepoint,image\n"\x1b[2J\x07\nx",P,baseline,a.tif\n'
    assert status("check", write_sheet(tmp_path, text)) == 2
    (tmp_path / "protocol.toml").write_text('[panel]\nmodality = "a\\u001b[31m\\nb"\n"k\\u001b[0m" = 1\n')
    assert status("check", tmp_path / "study.csv") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 3
    assert all(line.isprintable() for line in lines)


def test_formulas_in_names_and_values_are_text_in_a_table():
    row = {"slide_id": "S", "patient_id": FORMULA, "flags": "@x", "x": "+1", "=2+5": "-1+1"}
    header, values = csv.reader(io.StringIO(table_text(SLIDE_SCORES, [row], ["x", "=2+5"])))
    found = dict(zip(header, values, strict=True))
    assert not [cell for cell in (*header, *values) if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert (found["patient_id"], found["x"], found["'=2+5"]) == (f"'{FORMULA}", "'+1", "'-1+1")


# --- links and permissions


def test_links_out_of_the_output_folder_are_refused_before_anything_is_written(tmp_path):
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "S.parquet").write_text("mine")
    for name in ("cells", ".running"):
        out.mkdir()
        (out / name).symlink_to(outside)
        with pytest.raises(SpatialTilError, match=rf"{name}: is a link to .*outside"), run_folder(out):
            pass
        assert [path.name for path in outside.iterdir()] == ["S.parquet"]
        (out / name).unlink()
        out.rmdir()


def test_a_link_as_the_output_folder_itself_is_a_users_wish(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with run_folder(tmp_path / "out") as folder:
        assert folder.root == tmp_path / "disk"


def test_a_linked_table_is_replaced_and_what_it_led_to_stays(tmp_path):
    from spatial_til.io.atomic import write_text

    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "t.csv").symlink_to(tmp_path / "mine.txt")
    write_text(tmp_path / "t.csv", "table")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "t.csv").is_symlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads and writes whatever the permissions are")
@pytest.mark.parametrize("name", ["study.csv", "protocol.toml", "S000.ome.tif", "tumor.geojson"])
def test_a_file_that_may_not_be_read_is_told(tmp_path, name, capsys):
    sheet = make_study(tmp_path, 1)
    (tmp_path / name).chmod(0)
    assert status("check", sheet) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize("name", ["study.csv", "protocol.toml"])
def test_a_folder_where_a_file_should_be_is_told(tmp_path, name, capsys):
    sheet = write_sheet(tmp_path, "slide_id,patient_id,timepoint,image\nS,P,baseline,a.tif\n")
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert status("check", sheet) == 2
    assert "cannot be read" in capsys.readouterr().err


# --- sizes


def test_more_rows_than_any_study_has_are_refused_without_reading_them_all(tmp_path):
    row = "S,P,baseline,a.tif\n"
    path = write_sheet(tmp_path, "slide_id,patient_id,timepoint,image\n" + row * (1_000_000))
    with pytest.raises(StudyError, match=f"more than {MAX_ROWS} rows"):
        load_study(path)


def sparse(path, start: bytes) -> None:
    """Write a file that claims 10 GiB and takes a block of the disk."""
    path.write_bytes(start)
    os.truncate(path, SPARSE)


@pytest.fixture
def two_gibibytes_more():
    """Refuse more address space than is in use and 2 GiB: reading a whole file of 10 would end in MemoryError."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + b"\0\0\0\x10" * 2 + b"\x08\x02"), ("a.jpg", b"\xff\xd8\xff\xe0"),
     ("a.tif", b"II*\0\x08\0\0\0\0\0"), ("b.tif", b"MM\0+\0\x08\0\0"), ("a.companion.ome", b"<OME>"), ("a.xyz", b"")],
)  # fmt: skip
def test_a_slide_of_ten_empty_gibibytes(tmp_path, two_gibibytes_more, name, start):
    from spatial_til.io.slides import open_slide

    sparse(tmp_path / name, start)
    with pytest.raises(SpatialTilError, match=name):
        open_slide(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["study.csv", "protocol.toml", "a.geojson", "a.xml", "cells.geojson", "cells.csv", "S.r.jsonl"]
)
def test_other_files_of_ten_empty_gibibytes(tmp_path, two_gibibytes_more, name):
    from spatial_til.io.cell_tables import read_cell_table
    from spatial_til.review.journal import read_journal

    readers = {
        "study.csv": load_study,
        "protocol.toml": load_protocol,
        "cells.geojson": lambda p: read_cell_table(p, markers=["CD8"], um_per_unit=1.0),
        "cells.csv": lambda p: read_cell_table(p, markers=["CD8"], um_per_unit=1.0),
        "S.r.jsonl": read_journal,
    }
    read = readers.get(name, lambda p: read_annotations([p], pixel_size=PX, image_shape=None))
    sparse(tmp_path / name, {"a.xml": b"<Annotations>", "cells.csv": b""}.get(name, b"{"))
    with pytest.raises(SpatialTilError, match=name):
        read(tmp_path / name)


# --- texts of other systems


REGION = {
    "type": "Feature",
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [300, 0], [300, 600], [0, 600], [0, 0]]]},
    "properties": {"classification": {"name": "Tumor"}},
}
XML = '<?xml version="1.0" encoding="{}"?><Annotations><Annotation Name="Tumor"><!-- é --><Regions><Region Type="0">{}'
XML += "</Region></Regions></Annotation></Annotations>"
RING = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in REGION["geometry"]["coordinates"][0][:-1])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "utf-16"])
def test_xml_says_its_own_encoding(tmp_path, encoding):
    (tmp_path / "a.xml").write_bytes(
        XML.format(encoding.removesuffix("-sig"), RING).replace("><", ">\r\n<").encode(encoding)
    )
    found = read_annotations([tmp_path / "a.xml"], pixel_size=PX, image_shape=None)
    assert found.tumor.area == pytest.approx(300 * 600 / 4)


def test_geojson_with_windows_line_ends_and_a_byte_order_mark(tmp_path):
    text = json.dumps(REGION, indent=1).replace("\n", "\r\n")
    (tmp_path / "a.geojson").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = read_annotations([tmp_path / "a.geojson"], pixel_size=PX, image_shape=None)
    assert found.tumor.area == pytest.approx(300 * 600 / 4)
    (tmp_path / "a.geojson").write_bytes(text.replace("Tumor", "Tumör").encode("latin-1"))
    with pytest.raises(SpatialTilError, match="not valid JSON"):
        read_annotations([tmp_path / "a.geojson"], pixel_size=PX, image_shape=None)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_protocol_in_another_encoding_is_told(tmp_path, encoding):
    (tmp_path / "p.toml").write_bytes(("# é\n" + PROTOCOL).encode(encoding))
    with pytest.raises(SpatialTilError, match="not valid TOML"):
        load_protocol(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_bytes(("# é\n" + PROTOCOL).replace("\n", "\r\n").encode("utf-8-sig"))
    assert load_protocol(tmp_path / "p.toml").panel.modality == "brightfield"


# --- all of it in one study


def test_a_study_of_hostile_names_is_scored_and_they_stay_text(tmp_path, capsys):
    """Spaces, accents, markup and formulas in paths and names; Windows line ends; a slide of nothing but a name."""
    folder = tmp_path / "étude n° 1 – Müller's 日本"
    made = make_study(folder, 1)
    (folder / "lame n° 1 é.ome.tif").write_bytes((folder / "S000.ome.tif").read_bytes())
    (folder / "tumör & <i>.geojson").write_bytes((folder / "tumor.geojson").read_bytes())
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Annotations>&b;</Annotations>'
    (folder / "bomb.xml").write_text(bomb)
    lines = [
        "slide_id,patient_id,timepoint,image,annotation,lesion,site,=1+1",
        f"S1,{NAME},baseline,lame n° 1 é.ome.tif,tumör & <i>.geojson,{FORMULA},<b>skin</b>,@SUM(A1)",
        "S2,P2,baseline,lame n° 1 é.ome.tif,bomb.xml,,,",
    ]
    made.write_bytes(("\r\n".join(lines) + "\r\n").encode("utf-8-sig"))
    out = tmp_path / "résultats à lire"
    assert status("score", made, "--out", out, "--quiet", "--workers", "1") == 1
    told = capsys.readouterr()
    assert "entities" in told.err
    row = table(out / "tables" / "slide_scores.csv")[0]
    assert (row["patient_id"], row["lesion"], row["'=1+1"]) == (NAME, f"'{FORMULA}", "'@SUM(A1)")
    assert float(row["cd8_core_per_mm2"]) > 0
    for path in out.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        numbers = [c for c in cells if c.startswith(("-", "+"))]
        assert not [c for c in cells if c.startswith(("=", "@"))]
        assert np.isfinite([float(c) for c in numbers if c != "-inf"]).all()
    page = (out / "report.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<b>skin</b>" not in page
    assert status("rescore", out, "--quiet", "--workers", "1") == 1
    assert status("export", out, "--format", "qupath") == 0
