"""Cell tables: the vendors' own counts on shared tables, and every spelling on tables written here."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from spatial_til.errors import CellTableError
from spatial_til.io.cell_tables import read_cell_table
from spatial_til.io.cell_tables.labels_to_calls import parse_label
from spatial_til.io.cells import write_cells
from spatial_til.model import Cells, Placement
from spatial_til.units import PixelSize

DATA = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not there")
MARKERS = ("CD8", "PD-L1", "tumor")


# --- shared tables


@pytest.fixture(scope="module")
def lung():
    path = DATA / "lung_fields" / "Set4_1-6plex_[16142,55840]_cell_seg_data.csv.gz"
    mapping = {"positive": {"tumor": "Phenotype=CK+"}}
    markers = ("CD8", "PD-L1", "CD68", "FOXP3", "tumor", "CK")
    return read_cell_table(path, markers=markers, um_per_unit=None, mapping=mapping)


@needs_data
def test_inform_counts_by_tissue_and_phenotype_equal_the_vendors(lung):
    table = pd.read_csv(DATA / "lung_fields" / "vendor_counts_by_tissue.csv")
    vendor = table[table["Sample Name"] == "Set4_1-6plex_[16142,55840].im3"]
    counts = vendor.set_index(["Tissue Category", "Phenotype"])["Total Cells"]
    calls = {
        "CD8+": lung.calls["CD8"],
        "CD68+": lung.calls["CD68"],
        "FoxP3+": lung.calls["FOXP3"],
        "CK+": lung.calls["tumor"],
    }
    calls["other"] = ~np.any(list(calls.values()), axis=0)
    calls["All"] = np.ones(len(lung), bool)
    for tissue in ("Tumor", "Stroma"):
        here = lung.category == tissue
        assert {name: int((c & here).sum()) for name, c in calls.items()} == {n: counts[tissue, n] for n in calls}
    assert len(lung) == 6072


@needs_data
def test_inform_neighbour_counts_equal_count_within(lung):
    """PD-L1 has no phenotype, so no call; the vendor's neighbours use its mean over the cell above 3."""
    assert set(lung.calls) == {"CD8", "CD68", "FOXP3", "tumor", "CK"}
    kinds = {
        "CK+": lung.calls["CK"],
        "CK+ PDL1+": lung.calls["CK"] & (lung.measurements["PD-L1_cell_mean"] > 3),
        "CD8+": lung.calls["CD8"],
        "CD68+": lung.calls["CD68"],
    }
    expected = pd.read_csv(DATA / "lung_fields" / "count_within.csv")
    assert len(expected) == 12
    for row in expected.itertuples():
        here = lung.category == row.category
        starts = lung.xy_um[kinds[row[4]] & here]
        ends = cKDTree(lung.xy_um[kinds[row.to] & here])
        near = ends.query_ball_point(starts, row.radius + 1e-9, return_length=True)
        found = (len(starts), ends.n, int((near > 0).sum()), round(float(near.mean()), 4))
        assert found == (row.from_count, row.to_count, row.from_with, row.within_mean)


@needs_data
def test_inform_in_pixels_with_neighbours_of_the_component_field():
    path = DATA / "component_field" / "FIHC4__0929309_HP_IM3_2_cell_seg_data.txt"
    mapping = {"positive": {"helper": "Phenotype=Helper T", "cytotoxic": "Phenotype=Cytotoxic T"}}
    with pytest.raises(CellTableError, match="in pixels"):
        read_cell_table(path, markers=("helper", "cytotoxic"), um_per_unit=None, mapping=mapping)
    cells = read_cell_table(path, markers=("helper", "cytotoxic"), um_per_unit=0.5, mapping=mapping)
    raw = pd.read_csv(path, sep="\t")
    assert len(cells) == 270
    assert np.array_equal(np.sort(cells.x_um), np.sort(raw["Cell X Position"] * 0.5))
    assert cells.nucleus_area_um2.sum() == pytest.approx(raw["Nucleus Area (pixels)"].sum() * 0.25)
    helper, cytotoxic = (cells.xy_um[cells.calls[name]] for name in ("helper", "cytotoxic"))
    near = cKDTree(cytotoxic).query_ball_point(helper, 40, return_length=True)
    assert (len(helper), len(cytotoxic), int((near > 0).sum())) == (15, 6, 8)
    assert near.mean() == pytest.approx(23 / 15)


