"""Real data of others, where the folder beside the checkout has them: nothing of it is copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import real_fields as real
from benchmarks.accuracy import outline, overlap_f1
from benchmarks.matching import score
from benchmarks.validation.page import Bar, Run, Section, panels, table
from spatial_til.metrics.pointpatterns.mixing import mixing_score, normalised
from spatial_til.metrics.pointpatterns.neighbours import build_grid, count_within, nearest_um

CODE = (
    "spatial_til/segmentation",
    "benchmarks/accuracy.py",
    "benchmarks/matching.py",
    "benchmarks/real_fields.py",
    "benchmarks/validation/real_data.py",
)
SOURCES = (
    ("lung fields", "akoyabio/phenoptrExamples, phenoptr, phenoptrReports", "zlib",
     "three fields, 19,111 nuclei of the vendor; channels estimated from an 8-bit composite"),
    ("component field", "akoyabio/phenoptr", "zlib", "one field of five channels, 270 nuclei of the vendor"),
    ("whole cells", "nadeemlab/ImPartial", "Apache-2.0 with Commons Clause", "one field, 259 cells drawn by hand"),
    ("H-DAB", "nadeemlab/DeepLIIF", "Apache-2.0 with Commons Clause", "Bladder1, Lung1: nuclei of their last panel"),
    ("SPIAT images", "TrigosTeam/SPIAT", "Artistic-2.0", "two simulated images with published scores"),
    ("HALO tables", "FridleyLab/spatialTIME", "MIT", "two object tables with the vendor's counts"),
)  # fmt: skip
INTRODUCTION = """One configuration for all fields, none tuned to a field, but **in sample**: shares and sizes of the
method were chosen while these fields were looked at. The pictures stay where they are; only figures are told here. The
H-DAB
pictures have no stated pixel size and are taken as 0.25 µm. On the lung fields CD8+ cut-offs cannot be found (8-bit
composite), and the vendor's trained calls are not a cut-off: see docs/segmentation.md."""


def nuclei() -> list[dict[str, Any]]:
    """Return the F1 of nuclei or cells on every real field, with what is asked of it."""
    rows = []

    def add(name: str, measure: str, f1: float, wanted: float | None) -> None:
        rows.append({"field": name, "measure": measure, "f1": float(f1), "wanted": wanted})

    component, whole = real.component_field(), real.whole_cells()
    add("component field", "nuclei, IoU 0.5", overlap_f1(outline(component)[0], component.truth), 0.65)
    add("whole cells, growth blind", "cells, IoU 0.5", overlap_f1(outline(whole)[1], whole.truth), None)
    guided = replace(whole, settings=replace(whole.settings, cytoplasm_markers=("cytoplasm",)))
    add("whole cells, along their cytoplasm", "cells, IoU 0.5", overlap_f1(outline(guided)[1], whole.truth), 0.60)
    for name, within, wanted, fields in (
        ("lung", 3.0, 0.75, [real.lung_field(n) for n in real.LUNG]),
        ("H-DAB", 4.0, 0.85, [real.six_panels(n) for n in ("Bladder1", "Lung1")]),
    ):
        each = [score(outline(field)[2], field.truth_xy_um, within).f1 for field in fields]
        for field, f1 in zip(fields, each, strict=True):
            add(field.name, f"nuclei within {within:g} µm", f1, wanted if name == "H-DAB" else None)
        if name == "lung":
            add("lung, mean of the three", f"nuclei within {within:g} µm", float(np.mean(each)), wanted)
    return rows


def figures() -> Iterator[tuple[str, float, float, float]]:
    """Yield published figures: what, theirs, ours, how far apart they may lie (half a unit of what was printed)."""
    cells = pd.read_csv(real.DATA / "spiat" / "defined_image.csv.gz")
    xy, kind = cells[["Cell.X.Position", "Cell.Y.Position"]].to_numpy(), cells["Cell.Type"].to_numpy()
    tumor, immune = kind == "Tumour", kind == "Immune1"
    pairs, own = counts(xy, tumor, immune, 50.0).sum(), counts(xy, tumor, tumor, 50.0).sum() / 2
    mixed = mixing_score(np.array([pairs]), np.array([own]))
    yield "SPIAT, mixing score at 50", 0.03183446, float(mixed[0]), 5e-9
    yield "SPIAT, normalised", 0.0385, float(normalised(mixed, int(tumor.sum()), int(immune.sum()))[0]), 5e-5
    one = np.flatnonzero(cells["Cell.ID"].to_numpy() == "Cell_15")
    yield (
        "SPIAT, one immune cell to the nearest tumour cell",
        17.18740,
        float(nearest_um(xy[one], build_grid(xy[tumor]))[0]),
        5e-6,
    )
    simulated = pd.read_csv(real.DATA / "spiat" / "simulated_image.csv.gz")[
        ["Cell.X.Position", "Cell.Y.Position"]
    ].to_numpy()
    yield (
        "SPIAT, mean nearest neighbour",
        17.0134,
        float(nearest_um(simulated, build_grid(simulated), np.arange(len(simulated))).mean()),
        5e-5,
    )
    yield from _lung_figures()
    for core, area, truth in (("TMA1_[3,B]", 0.90322, (3803, 7, 1)), ("TMA2_[3,B]", 0.89008, (3008, 12, 0))):
        rows = pd.read_csv(real.DATA / "halo_tables" / f"example_spatial_{core}.tif.csv.gz")
        found = (len(rows), int(rows["CD8..Opal.520..Positive"].sum()), int(rows["PDL1..Opal.540..Positive"].sum()))
        for name, theirs, ours in zip(("all cells", "CD8+", "PD-L1+"), truth, found, strict=True):
            yield f"HALO {core}, {name} per mm²", theirs / area, ours / area, 1e-9


