"""The distribution G of the distance to the nearest target cell, corrected for the window's edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spatial_til.model import FloatArray


@dataclass(frozen=True, slots=True)
class DistanceCurve:
    """G as steps: the share of reference cells with a target within each distance."""

    distance_um: FloatArray  # (n,) ascending
    share: FloatArray  # (n,)

    def at(self, radii_um: FloatArray) -> FloatArray:
        """Return G at each radius."""
        share: FloatArray = np.concatenate(([0.0], self.share))[self._steps_before(radii_um)]
        return share

    def mean_up_to(self, radii_um: FloatArray) -> FloatArray:
        """Return the area under G from 0 to each radius over the radius: 0 to 1.

        References
        ----------
        Barua et al. (2018), doi:10.1016/j.lungcan.2018.01.022.
        """
        seen = self.distance_um[: self._steps_before(radii_um[-1:])[0]]
        edges = np.concatenate(([0.0], seen))
        share = np.concatenate(([0.0], self.share[: len(seen)]))
        area = np.concatenate(([0.0], np.cumsum(share[:-1] * np.diff(edges))))
        step = self._steps_before(radii_um)
        mean: FloatArray = (area[step] + share[step] * (radii_um - edges[step])) / radii_um
        return mean

    def quantiles(self, shares: tuple[float, ...]) -> FloatArray:
        """Return the distances within which these shares have a target; NaN where G does not get there."""
        step = np.searchsorted(self.share, np.array(shares) - 1e-12)
        return np.append(self.distance_um, np.nan)[step]

    def _steps_before(self, radii_um: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Return how many steps lie at or below each radius."""
        return np.searchsorted(self.distance_um, radii_um, side="right")


def distance_curve(distance_um: FloatArray, boundary_um: FloatArray) -> DistanceCurve:
    """Return the Kaplan-Meier estimate of G.

    Parameters
    ----------
    distance_um
        (n,) distance from each reference cell to the nearest target cell; infinite where there is none.
    boundary_um
        (n,) distance from each reference cell to the boundary of the window, or a lower limit of it.

    Notes
    -----
    A reference cell nearer to the boundary than to its nearest target is censored there: a nearer target
    may lie outside. A tie of both counts as seen.

    References
    ----------
    Baddeley and Gill (1997), doi:10.1214/aos/1034276629.

    Examples
    --------
    >>> curve = distance_curve(np.array([3.0, 1.0]), np.array([9.0, 9.0]))
    >>> radii = np.array([2.0, 4.0])
    >>> curve.at(radii).tolist(), curve.mean_up_to(radii).tolist(), curve.quantiles((0.5,)).tolist()
    ([0.5, 1.0], [0.25, 0.5], [1.0])
    """
    seen = distance_um <= boundary_um
    # Seen first, so that among equal times a stable sort keeps them before the censored.
    time = np.concatenate((distance_um[seen], boundary_um[~seen]))
    order = np.argsort(time, kind="stable")
    at_risk = len(time) - np.arange(len(time))
    alive: FloatArray = np.multiply.accumulate(np.where(order < seen.sum(), 1.0 - 1.0 / at_risk, 1.0))
    return DistanceCurve(time[order], 1.0 - alive)
