"""A study of cell tables with known positions: every number of the tables against one's own count."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from spatial_til.phantoms.files import SlideFormat, write_slide
from tests.acceptance_study import (
    PIXEL_UM,
    TISSUE,
    TUMOR,
    command,
    protocol,
    scatter,
    table,
    write_qupath,
    write_regions,
    write_sheet,
)
from tests.inline import stages_here  # noqa: F401

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "halo_tables"
RING = TUMOR.buffer(100, quad_segs=512).difference(TUMOR)
CORE = shapely.Point(500, 450).buffer(250, quad_segs=512)
HOLE = shapely.Point(500, 450).buffer(120, quad_segs=512)
SCALE = 2.0
TUMOR_MARKER = ('Opal570 = { marker = "CD8" }', 'Opal570 = { marker = "CD8" }\nOpal520 = { marker = "tumor" }')


def _turned(xy: np.ndarray) -> np.ndarray:
    return np.column_stack((1000 - xy[:, 1], xy[:, 0]))


def _protocols(folder: Path) -> None:
    protocol(folder, "protocol.toml")
    protocol(folder, "border.toml", ("outer_um = 100", 'outer_um = 100\nholes = "border"'))
    protocol(folder, "adaptive.toml", ("_um = 100", "_um = 300"), ("[gates]", "adaptive = true\n[gates]"))
    protocol(
        folder,
        "scaled.toml",
        ("er_um = 100", "er_um = 200"),
        ("outer_um = 200", "outer_um = 200\nedge_tolerance_um = 60"),
        ("tile_um = 100", "tile_um = 200"),
    )
    protocol(folder, "tumor.toml", TUMOR_MARKER, ("CD8 = ", 'tumor = "Classification=CK"\nCD8 = '))
    signal = '[markers."%s"]\ncompartment = "cell"\nstatistic = "mean"\nthreshold = 50\n'
    protocol(
        folder,
        "fixed.toml",
        ("[cells.positive]", signal % "CD8" + signal % "PD-L1" + "[cells.positive]"),
        ('CD8 = "Classification=CD8"\n"PD-L1" = "Classification=PD-L1"\n', ""),
    )
    pd_l1 = '"PD-L1" = "Classification=PD-L1"'
    protocol(
        folder,
        "reversed.toml",
        ('CD8 = "Classification=CD8"\n', ""),
        (pd_l1, f'{pd_l1}\nCD8 = "Classification=CD8"'),
        ('marker = "CD8"', 'marker = "other"'),
        ('marker = "PD-L1"', 'marker = "CD8"'),
        ('marker = "other"', 'marker = "PD-L1"'),
    )
    (folder / "frozen").mkdir()
    (folder / "frozen" / "thresholds.csv").write_text("batch,marker,threshold\nearlier,CD8,8\n")
    frozen = signal.replace("threshold = 50", 'thresholds_from = "thresholds.csv"') % "CD8"
    protocol(
        folder,
        "frozen/protocol.toml",
        ("[cells.positive]", frozen + "[cells.positive]"),
        ('CD8 = "Classification=CD8"\n"PD-L1" = "Classification=PD-L1"\n', ""),
        ('Opal690 = { marker = "PD-L1" }\n', ""),
    )
    protocol(folder, "signal.toml", ('CD8 = "Classification=CD8"\n"PD-L1" = "Classification=PD-L1"\n', ""))
    protocol(folder, "halo.toml", ('CD8 = "Classification=CD8"\n"PD-L1" = "Classification=PD-L1"\n', ""))


def _cells(folder: Path) -> None:
    parts = [(CORE, 60), (TUMOR.difference(CORE), 700), (RING, 1200), (TISSUE.difference(TUMOR).difference(RING), 100)]
    cd8 = np.vstack([scatter(region, density, seed) for seed, (region, density) in enumerate(parts)])
    others, off = scatter(TISSUE, 1000, 10), np.array([[1300.0, 500.0], [-5.0, 20.0]])
    xy = np.vstack([cd8, others, off])
    classes = ["CD8"] * len(cd8) + ["PD-L1"] * 200 + [""] * (len(xy) - len(cd8) - 200)
    write_qupath(folder / "cells.csv", xy, classes)
    write_qupath(folder / "turned.csv", _turned(xy), classes)
    write_qupath(folder / "scaled.csv", xy * SCALE, classes)
    kinds = np.where(np.arange(len(xy)) % 3 == 0, "CK", classes)
    write_qupath(folder / "tumor.csv", xy, np.where(np.arange(len(xy)) % 7 == 0, "CD8: PD-L1", kinds))
    write_qupath(folder / "empty.csv", xy[:0], [])
    write_qupath(folder / "zero.csv", xy, ["PD-L1" if name == "CD8" else "" for name in classes])
    negative = np.random.default_rng(1).lognormal(2, 0.4, len(xy))
    centroids = {"X_centroid": xy[:, 0] / PIXEL_UM - 0.5, "Y_centroid": xy[:, 1] / PIXEL_UM - 0.5}
    pd.DataFrame({**centroids, "CD8": negative.clip(max=49), "PDL1": negative * 10}).to_csv(folder / "mcmicro.csv")


def _regions(folder: Path) -> None:
    write_regions(folder / "a.geojson", Tissue=TISSUE, Tumor=TUMOR)
    write_regions(folder / "turned.geojson", _turned, Tissue=TISSUE, Tumor=TUMOR)
    write_regions(folder / "scaled.geojson", lambda xy: xy * SCALE, Tissue=TISSUE, Tumor=TUMOR)
    write_regions(folder / "hole.geojson", Tissue=TISSUE, Tumor=TUMOR.difference(HOLE))
    write_regions(folder / "excluded.geojson", Tissue=TISSUE, Tumor=TUMOR, Necrosis=shapely.box(500, 0, 1200, 1000))
    write_regions(folder / "off.geojson", Tissue=TISSUE, Tumor=shapely.box(5000, 0, 5500, 500))
    write_regions(folder / "far.geojson", lambda xy: xy + 9000, Tissue=TISSUE, Tumor=TUMOR)
    write_regions(folder / "tissue.geojson", Tissue=TISSUE)
    write_regions(folder / "small.geojson", Tissue=TISSUE, Tumor=shapely.Point(500, 450).buffer(200))


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acceptance")
    for write in (_protocols, _cells, _regions):
        write(folder)
    rows: list[dict[str, object]] = []

    def add(slide_id: str, cells: str = "cells.csv", annotation: str = "a.geojson", **more: object) -> None:
        usual = {"patient_id": slide_id, "timepoint": "baseline", "image": "", "lesion": "L", "pixel_size_um": PIXEL_UM}
        rows.append({"slide_id": slide_id, **usual, "cells": cells, "annotation": annotation, **more})

    add("disk", genotype="BRAF", age=61)
    add("turned", "turned.csv", "turned.geojson")
    add("scaled", "scaled.csv", "scaled.geojson", protocol="scaled.toml")
    add("excluded", annotation="excluded.geojson")
    add("hole", annotation="hole.geojson")
    add("hole_border", annotation="hole.geojson", protocol="border.toml", patient_id="hole", timepoint="progression")
    add("tissue", annotation="tissue.geojson")
    add("off", annotation="off.geojson")
    add("far", annotation="far.geojson")
    add("no_areas", "tumor.csv", protocol="tumor.toml")
    add("failed_stain", "mcmicro.csv", protocol="fixed.toml", batch="b")
    add("no_signal", "mcmicro.csv", protocol="signal.toml")
    add("empty", "empty.csv")
    add("zero", "zero.csv")
    add("frozen", "mcmicro.csv", protocol="frozen/protocol.toml", batch="later")
    add("reversed", protocol="reversed.toml")
    add("large", protocol="adaptive.toml", patient_id="adaptive")
    add("small", annotation="small.geojson", protocol="adaptive.toml", patient_id="adaptive", timepoint="progression")
    for core, area in (("TMA1_[3,B]", 0.90322), ("TMA2_[3,B]", 0.89008)) if DATA.exists() else ():
        path = DATA / f"example_spatial_{core}.tif.csv.gz"
        add(core[:4], str(path), "", protocol="halo.toml", tissue_area_mm2=area)
    write_sheet(folder / "study.csv", rows)
    command("score", folder / "study.csv", "--out", folder / "out", "--workers", 1, "--quiet", status=1)
    return folder / "out"


@pytest.fixture(scope="module")
def density(scored: Path) -> Callable[[str, str, str], dict[str, str]]:
    rows = {(r["slide_id"], r["compartment"], r["population"]): r for r in table(scored, "tables/density.csv")}
    return lambda *key: rows[key]


@pytest.fixture(scope="module")
def slides(scored: Path) -> dict[str, dict[str, str]]:
    return {row["slide_id"]: row for row in table(scored, "tables/slide_scores.csv")}


def test_only_the_unusable_slides_fail_and_each_says_why(scored):
    failed = {row["slide_id"]: row["message"] for row in table(scored, "errors.csv")}
    assert set(failed) == {"off", "far", "no_signal", "empty"}
    assert "tumor annotation must cover tissue" in failed["off"]
    assert "cells must lie on the tissue" in failed["far"]
    assert "not called for CD8" in failed["no_signal"]
    assert "found: CD8_cell_mean" in failed["no_signal"]
    assert "not one cell was found" in failed["empty"]  # and is no desert


def test_areas_of_the_disk_are_its_closed_forms(density):
    expected = {
        "core": math.pi * 0.25**2,
        "inner_margin": math.pi * (0.35**2 - 0.25**2),
        "outer_margin": math.pi * (0.45**2 - 0.35**2),
        "tissue": 1.2,
    }
    for compartment, area in expected.items():
        assert float(density("disk", compartment, "all")["area_mm2"]) == pytest.approx(area, rel=5e-4)


def test_counts_are_those_of_the_distances_to_the_centre(scored, density):
    cells = pd.read_parquet(scored / "cells" / "disk.parquet")
    radius = np.hypot(cells["x_um"] - 500, cells["y_um"] - 450)
    tissue = cells["x_um"].between(0, 1200) & cells["y_um"].between(0, 1000)
    masks = {
        "core": radius < 250,
        "inner_margin": (radius >= 250) & (radius <= 350),
        "outer_margin": (radius > 350) & (radius <= 450) & tissue,
        "outside": (radius > 450) & tissue,
    }
    clear = ~np.isclose(radius, 250, atol=0.1) & ~np.isclose(radius, 350, atol=0.1) & ~np.isclose(radius, 450, atol=0.1)
    for compartment, mask in masks.items():
        assert ((cells["compartment"] == compartment) == mask)[clear].all()
        for population, members in (("all", mask | True), ("CD8+", cells["CD8_positive"])):
            row = density("disk", compartment, population)
            n = int(((cells["compartment"] == compartment) & members).sum())
            assert int(row["n_cells"]) == n
            assert float(row["density_per_mm2"]) == pytest.approx(n / float(row["area_mm2"]), rel=1e-9)
    assert (cells["compartment"] == "excluded").sum() == 2  # off the tissue: they keep their row and enter nothing
    assert int(density("disk", "tissue", "all")["n_cells"]) == len(cells) - 2


def test_aggregates_are_sums_of_their_compartments(density):
    parts = {
        "margin": ("inner_margin", "outer_margin"),
        "tumor": ("core", "inner_margin", "tumor_unresolved"),
        "tissue": ("core", "inner_margin", "outer_margin", "outside", "tumor_unresolved"),
    }
    for slide in ("disk", "excluded", "hole", "hole_border", "tissue"):
        for aggregate, of in parts.items():
            for population in ("all", "CD8+", "PD-L1+", "CD8+PD-L1+"):
                for column in ("n_cells", "area_mm2"):
                    total = sum(float(density(slide, part, population)[column]) for part in of)
                    assert float(density(slide, aggregate, population)[column]) == pytest.approx(total, rel=1e-9)


def test_nothing_depends_on_where_north_is(scored):
    rows = table(scored, "tables/density.csv")
    same = ("compartment", "population", "n_cells")
    upright, turned = ([r for r in rows if r["slide_id"] == slide] for slide in ("disk", "turned"))
    assert len(upright) == len(turned)
    for one, other in zip(upright, turned, strict=True):
        assert [one[name] for name in same] == [other[name] for name in same]
        assert float(one["area_mm2"]) == pytest.approx(float(other["area_mm2"]), rel=1e-9)


def test_all_lengths_doubled_quarters_the_densities(density, slides):
    for compartment in ("core", "inner_margin", "outer_margin", "outside", "tissue"):
        for population in ("all", "CD8+"):
            one, other = density("disk", compartment, population), density("scaled", compartment, population)
            assert one["n_cells"] == other["n_cells"]
            ratio = float(one["density_per_mm2"]) / float(other["density_per_mm2"])
            assert ratio == pytest.approx(SCALE**2, rel=1e-6)
    for name in ("log2_core_margin_cd8", "pdi_cd8", "border_evaluable_fraction"):
        assert float(slides["disk"][name]) == pytest.approx(float(slides["scaled"][name]), abs=1e-4)


def test_exclusions_enter_nothing(scored, density):
    cells = pd.read_parquet(scored / "cells" / "excluded.parquet")
    assert (cells["compartment"][cells["x_um"] > 500] == "excluded").all()
    half = math.pi * 0.35**2 / 2
    assert float(density("excluded", "tumor", "all")["area_mm2"]) == pytest.approx(half, rel=5e-4)
    assert int(density("excluded", "tissue", "all")["n_cells"]) == int((cells["compartment"] != "excluded").sum())


def test_pairs_go_by_one_name_whatever_the_order_of_the_panel(density):
    for population in ("CD8+", "PD-L1+", "CD8+PD-L1+"):
        assert density("reversed", "core", population)["n_cells"] == density("disk", "core", population)["n_cells"]


def test_holes_by_both_definitions(density):
    ignored = math.pi * (0.25**2 - 0.12**2)
    border = math.pi * (0.25**2 - 0.22**2)
    assert float(density("hole", "core", "all")["area_mm2"]) == pytest.approx(ignored, rel=1e-3)
    assert float(density("hole_border", "core", "all")["area_mm2"]) == pytest.approx(border, rel=5e-3)


def test_time_points_with_other_definitions_of_holes_are_not_compared(scored):
    rows = table(scored, "tables/longitudinal.csv")
    (row,) = (r for r in rows if r["patient_id"] == "hole" and r["transition"] == "baseline->progression")
    assert row["call"] == "indeterminate"
    assert "holes differs (ignore against border)" in row["reason"]
    assert "not_comparable" in row["flags"]


def test_tissue_without_tumour_has_densities_of_tissue_only(density, slides):
    assert float(density("tissue", "tissue", "CD8+")["density_per_mm2"]) > 0
    for compartment in ("core", "inner_margin", "outer_margin", "margin", "tumor"):
        assert not density("tissue", compartment, "CD8+")["density_per_mm2"]  # no area: empty, never 0
    assert slides["tissue"]["immunophenotype"] == "not_evaluable"
    assert "no_tumor_region" in slides["tissue"]["flags"]


def test_cells_without_areas_have_no_ic(slides):
    row = slides["no_areas"]
    assert row["tps_percent"]
    assert row["cps"]
    assert not row["ic_percent"]
    assert not row["ic_numerator_mm2"]


def test_a_fixed_cut_that_no_cell_of_the_batch_reaches_makes_no_desert(scored, slides):
    row = slides["failed_stain"]
    assert float(row["cd8_core_per_mm2"]) == 0
    assert row["immunophenotype"] == "not_evaluable"
    assert "stain_unverified" in row["flags"]
    (cut,) = (r for r in table(scored, "tables/thresholds.csv") if r["batch"] == "b" and r["marker"] == "CD8")
    assert (cut["n_positive"], cut["evaluable"]) == ("0", "false")


def test_no_cd8_cell_at_all_is_a_desert_without_a_ratio(density, slides):
    row = slides["zero"]
    assert (row["immunophenotype"], row["n_cd8"]) == ("desert", "0")
    assert "zero_count" in row["flags"]
    assert not row["log2_core_margin_cd8"]
    assert "log2" not in row["immunophenotype_reason"]
    core = density("zero", "core", "CD8+")
    area = float(core["area_mm2"])
    assert (float(core["density_per_mm2"]), float(core["ci_low"])) == (0, 0)
    assert float(core["ci_high"]) == pytest.approx(-math.log(0.025) / area, rel=1e-6)  # exact Poisson


def test_a_frozen_cut_is_found_beside_its_protocol(scored, slides):
    (cut,) = (r for r in table(scored, "tables/thresholds.csv") if (r["batch"], r["marker"]) == ("later", "CD8"))
    assert (cut["threshold"], cut["method"]) == ("8", "frozen")
    signal = pd.read_csv(scored.parent / "mcmicro.csv")
    x_um, y_um = ((signal[name] + 0.5) * PIXEL_UM for name in ("X_centroid", "Y_centroid"))
    on_tissue = x_um.between(0, 1200) & y_um.between(0, 1000)
    assert int(slides["frozen"]["n_cd8"]) == int((on_tissue & (signal["CD8"] >= 8)).sum())


def test_adaptive_widths_are_one_for_a_lesion(slides):
    widths = {float(slides[name]["inner_um"]) for name in ("large", "small")}
    assert len(widths) == 1
    assert widths.pop() == pytest.approx(100, rel=0.01)  # half of the radius of the smaller tumour
    assert all("adaptive_width" in slides[name]["flags"] for name in ("large", "small"))


def test_the_sensitivity_at_the_protocols_own_values_is_the_call(scored, slides):
    rows = [r for r in table(scored, "tables/sensitivity.csv") if r["slide_id"] in {"disk", "excluded", "hole"}]
    own = [
        r for r in rows if (r["parameter"], float(r["value"])) in {("hot_cd8_per_mm2", 295), ("margin_width_um", 100)}
    ]
    assert len(own) == 6
    for row in own:
        assert row["immunophenotype"] == slides[row["slide_id"]]["immunophenotype"]
        assert row["immunophenotype_point"] == slides[row["slide_id"]]["immunophenotype_point"]


def test_bands_of_depth_hold_the_cells_of_their_distances(scored):
    cells = pd.read_parquet(scored / "cells" / "disk.parquet")
    rows = [
        r for r in table(scored, "tables/depth_profile.csv") if r["slide_id"] == "disk" and r["population"] == "CD8+"
    ]
    distance = cells["border_distance_um"][cells["CD8_positive"] & (cells["compartment"] != "excluded")]
    for row in rows:
        low, high = float(row["from_um"]), float(row["to_um"])
        assert int(row["n_cells"]) == pytest.approx(((distance > low) & (distance <= high)).sum(), abs=1)
    inner = sum(float(r["area_mm2"]) for r in rows if float(r["to_um"]) <= 0)
    assert inner == pytest.approx(math.pi * 0.35**2, rel=1e-3)


def test_columns_of_the_sheet_are_carried_through(slides):
    assert (slides["disk"]["genotype"], slides["disk"]["age"]) == ("BRAF", "61")
    assert (slides["turned"]["genotype"], slides["turned"]["age"]) == ("", "")


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not there")
def test_halo_counts_and_densities_are_the_vendors(density, slides):
    for slide, n_cells, n_cd8, n_pdl1, area in (("TMA1", 3803, 7, 1, 0.90322), ("TMA2", 3008, 12, 0, 0.89008)):
        for population, n in (("all", n_cells), ("CD8+", n_cd8), ("PD-L1+", n_pdl1)):
            row = density(slide, "tissue", population)
            assert int(row["n_cells"]) == n
            assert float(row["density_per_mm2"]) == pytest.approx(n / area, rel=1e-9)
        assert not density(slide, "tumor", "CD8+")["density_per_mm2"]  # the vendor's label has no area
        assert slides[slide]["immunophenotype"] == "not_evaluable"


def test_a_sheet_may_not_name_a_column_that_is_computed(tmp_path, capsys):
    protocol(tmp_path, "protocol.toml")
    write_qupath(tmp_path / "cells.csv", np.ones((3, 2)), ["CD8", "", "PD-L1"])
    row = {"slide_id": "s", "patient_id": "p", "timepoint": "baseline", "image": "", "cells": "cells.csv"}
    write_sheet(tmp_path / "study.csv", [row | {"flags": "mine", "n_cd8": 3}])
    command("check", tmp_path / "study.csv", status=2)
    assert "column flags, n_cd8 is one that slide_scores.csv computes" in capsys.readouterr().err


def test_check_reads_cell_tables_and_populations(tmp_path, capsys):
    protocol(tmp_path, "protocol.toml")
    protocol(tmp_path, "signal.toml", ('Opal690 = { marker = "PD-L1" }', ""), ("Classification=CD8", "Nothing"))
    (tmp_path / "words.csv").write_text("a,b\n1,2\n")
    usual = {"patient_id": "p", "timepoint": "baseline", "image": ""}
    rows = [usual | {"slide_id": "unknown", "cells": "words.csv"}, usual | {"slide_id": "none", "cells": "none.csv"}]
    (tmp_path / "none.csv").write_text("X_centroid,Y_centroid,Other\n1,2,3\n")
    write_sheet(tmp_path / "study.csv", rows)
    command("check", tmp_path / "study.csv", status=2)
    told = capsys.readouterr().err
    assert "unknown: " in told
    assert "none: " in told
    text = (tmp_path / "protocol.toml").read_text() + '[populations]\nx = "CD9+ & CD8 +"\n'
    (tmp_path / "protocol.toml").write_text(text)
    command("check", tmp_path / "study.csv", status=2)
    assert "populations.x: CD9+ is no term of this panel" in capsys.readouterr().err
    (tmp_path / "protocol.toml").write_text(text.replace("x =", '"CD8+" =').replace("CD9+ & CD8 +", "CD8-"))
    command("check", tmp_path / "study.csv", status=2)
    assert "populations.CD8+: CD8+ is always reported" in capsys.readouterr().err


@pytest.fixture(scope="module")
def beside_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells in pixels of 0.5 µm: beside their image, without it, beside one that is too small, and without regions."""
    folder = tmp_path_factory.mktemp("beside")
    protocol(folder, "protocol.toml")
    _cells(folder)
    _regions(folder)
    for name, size in (("whole", (2000, 2400)), ("crop", (600, 800))):
        write_slide(folder / f"{name}.tif", np.full((*size, 3), 240, np.uint8), SlideFormat(PIXEL_UM), levels=1)
    microns = pd.read_csv(folder / "cells.csv")
    pixels = microns.rename(columns={f"Centroid {a} µm": f"Centroid {a} px" for a in "XY"})
    pixels[["Centroid X px", "Centroid Y px"]] /= PIXEL_UM
    pixels.to_csv(folder / "pixels.csv", index=False)
    usual = {"patient_id": "p", "timepoint": "baseline", "cells": "pixels.csv", "annotation": "a.geojson"}
    rows = [
        usual | {"slide_id": "image", "image": "whole.tif"},
        usual | {"slide_id": "sheet", "image": "", "pixel_size_um": PIXEL_UM},
        usual | {"slide_id": "crop", "image": "crop.tif"},
        usual | {"slide_id": "nothing", "image": "", "annotation": ""},
        usual | {"slide_id": "bare", "image": "", "annotation": "", "cells": "cells.csv"},
    ]
    write_sheet(folder / "study.csv", rows)
    command("score", folder / "study.csv", "--out", folder / "out", "--workers", 1, "--quiet", status=1)
    return folder


