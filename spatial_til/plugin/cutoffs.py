"""A marker's cut-off on one slide: its histogram, and which cells a moved one would make positive. No window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
_GAP = 4.0  # screen pixels between two labels of the axis
_NOTHING = 1e-6


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


def axis_labels(
    wanted: Sequence[tuple[str, float]], width: Callable[[str], float], room: float
) -> list[tuple[str, float]]:
    """Return labels and where they begin, inside the axis; one that would lie on an earlier one is left out.

    Examples
    --------
    >>> axis_labels([("0.04", 30.0), ("0", 8.0), ("0.43", 95.0)], lambda text: 7.0 * len(text), 100.0)
    [('0.04', 30.0), ('0', 8.0), ('0.43', 72.0)]
    >>> axis_labels([("0.04", 12.0), ("0", 8.0)], lambda text: 7.0 * len(text), 100.0)
    [('0.04', 12.0)]
    """
    placed: list[tuple[str, float]] = []
    for text, left in wanted:
        start, size = max(min(left, room - width(text)), 0.0), width(text)
        if all(start + size + _GAP < at or at + width(other) + _GAP < start for other, at in placed):
            placed.append((text, start))
    return placed


def end_words(value: float, low: float, high: float) -> str:
    """Return an end of an axis as text: what is nothing beside the axis is 0.

    Examples
    --------
    >>> end_words(1.23e-16, 1.23e-16, 0.431), end_words(0.431, 1.23e-16, 0.431)
    ('0', '0.431')
    """
    return "0" if abs(value) < _NOTHING * (high - low) else f"{value:.3g}"


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
