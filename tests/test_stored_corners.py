"""What is stored between stages, where it is missing, damaged or another's: no number may come of it in silence."""

import json
import tomllib
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from spatial_til.batch.plan import megapixels
from spatial_til.errors import CellTableError, SpatialTilError
from spatial_til.io.limits import free_memory_mib, usable_cores
from spatial_til.io.measured import (
    Measured,
    read_key,
    read_made_of,
    read_measured,
    read_pixel_size,
    read_source,
    write_measured,
)
from spatial_til.io.scores import ScoredSlide, read_score, write_score
from spatial_til.model import Cells, SlideMeta, Threshold
from spatial_til.pipeline.calls import MarkerCut
from spatial_til.pipeline.divide import Widths
from spatial_til.pipeline.measure import key_of, settings_text
from spatial_til.pipeline.stored import cuts_from_record, record_cuts
from spatial_til.protocol import parse_protocol
from spatial_til.segmentation.settings import Channel, MeasureSettings, NucleusSettings, Stain
from spatial_til.study import Job
from spatial_til.units import PixelSize
from tests.batch_study import PROTOCOL
from tests.longitudinal_keys import simulated

PROTOCOL_VALUES = tomllib.loads(PROTOCOL)
BOX = shapely.MultiPolygon([shapely.box(0, 0, 9, 9)])


@pytest.fixture
def score():
    return simulated()


def damaged(path, change):
    """Change the stored values of a score."""
    values = json.loads(path.read_text("utf-8"))
    change(values)
    path.write_text(json.dumps(values), "utf-8")


def test_a_score_comes_back_to_the_last_digit(tmp_path, score):
    write_score(tmp_path / "s.json", ScoredSlide(score, {"run": [{"a": 1}]}, "key"))
    found = read_score(tmp_path / "s.json")
    assert (found.key, found.rows) == ("key", {"run": [{"a": 1}]})
    assert found.score.estimates == score.estimates
    assert found.score.meta == score.meta
    for name, tiles in score.tiles.items():
        for part in ("area_mm2", "x_um", "y_um"):
            np.testing.assert_array_equal(getattr(found.score.tiles[name], part), getattr(tiles, part))
        assert {k: v.tolist() for k, v in found.score.tiles[name].counts.items()} == {
            k: v.tolist() for k, v in tiles.counts.items()
        }


def _without_a_tile(values):
    values["tiles"]["core"]["x_um"].pop()


def _one_tile_more(values):
    values["tiles"]["core"]["counts"]["CD8+"].append(3)


def _cells_below_none(values):
    values["tiles"]["core"]["counts"]["CD8+"][0] = -1


def _too_many_cells(values):
    next(iter(values["estimates"].values()))["n_cells"] = 2**53


def _degrees_below_none(values):
    next(iter(values["estimates"].values()))["dof"] = -1


def _of_no_compartment(values):
    values["estimates"]["CD8+"] = values["estimates"].popitem()[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without_a_tile, "every tile has a place, an area and its counts"),
        (_one_tile_more, "every tile has a place, an area and its counts"),
        (_cells_below_none, "tiles.core.counts"),
        (_too_many_cells, "no slide has so many cells"),
        (_degrees_below_none, "no slide has so many cells"),
        (_of_no_compartment, "estimates"),
    ],
)
def test_a_damaged_score_is_refused_with_the_place(tmp_path, score, change, says):
    write_score(tmp_path / "s.json", ScoredSlide(score, {}))
    damaged(tmp_path / "s.json", change)
    with pytest.raises(
        CellTableError, match=rf"the stored score is damaged \(.*{says}.*delete it and run the same again"
    ):
        read_score(tmp_path / "s.json")


def test_a_score_that_is_not_there_says_so(tmp_path):
    with pytest.raises(CellTableError, match=r"s\.json: the stored score cannot be read \(No such file"):
        read_score(tmp_path / "s.json")


def test_what_json_does_not_know_is_no_score_and_leaves_no_file(tmp_path, score):
    with pytest.raises(TypeError, match="cannot write complex as JSON"):
        write_score(tmp_path / "s.json", ScoredSlide(score, {"run": [{"a": 1j}]}))
    assert list(tmp_path.iterdir()) == []


# --- measured cells


def measured(**changes):
    zero = np.arange(3.0)
    measurements = {f"{name}_cell_mean": zero for name in ("CD8", "CD80", "PD-L1")}
    cells = Cells(zero, zero, zero, zero, measurements=measurements, calls={"CD3": np.array([True, False, True])})
    of = Measured("k", cells, BOX, (0.0, 0.0, 9.0, 9.0), PixelSize(0.5, 0.25), source={"sha256": "x"}, made_of={"a": 1})
    return replace(of, **changes)


