"""Real fields: a vendor's counts and areas through our tiles, populations and densities."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, shape

from spatial_til.metrics.density import estimate
from spatial_til.metrics.intervals import garwood
from spatial_til.metrics.populations import select_populations, standard_populations
from spatial_til.metrics.tiles import tile_compartment, untiled_counts

DATA = Path(__file__).parents[1].parent / "shared" / "data"
SETTINGS = {"confidence": 0.95, "bootstrap": 1000, "min_tiles": 8, "seed": 0}
PX_UM = 0.5
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="real data (../shared/data) is not here")


def read_csv(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def field():
    """Positions, phenotypes and tissue categories of 6072 cells, and the vendor's tumour area in µm."""
    folder = DATA / "lung_fields"
    rows = read_csv(folder / "Set4_1-6plex_[16142,55840]_cell_seg_data.csv.gz")
    xy = np.array([(float(r["Cell X Position"]), float(r["Cell Y Position"])) for r in rows])
    phenotype = np.array([r["Phenotype"] for r in rows])
    category = np.array([r["Tissue Category"] for r in rows])
    features = json.loads((folder / "Set4_1-6plex_16142_55840.geojson").read_text())["features"]
    outline = {f["properties"]["classification"]["name"]: shape(f["geometry"]) for f in features}
    tumor = shapely.transform(outline["Tumor"], lambda xy_px: xy_px * PX_UM)
    return xy, phenotype, category, MultiPolygon(shapely.get_parts(shapely.make_valid(tumor)).tolist())


def test_density_equals_the_vendors(field):
    """Tumour: 51 CD8+ cells on 1,208,520 pixels of 0.25 µm²: 168.8 per mm²; cells near outlines may differ."""
    xy, phenotype, category, tumor = field
    inside = shapely.contains_xy(tumor, xy[:, 0], xy[:, 1])
    assert (inside == (category == "Tumor")).mean() > 0.98
    calls = {name: (phenotype == f"{name}+")[inside] for name in ("CD8", "CK", "CD68")}
    populations = select_populations(
        standard_populations(list(calls)), calls, n_cells=int(inside.sum()), tumor_cell=None
    )
    tiles, _ = tile_compartment(
        tumor,
        xy[inside],
        populations,
        slide_id="Set4_1",
        compartment="core",
        tile_um=200.0,
        min_tiles=8,
        correlated=("CD8+",),
        seed=0,
    )
    assert tiles.total_area_mm2 == pytest.approx(tumor.area / 1e6, rel=1e-9)
    assert tiles.total_area_mm2 == pytest.approx(1_208_520 * 0.25 / 1e6, rel=0.01)
    assert len(tiles.area_mm2) >= 8
    for name, vendor in (("CK+", 2192), ("CD8+", 51), ("CD68+", 101), ("all", 2560)):
        e = estimate([tiles], name, **SETTINGS)
        assert e.n_cells == populations[name].sum()
        assert e.density_per_mm2 == pytest.approx(vendor / 0.30213, rel=0.03 if vendor > 1000 else 0.12)
        assert e.ci_low < vendor / 0.30213 < e.ci_high
    assert estimate([tiles], "CD8+CK+", **SETTINGS).flags[0] == "zero_count"


def test_real_cells_are_not_poisson(field):
    """Tumour cells fill nests: the interval must be wider than the exact Poisson one."""
    xy, phenotype, _, tumor = field
    inside = shapely.contains_xy(tumor, xy[:, 0], xy[:, 1])
    tiles, _ = tile_compartment(
        tumor,
        xy[inside],
        {"CD8+": (phenotype == "CD8+")[inside]},
        slide_id="Set4_1",
        compartment="core",
        tile_um=200.0,
        min_tiles=8,
        correlated=("CD8+",),
        seed=0,
    )
    e = estimate([tiles], "CD8+", **SETTINGS)
    low, high = garwood(e.n_cells, 0.95)
    assert e.ci_high / e.ci_low > 1.2 * high / low


@pytest.mark.parametrize(
    ("core", "n", "cd8", "pdl1", "area"),
    [("TMA1_[3,B]", 3803, 7, 1, 0.90322), ("TMA2_[3,B]", 3008, 12, 0, 0.89008)],
)
def test_halo_cores_known_by_area_alone(core, n, cd8, pdl1, area):
    rows = read_csv(DATA / "halo_tables" / f"example_spatial_{core}.tif.csv.gz")
    calls = {
        "CD8": np.array([r["CD8..Opal.520..Positive"] == "1" for r in rows]),
        "PD-L1": np.array([r["PDL1..Opal.540..Positive"] == "1" for r in rows]),
    }
    populations = select_populations(standard_populations(list(calls)), calls, n_cells=len(rows), tumor_cell=None)
    counts = untiled_counts(populations, slide_id=core, compartment="outside", area_mm2=area)
    for name, expected in (("all", n), ("CD8+", cd8), ("PD-L1+", pdl1)):
        e = estimate([counts], name, **SETTINGS)
        assert e.n_cells == expected
        assert e.density_per_mm2 == pytest.approx(expected / area)
        np.testing.assert_allclose((e.ci_low * area, e.ci_high * area), garwood(expected, 0.95))
        assert e.sigma_ln is None
        assert "few_tiles" in e.flags