def test_cells_in_pixels_take_the_pixel_size_of_their_image(beside_images):
    out = beside_images / "out"
    names = ("compartment", "population", "n_cells", "area_mm2", "density_per_mm2")  # intervals are drawn by slide_id
    rows: dict[str, list[list[str]]] = {"image": [], "sheet": []}
    for row in table(out, "tables/density.csv"):
        rows.setdefault(row["slide_id"], []).append([row[name] for name in names])
    assert rows["image"] == rows["sheet"] != []
    failed = {row["slide_id"]: row["message"] for row in table(out, "errors.csv")}
    assert set(failed) == {"crop", "nothing"}
    assert "of the cells lie outside the image" in failed["crop"]
    assert "are in pixels" in failed["nothing"]


def test_cells_without_regions_are_stored_with_their_calls(beside_images):
    out = beside_images / "out"
    stored = pd.read_parquet(out / "cells" / "bare.parquet")
    placed = pd.read_parquet(out / "cells" / "sheet.parquet")
    assert stored["compartment"].isna().all()
    assert stored["border_distance_um"].isna().all()
    assert placed["compartment"].notna().all()
    for name in ("CD8_positive", "PD-L1_positive", "CD8_positive_raw"):
        assert stored[name].tolist() == placed[name].tolist()
    (out / "cells" / "bare.parquet").unlink()
    command("score", beside_images / "study.csv", "--out", out, "--workers", 1, "--quiet", status=1)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "cells" / "bare.parquet"), stored)


def test_cells_without_regions_are_exported_where_no_place_is_needed(beside_images, tmp_path):
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    out = beside_images / "out"
    command("export", out, "--format", "anndata", "--out", tmp_path / "a", status=0)
    cells = anndata.read_h5ad(tmp_path / "a" / "cells.h5ad").obs
    assert set(cells["slide_id"]) == {"image", "sheet", "bare"}
    assert set(cells.loc[cells["slide_id"] == "bare", "compartment"]) == {""}
    command("export", out, "--format", "qupath", "--out", tmp_path / "q", status=0)
    assert sorted(path.stem for path in (tmp_path / "q").iterdir()) == ["image", "sheet"]
