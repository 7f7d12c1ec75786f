"""Found against true positions: optimal one-to-one matching within a distance, and what it scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Score:
    n_found: int
    n_true: int
    n_matched: int

    @property
    def f1(self) -> float:
        return 2 * self.n_matched / max(self.n_found + self.n_true, 1)

    @property
    def precision(self) -> float:
        return self.n_matched / max(self.n_found, 1)

    @property
    def recall(self) -> float:
        return self.n_matched / max(self.n_true, 1)

    @property
    def bias(self) -> float:
        """Relative error of the count."""
        return self.n_found / max(self.n_true, 1) - 1

    def __add__(self, other: Score) -> Score:
        return Score(self.n_found + other.n_found, self.n_true + other.n_true, self.n_matched + other.n_matched)


def match(found_um: np.ndarray, true_um: np.ndarray, tolerance_um: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of matched pairs: as many as possible, and among those the nearest."""
    n, m = len(found_um), len(true_um)
    if not n or not m:
        return np.empty(0, int), np.empty(0, int)
    pairs = cKDTree(found_um).sparse_distance_matrix(cKDTree(true_um), tolerance_um, output_type="coo_matrix")
    graph = coo_array((np.ones(pairs.nnz), (pairs.row, pairs.col + n)), shape=(n + m, n + m))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group[pairs.row], kind="stable")
    ends = np.flatnonzero(np.diff(group[pairs.row][order])) + 1
    rows, cols = [], []
    for part in np.split(order, ends):
        r, i = np.unique(pairs.row[part], return_inverse=True)
        c, j = np.unique(pairs.col[part], return_inverse=True)
        cost = np.full((len(r), len(c)), 1e6)
        cost[i, j] = pairs.data[part]
        a, b = linear_sum_assignment(cost)
        good = cost[a, b] < 1e6
        rows.append(r[a[good]])
        cols.append(c[b[good]])
    return np.concatenate(rows), np.concatenate(cols)


def score(found_um: np.ndarray, true_um: np.ndarray, tolerance_um: float = 4.0) -> Score:
    """Return counts of found, true and matched positions."""
    return Score(len(found_um), len(true_um), len(match(found_um, true_um, tolerance_um)[0]))
