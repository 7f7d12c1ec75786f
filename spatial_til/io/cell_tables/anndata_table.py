"""AnnData: obs, var and obsm as a table of columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_til.errors import CellTableError
from spatial_til.io.cell_tables.hdf5_heaps import check_heaps
from spatial_til.io.cell_tables.layout import Layout
from spatial_til.io.cell_tables.marker_names import find_marker
from spatial_til.io.cell_tables.mcmicro import mcmicro_layout

if TYPE_CHECKING:
    import pandas as pd

_X, _Y = "obsm spatial x", "obsm spatial y"


def load_anndata(path: Path, markers: Sequence[str]) -> pd.DataFrame:
    """Return obs, the panel's columns of X, and the first two columns of obsm["spatial"].

    Raises
    ------
    CellTableError
        anndata is not installed, or the file is not an AnnData file.
    """
    try:
        import anndata
    except ImportError:
        msg = f"{path}: reading .h5ad needs anndata. Install spatial-til[anndata]."
        raise CellTableError(msg) from None
    check_heaps(path)
    try:
        data = anndata.read_h5ad(path)
    except Exception as error:  # anndata's and h5py's own classes, which are not there without the extra
        msg = f"{path}: it cannot be read as AnnData ({error}). Write it again."
        raise CellTableError(msg) from error
    try:
        return _columns(data, markers)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        msg = f'{path}: obs, X or obsm["spatial"] is not as AnnData has them ({error}). Write it again.'
        raise CellTableError(msg) from error


def _columns(data: Any, markers: Sequence[str]) -> pd.DataFrame:
    frame: pd.DataFrame = data.obs.copy()
    for name in frame.columns[[kind.kind not in "buif" for kind in frame.dtypes]]:
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    for i, name in enumerate(data.var_names):
        if find_marker(str(name), markers) and name not in frame:
            frame[name] = _dense(data.X[:, i])
    if "spatial" in data.obsm:
        spatial = np.asarray(data.obsm["spatial"], dtype=np.float64)
        frame[_X], frame[_Y] = spatial[:, 0], spatial[:, 1]
    return frame


def _dense(column: Any) -> np.ndarray[Any, Any]:
    return np.asarray(column.todense() if hasattr(column, "todense") else column).ravel()


def anndata_layout(columns: Sequence[str], markers: Sequence[str]) -> Layout | None:
    """Return the layout of AnnData columns: MCMICRO's, or positions in obsm of a unit that is not known."""
    plain = mcmicro_layout(columns, markers)
    if plain is not None or _X not in columns:
        return plain
    like = mcmicro_layout([*columns, "X_centroid", "Y_centroid"], markers)
    if like is None:
        return None
    return Layout(
        name="AnnData",
        x=(_X,),
        y=(_Y,),
        image=like.image,
        labels=like.labels,
        positive=like.positive,
        measurements=like.measurements,
    )
