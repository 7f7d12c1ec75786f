"""Is a marker raised on tumour cells that lie near CD8+ cells? An observation, not a mechanism.

PD-L1 near CD8+ cells is what interferon made there would do (adaptive resistance); HLA class I, TAP1,
pSTAT1 and IRF1 answer the same way. The marker and CD8 must be on one section.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.metrics.intervals import t_quantile
from spatial_til.metrics.pointpatterns.neighbours import build_grid, nearest_um
from spatial_til.metrics.ratios import FEW_TILES, Gates, share_percent
from spatial_til.metrics.resampling import TileSums, bootstrap_totals, sum_by_tile
from spatial_til.model import COMPARTMENTS, EXCLUDED, XY, BoolArray, FloatArray, Value

NEAR_UM = 30.0
FAR_UM = 100.0
SPILL_UM = 10.0  # a positive neighbour closer than this may lend its membrane signal to a tumour cell
PROFILE_UM = (15.0, 30.0, 60.0, 120.0, np.inf)  # upper edges
STRATA = ("core", "inner_margin")
MIN_CELLS = 100  # near, and far
MIN_POSITIVE = 10
ABSENT_PERCENT = 1.0

_NO_TUMOR_MARKER = "the panel has no tumour marker"


@dataclass(frozen=True, slots=True)
class InductionCells:
    """What the question needs to know of each cell, (n,) arrays in one order."""

    compartment: NDArray[np.int8]
    tile: NDArray[np.integer[Any]]  # spatial tile, numbered within the compartment
    tumor_cell: BoolArray | None  # None: the panel has no tumour marker
    cd8: BoolArray
    positive: BoolArray  # for the marker
    cd8_distance_um: FloatArray  # to the nearest other CD8+ cell in tissue; infinite where there is none
    spill_distance_um: FloatArray  # to the nearest other marker-positive cell that is no tumour cell


@dataclass(frozen=True, slots=True)
class ProfileBin:
    """Positive share of tumour cells in one bin of distance to the nearest CD8+ cell, above the last bin's."""

    to_um: float
    percent: Value
    n_cells: int
    n_positive: int


@dataclass(frozen=True, slots=True)
class Induction:
    """The answer for one marker on one slide."""

    log2: Value
    log2_without_spill: Value
    near_percent: Value
    n_near: int
    n_far: int
    n_positive: int
    profile: tuple[ProfileBin, ...]

    @property
    def absent_despite_contact(self) -> bool:
        """Whether under 1 % of at least 100 near tumour cells carry the marker, upper limit included.

        The observation `pdl1_absent_despite_contact` needs, besides, a batch with positive cells.
        """
        high = self.near_percent.ci_high
        return self.n_near >= MIN_CELLS and high is not None and high < ABSENT_PERCENT


def induction(cells: InductionCells, gates: Gates, *, draws: int, random: np.random.Generator) -> Induction:
    """Return the log2 odds ratio of positivity near and far from CD8+ cells, with its profile.

    Parameters
    ----------
    cells
        The cells of one slide.
    gates
        With fewer than `min_tiles` spatial tiles of near or far tumour cells: not evaluable.
    draws
        Bootstrap draws over tiles within core and inner margin.
    random
        Generator seeded for this slide and marker.

    Notes
    -----
    Tumour cells that are not CD8+, in core and inner margin; near is within 30 µm of a CD8+ cell in the
    tissue, far beyond 100 µm. Mantel-Haenszel odds ratio over the two compartments, so that a marker that
    is merely commoner in the margin, where CD8+ cells are, does not count; 0.5 is added to the four
    counts of a compartment if one of them is 0. Interval: tile bootstrap standard error x t. Evaluable
    with 100 near and 100 far cells, 10 positive ones among them, and enough tiles; there is no other
    distance to fall back to, and no p-value by relabelling: patchy expression alone makes it small.

    References
    ----------
    Mantel and Haenszel (1959), doi:10.1093/jnci/22.4.719. Taube et al. (2012), doi:10.1126/scitranslmed.3003689.
    """
    if cells.tumor_cell is None:
        unknown = Value(None, reason=_NO_TUMOR_MARKER, flags=("tumor_cells_unknown",))
        return Induction(unknown, unknown, unknown, 0, 0, 0, ())
    asked = cells.tumor_cell & ~cells.cd8 & np.isin(cells.compartment, [COMPARTMENTS.index(name) for name in STRATA])
    near, far = _near_and_far(cells, asked)
    clean = asked & (cells.spill_distance_um > SPILL_UM)
    return Induction(
        log2=_log2_odds(cells, near, far, gates, draws, random),
        log2_without_spill=_log2_odds(cells, near & clean, far & clean, gates, draws, random),
        near_percent=_positive_percent(cells, near, gates),
        n_near=int(near.sum()),
        n_far=int(far.sum()),
        n_positive=int((cells.positive & (near | far)).sum()),
        profile=_profile(cells, asked, gates),
    )


