"""Exports read back: what another tool opens is what was scored."""

import json
import shutil

import numpy as np
import pytest
import shapely
import tifffile

from spatial_til.cli import main
from spatial_til.errors import SpatialTilError
from spatial_til.export import FORMATS, export_folder
from spatial_til.io.annotations import read_annotations
from spatial_til.io.cells import read_cells
from spatial_til.io.exports.compartment_labels import LABELS
from spatial_til.io.folder import ScoredFolder
from spatial_til.io.measured import read_measured, write_measured
from spatial_til.model import COMPARTMENTS
from tests.scored_folder import HOSTILE, PLANS, PX, SIZE_UM, TISSUE, TUMOR, make_folder

FIRST = PLANS[0].slide_id


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("export") / "scored", (PLANS[0], PLANS[4]))


@pytest.fixture(scope="module")
def stored(folder):
    return read_cells(ScoredFolder(folder).cells(FIRST))


@pytest.fixture(scope="module")
def collection(folder, tmp_path_factory):
    paths = export_folder(folder, "qupath", tmp_path_factory.mktemp("qupath"))
    assert [path.name for path in paths] == [f"{PLANS[0].slide_id}.geojson", f"{PLANS[4].slide_id}.geojson"]
    return paths[0], json.loads(paths[0].read_text("utf-8"))["features"]


def of_type(features, kind):
    return [f for f in features if f["properties"]["objectType"] == kind]


def test_qupath_detections_are_the_cells(collection, stored):
    detections = of_type(collection[1], "detection")
    xy_px = np.array([f["geometry"]["coordinates"] for f in detections])
    np.testing.assert_allclose(xy_px * PX.x_um, stored.cells.xy_um, atol=0.5e-3)
    measured = [f["properties"]["measurements"] for f in detections]
    for name in ("CD8_cell_mean", "tumor_membrane_mean"):
        np.testing.assert_allclose([m[name] for m in measured], stored.cells.measurements[name], atol=1e-6)
    distance = [m["border_distance_um"] for m in measured]
    np.testing.assert_allclose(distance, stored.placement.border_distance_um, atol=1e-6)
    assert [m["CD8_positive"] for m in measured] == stored.positive["CD8"].astype(int).tolist()


def test_qupath_classes_name_the_positive_markers(collection, stored):
    found = [f["properties"]["classification"]["name"] for f in of_type(collection[1], "detection")]
    cd8, pdl1 = stored.positive["CD8"], stored.positive["PD-L1"]
    names = np.array(["Negative", "CD8", "PD-L1", "CD8: PD-L1"])
    assert found == names[cd8 + 2 * pdl1].tolist()
    assert set(found) == set(names)


def test_qupath_annotations_are_the_regions_in_pixels(collection):
    path, features = collection
    names = {f["properties"]["classification"]["name"] for f in of_type(features, "annotation")}
    assert {"Tissue", "Tumor", "core", "inner_margin", "outer_margin", "Border stroma"} <= names
    shape_px = (round(SIZE_UM[1] / PX.y_um), round(SIZE_UM[0] / PX.x_um))
    drawn = read_annotations([path], pixel_size=PX, image_shape=shape_px)
    assert shapely.normalize(drawn.tumor).equals_exact(shapely.MultiPolygon([shapely.normalize(TUMOR)]), 1e-6)
    assert drawn.tissue.area == pytest.approx(TISSUE.area)


def test_qupath_leaves_out_what_is_not_known(folder, tmp_path):
    root = tmp_path / "nan"
    shutil.copytree(folder, root)
    path = ScoredFolder(root).cells(FIRST)
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    level = table["CD8_cell_mean"].to_numpy().copy()
    level[[0, -1]] = np.nan
    where = table.column_names.index("CD8_cell_mean")
    pq.write_table(table.set_column(where, "CD8_cell_mean", pa.array(level)), path)
    features = of_type(json.loads(export_folder(root, "qupath")[0].read_text("utf-8"))["features"], "detection")
    assert "CD8_cell_mean" not in features[0]["properties"]["measurements"]
    assert "CD8_cell_mean" in features[1]["properties"]["measurements"]
    assert "nan" not in json.dumps(features[-1]).lower()


