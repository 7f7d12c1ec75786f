"""What is written comes back equal, whole or not at all, and the vendor's masks give the vendor's table."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiLineString, MultiPolygon, Polygon, box

from spatial_til.errors import AnnotationError, CellTableError
from spatial_til.geometry.place import unplaced
from spatial_til.geometry.polygons import polygonal
from spatial_til.io.annotations import read_annotations
from spatial_til.io.cells import read_cells, write_cells
from spatial_til.io.labels import LabelImage, labels_on_grid, open_labels, write_labels
from spatial_til.io.overview import shown_range
from spatial_til.io.regions import read_regions, write_regions
from spatial_til.io.slides import open_slide
from spatial_til.io.thumbnails import write_thumbnail
from spatial_til.model import BORDER_TYPES, COMPARTMENTS, UNPLACED, Border, Cells, Compartments, Placement
from spatial_til.units import PixelSize

DATA = Path(__file__).parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not there")
PX = PixelSize(0.4971, 0.2503)
EMPTY, NO_LINE = MultiPolygon(), MultiLineString()


# --- cells


def some_cells(n, seed=0):
    rng = np.random.default_rng(seed)
    cells = Cells(
        *(rng.uniform(0, 900, n) for _ in range(4)),
        measurements={"CD8_membrane_mean": rng.normal(size=n).astype(np.float32), "PD-L1_cell_p90": rng.normal(size=n)},
    )
    place = Placement(
        rng.integers(-1, 5, n).astype(np.int8), np.where(rng.random(n) < 0.3, np.nan, rng.normal(0, 500, n))
    )
    calls = {name: rng.random(n) < 0.4 for name in ("CD8", "PD-L1")}
    return cells, place, calls, {name: ~c for name, c in calls.items()}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("n", [0, 1, 500])
def test_cells_come_back_equal(tmp_path, n, known):
    cells, place, positive, raw = some_cells(n)
    tumor = np.arange(n) % 3 == 0 if known else None
    write_cells(tmp_path / "a.parquet", cells, place, positive=positive, positive_raw=raw, tumor_cell=tumor)
    found = read_cells(tmp_path / "a.parquet")
    for name in ("x_um", "y_um", "nucleus_area_um2", "cell_area_um2"):
        assert np.array_equal(getattr(found.cells, name), getattr(cells, name))
    assert {n: v.dtype for n, v in found.cells.measurements.items()} == {
        n: v.dtype for n, v in cells.measurements.items()
    }
    for name, values in cells.measurements.items():
        assert np.array_equal(found.cells.measurements[name], values)
    assert np.array_equal(found.placement.compartment, place.compartment)
    assert np.array_equal(found.placement.border_distance_um, place.border_distance_um, equal_nan=True)
    assert {m: c.tolist() for m, c in found.positive.items()} == {m: c.tolist() for m, c in positive.items()}
    assert {m: c.tolist() for m, c in found.positive_raw.items()} == {m: c.tolist() for m, c in raw.items()}
    if known and n:
        assert np.array_equal(found.tumor_cell, tumor)
    elif n:
        assert found.tumor_cell is None


def test_cell_columns_are_the_contracts(tmp_path):
    cells, place, positive, raw = some_cells(20)
    write_cells(tmp_path / "a.parquet", cells, place, positive=positive, positive_raw=raw, tumor_cell=None)
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert list(frame.columns) == [
        "cell_id", "x_um", "y_um", "nucleus_area_um2", "cell_area_um2", "CD8_membrane_mean", "PD-L1_cell_p90",
        "CD8_positive", "CD8_positive_raw", "PD-L1_positive", "PD-L1_positive_raw",
        "tumor_cell", "compartment", "border_distance_um",
    ]  # fmt: skip
    assert frame["cell_id"].tolist() == list(range(1, 21))
    assert frame["CD8_positive"].dtype == bool
    assert frame["tumor_cell"].isna().all()
    assert set(frame["compartment"]) <= {*COMPARTMENTS, "excluded"}
    assert (
        pq.read_table(tmp_path / "a.parquet")["border_distance_um"].null_count
        == np.isnan(place.border_distance_um).sum()
    )


def test_cells_without_regions_have_an_empty_compartment(tmp_path):
    cells, _, positive, raw = some_cells(20)
    write_cells(tmp_path / "a.parquet", cells, unplaced(20), positive=positive, positive_raw=raw, tumor_cell=None)
    table = pq.read_table(tmp_path / "a.parquet")
    assert [table[name].null_count for name in ("compartment", "border_distance_um")] == [20, 20]
    assert read_cells(tmp_path / "a.parquet").placement.compartment.tolist() == [UNPLACED] * 20


def test_a_write_that_fails_leaves_the_last_version_and_no_rest(tmp_path, monkeypatch):
    cells, place, positive, raw = some_cells(5)
    path = tmp_path / "a.parquet"
    write_cells(path, cells, place, positive=positive, positive_raw=raw, tumor_cell=None)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_cells(path, *some_cells(50)[:2], positive={}, positive_raw={}, tumor_cell=None)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_other_parquet_files_are_not_ours(tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(CellTableError, match=r"lacks x_um.*not a cell table of ours"):
        read_cells(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CellTableError, match="cannot be read"):
        read_cells(tmp_path / "b.parquet")


# --- regions


def some_compartments():
    tumor = MultiPolygon(
        [Polygon(box(100, 50, 700, 350).exterior, [box(200, 100, 230, 160).exterior]), box(800, 50, 850, 90)]
    )
    tissue = MultiPolygon([box(0, 0, 1000, 400)])
    regions = dict.fromkeys(COMPARTMENTS, EMPTY) | {"core": tumor, "outside": polygonal(tissue.difference(tumor))}
    lines = MultiLineString([LineString([(100, 50), (700, 50)]), LineString([(100, 350.123456789), (700, 350)])])
    border = Border(dict.fromkeys(BORDER_TYPES, NO_LINE) | {"stroma": lines}, MultiLineString([lines.geoms[0]]))
    excluded = MultiPolygon([box(900, 300, 950, 350)])
    return Compartments(regions, excluded, tissue, tumor, border, (tissue,), 500, 500, 0.0, 0.0, 0.0, ())


def test_regions_come_back_equal_and_in_pixels(tmp_path):
    compartments = some_compartments()
    write_regions(tmp_path / "a.geojson", compartments, pixel_size=PX)
    found = read_regions(tmp_path / "a.geojson", pixel_size=PX)
    expected = {
        "Tissue": compartments.tissue, "Tumor": compartments.tumor, "Exclude": compartments.excluded,
        "core": compartments.regions["core"], "outside": compartments.regions["outside"],
        "Border stroma": compartments.border.evaluable, "Border thin_rim": compartments.border.thin_rim,
    }  # fmt: skip
    assert found.keys() == expected.keys()
    for name, region in expected.items():
        assert found[name].equals_exact(region, 1e-9), name
    raw = json.loads((tmp_path / "a.geojson").read_text())["features"]
    tissue = next(f for f in raw if f["properties"]["name"] == "Tissue")
    corner = np.max(tissue["geometry"]["coordinates"][0], axis=0)
    assert corner == pytest.approx([1000 / PX.x_um, 400 / PX.y_um])


def test_regions_are_what_qupath_opens(tmp_path):
    write_regions(tmp_path / "a.geojson", some_compartments(), pixel_size=PX)
    data = json.loads((tmp_path / "a.geojson").read_text("utf-8"))
    assert data["type"] == "FeatureCollection"
    colors = []
    for feature in data["features"]:
        assert feature["type"] == "Feature"
        assert feature["properties"]["objectType"] == "annotation"
        one = feature["properties"]["classification"]
        assert one["name"] == feature["properties"]["name"]
        assert all(0 <= value <= 255 for value in one["color"])
        colors.append(tuple(one["color"]))
        parts = feature["geometry"]
        assert not (parts["type"].startswith("Multi") and len(parts["coordinates"]) == 1)  # QuPath refuses these
    assert len(set(colors)) == len(colors)
    core = next(f for f in data["features"] if f["properties"]["name"] == "core")
    assert [len(rings) for rings in core["geometry"]["coordinates"]] == [2, 1]  # the hole is kept


def test_regions_are_annotations_of_the_same_slide(tmp_path):
    compartments = some_compartments()
    write_regions(tmp_path / "a.geojson", compartments, pixel_size=PX)
    shape = (round(400 / PX.y_um) + 1, round(1000 / PX.x_um) + 1)
    found = read_annotations([tmp_path / "a.geojson"], pixel_size=PX, image_shape=shape)
    assert found.tumor.equals_exact(compartments.tumor, 1e-9, normalize=True)
    assert found.tissue.area == pytest.approx(compartments.tissue.area)
    assert found.exclude.area == pytest.approx(compartments.excluded.area)
    assert found.ignored_classes == ("Border stroma", "Border thin_rim", "core", "outside")


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5e4), st.floats(0, 5e4)), min_size=3, max_size=12),
    st.floats(0.05, 5),
    st.floats(0.05, 5),
)
def test_any_outline_survives_the_way_to_pixels_and_back(tmp_path_factory, points, x_um, y_um):
    hull = shapely.MultiPoint(points).convex_hull
    if hull.geom_type != "Polygon" or hull.area < 1:
        return
    region = MultiPolygon([hull])
    compartments = some_compartments()
    whole = Compartments(
        dict.fromkeys(COMPARTMENTS, EMPTY), EMPTY, region, region, compartments.border, (region,), 500, 500, 0, 0, 0, ()
    )
    path = tmp_path_factory.mktemp("regions") / "a.geojson"
    write_regions(path, whole, pixel_size=PixelSize(x_um, y_um))
    found = read_regions(path, pixel_size=PixelSize(x_um, y_um))
    assert found["Tumor"].equals_exact(region, 1e-9)


def test_other_geojson_is_not_a_regions_file(tmp_path):
    (tmp_path / "a.geojson").write_text("[]")
    with pytest.raises(AnnotationError, match="not a regions file of ours"):
        read_regions(tmp_path / "a.geojson", pixel_size=PX)


# --- labels


@pytest.mark.parametrize(("highest", "dtype"), [(65_535, "uint16"), (65_536, "uint32"), (4_000_000_000, "uint32")])
def test_labels_above_65535_come_back_equal_at_every_level(tmp_path, highest, dtype):
    labels = np.random.default_rng(1).integers(0, highest, (1500, 2100), dtype=np.int64)
    labels[-1, -1] = highest
    write_labels(tmp_path / "a.ome.tif", labels, pixel_size=PX)
    with LabelImage(tmp_path / "a.ome.tif") as found:
        assert (found.shape, found.dtype) == ((1500, 2100), dtype)
        assert np.array_equal(found.read(0, 1500, 0, 2100), labels)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert (slide.pixel_size.x_um, slide.pixel_size.y_um) == (PX.x_um, PX.y_um)
        assert [level.shape for level in slide.levels] == [(1500, 2100), (750, 1050), (375, 525)]
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert np.array_equal(tif.series[0].levels[1].asarray(), labels[::2, ::2])  # no number that is no object's


@pytest.mark.parametrize(("um", "factor"), [(0.5, 1), (0.25, 2), (0.125, 4)])
def test_labels_lie_on_the_working_grid(tmp_path, um, factor):
    rows, cols = np.indices((203, 301)) // 40
    labels = (rows * 100 + cols + 1).astype(np.uint32)
    tifffile.imwrite(tmp_path / "l.tif", labels, tile=(64, 64))
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((203, 301, 3), np.uint8), photometric="rgb")
    with open_slide(tmp_path / "i.tif", pixel_size_um=um) as slide:
        grid = slide.at(0.5)
        found = labels_on_grid(open_labels(tmp_path / "l.tif", slide), slide, grid)
        assert (found.shape, found.pixel_size) == (grid.shape, grid.pixel_size)
        middle = np.ix_(*(np.arange(n) * factor + factor // 2 for n in grid.shape))
        assert np.array_equal(found.read(0, grid.shape[0], 0, grid.shape[1])[..., 0], labels[middle])
        assert np.array_equal(found.read(7, 31, 9, 50)[..., 0], labels[middle][7:31, 9:50])


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((20, 30), np.float32), "whole numbers"),
        (np.zeros((20, 30, 3), np.uint8), "colour picture"),
        (np.zeros((2, 20, 30), np.uint16), "has 2"),
        (np.zeros((21, 30), np.uint16), "image's 30 x 20 pixels, found 30 x 21"),
    ],
)
def test_images_that_are_no_labels_of_this_slide(tmp_path, image, reason):
    kind = "rgb" if image.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "l.tif", image, photometric=kind)
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with open_slide(tmp_path / "i.tif", pixel_size_um=0.5) as slide:
        with pytest.raises(CellTableError, match=reason) as refused:
            open_labels(tmp_path / "l.tif", slide)
        # while the error, and with it the frame that opened the file, still lives
        assert str(tmp_path / "l.tif") not in {file.path for file in psutil.Process().open_files()}, refused


# --- the vendor's masks


@needs_data
@pytest.mark.parametrize(("plane", "compartment", "whole"), [(1, "Nucleus", 270), (2, "Cytoplasm", 262)])
def test_the_component_field_in_the_vendors_masks_equals_the_vendors_table(plane, compartment, whole):
    """Means of every cell whose mask has the table's area: all nuclei, and the cytoplasms no other covers."""
    start = DATA / "component_field" / "FIHC4__0929309_HP_IM3_2"
    table = pd.read_csv(f"{start}_cell_seg_data.txt", sep="\t", na_values="#N/A").set_index("Cell ID")
    with LabelImage(Path(f"{start}_binary_seg_maps.tif"), plane=plane) as masks:
        labels = masks.read(0, 260, 0, 348).astype(np.intp).ravel()
    with open_slide(f"{start}_component_data.tif") as slide:
        image = slide.at(0.5).read(0, 260, 0, 348).reshape(-1, 5).astype(np.float64)
    area = np.bincount(labels, minlength=271)
    ids = np.array([i for i in table.index if area[i] > 0 and area[i] == table.loc[i, f"{compartment} Area (pixels)"]])
    assert len(ids) == whole
    for i, name in enumerate(slide.channels):
        mean = np.bincount(labels, weights=image[:, i])[ids] / area[ids]
        vendor = table.loc[ids, f"{compartment} {name} Mean (Normalized Counts, Total Weighting)"].to_numpy()
        assert np.abs(mean - vendor).max() <= 5e-4 + 1e-9  # the table has three decimals


