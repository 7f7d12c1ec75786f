"""What the report needs of stored cells, and no column more: positions of CD8+ cells, scores for histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spatial_til.errors import CellTableError
from spatial_til.io.parquet import parquet
from spatial_til.model import XY, Cells, FloatArray
from spatial_til.protocol import Protocol
from spatial_til.segmentation.positivity import score_of
from spatial_til.segmentation.thresholds import draw_cells


@dataclass(frozen=True, slots=True)
class ReportCells:
    """Cells of one slide: where CD8+ ones are, and the scores that enter the pool of each marker."""

    cd8_xy_um: XY
    scores: dict[str, FloatArray]


def read_report_cells(path: Path, slide_id: str, protocol: Protocol) -> ReportCells:
    """Read positions and scores of one slide; empty where it has no cells or came with calls."""
    if not path.exists():
        return ReportCells(np.empty((0, 2)), {})
    file = parquet().ParquetFile(path)  # `read_table` would bring half a second of imports
    names = file.schema_arrow.names
    wanted = [name for marker in protocol.panel.markers for name in _columns(names, marker, protocol)]
    table = file.read(columns=["x_um", "y_um", *(n for n in names if n == "CD8_positive"), *wanted])
    arrays = {name: table.column(name).to_numpy() for name in table.column_names}
    x, y = arrays["x_um"], arrays["y_um"]
    chosen = draw_cells(slide_id, x, y)
    cells = Cells(x, y, x, x, measurements=arrays)
    scores = {marker: score[chosen] for marker, score in _scores(cells, protocol).items()}
    positive = arrays.get("CD8_positive", np.zeros(len(x), dtype=np.bool_))
    return ReportCells(np.column_stack((x, y))[positive], scores)


def _columns(names: Sequence[str], marker: str, protocol: Protocol) -> list[str]:
    """Return the columns that the marker's score may be made of."""
    parts = dict.fromkeys((protocol.marker(marker).compartment, "membrane", "cell"))
    return [name for part in parts for name in names if name.startswith(f"{marker}_{part}_")]


def _scores(cells: Cells, protocol: Protocol) -> dict[str, FloatArray]:
    """Return the score of every marker that has one; cells of an earlier version may lack its columns."""
    scores = {}
    for marker in protocol.panel.markers:
        how = protocol.marker(marker)
        try:
            scores[marker] = score_of(cells, marker, compartment=how.compartment, statistic=how.statistic)
        except CellTableError:
            continue
    return {marker: np.asarray(score, dtype=np.float64) for marker, score in scores.items()}