def test_qupath_refuses_a_slide_without_pixel_size(folder, tmp_path):
    root = tmp_path / "unsized"
    shutil.copytree(folder, root)
    shutil.rmtree(root / "measured")
    with pytest.raises(SpatialTilError, match="no pixel size"):
        export_folder(root, "qupath")


@pytest.fixture(scope="module")
def table(folder, tmp_path_factory):
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    (path,) = export_folder(folder, "anndata", tmp_path_factory.mktemp("anndata"))
    return anndata.read_h5ad(path)


def test_anndata_holds_cells_by_markers_with_places(table, stored):
    one = table[table.obs["library_id"] == FIRST]
    assert list(table.var_names) == ["CD8", "PD-L1", "tumor"]
    np.testing.assert_allclose(one.obsm["spatial"], stored.cells.xy_um)
    np.testing.assert_allclose(one.X[:, 0], stored.cells.measurements["CD8_cell_mean"])
    np.testing.assert_allclose(one.layers["nucleus_mean"][:, 1], stored.cells.measurements["PD-L1_nucleus_mean"])
    names = np.array([*COMPARTMENTS, "excluded"])
    assert one.obs["compartment"].tolist() == names[stored.placement.compartment].tolist()
    assert one.obs["CD8_positive"].tolist() == stored.positive["CD8"].tolist()
    assert table.n_obs == 2 * len(stored.cells)
    assert table.obs_names.is_unique


def test_anndata_carries_scores_and_versions(table, folder):
    row = json.loads(ScoredFolder(folder).score(FIRST).read_text())["rows"]["slide_scores"][0]
    scores = table.uns["slide_scores"]
    assert scores.loc[FIRST, "immunophenotype"] == row["immunophenotype"]
    assert scores.loc[FIRST, "cd8_core_per_mm2"] == pytest.approx(row["cd8_core_per_mm2"])
    assert json.loads(table.uns["spatial_til"]["versions"])["spatial-til"]
    assert set(table.obs["patient_id"]) == {"A", HOSTILE}


@pytest.mark.filterwarnings("ignore")
def test_squidpy_runs_on_it(table):
    squidpy = pytest.importorskip("squidpy", reason="squidpy is not installed")
    cells = table.copy()
    squidpy.gr.spatial_neighbors(cells, library_key="library_id", coord_type="generic", n_neighs=6)
    squidpy.gr.nhood_enrichment(cells, cluster_key="phenotype", n_perms=20, seed=0, show_progress_bar=False)
    n = cells.obs["phenotype"].cat.categories.size
    assert cells.uns["phenotype_nhood_enrichment"]["zscore"].shape == (n, n)
    link = cells.obsp["spatial_connectivities"]
    half = cells.n_obs // 2
    assert link[:half, half:].nnz == 0  # no neighbours between slides


def test_label_pyramid_is_the_compartments(folder, tmp_path):
    path = export_folder(folder, "ome-tiff", tmp_path)[0]
    with tifffile.TiffFile(path) as tif:
        labels = tif.series[0].asarray()
        assert 'PhysicalSizeX="2.0"' in tif.ome_metadata
    assert labels.shape == (SIZE_UM[1] / 2, SIZE_UM[0] / 2)
    code = {name: value for value, name in LABELS.items()}
    # all regions but the rounded outer margin end on pixel edges: areas are exact
    assert (labels == code["core"]).sum() * 4 == (1100 - 500) * (950 - 450)
    assert (labels == code["inner_margin"]).sum() * 4 == TUMOR.area - (1100 - 500) * (950 - 450)
    assert (labels > 0).sum() * 4 == TISSUE.area
    ring = TUMOR.buffer(100, quad_segs=32).area - TUMOR.area
    assert (labels == code["outer_margin"]).sum() * 4 == pytest.approx(ring, rel=0.005)
    assert labels[round(400 / 2) + 60, round(400 / 2) - 10] == code["outer_margin"]  # x left of the tumour, y inside


