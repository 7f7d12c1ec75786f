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
    """Write the amounts (n, 3) that leave least of optical densities (n, 3), and the square of what they leave (n,).

    Of all subsets of stains, the feasible one that leaves least; where all stains together are feasible, no other
    leaves less. `solvers` to `matrix`: see `Mixes`.
    """
    k = len(matrix)
    tried, best = np.zeros(3), np.zeros(3)
    for t in range(len(left)):
        red, green, blue = np.float64(od[t, 0]), np.float64(od[t, 1]), np.float64(od[t, 2])
        least = red * red + green * green + blue * blue
        best[:] = 0.0
        for s in range(len(solvers)):
            x, y, z, feasible = red, green, blue, True
            for j in range(k):
                tried[j] = 0.0
                if members[s, j]:
                    amount = solvers[s, j, 0] * red + solvers[s, j, 1] * green + solvers[s, j, 2] * blue
                    if amount < 0.0:
                        feasible = False
                        break
                    tried[j] = amount
                    x -= amount * matrix[j, 0]
                    y -= amount * matrix[j, 1]
                    z -= amount * matrix[j, 2]
            if not feasible:
                continue
            rest = x * x + y * y + z * z
            if rest < least:
                least = rest
                best[:] = tried
            if s == 0:
                break
        left[t] = least
        for j in range(k):
            amounts[t, j] = best[j]
