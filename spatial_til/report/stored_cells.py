"""What the report needs of stored cells, and no column more: positions of CD8+ cells, scores for histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    import pyarrow.parquet as pq

    if not path.exists():
        return ReportCells(np.empty((0, 2)), {})
    names = pq.read_schema(path).names
    wanted = {m: _columns(names, m, protocol) for m in protocol.panel.markers}
    columns = ["x_um", "y_um", *(["CD8_positive"] if "CD8_positive" in names else [])]
    table = pq.read_table(path, columns=[*columns, *(c for of in wanted.values() for c in of)])
    arrays = {name: table.column(name).to_numpy() for name in table.column_names}
    x, y = arrays["x_um"], arrays["y_um"]
    chosen = draw_cells(slide_id, x, y)
    cells = Cells(x, y, x, x, measurements=arrays)
    scores = {m: _score(cells, m, protocol)[chosen] for m, of in wanted.items() if of}
    positive = arrays.get("CD8_positive", np.zeros(len(x), dtype=np.bool_))
    return ReportCells(np.column_stack((x, y))[positive], scores)


def _columns(names: Sequence[str], marker: str, protocol: Protocol) -> list[str]:
    """Return the columns that the marker's score may be made of."""
    parts = dict.fromkeys((protocol.marker(marker).compartment, "membrane", "cell"))
    ends = ("mean", "median", "p70", "p90", "arc", "own_arc")
    return [name for part in parts for end in ends if (name := f"{marker}_{part}_{end}") in names]


def _score(cells: Cells, marker: str, protocol: Protocol) -> FloatArray:
    how = protocol.marker(marker)
    return np.asarray(score_of(cells, marker, compartment=how.compartment, statistic=how.statistic), dtype=np.float64)
