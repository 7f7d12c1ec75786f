"""The sample study: slides, annotations, sheet, protocols and the exact truth of each."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pandas as pd
import shapely

from spatial_til.phantoms import compartments
from spatial_til.phantoms.biopsies import (
    BANDS_UM,
    BIOPSIES,
    EDGE_TOLERANCE_UM,
    PATIENTS,
    PIXEL_UM,
    TRANSITIONS,
    Biopsy,
    lay_out,
)
from spatial_til.phantoms.brightfield import render_brightfield, tilted_vectors
from spatial_til.phantoms.camera import Camera
from spatial_til.phantoms.files import SlideFormat, write_slide
from spatial_til.phantoms.fluorescence import CHANNELS, render_fluorescence
from spatial_til.phantoms.look import Staining
from spatial_til.phantoms.study_files import FLUORESCENCE_PROTOCOL, PROTOCOL, README, TRUTH_README

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shapely.geometry import MultiPolygon

    from spatial_til.phantoms.layout import Scene

SEED = 2025
_GREY_PER_LEVEL = 24.0  # 16-bit exposure to the 8 bits that JPEG holds


def make_sample_study(out: Path, biopsies: Sequence[Biopsy] = BIOPSIES, seed: int = SEED) -> None:
    """Write the sample study: slides, annotations, study.csv, protocols and truth.

    Parameters
    ----------
    out
        Folder to write to; it is made where missing.
    biopsies
        Slides to make.
    seed
        Seed of everything random; the same seed gives the same study.
    """
    for folder in (out / "slides", out / "annotations", out / "truth"):
        folder.mkdir(parents=True, exist_ok=True)
    cells, areas = {}, {}
    for biopsy in biopsies:
        number = seed + 10 * BIOPSIES.index(biopsy)
        scene = lay_out(biopsy, number)
        _write_slide(out / _image(biopsy), scene, biopsy, number)
        _write_annotation(out / _annotation(biopsy), scene, biopsy)
        cells[biopsy.slide_id] = compartments.cell_table(scene, BANDS_UM, EDGE_TOLERANCE_UM)
        areas[biopsy.slide_id] = compartments.areas_mm2(scene, BANDS_UM, EDGE_TOLERANCE_UM)
    _write_csv(out / "study.csv", [_sheet_row(biopsy) for biopsy in biopsies])
    _write_truth(out / "truth", biopsies, cells, areas)
    (out / "README.md").write_text(README, encoding="utf-8")
    (out / "protocol.toml").write_text(PROTOCOL, encoding="utf-8")
    (out / "protocol_fluorescence.toml").write_text(FLUORESCENCE_PROTOCOL, encoding="utf-8")


def _image(biopsy: Biopsy) -> str:
    return f"slides/{biopsy.slide_id}.ome.tif"


def _annotation(biopsy: Biopsy) -> str:
    return f"annotations/{biopsy.slide_id}.geojson"


def _write_slide(path: Path, scene: Scene, biopsy: Biopsy, seed: int) -> None:
    rng = np.random.default_rng([seed, 9])
    strength = np.exp(0.06 * rng.standard_normal(3))
    staining = Staining(nuclei=strength[0], cd8=0.75 * strength[1], pdl1=0.8 * strength[2])
    if biopsy.modality == "fluorescence":
        image = render_fluorescence(scene, PIXEL_UM, staining=staining)
        eight = np.clip(np.rint(image / _GREY_PER_LEVEL), 0, 255).astype(np.uint8)
        write_slide(path, np.moveaxis(eight, 2, 0), SlideFormat(PIXEL_UM, CHANNELS, quality=75))
        return
    white = tuple(float(v) for v in np.array((240, 238, 242)) + rng.integers(-2, 3, 3))
    camera = Camera(white=(white[0], white[1], white[2]), jpeg_quality=None)
    rgb = render_brightfield(scene, PIXEL_UM, vectors=tilted_vectors(1.5, 1), staining=staining, camera=camera)
    write_slide(path, rgb, SlideFormat(PIXEL_UM, quality=88))


def _write_annotation(path: Path, scene: Scene, biopsy: Biopsy) -> None:
    """Write the regions as QuPath exports them: the tumour, and the tissue where it was cut."""
    drawn = [_feature(biopsy, "Tumor", [200, 0, 0], scene.tumor)]
    if biopsy.cut or biopsy.modality == "fluorescence":
        drawn.append(_feature(biopsy, "Tissue", [150, 200, 150], scene.tissue))
    text = json.dumps({"type": "FeatureCollection", "features": drawn}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _feature(biopsy: Biopsy, name: str, color: list[int], region: MultiPolygon) -> dict[str, object]:
    corners = [(shapely.get_coordinates(part.exterior) / PIXEL_UM).astype(int).tolist() for part in region.geoms]
    one = len(corners) == 1
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"{biopsy.slide_id}/{name}")),
        "geometry": {
            "type": "Polygon" if one else "MultiPolygon",
            "coordinates": corners if one else [[ring] for ring in corners],
        },
        "properties": {
            "objectType": "annotation",
            "classification": {"name": name, "color": color},
            "isLocked": False,
        },
    }


def _sheet_row(biopsy: Biopsy) -> dict[str, str]:
    return {
        "slide_id": biopsy.slide_id,
        "patient_id": biopsy.patient_id,
        "timepoint": biopsy.timepoint,
        "image": _image(biopsy),
        "annotation": _annotation(biopsy),
        "batch": biopsy.batch,
        "protocol": "protocol_fluorescence.toml" if biopsy.modality == "fluorescence" else "",
        "lesion": "L1",
        "site": "skin",
        "biopsy_date": biopsy.biopsy_date,
        "biopsy_type": "excision",
        "therapy": "anti-PD-1",
        "tumor_type": "melanoma",
        **PATIENTS[biopsy.patient_id],
    }


def _write_truth(
    folder: Path,
    biopsies: Sequence[Biopsy],
    cells: dict[str, pd.DataFrame],
    areas: dict[str, dict[str, float]],
) -> None:
    table = pd.concat(cells, names=["slide_id", None]).reset_index(level=0)
    text = table.to_csv(index=False, lineterminator="\n")
    (folder / "cells.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    _write_csv(
        folder / "areas.csv",
        [
            {"slide_id": slide, "compartment": name, "area_mm2": f"{area:.6f}"}
            for slide, parts in areas.items()
            for name, area in parts.items()
        ],
    )
    _write_csv(folder / "slides.csv", [_slide_row(b, cells[b.slide_id], areas[b.slide_id]) for b in biopsies])
    _write_csv(
        folder / "transitions.csv",
        [
            {"patient_id": patient, "transition": transition, "call": call}
            for (patient, transition), call in TRANSITIONS.items()
        ],
    )
    (folder / "README.md").write_text(TRUTH_README, encoding="utf-8")


def _slide_row(biopsy: Biopsy, cells: pd.DataFrame, areas: dict[str, float]) -> dict[str, str]:
    row = {"slide_id": biopsy.slide_id, "immunophenotype_point": biopsy.phenotype}
    margin = ("inner_margin", "outer_margin")
    for marker, name in (("CD8", "cd8"), ("PD-L1", "pdl1")):
        for region, parts in (("core", ("core",)), ("margin", margin)):
            n = int(cells[cells["compartment"].isin(parts)][marker].sum())
            row[f"{name}_{region}_n"] = str(n)
            row[f"{name}_{region}_per_mm2"] = f"{n / sum(areas[p] for p in parts):.2f}"
    return row


def _write_csv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