@needs_data
@pytest.mark.parametrize(("name", "cells", "cd8", "pdl1"), [("TMA1", 3803, 7, 1), ("TMA2", 3008, 12, 0)])
def test_halo_counts_equal_the_vendors(name, cells, cd8, pdl1):
    path = DATA / "halo_tables" / f"example_spatial_{name}_[3,B].tif.csv.gz"
    found = read_cell_table(path, markers=MARKERS, um_per_unit=0.5)
    assert (len(found), found.calls["CD8"].sum(), found.calls["PD-L1"].sum()) == (cells, cd8, pdl1)
    assert set(found.category) == {"Tumor", "Stroma"}
    raw = pd.read_csv(path)
    assert np.array_equal(np.sort(found.x_um), np.sort((raw["XMin"] + raw["XMax"]) / 2 * 0.5))
    assert found.cell_area_um2.sum() == pytest.approx(raw["Cell.Area..m.."].sum())
    assert found.measurements["CD8_cytoplasm_mean"].sum() == pytest.approx(
        raw["CD8..Opal.520..Cytoplasm.Intensity"].sum()
    )


@needs_data
def test_small_vendor_exports_of_other_versions():
    inform = read_cell_table(DATA / "spiat" / "tiny_inform.txt.gz", markers=MARKERS, um_per_unit=0.5)
    assert len(inform) == 9
    assert not inform.calls["PD-L1"].any()  # "AMACR+PD-L1-" says so
    assert "CD8" not in inform.calls  # no phenotype names it
    assert np.isfinite(inform.measurements["CD8_membrane_mean"]).all()
    mapping = {"positive": {"CD8": "Dye 1 Positive"}}
    halo = read_cell_table(DATA / "spiat" / "tiny_halo.csv.gz", markers=MARKERS, um_per_unit=0.5, mapping=mapping)
    assert (len(halo), set(halo.category)) == (10, {"TUMOUR"})
    raw = pd.read_csv(DATA / "spiat" / "tiny_halo.csv.gz", encoding="utf-8-sig")
    assert halo.calls["CD8"].sum() == raw["Dye 1 Positive"].sum() > 0
    assert halo.cell_area_um2.sum() == pytest.approx(raw["Cell Area"].sum())


@needs_data
def test_an_unknown_table_by_mapping():
    mapping = {
        "x": "Cell.X.Position",
        "y": "Cell.Y.Position",
        "category": "sample_id",
        "positive": {"tumor": "Cell.Type=Tumour"},
    }
    found = read_cell_table(DATA / "spiat" / "defined_image.csv.gz", markers=MARKERS, um_per_unit=1, mapping=mapping)
    assert (len(found), int(found.calls["tumor"].sum())) == (4951, 819)
    assert np.isnan(found.cell_area_um2).all()


# --- inForm


def inform_rows(unit="pixels", decimal="."):
    def number(value):
        return str(value).replace(".", decimal)

    area = "pixels" if unit == "pixels" else "sq microns"
    columns = ["Sample Name", "Tissue Category", "Phenotype", "Cell X Position", "Cell Y Position"]
    columns += [f"Nucleus Area ({area})", f"Entire Cell Area ({area})"]
    columns += ["Membrane CD8 (Opal 540) Mean (Normalized Counts, Total Weighting)"]
    rows = [
        ["a.im3", "Tumor", "CD8+", 30, 7, 40, 90, number(1.5)],
        ["a.im3", "Stroma", "CD8+ PDL1+", 10, 7, 50, 100, number(2.25)],
        ["a.im3", "", "", number(20.5), 3, 60, 110, "#N/A"],
    ]
    return [columns, *rows]


