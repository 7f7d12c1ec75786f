"""A marker's cut-off on one slide: its histogram, and which cells a moved one would make positive. No window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.populations import TUMOR, all_populations, select_populations
from spatial_til.model import BoolArray
from spatial_til.pipeline.numbers import Scene
from spatial_til.segmentation.positivity import score_of

_BINS = 120
_SHOWN = (0.05, 99.95)


@dataclass(frozen=True, slots=True)
class Bars:
    """Heights from 0 to 1 on a logarithmic scale, and the scores between which each bar stands."""

    heights: NDArray[np.float64]
    edges: NDArray[np.float64]


def bars_of(scores: NDArray[Any], cut: float | None) -> Bars | None:
    """Return a histogram without the most extreme cells; None where there is none to show.

    Examples
    --------
    >>> float(bars_of(np.array([0.0, 0.0, 1.0]), 0.5).heights.max())
    1.0
    """
    known = np.asarray(scores, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    low, high = (float(v) for v in np.percentile(known, _SHOWN))
    if cut is not None:
        low, high = min(low, cut), max(high, cut)
    counts, edges = np.histogram(known, bins=_BINS, range=(low, high + 1e-9))
    heights = np.log1p(counts)
    return Bars(heights / max(float(heights.max()), 1e-9), edges)


def scene_scores(scene: Scene, marker: str) -> NDArray[np.floating[Any]] | None:
    """Return the (n,) scores of the cells of a scene; None where their calls came with a table."""
    cells = scene.measured.cells
    if marker in cells.calls:
        return None
    how = scene.protocol.marker(marker)
    return score_of(cells, marker, compartment=how.compartment, statistic=how.statistic)


def members_with_cut(scene: Scene, marker: str, scores: NDArray[Any], cut: float) -> dict[str, BoolArray]:
    """Return who would be in which population with another cut-off: what is shown while the line is moved.

    Cells whose call a reader turned are shown by the cut-off too until it is used.
    """
    positive: Mapping[str, BoolArray] = scene.calls.positive
    tumor = scene.calls.tumor_cell
    called = np.asarray(scores >= cut)
    if marker == TUMOR:
        tumor = called
    else:
        positive = {**positive, marker: called}
    markers = [*positive, *([TUMOR] if tumor is not None else [])]
    expressions = all_populations(markers, scene.protocol.populations)
    return select_populations(expressions, positive, n_cells=len(called), tumor_cell=tumor)