def distance_to_um(xy_um: XY, target: BoolArray, compartment: NDArray[np.int8]) -> FloatArray:
    """Return each cell's distance to the nearest other target cell in the tissue, in µm.

    Targets in an exclusion or off the tissue do not count; infinite where no target is left.

    Examples
    --------
    >>> xy_um = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    >>> distance_to_um(xy_um, np.array([False, True, True]), np.array([0, 0, -1], dtype=np.int8)).tolist()
    [5.0, inf, 1.0]
    """
    chosen = np.flatnonzero(target & (compartment != EXCLUDED))
    grid = build_grid(xy_um[chosen], chosen)
    return nearest_um(xy_um, grid, np.arange(len(xy_um)))


def mantel_haenszel_log2(counts: FloatArray) -> FloatArray:
    """Return log2 of the Mantel-Haenszel odds ratio.

    Parameters
    ----------
    counts
        (..., strata, 4): near positive, near negative, far positive, far negative. A stratum without
        cells is left out; in one with some but a 0 among the four, each gets 0.5 more.

    Examples
    --------
    >>> mantel_haenszel_log2(np.array([[40.0, 60.0, 10.0, 90.0]])).round(4).item()  # (40 x 90) / (60 x 10)
    2.585
    """
    any_zero = (counts == 0).any(axis=-1, keepdims=True)
    filled = counts.sum(axis=-1) > 0
    a, b, c, d = np.moveaxis(np.where(any_zero, counts + 0.5, counts), -1, 0)
    weight = filled / (a + b + c + d)
    log2: FloatArray = np.log2((a * d * weight).sum(axis=-1) / (b * c * weight).sum(axis=-1))
    return log2


def _near_and_far(cells: InductionCells, asked: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Return which of the asked cells are near a CD8+ cell and which are far from all."""
    return asked & (cells.cd8_distance_um <= NEAR_UM), asked & (cells.cd8_distance_um > FAR_UM)


def _log2_odds(
    cells: InductionCells, near: BoolArray, far: BoolArray, gates: Gates, draws: int, random: np.random.Generator
) -> Value:
    """Return the log2 odds ratio with its interval, or the reason why there is none."""
    used = near | far
    tiles = _count_tables(cells, near, far)
    reason = _shortfall(int(near.sum()), int(far.sum()), int((cells.positive & used).sum()))
    if reason:
        return Value(None, reason=reason)
    if tiles.n_tiles < gates.min_tiles or tiles.dof < 1:
        return Value(None, reason=FEW_TILES, flags=("few_tiles",))
    shape = (len(STRATA), 4)
    value = float(mantel_haenszel_log2(tiles.totals.reshape(shape)))
    drawn = bootstrap_totals(tiles, draws, random).reshape(draws, *shape)
    sigma = float(mantel_haenszel_log2(drawn).std(ddof=1))
    half = t_quantile(tiles.dof, gates.confidence) * sigma
    return Value(value, value - half, value + half, sigma, tiles.dof)


def _count_tables(cells: InductionCells, near: BoolArray, far: BoolArray) -> TileSums:
    """Return, per tile, near+, near-, far+, far- of each stratum side by side: 4 columns a stratum."""
    used = near | far
    quadrant = np.column_stack(
        (near & cells.positive, near & ~cells.positive, far & cells.positive, far & ~cells.positive)
    )
    columns = np.hstack(
        [quadrant[used] & (cells.compartment[used] == COMPARTMENTS.index(name))[:, None] for name in STRATA]
    )
    return sum_by_tile(columns, cells.tile[used], cells.compartment[used])


def _shortfall(n_near: int, n_far: int, n_positive: int) -> str:
    """Return what is missing for an answer, or nothing."""
    found = (
        (n_near, MIN_CELLS, f"tumour cells within {NEAR_UM:g} µm of a CD8+ cell"),
        (n_far, MIN_CELLS, f"tumour cells more than {FAR_UM:g} µm from every CD8+ cell"),
        (n_positive, MIN_POSITIVE, "positive tumour cells among them"),
    )
    return "; ".join(f"{number} {what}, {least} needed" for number, least, what in found if number < least)


def _positive_percent(cells: InductionCells, chosen: BoolArray, gates: Gates) -> Value:
    """Return the positive share of chosen cells, in percent."""
    if not chosen.any():
        return Value(None, reason="no tumour cell at this distance")
    columns = np.column_stack((cells.positive[chosen], np.ones(int(chosen.sum()))))
    tiles = sum_by_tile(columns, cells.tile[chosen], cells.compartment[chosen])
    return share_percent(tiles, gates)


def _profile(cells: InductionCells, asked: BoolArray, gates: Gates) -> tuple[ProfileBin, ...]:
    """Return the positive share by distance to the nearest CD8+ cell; a bin holds its upper edge."""
    number = np.searchsorted(PROFILE_UM, cells.cd8_distance_um, side="left")
    bins = []
    for k, to_um in enumerate(PROFILE_UM):
        chosen = asked & (number == k)
        percent = _positive_percent(cells, chosen, gates)
        bins.append(ProfileBin(to_um, percent, int(chosen.sum()), int((cells.positive & chosen).sum())))
    return tuple(bins)