def write_rows(path, rows, separator="\t", encoding="utf-8"):
    text = "\r\n".join(separator.join(map(str, row)) for row in rows)
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize(("unit", "um", "scale"), [("pixels", 0.5, 0.5), ("microns", None, 1.0), ("microns", 1.0, 1.0)])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_inform_units_decimals_and_encodings(tmp_path, unit, um, scale, decimal, encoding):
    path = write_rows(tmp_path / "a.txt", inform_rows(unit, decimal), encoding=encoding)
    cells = read_cell_table(path, markers=MARKERS, um_per_unit=um)
    assert cells.xy_um.tolist() == [[20.5 * scale, 3 * scale], [10 * scale, 7 * scale], [30 * scale, 7 * scale]]
    assert cells.nucleus_area_um2.tolist() == [60 * scale**2, 50 * scale**2, 40 * scale**2]
    assert cells.calls["CD8"].tolist() == [False, True, True]
    assert cells.calls["PD-L1"].tolist() == [False, True, False]
    assert cells.category.tolist() == ["", "Stroma", "Tumor"]
    assert np.array_equal(cells.measurements["CD8_membrane_mean"], [np.nan, 2.25, 1.5], equal_nan=True)


def test_inform_phenotype_column_of_its_own_is_known_even_without_positives(tmp_path):
    rows = [["Cell X Position", "Cell Y Position", "Nucleus Area (pixels)", "Phenotype CD8", "Phenotype-PDL1"],
            [1, 1, 5, "other", "PDL1+"], [2, 2, 5, "CD8-", "other"]]  # fmt: skip
    cells = read_cell_table(write_rows(tmp_path / "a.txt", rows), markers=MARKERS, um_per_unit=0.5)
    assert {m: c.tolist() for m, c in cells.calls.items()} == {"CD8": [False, False], "PD-L1": [True, False]}


def test_pixels_are_those_of_the_image_where_the_sheet_gives_none(tmp_path):
    px = PixelSize(0.25, 0.5)
    path = write_rows(tmp_path / "a.txt", inform_rows("pixels"))
    cells = read_cell_table(path, markers=MARKERS, um_per_unit=None, image_pixel=px)
    assert cells.xy_um.tolist() == [[20.5 * 0.25, 3 * 0.5], [10 * 0.25, 7 * 0.5], [30 * 0.25, 7 * 0.5]]
    assert cells.nucleus_area_um2.tolist() == [60 * 0.125, 50 * 0.125, 40 * 0.125]
    assert read_cell_table(path, markers=MARKERS, um_per_unit=2.0, image_pixel=px).x_um.tolist() == [41, 20, 60]
    microns = write_rows(tmp_path / "b.txt", inform_rows("microns"))
    assert read_cell_table(microns, markers=MARKERS, um_per_unit=None, image_pixel=px).x_um.tolist() == [20.5, 10, 30]


@pytest.mark.parametrize("um", [None, 1.0, 0.5])
def test_micrometres_are_never_scaled_again(tmp_path, um):
    """The sheet's pixel size may be there for annotations; a table that says µm is in µm."""
    cells = read_cell_table(write_rows(tmp_path / "a.txt", inform_rows("microns")), markers=MARKERS, um_per_unit=um)
    assert cells.x_um.tolist() == [20.5, 10, 30]
    assert cells.cell_area_um2.tolist() == [110, 100, 90]


@pytest.mark.parametrize(("shift", "fits"), [(0, False), (5000, True)])
def test_several_fields_need_positions_that_do_not_overlap(tmp_path, shift, fits):
    rows = inform_rows()
    other = [["b.im3", *row[1:3], float(row[3]) + shift, *row[4:]] for row in rows[1:]]
    path = write_rows(tmp_path / "a.txt", [*rows, *other])
    if fits:
        assert len(read_cell_table(path, markers=MARKERS, um_per_unit=0.5)) == 6
    else:
        with pytest.raises(CellTableError, match="2 images whose positions overlap"):
            read_cell_table(path, markers=MARKERS, um_per_unit=0.5)