def test_what_is_asked_of_a_stored_slide_without_its_cells(tmp_path):
    write_measured(tmp_path / "a.parquet", measured())
    asked = [read(tmp_path / "a.parquet") for read in (read_key, read_source, read_made_of, read_pixel_size)]
    assert asked == ["k", {"sha256": "x"}, {"a": 1}, PixelSize(0.5, 0.25)]
    write_measured(tmp_path / "b.parquet", measured(pixel_size=None))
    assert read_pixel_size(tmp_path / "b.parquet") is None


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and nothing else"])
def test_a_stored_slide_that_is_none_is_as_if_it_were_not_there(tmp_path, content):
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    assert [read(path) for read in (read_key, read_source, read_made_of, read_pixel_size)] == [None, {}, {}, None]
    with pytest.raises(CellTableError, match="cannot be read"):
        read_measured(path)


def test_a_table_of_others_has_no_key(tmp_path):
    pq.write_table(pa.table({"x_um": [1.0]}), tmp_path / "a.parquet")
    assert read_key(tmp_path / "a.parquet") is None


def test_one_markers_measurements_are_not_those_of_a_marker_whose_name_begins_alike(tmp_path):
    write_measured(tmp_path / "a.parquet", measured())
    found = read_measured(tmp_path / "a.parquet", ["CD8"]).cells
    assert set(found.measurements) == {"CD8_cell_mean"}
    assert found.calls["CD3"].tolist() == [True, False, True]  # calls are never left out


@pytest.mark.parametrize("tissue", ["00", "not hex", shapely.to_wkb(shapely.box(0, 0, 1, 1), hex=True)])
def test_a_tissue_that_is_none_is_refused(tmp_path, tissue):
    path = tmp_path / "a.parquet"
    write_measured(path, measured())
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"spatial_til"]) | {"tissue": tissue}
    pq.write_table(table.replace_schema_metadata({b"spatial_til": json.dumps(meta)}), path)
    with pytest.raises(CellTableError, match="not a measured slide of ours"):
        read_measured(path)


# --- what decides whether a slide is measured again

OTHER = {
    "modality": "fluorescence",
    "stains": (Stain("dab", "CD8", "dab"),),
    "channels": (Channel("A", "CD8"),),
    "white": (240.0, 241.0, 242.0),
    "nuclear_markers": frozenset({"CD8"}),
    "spillover": ((1.0, 0.1), (0.0, 1.0)),
    "autofluorescence": "B",
    "nucleus": replace(NucleusSettings(), min_area_um2=11.0),
    "cytoplasm_markers": ("CK",),
}


@pytest.mark.parametrize("name", [field.name for field in fields(MeasureSettings)])
def test_every_setting_that_decides_about_cells_is_in_the_key(name):
    plain = MeasureSettings("brightfield")
    other = replace(plain, **{name: OTHER[name] if name in OTHER else getattr(plain, name) * 1.5})
    keys = [key_of({"settings": settings_text(of)}) for of in (plain, other)]
    assert keys[0] != keys[1]


def test_the_order_of_a_set_is_not_in_the_key():
    texts = {
        settings_text(MeasureSettings("brightfield", nuclear_markers=frozenset(names)))
        for names in ("ABCDEF", "FEDCBA")
    }
    assert len(texts) == 1


def test_cut_offs_of_run_json_come_back_and_none_are_made_up():
    cuts = {"CD8": MarkerCut(Threshold("b", "CD8", 0.1 + 0.2, "fixed", None, 3, 1, True, ("threshold_weak",)), True)}
    record = json.loads(json.dumps(record_cuts(cuts, Widths(500.0, 1 / 3))))
    assert cuts_from_record(record) == (cuts, Widths(500.0, 1 / 3))
    for wrong in ({}, {"cuts": {"CD8": {}}, "widths_um": [1, 2]}, {**record, "widths_um": 5}, {**record, "cuts": None}):
        with pytest.raises(SpatialTilError, match="run rescore first"):
            cuts_from_record(wrong)


# --- limits


@pytest.mark.parametrize("text", ["", "max", "a b", "100000 0", "é"])
def test_limits_that_say_nothing_limit_nothing(tmp_path, text):
    (tmp_path / "own").write_text("0::/\n", encoding="utf-8")
    for name in ("cpu.max", "memory.max", "memory.current", "memory.stat"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    plain = usable_cores(tmp_path / "none", tmp_path / "no")
    assert usable_cores(tmp_path, tmp_path / "own") == plain
    assert free_memory_mib(tmp_path, tmp_path / "own") > 0


def test_a_container_that_is_over_its_limit_has_no_memory_left_not_less(tmp_path):
    (tmp_path / "own").write_bytes(b"0::/\xff\n")  # a name that is no text: the groups of the root count
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("5000\n")
    assert free_memory_mib(tmp_path, tmp_path / "own") == 0.0


def test_a_slide_that_cannot_be_opened_has_no_size_and_fails_by_itself_later(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    protocol = parse_protocol(PROTOCOL_VALUES, "test")
    assert megapixels(Job(SlideMeta("s", "P", "baseline", "A"), tmp_path / "a.tif", protocol)) == 0.0
