"""Distances, counts and mixing against figures that SPIAT and inForm's tools gave for the same cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spatial_til.metrics.pointpatterns.mixing import mixing_score, normalised
from spatial_til.metrics.pointpatterns.neighbours import build_grid, count_within, nearest_um

DATA = Path(__file__).parents[1].parent / "shared" / "data"
FIELD = "Set4_1-6plex_[16142,55840]_cell_seg_data.csv.gz"


def table(*parts: str, **options) -> pd.DataFrame:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real test data not found: {path}")
    return pd.read_csv(path, **options)


def counts(xy_um: np.ndarray, source: np.ndarray, target: np.ndarray, radius_um: float) -> np.ndarray:
    """Return how many other target cells each source cell has within a radius."""
    cell = np.arange(len(xy_um))
    grid = build_grid(xy_um[target], cell[target])
    return count_within(xy_um[source], grid, np.array([radius_um]), cell[source])[:, 0]


def spiat() -> tuple[np.ndarray, np.ndarray, pd.Series]:
    cells = table("spiat", "defined_image.csv.gz")
    return cells[["Cell.X.Position", "Cell.Y.Position"]].to_numpy(), cells["Cell.Type"].to_numpy(), cells["Cell.ID"]


def test_mixing_score_of_the_defined_image():
    xy, kind, _ = spiat()
    tumor, immune = kind == "Tumour", kind == "Immune1"
    pairs, own = counts(xy, tumor, immune, 50.0).sum(), counts(xy, tumor, tumor, 50.0).sum() / 2
    assert (pairs, own) == (80, 2513)
    score = mixing_score(np.array([pairs]), np.array([own]))
    assert score[0] == pytest.approx(0.03183446, abs=5e-9)
    assert normalised(score, int(tumor.sum()), int(immune.sum()))[0] == pytest.approx(0.0385, abs=5e-5)


def test_nearest_tumor_cell_of_one_immune_cell():
    xy, kind, name = spiat()
    chosen = np.flatnonzero(name == "Cell_15")
    assert nearest_um(xy[chosen], build_grid(xy[kind == "Tumour"]))[0] == pytest.approx(17.18740, abs=5e-6)


def test_share_of_immune_cells_around_tumor_cells():
    xy, kind, _ = spiat()
    tumor = kind == "Tumour"
    around = counts(xy, tumor, np.ones(len(xy), dtype=bool), 100.0)
    share = 100 * counts(xy, tumor, kind == "Immune3", 100.0)[around > 0] / around[around > 0]
    assert share.mean() == pytest.approx(17.4571, abs=5e-5)


def test_mean_nearest_distance_of_the_simulated_image():
    cells = table("spiat", "simulated_image.csv.gz")
    xy = cells[["Cell.X.Position", "Cell.Y.Position"]].to_numpy()
    assert nearest_um(xy, build_grid(xy), np.arange(len(xy))).mean() == pytest.approx(17.0134, abs=5e-5)


def test_counts_within_of_the_lung_field_all_twelve_rows():
    cells, expected = table("lung_fields", FIELD), table("lung_fields", "count_within.csv")
    xy = cells[["Cell X Position", "Cell Y Position"]].to_numpy(float)
    phenotype, category = cells["Phenotype"].to_numpy(), cells["Tissue Category"].to_numpy()
    members = {name: phenotype == name for name in ("CK+", "CD8+", "CD68+")}
    members["CK+ PDL1+"] = members["CK+"] & (cells["Entire Cell PDL1 (Opal 520) Mean"] > 3).to_numpy()
    assert len(expected) == 12
    for row in expected.to_dict("records"):
        here = category == row["category"]
        source, target = members[row["from"]] & here, members[row["to"]] & here
        found = counts(xy, source, target, float(row["radius"]))
        assert (source.sum(), target.sum()) == (row["from_count"], row["to_count"])
        assert (found > 0).sum() == row["from_with"]
        assert found.mean() == pytest.approx(row["within_mean"], abs=5.1e-5)  # printed with four decimals


def test_counts_within_of_the_component_field():
    cells = table("component_field", "FIHC4__0929309_HP_IM3_2_cell_seg_data.txt", sep="\t")
    xy = cells[["Cell X Position", "Cell Y Position"]].to_numpy(float) * 0.5  # pixels of the vendor's 0.5 µm
    helper, cytotoxic = (cells["Phenotype"].to_numpy() == name for name in ("Helper T", "Cytotoxic T"))
    found = counts(xy, helper, cytotoxic, 40.0)
    assert (helper.sum(), cytotoxic.sum(), (found > 0).sum()) == (15, 6, 8)
    assert found.mean() == pytest.approx(23 / 15)