# --- HALO


@pytest.mark.parametrize(
    ("header", "marker"),
    [("CD8 (Opal 520) Positive", "CD8"), ("CD8..Opal.520..Positive", "CD8"), ("CD8 Positive Classification", "CD8"),
     ("PDL1 Positive", "PD-L1"), ("PD-L1 (Opal 540) Positive", "PD-L1"), ("CD274 Positive", "PD-L1"),
     ("cd8a positive", "CD8")],
)  # fmt: skip
def test_halo_dye_columns_in_every_spelling(tmp_path, header, marker):
    rows = [["XMin", "XMax", "YMin", "YMax", header, f"{header} Nucleus", "Cell Area (μm²)", "Classifier Label"],
            [10, 20, 30, 50, 1, 0, 80.5, "Tumor"], [0, 4, 2, 6, 0, 1, 20.25, "Stroma"],
            [0, 4, 8, 9, 2, 0, 9, "Stroma"]]  # fmt: skip
    cells = read_cell_table(write_rows(tmp_path / "a.csv.gz", rows, ","), markers=MARKERS, um_per_unit=0.5)
    assert cells.xy_um.tolist() == [[1, 2], [1, 4.25], [7.5, 20]]
    assert {m: c.tolist() for m, c in cells.calls.items()} == {marker: [False, True, True]}
    assert cells.cell_area_um2.tolist() == [20.25, 9, 80.5]
    assert np.isnan(cells.nucleus_area_um2).all()


# --- QuPath


@pytest.mark.parametrize(("unit", "um", "area"), [("µm", None, " µm^2"), ("px", 0.5, ""), ("px", 0.5, " px^2")])
def test_qupath_measurements(tmp_path, unit, um, area):
    columns = ["Image", "Object type", "Classification", "Parent", f"Centroid X {unit}", f"Centroid Y {unit}"]
    columns += [
        f"Nucleus: Area{area}",
        f"Cell: Area{area}",
        "Cell: CD8 mean",
        "PD-L1: Membrane: Median",
        "Cell: DAPI mean",
    ]
    rows = [
        columns,
        ["s", "Cell", "CD8: PD-L1", "Annotation (Tumor)", 8, 4, 40, 90, 1.5, 2.5, 9],
        ["s", "Cell", "PD-L1", "Stroma", 2, 6, 30, 70, 0.5, 3.5, 9],
        ["s", "Annotation", "Tumor", "Root object", 50, 60, "", "", "", "", ""],
        ["s", "Cell", "", "", 2, 2, 20, 50, 0, 0, 9],
    ]
    cells = read_cell_table(write_rows(tmp_path / "a.tsv", rows), markers=("CD8", "PD-L1"), um_per_unit=um)
    scale = um or 1.0
    assert cells.xy_um.tolist() == [[2 * scale, 2 * scale], [8 * scale, 4 * scale], [2 * scale, 6 * scale]]
    assert cells.cell_area_um2.tolist() == [50 * scale**2, 90 * scale**2, 70 * scale**2]
    assert {m: c.tolist() for m, c in cells.calls.items()} == {
        "CD8": [False, True, False],
        "PD-L1": [False, True, True],
    }
    assert {n: v.tolist() for n, v in cells.measurements.items()} == {
        "CD8_cell_mean": [0, 1.5, 0.5],
        "PD-L1_membrane_median": [0, 2.5, 3.5],
    }
    assert cells.category.tolist() == ["", "Tumor", "Stroma"]


