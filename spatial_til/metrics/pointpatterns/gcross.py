"""The nearest-neighbour distance distribution G between two populations, corrected for the window's edge."""

from __future__ import annotations

import numpy as np
from numba import njit

from spatial_til.model import FloatArray


def g_cross(distance_um: FloatArray, boundary_um: FloatArray, radii_um: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the Kaplan-Meier estimate of G, and the mean of G from 0, up to each radius.

    Parameters
    ----------
    distance_um
        (n,) distance from each reference cell to the nearest target cell; infinite where there is none.
    boundary_um
        (n,) distance from each reference cell to the boundary of the window.
    radii_um
        (k,) ascending.

    Returns
    -------
    G
        (k,) share of reference cells with a target within each radius.
    AUC
        (k,) area under G from 0 to each radius, divided by the radius: 0 to 1.

    Notes
    -----
    A reference cell nearer to the boundary than to its nearest target is censored there: a nearer target
    may lie outside. Ties of both count as seen. NaN without reference cells.

    References
    ----------
    Baddeley and Gill (1997), doi:10.1214/aos/1034276629. AUC of G-cross over tumour and regulatory T
    cells: Barua et al. (2018), doi:10.1016/j.lungcan.2018.01.022.

    Examples
    --------
    >>> g, auc = g_cross(np.array([1.0, 3.0]), np.array([9.0, 9.0]), np.array([2.0, 4.0]))
    >>> g.tolist(), auc.tolist()
    ([0.5, 1.0], [0.25, 0.5])
    """
    if len(distance_um) == 0:
        nothing = np.full(len(radii_um), np.nan)
        return nothing, nothing.copy()
    time = np.minimum(distance_um, boundary_um)
    seen = distance_um <= boundary_um
    near = time <= radii_um[-1]
    order = np.argsort(time[near])
    survival, area = _product_limit(time[near][order], seen[near][order], len(time), radii_um)
    return 1.0 - survival, 1.0 - area / radii_um


@njit(cache=True, nogil=True)
def _product_limit(time, seen, n, radii_um):  # type: ignore[no-untyped-def]
    """Return the survival at each radius and its integral from 0; `time` ascends and ends at the last radius."""
    survival = np.empty(len(radii_um))
    area = np.empty(len(radii_um))
    alive, total, last = 1.0, 0.0, 0.0
    i = 0
    for j in range(len(radii_um)):
        while i < len(time) and time[i] <= radii_um[j]:
            now, at_risk, events = time[i], n - i, 0
            while i < len(time) and time[i] == now:
                events += seen[i]
                i += 1
            total += alive * (now - last)
            last = now
            alive *= 1.0 - events / at_risk
        total += alive * (radii_um[j] - last)
        last = radii_um[j]
        survival[j] = alive
        area[j] = total
    return survival, area
