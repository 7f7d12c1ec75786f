"""Histograms of the scores that a cut-off was found in."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spatial_til.report.figure_style import BLUE, FONT_PT, VERMILLION, new_figure, text_as_is, tidy

_BINS = 120
_SHOWN = (0.05, 99.95)  # percentiles: a few freak cells would flatten the rest


def histogram_figure(scores: NDArray[Any], threshold: float | None, *, title: str = "", unit: str = "score") -> Figure:
    """Draw the scores of a pool of cells with the cut-off.

    Parameters
    ----------
    scores
        (n,) scores; NaN are left out.
    threshold
        The cut-off; None where the pool has one population.
    title, unit
        Above the picture and under its axis.

    Notes
    -----
    Counts are drawn on a logarithmic scale, so that a small positive population can be seen beside a large
    negative one.
    """
    figure = new_figure(5.2, 2.7)
    axes = figure.subplots()
    tidy(axes)
    known = np.asarray(scores, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known):
        low, high = np.percentile(known, _SHOWN)
        if threshold is not None:
            low, high = min(low, threshold), max(high, threshold)
        counts, edges = np.histogram(known, bins=_BINS, range=(float(low), float(high) + 1e-9))
        negative = edges[:-1] < (np.inf if threshold is None else threshold)
        for part, color in ((negative, "#B8B8B8"), (~negative, BLUE)):
            axes.bar(edges[:-1][part], counts[part], np.diff(edges)[part], align="edge", color=color, linewidth=0)
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
    if threshold is not None:
        axes.axvline(threshold, color=VERMILLION, linewidth=1.4)
        axes.annotate(
            f"cut-off {threshold:.3g}",
            (threshold, 1.0),
            (4, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            color=VERMILLION,
            fontsize=FONT_PT - 1,
        )
    axes.set_xlabel(unit, fontsize=FONT_PT)
    axes.set_ylabel("cells", fontsize=FONT_PT - 1)
    if title:
        axes.set_title(text_as_is(title), fontsize=FONT_PT + 1)
    return figure