@pytest.mark.parametrize("as_list", [False, True], ids=["object", "list"])
@pytest.mark.parametrize("form", ["collection", "list"])
def test_qupath_cells_as_geojson(tmp_path, as_list, form):
    def square(x, y, half):
        return {
            "type": "Polygon",
            "coordinates": [
                [
                    [x - half, y - half],
                    [x + half, y - half],
                    [x + half, y + half],
                    [x - half, y + half],
                    [x - half, y - half],
                ]
            ],
        }

    measured = (
        [{"name": "Cell: CD8 mean", "value": 3.5}] if as_list else {"Cell: CD8 mean": 3.5, "Nucleus: Area µm^2": 999}
    )
    cell = {"type": "Feature", "geometry": square(11, 20, 4), "nucleusGeometry": square(10, 20, 2),
            "properties": {"objectType": "cell", "classification": {"name": "CD8"},
                           "measurements": measured}}  # fmt: skip
    region = {"type": "Feature", "geometry": square(100, 100, 90), "properties": {"objectType": "annotation"}}
    data = [region, cell] if form == "list" else {"type": "FeatureCollection", "features": [region, cell]}
    (tmp_path / "a.geojson").write_text(json.dumps(data))
    cells = read_cell_table(tmp_path / "a.geojson", markers=MARKERS, um_per_unit=0.5)
    assert cells.xy_um.tolist() == [[5.0, 10.0]]
    assert (cells.nucleus_area_um2[0], cells.cell_area_um2[0]) == (16 * 0.25, 64 * 0.25)
    assert cells.calls["CD8"].tolist() == [True]
    assert cells.measurements["CD8_cell_mean"].tolist() == [3.5]


@pytest.mark.parametrize(
    ("label", "markers", "calls"),
    [
        ("Tumor: Positive", ("tumor", "CD8"), {"tumor": True, "CD8": True}),
        ("Tumor: Negative", ("tumor", "CD8"), {"tumor": True, "CD8": False}),
        ("CD8: Negative", ("tumor", "CD8"), {"CD8": False}),
        ("Positive", ("CD8",), {"CD8": True}),
        ("2+", ("CD8",), {"CD8": True}),
        ("Positive", ("CD8", "PD-L1"), {}),  # whose?
        ("CD8+PDL1+", MARKERS, {"CD8": True, "PD-L1": True}),
        ("CD8-/PD-L1+", MARKERS, {"CD8": False, "PD-L1": True}),
        ("Cytotoxic T", MARKERS, {}),
        ("CD80+", MARKERS, {}),
        ("", MARKERS, {}),
    ],
)
def test_labels_name_markers_or_nothing(label, markers, calls):
    assert parse_label(label, markers) == calls


# --- MCMICRO and AnnData


def test_mcmicro_centroids_are_centres_of_pixels(tmp_path):
    rows = [["CellID", "DAPI", "CD8a", "PDL1_cellMask", "PDL1_nucleiMask", "X_centroid", "Y_centroid", "Area", "Round"],
            [1, 9, 5.5, 1, 2, 10, 20, 100, 0.9], [2, 9, 1.5, 3, 4, 3.5, 0, 50, 0.9]]  # fmt: skip
    cells = read_cell_table(write_rows(tmp_path / "a.csv", rows, ","), markers=MARKERS, um_per_unit=0.5)
    assert cells.xy_um.tolist() == [[2.0, 0.25], [5.25, 10.25]]
    assert cells.cell_area_um2.tolist() == [12.5, 25]
    assert cells.calls == {}
    assert {n: v.tolist() for n, v in cells.measurements.items()} == {
        "CD8_cell_mean": [1.5, 5.5], "PD-L1_cell_mean": [3, 1], "PD-L1_nucleus_mean": [4, 2],
    }  # fmt: skip


