"""Three real fields, scored without any setting of a cut-off, beside the vendor's counts.

Their channels are estimated from an 8-bit picture, a third of whose cells score exactly 0: no single cut-off gives
the vendor's trained calls. Then the answer is none, with the reason; never half of all cells.
"""

from pathlib import Path

import pandas as pd
import pytest

from tests.acceptance_study import command, table
from tests.inline import stages_here  # noqa: F401

DATA = Path(__file__).parents[2] / "shared" / "data" / "lung_fields"
FIELDS = ("11472_51360", "15206_60541", "16142_55840")
PROTOCOL = """
[panel]
modality = "fluorescence"
[panel.channels]
DAPI = { marker = "nuclei" }
CD8 = { marker = "CD8" }
"PD-L1" = { marker = "PD-L1" }
[compartments]
inner_um = 25
outer_um = 25
[gates]
min_core_mm2 = 0.01
min_margin_mm2 = 0.01
min_border_um = 100
min_tiles = 2
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="the lung fields of ../shared/data are not here"),
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lung")
    (folder / "protocol.toml").write_text(PROTOCOL)
    lines = ["slide_id,patient_id,timepoint,image,annotation"]
    for field in FIELDS:
        path = DATA / f"Set4_1-6plex_{field}"
        lines.append(f"{field},P{field},baseline,{path}.ome.tif,{path}.geojson")
    (folder / "study.csv").write_text("\n".join(lines) + "\n")
    out = folder / "out"
    command("score", folder / "study.csv", "--out", out, "--protocol", folder / "protocol.toml", "--quiet", status=0)
    return out / "tables"


@pytest.fixture(scope="module")
def vendor():
    counts = pd.read_csv(DATA / "vendor_counts_by_tissue.csv")
    return counts[counts["Phenotype"] == "CD8+"].groupby("Sample Name")["Total Cells"].sum()


@pytest.mark.parametrize("field", FIELDS)
def test_a_cut_off_that_cannot_be_found_is_not_made_up(tables, vendor, field):
    rows = {(r["population"], r["compartment"]): r for r in table(tables, "density.csv") if r["slide_id"] == field}
    found, counted = rows["CD8+", "tissue"], vendor[f"Set4_1-6plex_[{field.replace('_', ',')}].im3"]
    assert int(found["n_cells"]) <= 2 * counted
    if int(found["n_cells"]) < counted / 2:
        (slide,) = (row for row in table(tables, "slide_scores.csv") if row["slide_id"] == field)
        assert "stain_unverified" in found["flags"]
        assert slide["immunophenotype"] == "not_evaluable"


@pytest.mark.parametrize("field", FIELDS)
def test_areas_are_the_vendors(tables, field):
    rows = {r["compartment"]: float(r["area_mm2"]) for r in table(tables, "density.csv") if r["slide_id"] == field}
    counts = pd.read_csv(DATA / "vendor_counts_by_tissue.csv")
    counts = counts[counts["Sample Name"] == f"Set4_1-6plex_[{field.replace('_', ',')}].im3"]
    area_px = counts.groupby("Tissue Category")["Tissue Category Area (pixels)"].first()
    assert rows["tumor"] == pytest.approx(area_px["Tumor"] * 0.25e-6, rel=0.005)
