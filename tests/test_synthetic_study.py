"""The sample study: its files hold what its truth says, and can be made again."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile
from shapely.geometry import shape

from spatial_til import synthetic as syn
from spatial_til.phantoms import biopsies, compartments, study
from spatial_til.phantoms.fields import distance_to_lines

SAMPLE = Path(__file__).parents[1] / "sample_slides"
CUT = next(b for b in biopsies.BIOPSIES if b.cut)


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return pd.read_csv(SAMPLE / "truth" / "cells.csv.gz")


@pytest.fixture(scope="module")
def areas() -> pd.DataFrame:
    table = pd.read_csv(SAMPLE / "truth" / "areas.csv")
    return table.pivot_table(index="slide_id", columns="compartment", values="area_mm2")


def test_the_study_is_small_enough_to_ship():
    sizes = [f.stat().st_size for f in SAMPLE.rglob("*") if f.is_file()]
    assert sum(sizes) < 60e6
    assert max(sizes) < 8e6


def test_every_row_names_files_that_exist_and_one_time_point_is_missing():
    rows = list(csv.DictReader((SAMPLE / "study.csv").open(encoding="utf-8")))
    assert [r["slide_id"] for r in rows] == [b.slide_id for b in biopsies.BIOPSIES]
    assert all((SAMPLE / r["image"]).is_file() and (SAMPLE / r["annotation"]).is_file() for r in rows)
    sampled = {(r["patient_id"], r["timepoint"]) for r in rows}
    assert len({p for p, _ in sampled}) * 3 - len(sampled) == 1


def test_slides_are_pyramids_with_a_pixel_size():
    for biopsy in biopsies.BIOPSIES:
        with tifffile.TiffFile(SAMPLE / "slides" / f"{biopsy.slide_id}.ome.tif") as tif:
            series = tif.series[0]
            rgb = biopsy.modality == "brightfield"
            assert series.axes == ("YXS" if rgb else "CYX")
            assert len(series.levels) == 4
            assert 'PhysicalSizeX="0.5"' in tif.ome_metadata
            names = [f'Name="{c}"' in tif.ome_metadata for c in syn.CHANNELS]
            assert all(names) is not rgb


@pytest.mark.parametrize("marker", ["CD8", "PD-L1"])
def test_densities_lie_twofold_from_every_cut_off(cells, areas, marker):
    """Cut-offs: 295 (CD8 only) and 100 per mm², and a core to margin ratio of one half."""
    positive = cells[cells[marker] == 1].groupby(["slide_id", "compartment"]).size().unstack(fill_value=0)
    core = positive["core"] / areas["core"]
    margin_area = areas["inner_margin"] + areas["outer_margin"]
    margin = (positive["inner_margin"] + positive["outer_margin"]) / margin_area
    for density in (core, margin):
        for cut in (100, 295) if marker == "CD8" else (100,):
            assert (np.abs(np.log2(density / cut)) >= 1).all(), density
    held = margin >= 200
    assert (np.abs(np.log2(core[held] / margin[held]) + 1) >= 0.9).all()


def test_truth_gives_the_stated_class(cells, areas):
    cd8 = cells[cells["CD8"] == 1].groupby(["slide_id", "compartment"]).size().unstack(fill_value=0)
    for biopsy in biopsies.BIOPSIES:
        n, area = cd8.loc[biopsy.slide_id], areas.loc[biopsy.slide_id]
        core = n["core"] / area["core"]
        margin = (n["inner_margin"] + n["outer_margin"]) / (area["inner_margin"] + area["outer_margin"])
        ratio = np.log2(core / margin)
        cold = "excluded" if margin >= 295 and ratio <= -1 else "desert" if margin < 295 else "intermediate"
        assert biopsy.phenotype == ("inflamed" if core >= 295 else cold)


def test_annotations_hold_the_areas_of_the_truth(areas):
    """Areas by counting a grid of 2 µm against the drawn polygons, corner by pixel corner."""
    for slide_id in (CUT.slide_id, "P02_baseline"):
        drawn = json.loads((SAMPLE / "annotations" / f"{slide_id}.geojson").read_text(encoding="utf-8"))
        region = {f["properties"]["classification"]["name"]: shape(f["geometry"]) for f in drawn["features"]}
        tumor = shapely.transform(region["Tumor"], lambda xy: xy * 0.5)
        grid = np.stack(np.meshgrid(np.arange(1, 2200, 2.0), np.arange(1, 2080, 2.0)), -1).reshape(-1, 2)
        inside = grid[shapely.contains_xy(tumor, grid)]
        border = tumor.boundary
        if "Tissue" in region:
            tissue = shapely.transform(region["Tissue"], lambda xy: xy * 0.5)
            border = border.intersection(tissue.buffer(-30))
        inner = (distance_to_lines(inside, border) <= 250).mean()
        whole = len(inside) * 4e-6
        assert whole * inner == pytest.approx(areas.loc[slide_id, "inner_margin"], rel=3e-3)
        assert whole * (1 - inner) == pytest.approx(areas.loc[slide_id, "core"], rel=3e-3)


def test_the_truth_can_be_made_again(cells):
    index = biopsies.BIOPSIES.index(CUT)
    scene = biopsies.lay_out(CUT, study.SEED + 10 * index)
    again = compartments.cell_table(scene, biopsies.BANDS_UM, biopsies.EDGE_TOLERANCE_UM)
    kept = cells[cells["slide_id"] == CUT.slide_id].drop(columns="slide_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, kept)


def test_cells_are_where_the_slide_shows_them(cells):
    """SOX10 is bright at tumour cells: a swap of x and y, or half a pixel more, would show."""
    with tifffile.TiffFile(SAMPLE / "slides" / "P04_baseline.ome.tif") as tif:
        sox10 = tif.series[0].asarray()[3].astype(float)
    here = cells[(cells["slide_id"] == "P04_baseline") & (cells["kind"] == "tumor")]
    cols, rows = (here[k].to_numpy() / 0.5 for k in ("x_um", "y_um"))
    level = sox10[rows.astype(int), cols.astype(int)]
    assert np.median(level) > 4 * np.median(sox10)
    assert np.mean(level > 30) > 0.9


def test_a_large_slide_is_written_tile_by_tile(tmp_path):
    path, size = tmp_path / "large.ome.tif", (2048, 4000)
    n = syn.make_large_slide(path, size, pixel_size_um=0.5, painted_blocks=1, tissue_fraction=0.5, levels=2)
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        assert [level.shape for level in series.levels] == [(2048, 4000, 3), (1024, 2000, 3)]
        image, half = series.levels[0].asarray(), series.levels[1].asarray()
    assert n > 4 * 400
    blocks = image[:, :3072].reshape(2, 1024, 3, 1024, 3).min(axis=-1).mean(axis=(1, 3))
    assert (blocks < 225).sum() in (2, 3, 4)  # four of eight hold tissue, the last two are cut
    mean = image.reshape(1024, 2, 2000, 2, 3).mean(axis=(1, 3))
    assert np.abs(mean - half).mean() < 3
