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
        edges = _edges(known, threshold)
        counts, _ = np.histogram(known, bins=edges)
        negative = edges[1:] <= (np.inf if threshold is None else threshold)
        for part, color, label in ((negative, "#B8B8B8", "below"), (~negative, BLUE, "at or above")):
            axes.bar(edges[:-1][part], counts[part], np.diff(edges)[part], align="edge", color=color, label=label, lw=0)
        if threshold is not None:
            axes.legend(fontsize=FONT_PT - 2, frameon=False, loc="upper right")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,.0f}")
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


def _edges(known: NDArray[np.float64], threshold: float | None) -> NDArray[np.float64]:
    """Return edges of bins of one width; the cut-off is one of them, so that no bar lies on both sides of it."""
    low, high = np.percentile(known, _SHOWN).tolist()
    cut = low if threshold is None else threshold
    low, high = min(low, cut), max(high, cut)
    width = max((high - low) / _BINS, 1e-9)
    below, above = int(np.ceil((cut - low) / width)), int((high - cut) // width) + 1
    return np.asarray(cut + width * np.arange(-below, above + 1), dtype=np.float64)