def _lung_figures() -> Iterator[tuple[str, float, float, float]]:
    folder = real.DATA / "lung_fields"
    cells = pd.read_csv(folder / "Set4_1-6plex_[16142,55840]_cell_seg_data.csv.gz")
    xy = cells[["Cell X Position", "Cell Y Position"]].to_numpy(float)
    phenotype, category = cells["Phenotype"].to_numpy(), cells["Tissue Category"].to_numpy()
    members = {name: phenotype == name for name in ("CK+", "CD8+", "CD68+")}
    members["CK+ PDL1+"] = members["CK+"] & (cells["Entire Cell PDL1 (Opal 520) Mean"] > 3).to_numpy()
    for row in pd.read_csv(folder / "count_within.csv").to_dict("records"):
        here = category == row["category"]
        found = counts(xy, members[row["from"]] & here, members[row["to"]] & here, float(row["radius"]))
        yield (
            f"inForm, {row['to']} within {row['radius']} µm of {row['from']}, {row['category']}",
            row["within_mean"],
            float(found.mean()),
            5.1e-5,
        )


def counts(xy: np.ndarray, source: np.ndarray, target: np.ndarray, radius: float) -> np.ndarray:
    """Return how many other target cells each source cell has within a radius."""
    cell = np.arange(len(xy))
    return count_within(xy[source], build_grid(xy[target], cell[target]), np.array([radius]), cell[source])[:, 0]


MISSING = "Not here: the folder with real data is missing beside the checkout."


def published(_: Run) -> Section:
    """Return the section of figures that others gave for the same cells."""
    if not real.DATA.exists():
        return Section("Published figures", MISSING, limits=("Published figures: real data were not there.",))
    found = list(figures())
    agree = sum(bool(abs(ours - theirs) <= allowed) for _, theirs, ours, allowed in found)
    rows = [(what, f"{theirs:.8g}", f"{ours:.8g}") for what, theirs, ours, _ in found]
    what = "Published figures from the same cells (SPIAT, inForm, HALO)"
    bar = Bar(what, f"all {len(found)}", str(agree), agree == len(found))
    text = "Figures that other programs gave for cells of their own, from those cells. Sources and licences:\n\n"
    sources = table(("data", "source", "licence", "what"), SOURCES)
    return Section("Published figures", f"{text}{sources}\n\n{table(('figure', 'theirs', 'ours'), rows)}", (bar,))


def fields(run: Run) -> Section:
    """Return the section of nuclei and cells on real fields."""
    if not real.DATA.exists() or run.quick:
        reason = MISSING if not run.quick else "Left out by `--quick`."
        return Section("Real fields", reason, limits=(f"Real fields: {reason}",))
    rows = run.kept("real", nuclei, of=CODE)
    figure, (ax,) = panels(1, 6.0, 2.6)
    ax.barh([r["field"] for r in rows][::-1], [r["f1"] for r in rows][::-1], color="tab:blue", height=0.6)
    for k, r in enumerate(rows[::-1]):
        if r["wanted"]:
            ax.plot([r["wanted"]] * 2, [k - 0.4, k + 0.4], "k-")
    ax.set(xlabel="F1 (black: asked for)", xlim=(0, 1))
    picture = run.save("real_fields", figure, "F1 on real fields and what was asked for; figures in the table")
    shown = [(r["field"], r["measure"], f"{r['f1']:.3f}", r["wanted"] or "") for r in rows]
    bars = [
        Bar(f"{r['field']}: {r['measure']}, F1", f"≥ {r['wanted']:g}", f"{r['f1']:.3f}", r["f1"] >= r["wanted"])
        for r in rows
        if r["wanted"]
    ]
    few = "Real fields are few, small, and were looked at while the method was made; none has drawn CD8+ cells."
    text = f"{INTRODUCTION}\n\n{picture}\n\n{table(('field', 'measure', 'F1', 'wanted'), shown)}"
    return Section("Real fields", text, tuple(bars), (few,))
