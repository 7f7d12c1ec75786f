"""Marker loss: tumour cells without a marker that the cells around them carry (HLA class I, B2M)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.counted import counted
from spatial_til.metrics.ratios import Gates, share_percent
from spatial_til.metrics.regions import REGIONS, in_region
from spatial_til.metrics.resampling import sum_by_tile
from spatial_til.model import BoolArray, Value

#: Non-tumour cells are the internal control: with fewer positive ones the stain may have failed here.
CONTROL_PERCENT = 10.0
#: A share of fewer cells than this is no control.
MIN_CONTROL_CELLS = 10
#: The lower limit of the loss above which the slide is flagged: most tumour cells lack the marker.
LOST_PERCENT = 50.0


@dataclass(frozen=True, slots=True)
class Loss:
    """Negative tumour cells of one region, and the control that lets one believe them."""

    marker: str
    compartment: str  # one of `regions.REGIONS`
    percent: Value
    n_negative: int | None
    n_tumor: int | None
    control_percent: float | None  # positive non-tumour cells / non-tumour cells
    n_control: int | None


def marker_loss(
    marker: str,
    positive: BoolArray,
    tumor_cell: BoolArray | None,
    compartment: NDArray[np.int8],
    tile: NDArray[np.integer[Any]],
    gates: Gates,
) -> tuple[Loss, ...]:
    """Return the loss of a marker on tumour cells, region by region.

    Parameters
    ----------
    marker
        Its name, for the flag ``marker_loss:<name>``.
    positive, tumor_cell, compartment, tile
        (n,) positivity, tumour cells (None: no tumour marker), compartment codes, and spatial tile
        numbered within the compartment.
    gates
        Too few tumour cells give no value, too few tiles no interval.

    Notes
    -----
    100 x negative tumour cells / tumour cells, only where at least 10 % of the region's non-tumour cells
    are positive: tumour and stroma that are both negative say that the stain failed, or was not there.
    Flagged where the lower limit exceeds 50 %, a project default.
    """
    if tumor_cell is None:
        unknown = Value(None, reason="the panel has no tumour marker", flags=("tumor_cells_unknown",))
        return tuple(Loss(marker, region, unknown, None, None, None, None) for region in REGIONS)
    losses = []
    for region in REGIONS:
        inside = in_region(compartment, region)
        tumor, control = tumor_cell & inside, ~tumor_cell & inside
        n_tumor, n_control = int(tumor.sum()), int(control.sum())
        control_percent = 100 * float(positive[control].mean()) if n_control else None
        percent = _unavailable(n_tumor, n_control, control_percent, gates.min_tumor_cells)
        if percent is None:
            columns = np.column_stack((~positive[tumor], np.ones(n_tumor)))
            tiles = sum_by_tile(columns, tile[tumor], compartment[tumor])
            percent = _flagged(share_percent(tiles, gates), marker)
        n_negative = int((~positive & tumor).sum())
        losses.append(Loss(marker, region, percent, n_negative, n_tumor, control_percent, n_control))
    return tuple(losses)


def _unavailable(n_tumor: int, n_control: int, control_percent: float | None, min_tumor_cells: int) -> Value | None:
    """Return the empty value of a region that cannot be judged, else None."""
    if n_tumor < max(min_tumor_cells, 1):
        reason = f"{counted(n_tumor, 'tumour cell')}, {min_tumor_cells} needed"
        return Value(None, reason=reason, flags=("few_tumor_cells",))
    if control_percent is None or n_control < MIN_CONTROL_CELLS:
        return Value(
            None, reason=f"no internal control: {counted(n_control, 'non-tumour cell')}, {MIN_CONTROL_CELLS} needed"
        )
    if control_percent < CONTROL_PERCENT:
        found = f"{control_percent:.1f} % of non-tumour cells are positive"
        reason = f"no internal control: {found}, {CONTROL_PERCENT:g} % needed"
        return Value(None, reason=reason)
    return None


def _flagged(value: Value, marker: str) -> Value:
    """Return the value with ``marker_loss:<name>`` where most tumour cells surely lack the marker."""
    if value.ci_low is None or value.ci_low <= LOST_PERCENT:
        return value
    return replace(value, flags=(*value.flags, f"marker_loss:{marker}"))