@pytest.mark.parametrize("where", ["obs", "obsm"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_anndata(tmp_path, where):
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame(
        {"phenotype": pd.Categorical(["CD8+", "other", "CD8+ PD-L1+"]), "CellID": [1, 2, 3]}, index=list("abc")
    )
    xy = np.array([[4.0, 9.0], [1.0, 2.0], [3.0, 2.0]])
    if where == "obs":
        obs["X_centroid"], obs["Y_centroid"] = xy.T
    data = anndata.AnnData(X=np.array([[1.0, 5], [2, 6], [3, 7]]), obs=obs, var=pd.DataFrame(index=["CD8A", "DNA"]))
    if where == "obsm":
        data.obsm["spatial"] = xy
    data.write_h5ad(tmp_path / "a.h5ad")
    cells = read_cell_table(tmp_path / "a.h5ad", markers=MARKERS, um_per_unit=2.0)
    shift = 0.5 if where == "obs" else 0.0
    assert np.array_equal(cells.xy_um, (xy[[1, 2, 0]] + shift) * 2)
    assert {m: c.tolist() for m, c in cells.calls.items()} == {
        "CD8": [False, True, True],
        "PD-L1": [False, True, False],
    }
    assert {n: v.tolist() for n, v in cells.measurements.items()} == {"CD8_cell_mean": [2, 3, 1]}


# --- ours


def test_ours_comes_back_with_its_calls(tmp_path):
    cells = Cells(
        *(np.arange(4.0) + k for k in range(4)), measurements={"CD8_cell_mean": np.arange(4, dtype=np.float32)}
    )
    calls = {"CD8": np.array([True, False, True, False])}
    place = Placement(np.array([0, 1, -1, 4], np.int8), np.array([-600.0, -3, np.nan, np.nan]))
    write_cells(tmp_path / "a.parquet", cells, place, positive=calls, positive_raw=calls, tumor_cell=~calls["CD8"])
    found = read_cell_table(tmp_path / "a.parquet", markers=("CD8",), um_per_unit=None)
    assert np.array_equal(found.x_um, cells.x_um)
    assert {m: c.tolist() for m, c in found.calls.items()} == {
        "CD8": [True, False, True, False],
        "tumor": [False, True, False, True],
    }
    scaled = read_cell_table(tmp_path / "a.parquet", markers=("CD8",), um_per_unit=0.5)
    assert np.array_equal(scaled.x_um, cells.x_um)


# --- refusals


@pytest.mark.parametrize(
    ("text", "mapping", "reason"),
    [
        ("a,b\n1,2\n", None, r"not known. Columns: a, b.*\[cells\]"),
        ("a,b\n1,2\n", {"x": "a", "y": "c"}, r"column c is not in the cell table"),
        ("", None, "empty"),
        ("x,y\n1,2\n3,\n", {"x": "x", "y": "y"}, "1 of 2 rows have none"),
        ("x,y\n1,2\n3,four\n", {"x": "x", "y": "y"}, "must hold numbers"),
        ("x,y,c\n1,2,1\n3,4,\n", {"x": "x", "y": "y", "positive": {"CD8": "c"}}, r"whether it is CD8\+"),
        ("x,y,c\n1,2,maybe\n", {"x": "x", "y": "y", "positive": {"CD8": "c"}}, r"whether it is CD8\+"),
        ("x,y\n1,2\n", {"x": "x", "y": "y", "positive": {"CD8": "c=1"}}, "column c is not in"),
        ("[1, 2", None, "not GeoJSON"),
        ("[]", None, "holds no cells"),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path, text, mapping, reason):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(CellTableError, match=rf"a\.csv.*{reason}"):
        read_cell_table(tmp_path / "a.csv", markers=MARKERS, um_per_unit=1, mapping=mapping)


def test_unit_that_no_one_gave_is_not_guessed(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    mapping = {"x": "x", "y": "y"}
    for px in (None, PixelSize(0.5, 0.5)):  # an image beside it does not say that the table counts its pixels
        with pytest.raises(CellTableError, match=r"unknown unit.*pixel_size_um.*1 where they are µm"):
            read_cell_table(tmp_path / "a.csv", markers=MARKERS, um_per_unit=None, image_pixel=px, mapping=mapping)


@pytest.mark.parametrize("data", [b"\x89HDF\r\n\x1a\n broken", b"PAR1 broken", b"a\0b"])
def test_damaged_files(tmp_path, data):
    pytest.importorskip("anndata")
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(CellTableError):
        read_cell_table(tmp_path / "a", markers=MARKERS, um_per_unit=1)


def test_missing_file(tmp_path):
    with pytest.raises(CellTableError, match=r"cannot be opened.*Correct the path"):
        read_cell_table(tmp_path / "a.csv", markers=MARKERS, um_per_unit=1)
