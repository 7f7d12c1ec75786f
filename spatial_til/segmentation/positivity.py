"""Measurements and a cut-off -> positive cells."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatial_til.errors import CellTableError
from spatial_til.model import BoolArray, Cells
from spatial_til.segmentation.laden import most_pigment

#: The score that sees partial membranes and leaves out a neighbour's.
ROBUST = "robust"
#: A compartment is positive where at least 30 % of it is (project default): its 70th percentile counts.
_COLUMN = {"positive_fraction": "p70"}


def score_of(
    cells: Cells, marker: str, *, compartment: str, statistic: str, own: bool = True
) -> NDArray[np.floating[Any]]:
    """Return the (n,) score that is compared with the marker's threshold.

    Parameters
    ----------
    statistic
        ``robust``: how far membrane stain stands above its surroundings in the better half of the rim
        (`own`: without what belongs to a neighbour), see `rim`. NaN where the stain is pigment, which no cut-off
        is compared with (see `laden`).
        ``positive_fraction``: level reached by 30 % of the compartment's pixels, so that a score at or
        above the threshold means that at least 30 % of the compartment is positive.
        ``mean``, ``median``, ``p90``: of the compartment's pixels.
    """
    if statistic == ROBUST:
        own_ridge, ridge, of_pigment = score_columns(marker, compartment=compartment, statistic=statistic)
        rim = _column(cells, own_ridge if own else ridge)
        pigment = cells.measurements.get(of_pigment)
        return rim if pigment is None else np.where(pigment > most_pigment(pigment), np.nan, rim)
    part, whole = score_columns(marker, compartment=compartment, statistic=statistic)
    score, of_cell = _column(cells, part), cells.measurements.get(whole)
    return score if of_cell is None else np.where(np.isnan(score), of_cell, score)


class PigmentCount(NamedTuple):
    """Cells of one slide that are not called since their brown is pigment."""

    looked_at: int  # cells with brown enough
    taken: int  # of these: pigment, so not called and in no cut-off
    above: int | None  # of these: stained at or above the cut-off, as a positive cell is; None without a cut-off


def count_pigment(
    cells: Cells, marker: str, threshold: float | None, *, compartment: str, statistic: str
) -> PigmentCount | None:
    """Return how many cells `score_of` gives no score since they are pigment; None where it looks at no pigment."""
    if statistic != ROBUST:
        return None
    own_ridge, ridge, of_pigment = score_columns(marker, compartment=compartment, statistic=statistic)
    pigment = cells.measurements.get(of_pigment)
    if pigment is None:
        return None
    taken = pigment > most_pigment(pigment)
    above = None
    if threshold is not None:
        stained = (_column(cells, own_ridge) >= threshold) & (_column(cells, ridge) >= threshold)
        above = int((taken & stained).sum())
    return PigmentCount(int(np.isfinite(pigment).sum()), int(taken.sum()), above)


def score_columns(marker: str, *, compartment: str, statistic: str) -> tuple[str, ...]:
    """Return the columns that `score_of` looks at, as far as the cells have them.

    Examples
    --------
    >>> score_columns("CD8", compartment="membrane", statistic="positive_fraction")
    ('CD8_membrane_p70', 'CD8_cell_p70')
    """
    if statistic == ROBUST:
        return tuple(f"{marker}_membrane_{name}" for name in ("own_ridge", "ridge", "pigment"))
    return tuple(f"{marker}_{part}_{_COLUMN.get(statistic, statistic)}" for part in (compartment, "cell"))


def _column(cells: Cells, name: str) -> NDArray[np.floating[Any]]:
    if name in cells.measurements:
        return cells.measurements[name]
    msg = f"The cells need the column {name}, found {', '.join(sorted(cells.measurements)) or 'none'}"
    raise CellTableError(msg)


def call_positive(
    cells: Cells, marker: str, threshold: float | None, *, compartment: str, statistic: str
) -> tuple[BoolArray, BoolArray]:
    """Return (raw, resolved) positivity of each cell.

    `raw` compares the score as measured. `resolved` leaves out what belongs to a neighbour's membrane.
    Positivity for one marker never excludes another: CD8+PD-L1+ cells exist. Without a threshold no cell is
    positive.
    """
    if threshold is None:
        none = np.zeros(len(cells), dtype=np.bool_)
        return none, none.copy()
    raw = score_of(cells, marker, compartment=compartment, statistic=statistic, own=False) >= threshold
    resolved = score_of(cells, marker, compartment=compartment, statistic=statistic, own=True) >= threshold
    return raw, raw & resolved
