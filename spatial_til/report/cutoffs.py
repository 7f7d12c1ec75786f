"""The cut-offs of a run as the report shows them: a row of thresholds.csv, and the histogram of its pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spatial_til.counted import counted
from spatial_til.report.histograms import histogram_figure
from spatial_til.report.pictures import Picture, figure_png, png_uri
from spatial_til.report.quality import score_unit
from spatial_til.study import Job


class CutOffView(NamedTuple):
    """One row of thresholds.csv, with the histogram of its pool where cells are stored."""

    row: Mapping[str, str]
    histogram: Picture | None
    unit: str = ""


#: Ways to find a cut-off, in the words of a reader.
_METHODS = {
    "valley": "Valley: the lowest place between negative and positive cells.",
    "tail": "Tail: too few positive cells for a valley, so where they part from the negatives.",
    "negative_control": "Negative control: above 99.9 % of the cells of the control slide.",
    "frozen": "Frozen: taken over from an earlier study.",
    "fixed": "Fixed: given in the protocol.",
    "unimodal": "Unimodal: no second population was found, so no cell is positive.",
}


def methods_in_words(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a sentence on each way of finding a cut-off that a run has used."""
    used = {row["method"] for row in rows}
    return [text for method, text in _METHODS.items() if method in used]


def cut_off_views(
    rows: Sequence[Mapping[str, str]], pools: Mapping[tuple[str, str], Sequence[np.ndarray]], jobs: Sequence[Job]
) -> list[CutOffView]:
    """Return the cut-offs with histograms; a batch that holds several pools is drawn as one.

    Parameters
    ----------
    rows
        Of thresholds.csv.
    pools
        (batch, marker) -> the scores of each slide.
    jobs
        The study's: they tell what the scores are measured in.
    """
    units = _units(jobs)
    views = []
    for row in rows:
        if row.get("slide_id"):  # a reader's, of one slide
            views.append(CutOffView({**row, "batch": f"{row['slide_id']} by {row['author']}"}, None))
            continue
        key = (row["batch"], row["marker"])
        of = pools.get(key) or pools.get(("", row["marker"]))
        unit = units.get(key) or units.get(("", row["marker"]), "as stored")
        views.append(CutOffView(row, _histogram(row, of, unit) if of else None, unit))
    return views


def _histogram(row: Mapping[str, str], scores: Sequence[np.ndarray], unit: str) -> Picture:
    cut = float(row["threshold"]) if row["threshold"] else None
    title = f"{row['marker']}, batch {row['batch']}"
    figure = histogram_figure(np.concatenate(scores), cut, title=title, unit=f"score that is compared, {unit}")
    positive = f"{row['n_positive']} of {counted(int(row['n_cells']), 'cell')} at or above the cut-off"
    return Picture(png_uri(figure_png(figure)), f"Histogram of {title}: {positive}")


def _units(jobs: Sequence[Job]) -> dict[tuple[str, str], str]:
    """Return what the scores of each batch and marker are measured in."""
    units = {}
    for job in jobs:
        for marker in job.protocol.panel.markers:
            units[job.meta.batch, marker] = score_unit(job.protocol, marker)
    return units