@pytest.mark.filterwarnings("ignore")
def test_spatialdata_reads_image_labels_shapes_and_table(folder, stored, tmp_path):
    spatialdata = pytest.importorskip("spatialdata", reason="spatialdata is not installed")
    root = tmp_path / "scored"
    shutil.copytree(folder, root)
    pixels = np.random.default_rng(0).integers(0, 255, (4, 2800, 3200), dtype=np.uint8)
    image = tmp_path / "slide.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "A", "B", "C"]}}
    metadata |= {f"PhysicalSize{a}": PX.x_um for a in "XY"} | {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
    tifffile.imwrite(image, pixels, metadata=metadata, ome=True, tile=(256, 256), photometric="minisblack")
    run = json.loads((root / "run.json").read_text())
    for job in run["study"]["jobs"]:
        job["image"] = str(image)
    (root / "run.json").write_text(json.dumps(run))

    found = spatialdata.read_zarr(export_folder(root, "spatialdata", tmp_path / "out")[0])

    assert set(found.images) == {"image"}
    assert set(found.labels) == {"compartments"}
    assert set(found.shapes) == {"nuclei_circles", "regions"}
    assert set(found.tables) == {"cells"}
    first = found.images["image"]["scale0"]["image"]
    assert list(first.c.values) == ["DAPI", "A", "B", "C"]
    expected = pixels[2].reshape(700, 4, 800, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(first.sel(c="B").values, expected, atol=0.51)
    circles = found.shapes["nuclei_circles"]
    np.testing.assert_allclose(np.column_stack((circles.geometry.x, circles.geometry.y)), stored.cells.xy_um)
    np.testing.assert_allclose(np.pi * circles["radius"] ** 2, stored.cells.nucleus_area_um2)
    box = spatialdata.get_extent(found.labels["compartments"])
    assert box["x"] == pytest.approx((0, SIZE_UM[0]))
    assert box["y"] == pytest.approx((0, SIZE_UM[1]))
    regions = found.shapes["regions"]
    assert regions[regions["region"] == "Tumor"].area.sum() == pytest.approx(TUMOR.area)


@pytest.mark.parametrize("package", ["anndata", "spatialdata"])
def test_says_how_to_install_what_is_missing(folder, monkeypatch, package):
    monkeypatch.setattr("spatial_til.export.find_spec", lambda name: None)
    with pytest.raises(SpatialTilError, match=rf"pip install 'spatial-til\[{package}\]'"):
        export_folder(folder, package)


def test_command_writes_beside_the_tables_and_refuses_the_unusable(folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as status:
        main(["export", str(folder), "--format", "ome-tiff"])
    assert status.value.code == 0
    assert (folder / "export" / "ome-tiff" / f"{FIRST}_compartments.ome.tif").exists()
    for arguments in ([str(folder), "--format", "xlsx"], [str(tmp_path), "--format", "qupath"]):
        with pytest.raises(SystemExit) as status:
            main(["export", *arguments])
        assert status.value.code == 2
    with pytest.raises(SpatialTilError, match="format must be one of"):
        export_folder(folder, "xlsx")
    assert set(FORMATS) == {"anndata", "spatialdata", "qupath", "ome-tiff"}


def test_a_slide_without_regions_says_so(folder, tmp_path):
    root = tmp_path / "bare"
    shutil.copytree(folder, root)
    shutil.rmtree(root / "regions")
    with pytest.raises(SpatialTilError, match="no regions are stored"):
        export_folder(root, "ome-tiff")
    (path, _) = export_folder(root, "qupath")
    assert {f["properties"]["objectType"] for f in json.loads(path.read_text())["features"]} == {"detection"}


def test_anisotropic_pixels_keep_places(folder, tmp_path):
    """Half as wide pixels: x in pixels doubles, y stays."""
    root = tmp_path / "aniso"
    shutil.copytree(folder, root)
    path = ScoredFolder(root).measured(FIRST)
    from dataclasses import replace

    from spatial_til.units import PixelSize

    write_measured(path, replace(read_measured(path), pixel_size=PixelSize(0.25, 0.5)))
    cells = read_cells(ScoredFolder(root).cells(FIRST)).cells
    features = of_type(json.loads(export_folder(root, "qupath")[0].read_text("utf-8"))["features"], "detection")
    x, y = features[0]["geometry"]["coordinates"]
    assert (x * 0.25, y * 0.5) == pytest.approx((cells.x_um[0], cells.y_um[0]), abs=1e-3)
