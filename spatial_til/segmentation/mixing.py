"""Colours -> the mix of stains that explains each best: non-negative least squares, exact."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatial_til.model import FloatArray


class Mixes(NamedTuple):
    """Every subset of a panel's stains: the first has them all."""

    solvers: FloatArray  # (subsets, k, 3) amounts from optical densities
    members: NDArray[np.bool_]  # (subsets, k)
    matrix: FloatArray  # (k, 3) unit stain vectors


def mixes_of(matrix: FloatArray) -> Mixes:
    """Return the least-squares solvers of every subset of stains.

    Parameters
    ----------
    matrix
        (k, 3) unit stain vectors, one to three.
    """
    k = len(matrix)
    subsets = [list(s) for size in range(k, 0, -1) for s in combinations(range(k), size)]
    solvers, members = np.zeros((len(subsets), k, 3)), np.zeros((len(subsets), k), dtype=np.bool_)
    for solver, member, rows in zip(solvers, members, subsets, strict=True):
        solver[rows], member[rows] = np.linalg.pinv(matrix[rows]).T, True
    return Mixes(solvers, members, np.ascontiguousarray(matrix, dtype=np.float64))


@njit(cache=True, nogil=True)
def best_mixes(od: Any, solvers: Any, members: Any, matrix: Any, amounts: Any, left: Any) -> None:
    """Write the amounts (k, n) that leave least of optical densities (3, n), and the square of what they leave (n,).

    Of all subsets of stains, the feasible one that leaves least; where all stains together are feasible, no other
    leaves less. `solvers` to `matrix`: see `Mixes`.
    """
    red, green, blue = od[0], od[1], od[2]
    k, n = amounts.shape
    subset = np.full(n, -1.0)
    padded, stains = np.zeros((3, 3)), np.zeros((3, 3))  # a stain that is missing has no amount and no colour
    stains[:k] = matrix
    _squares(red, green, blue, left)
    for s in range(len(solvers)):
        padded[:k] = solvers[s]
        _try_subset(red, green, blue, padded, stains, float(s), left, subset)
    amounts[:] = 0.0
    for t in range(n):
        s = int(subset[t])
        for j in range(k):
            if s >= 0 and members[s, j]:
                amounts[j, t] = solvers[s, j, 0] * red[t] + solvers[s, j, 1] * green[t] + solvers[s, j, 2] * blue[t]


@njit(cache=True, nogil=True)
def _squares(red: Any, green: Any, blue: Any, left: Any) -> None:
    for t in range(len(left)):
        left[t] = red[t] * red[t] + green[t] * green[t] + blue[t] * blue[t]


@njit(cache=True, nogil=True)
def _try_subset(
    red: Any, green: Any, blue: Any, solver: Any, stains: Any, number: float, left: Any, subset: Any
) -> None:
    """Take a subset of stains where it is feasible and leaves less; subset 0 wherever it is feasible, for good.

    Apart, and free of branches, so that it is vectorised: numbers of subsets are kept as floats for that, too.
    """
    (r0, g0, b0), (r1, g1, b1), (r2, g2, b2) = solver[0], solver[1], solver[2]
    (u0, v0, w0), (u1, v1, w1), (u2, v2, w2) = stains[0], stains[1], stains[2]
    for t in range(len(left)):
        one = r0 * red[t] + g0 * green[t] + b0 * blue[t]
        two = r1 * red[t] + g1 * green[t] + b1 * blue[t]
        three = r2 * red[t] + g2 * green[t] + b2 * blue[t]
        rest_red = red[t] - one * u0 - two * u1 - three * u2
        rest_green = green[t] - one * v0 - two * v1 - three * v2
        rest_blue = blue[t] - one * w0 - two * w1 - three * w2
        rest = rest_red * rest_red + rest_green * rest_green + rest_blue * rest_blue
        feasible = (one >= 0.0) & (two >= 0.0) & (three >= 0.0) & (subset[t] != 0.0)
        less = feasible & (rest < left[t])
        subset[t] = number if less | (feasible & (number == 0.0)) else subset[t]
        left[t] = rest if less else left[t]