# --- thumbnails


def draw(path, picture, compartments, points):
    write_thumbnail(path, picture, (0, 0, 1000, 400), compartments, points)
    import imagecodecs

    return imagecodecs.png_decode(path.read_bytes())


def test_thumbnail_is_the_same_twice_and_shows_what_it_should(tmp_path):
    picture = np.full((80, 200, 3), 240, np.uint8)
    points = np.random.default_rng(2).uniform((710, 200), (990, 390), (400, 2))
    full = draw(tmp_path / "a.png", picture, some_compartments(), points)
    again = draw(tmp_path / "b.png", picture, some_compartments(), points)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert np.array_equal(full, again)
    assert full.shape[:2] == (480, 1200)
    bare = draw(tmp_path / "c.png", picture, some_compartments(), np.empty((0, 2)))
    changed = (full != bare).any(axis=2)[240:468, 852:1188]  # where the cells are
    assert changed.mean() > 0.02
    red = (full[..., 0].astype(int) - full[..., 1]) > 80
    assert 0.5 < red[60:420, 118:123].any(axis=1).mean() < 0.9  # left edge of the tumour at x = 100 µm, dashed


@pytest.mark.parametrize("ground", [0, 255])
def test_the_scale_bar_is_seen_on_dark_and_on_light_slides(tmp_path, ground):
    image = draw(tmp_path / "a.png", np.full((80, 200, 3), ground, np.uint8), None, np.empty((0, 2)))[..., :3]
    bar = image[440:, 30:290]  # 200 µm from 3 % of the width on, 3 % above the lower edge
    assert (bar > 250).all(axis=2).any(axis=0)[10:240].all()
    assert (bar < 5).all(axis=2).any(axis=0)[10:240].all()


def test_a_channel_with_hardly_a_stained_cell_looks_empty():
    random = np.random.default_rng(3)
    plane = np.full((300, 300), 8, np.float32)
    plane[50:250, 50:250] = random.normal(20, 3, (200, 200))
    inside = plane[50:250, 50:250].ravel()
    low, high = shown_range(plane, inside)
    glow = 20 - 0.6745 * 3  # its lower quartile; the brightest is three times as far above it as it is above the dark
    assert (low, high) == pytest.approx((glow, glow + 3 * (glow - 8)), rel=0.01)
    inside[:400] = 150  # one hundredth is stained: that is what is bright
    low, high = shown_range(plane, inside)
    assert (150 - low) / (high - low) > 0.95


def test_thumbnail_without_image_and_without_regions(tmp_path):
    image = draw(tmp_path / "a.png", None, None, np.array([[500.0, 200.0]]))
    assert (image[..., :3] > 250).all(axis=2).mean() > 0.95
