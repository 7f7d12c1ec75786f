"""Cells of scored slides as an AnnData table, where scverse tools look for things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spatial_til.io.cells import compartment_names
from spatial_til.io.exports.exported import ExportSlide, phenotypes

if TYPE_CHECKING:
    from anndata import AnnData

_PARTS = ("nucleus", "cytoplasm", "membrane", "cell")


def cells_anndata(slides: Sequence[ExportSlide], study: Mapping[str, Any]) -> AnnData:
    """Return the cells of slides as one table.

    Parameters
    ----------
    slides
        At least one.
    study
        Versions and protocol, kept in ``uns["spatial_til"]`` as text.

    Returns
    -------
    AnnData
        ``X`` (cells x markers): mean of the marker in the part of the cell that the protocol reads it in, NaN where
        a slide lacks it; ``layers``: the mean in each part. ``obs``: slide, patient, time point, lesion,
        `compartment`, `border_distance_um`, areas, `phenotype`, calls. ``obsm["spatial"]``: x, y in µm, y down;
        slides are told apart by ``obs["library_id"]``. ``uns["slide_scores"]``: one row a slide.
    """
    import anndata

    markers = list(dict.fromkeys(marker for slide in slides for marker in slide.compartment_of))
    obs = pd.concat([_obs(slide) for slide in slides])
    for name in ("slide_id", "library_id", "patient_id", "timepoint", "lesion", "compartment", "phenotype"):
        obs[name] = obs[name].astype("category")
    var = pd.DataFrame(index=pd.Index(markers, name="marker"))
    var["read_in"] = [next(s.compartment_of[m] for s in slides if m in s.compartment_of) for m in markers]
    table = anndata.AnnData(
        X=np.vstack([_means(slide, markers, None) for slide in slides]),
        obs=obs,
        var=var,
        obsm={"spatial": np.vstack([slide.cells.cells.xy_um for slide in slides])},
        layers={f"{part}_mean": np.vstack([_means(slide, markers, part) for slide in slides]) for part in _PARTS},
    )
    scores = pd.DataFrame([dict(slide.scores) for slide in slides]).set_index("slide_id")
    table.uns["slide_scores"] = scores.dropna(axis=1, how="all").convert_dtypes(convert_integer=False)
    table.uns["slide_scores"] = _plain(table.uns["slide_scores"])
    table.uns["spatial"] = {slide.slide_id: {} for slide in slides}
    table.uns["spatial_til"] = {name: str(value) for name, value in study.items()} | {"unit": "micrometre"}
    return table


def _obs(slide: ExportSlide) -> pd.DataFrame:
    stored, meta = slide.cells, slide.meta
    n = len(stored.cells)
    columns: dict[str, Any] = {
        "slide_id": [meta.slide_id] * n,
        "library_id": [meta.slide_id] * n,
        "patient_id": [meta.patient_id] * n,
        "timepoint": [meta.timepoint] * n,
        "lesion": [meta.lesion] * n,
        "cell_id": np.arange(1, n + 1),
        "compartment": compartment_names(stored.placement.compartment),
        "border_distance_um": stored.placement.border_distance_um,
        "nucleus_area_um2": stored.cells.nucleus_area_um2,
        "cell_area_um2": stored.cells.cell_area_um2,
        "phenotype": phenotypes(stored),
    }
    columns |= {f"{marker}_positive": values for marker, values in stored.positive.items()}
    if stored.tumor_cell is not None:
        columns["tumor_cell"] = stored.tumor_cell.astype(np.float64)  # with NaN for slides that do not know
    index = meta.slide_id + ":" + pd.Series(np.arange(1, n + 1)).astype(str)
    return pd.DataFrame(columns).set_index(pd.Index(index, name="cell"))


def _means(slide: ExportSlide, markers: Sequence[str], part: str | None) -> np.ndarray:
    """Return (cells, markers) means in a part of the cell, or in the part of each marker's protocol."""
    n = len(slide.cells.cells)
    missing = np.full(n, np.nan, dtype=np.float32)
    measured = slide.cells.cells.measurements
    names = [f"{marker}_{part or slide.compartment_of.get(marker, '')}_mean" for marker in markers]
    return np.column_stack([measured.get(name, missing) for name in names]).astype(np.float32).reshape(n, len(markers))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return columns as h5ad stores them: numbers with NaN, text with the empty string."""
    numeric = frame.select_dtypes(["number", "boolean"]).columns
    plain = {n: frame[n].astype(np.float64) if n in numeric else frame[n].astype(object).fillna("") for n in frame}
    return pd.DataFrame({str(n): v.astype(str) if v.dtype == object else v for n, v in plain.items()})
